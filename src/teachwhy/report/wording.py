"""How results are put into words and numbers: estimates, intervals, verdicts and warnings, for page and table alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..evals import DISTANCES
from .asked import asked_through
from .unmatched import not_matched

NONE = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
UNSCORED_WARNING = 0.05
LIMIT = 0.05  # so close to chance, or to the best value, a rate leaves no room for a conclusion
BY_CHOICE = "_by_choice"
NO_VERDICT = "The study declares no contrast, so there is no verdict."
NO_LIMITS = "The study file names no limits."
WHAT_A_CONTRAST_IS = "A contrast is the first arm minus the second, on the same items and seeds."
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Measure:
    """A metric as it was declared: the exam it belongs to, and the kinds of items that the contrasts name."""

    exam: str
    metric: str
    kinds: frozenset[str]

    def holds(self, rate: Record) -> bool:
        kind = rate["subset"].get("kind", "")
        return (rate["exam"], rate["metric"]) == (self.exam, self.metric) and (not self.kinds or kind in self.kinds)


@dataclass(frozen=True)
class Verdict:
    """What a declared contrast says, in sentences; `x` in them is a name.

    shown: whether a difference counts as shown. cautions: what weakens this contrast. details: what was compared and
    measured, and what the interval covers.
    """

    name: str
    number: str
    shown: bool
    finding: str
    cautions: tuple[str, ...]
    details: tuple[str, ...]


@dataclass(frozen=True)
class Notice:
    """Something that a reader must know before the verdict."""

    title: str
    points: tuple[str, ...]
    meaning: str


# Numbers


def share(value: float | None) -> str:
    """A number without its leading zero, to two digits (three where two would hide that it is not zero): .52, -.004."""
    if value is None:
        return NONE
    digits = 3 if 0 < abs(value) < 0.005 else 2
    text = f"{abs(value):.{digits}f}"
    minus = MINUS if value < 0 and float(text) else ""
    return minus + (text.removeprefix("0") if abs(value) < 1 else text)


def signed(value: float | None) -> str:
    """A difference with its sign: +.21, -.05, .00."""
    return ("+" if value is not None and value > 0 else "") + share(value)


def decimals(value: float | None) -> str:
    """A number to three digits, such as a loss: 5.577, -5.549."""
    return NONE if value is None else f"{value:.3f}".replace("-", MINUS)


def p_value(p: float | None) -> str:
    if p is None:
        return NONE
    return "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def p_phrase(p: float) -> str:
    return f"p {p_value(p)}" if p < 0.001 else f"p = {p_value(p)}"


def bracket(low: float | None, high: float | None) -> str:
    return NONE if low is None or high is None else f"[{share(low)}, {share(high)}]"


def percent(value: float) -> str:
    """A share as whole percent, never rounded to none or all: under 1%, 12%, over 99%."""
    if 0 < value < 0.01:
        return "under 1%"
    if 0.99 < value < 1:
        return "over 99%"
    return f"{value:.0%}"


def level_text(level: float) -> str:
    return f"{100 * level:g}%"


# Names


def spaced(name: str) -> str:
    return name.replace("_", " ")


def sentence(text: str) -> str:
    """A phrase with a capital and a full stop."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""


def subset_label(subset: Mapping[str, str]) -> str:
    """conflict, new wording: the kind first, then the distance, then the rest as field: value."""
    known = [spaced(subset[field]) for field in ("kind", "distance") if subset.get(field)]
    rest = [
        f"{spaced(field)}: {spaced(value)}"
        for field, value in sorted(subset.items())
        if field not in ("kind", "distance")
    ]
    return ", ".join(known + rest) or "all items"


def subset_order(subset: Mapping[str, str]) -> tuple[bool, str, int, str]:
    """All items first, then by kind and from near to far."""
    distance = subset.get("distance", "")
    far = DISTANCES.index(distance) if distance in DISTANCES else len(DISTANCES)
    return bool(subset), subset.get("kind", ""), far, distance


def subsets_of(records: Iterable[Record]) -> list[dict[str, str]]:
    """The different subsets of these records, by kind and then from near to far."""
    found: list[dict[str, str]] = []
    for record in records:
        if record["subset"] not in found:
            found.append(record["subset"])
    return sorted(found, key=subset_order)


def contrast_name(contrast: Record) -> str:
    return f"{contrast['arm']} {MINUS} {contrast['versus']}"


def format_label(format: str) -> str:
    return "own format" if format == "own" else "off-format"


def listed_names(names: Sequence[str]) -> str:
    """`a`, `b` and `c`."""
    quoted = [f"`{name}`" for name in names]
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)


def seed_label(seed: object) -> str:
    return "untrained" if seed in (None, "None") else f"seed {seed}"


def metric_of(results: Record, exam: str, metric: str) -> Record:
    """The metric's record; a name alone where results.json does not list it."""
    for record in results["metrics"]:
        if (record["exam"], record["name"]) == (exam, metric):
            return record
    return {"exam": exam, "name": metric, "meaning": "", "higher_is_better": None}


def declared_measures(results: Record) -> list[Measure]:
    """The metrics of the declared contrasts in their order; where none is declared, the first metric there is."""
    kinds: dict[tuple[str, str], list[str]] = {}
    for contrast in results["contrasts"]:
        if contrast["declared"]:
            kinds.setdefault((contrast["exam"], contrast["metric"]), []).append(contrast["subset"].get("kind", ""))
    if not kinds and results["metrics"]:
        kinds[results["metrics"][0]["exam"], results["metrics"][0]["name"]] = [""]
    # A contrast over every kind opens the measure to all of them.
    return [Measure(*key, frozenset() if "" in named else frozenset(named)) for key, named in kinds.items()]


def direction_label(metric: Record) -> str:
    better = metric["higher_is_better"]
    if better is None:
        return "It is a preference between facts, not correctness: more is neither better nor worse."
    return "Higher is better." if better else "Lower is better."


def scope(results: Record) -> str:
    """How far the numbers of one run reach."""
    told = asked_through(results)
    return (f"{told} " if told else "") + (
        f"Every number here is of one model, `{results['model']['name']}`, on {results['counts']['items']} items. "
        "No formula makes their families a sample of all the cases one may care about."
    )


# Verdicts


def verdict(contrast: Record, results: Record) -> Verdict:
    """What a declared contrast says, computed from its numbers."""
    shown, finding = find(contrast, results)
    number = "no estimate" if contrast["estimate"] is None else signed(contrast["estimate"])
    if contrast["low"] is not None:
        number += f" {bracket(contrast['low'], contrast['high'])}"
    return Verdict(
        name=contrast_name(contrast),
        number=number,
        shown=shown,
        finding=finding,
        cautions=tuple(cautions(contrast, results, shown)),
        details=(*covered(contrast, results), *compared(contrast, results)),
    )


def find(contrast: Record, results: Record) -> tuple[bool, str]:
    """Whether a difference counts as shown, and the sentence that says so."""
    low, high, adjusted = contrast["low"], contrast["high"], contrast["p_adjusted"]
    alpha = 1 - contrast["level"]
    if contrast["estimate"] is None:
        return False, f"Nothing could be compared: {why_no_interval(contrast)}."
    if low is None:
        return False, f"No interval is claimed: {why_no_interval(contrast)}. No difference counts as shown."
    if alike(contrast) and low <= 0 <= high:
        return False, f"The two are alike: the whole interval lies within ±{share(contrast['margin'])}."
    if low <= 0 <= high:
        return False, f"No difference was shown; the interval still allows from {signed(low)} to {signed(high)}."
    if adjusted is not None and adjusted > alpha:
        return False, (
            f"No difference counts as shown: the interval leaves out 0, but after Holm's correction over the declared "
            f"contrasts {p_phrase(adjusted)}, above {share(alpha)}."
        )
    return True, f"A difference was shown: {direction(contrast, results)}."


def alike(contrast: Record) -> bool:
    """Whether the two arms differ by less than the margin, of declared contrasts after Holm's correction."""
    adjusted = contrast.get("p_equivalence_adjusted")
    return bool(contrast.get("equivalent")) and (adjusted is None or adjusted <= 1 - contrast["level"])


def why_no_interval(contrast: Record) -> str:
    return str(contrast["covers"]).removeprefix("no interval: ")


def direction(contrast: Record, results: Record) -> str:
    """Which arm is higher, and what that means by the metric's direction."""
    first, second = contrast["arm"], contrast["versus"]
    higher, lower = (first, second) if contrast["estimate"] > 0 else (second, first)
    if contrast["higher_is_better"] is None:
        return f"`{higher}` scores higher than `{lower}`, which is a preference and neither better nor worse"
    better, worse = (higher, lower) if contrast["higher_is_better"] else (lower, higher)
    return f"`{better}` does better than `{worse}`"


def covered(contrast: Record, results: Record) -> list[str]:
    """What the interval covers, and the adjusted p."""
    sentences = []
    if contrast["low"] is not None:
        sentences.append(f"The {level_text(contrast['level'])} interval covers {contrast['covers']}.")
    if contrast["p_adjusted"] is not None:
        tested = sum(other["declared"] and other["p"] is not None for other in results["contrasts"])
        over = f"Holm over {tested} declared contrasts" if tested > 1 else "the one declared contrast with a p"
        sentences.append(f"Adjusted {p_phrase(contrast['p_adjusted'])} ({over}).")
    return sentences


def compared(contrast: Record, results: Record) -> list[str]:
    """What was measured, on what, and what the two arms are."""
    metric = metric_of(results, contrast["exam"], contrast["metric"])
    measured = f"`{contrast['metric']}`" + (f", {metric['meaning']}" if metric["meaning"] else "")
    sentences = [f"Measured: {measured}; {subset_label(contrast['subset'])}, {format_label(contrast['format'])}."]
    summaries = {arm["name"]: arm["summary"] for arm in results["arms"]}
    return sentences + [f"`{name}`: {sentence(summaries[name])}" for name in (contrast["arm"], contrast["versus"])]


def cautions(contrast: Record, results: Record, shown: bool) -> list[str]:
    """What weakens this contrast in particular: arms below the floor or no twins, and unscored answers."""
    sentences = []
    if found := below_floor(contrast, results):
        below = ", ".join(f"`{record['arm']}` ({subset_label(record['subset'])})" for record in found)
        sentences.append(f"Below the competence floor: {below}; so this contrast says little.")
    if unfinished := unfinished_arms(contrast, results):
        states = ", ".join(f"`{arm['name']}` ({arm['state']})" for arm in unfinished)
        sentences.append(f"Not all seeds are in: {states}.")
    if unmatched := not_matched(contrast, results):
        sentences.append(unmatched)
    unlike = {record["property"].replace("_", " ") for record in unlike_why(contrast, results)}
    if unlike:
        sentences.append(
            f"The two arms differ also in what they should not ({', '.join(sorted(unlike))}): see the arm check."
        )
    if nowhere := says_nothing(contrast, results):
        meaning = "the difference is one between arms that hardly decide" if shown else "this supports no conclusion"
        sentences.append(f"Both arms are {nowhere}: {meaning}.")
    if shown and alike(contrast):
        sentences.append(f"It is smaller than what was said to count, {share(contrast['margin'])}.")
    dropping = contrast.get("dropping")
    if dropping and dropping["changes"]:
        names = listed_names(dropping["changes"][:5])
        more = f" and {len(dropping['changes']) - 5} more" if len(dropping["changes"]) > 5 else ""
        sentences.append(f"It hangs on single families: without {names}{more} the verdict would be another.")
    bounds = contrast["bounds"]
    if shown and contrast["unscored"] and bounds and bounds[0] <= 0 <= bounds[1]:
        sentences.append(
            f"{contrast['unscored']} answers are unscored; had they all gone one way, the estimate could lie anywhere "
            f"from {signed(bounds[0])} to {signed(bounds[1])}."
        )
    return sentences


def below_floor(contrast: Record, results: Record) -> list[Record]:
    """Where an arm of a contrast stays below the competence floor, at the distance of the contrast."""
    named, distance = (contrast["arm"], contrast["versus"]), contrast["subset"].get("distance")
    return [
        record
        for record in results["competence"]
        if record["arm"] in named and not record["competent"] and distance in (None, record["subset"].get("distance"))
    ]


def unfinished_arms(contrast: Record, results: Record) -> list[Record]:
    named = (contrast["arm"], contrast["versus"])
    return [arm for arm in results["arms"] if arm["name"] in named and arm["state"] != "done"]


def says_nothing(contrast: Record, results: Record) -> str | None:
    """Where both arms stand, if that is at chance or at the limit of the measure."""
    metric = metric_of(results, contrast["exam"], contrast["metric"])
    found = list(contrast["sides"].values())
    if any(side["estimate"] is None for side in found):
        return None
    chance, better = metric["chance"], metric["higher_is_better"]
    if chance is not None and all(near(side, chance) for side in found):
        return f"at chance ({share(chance)})"
    limit = None if better is None else 1.0 if better else 0.0
    if limit is not None and all(abs(side["estimate"] - limit) < LIMIT for side in found):
        return "at the limit of the measure"
    return None


def near(side: Record, chance: float) -> bool:
    """Whether an arm's rate lies close by chance, and its interval, where it has one, holds it."""
    held = side["low"] is None or side["low"] <= chance <= side["high"]
    return bool(held and abs(side["estimate"] - chance) < LIMIT)


def unlike_why(contrast: Record, results: Record) -> list[Record]:
    """What the arm check found moved between the two arms of a contrast though it should not have."""
    named = (contrast["arm"], contrast["versus"])
    first = next((arm["name"] for arm in results["arms"] if arm["kind"] == "why"), None)
    return [
        record
        for record in results["checks"]["against_why"]
        if record["moved"] and not record["may"] and record["arm"] in named and record.get("treated", first) in named
    ]


# Warnings


def warnings(results: Record) -> list[Notice]:
    found = [
        quick_warning(results),
        floor_warning(results),
        chance_warning(results),
        failed_warning(results),
        unfinished_warning(results),
        unscored_warning(results),
        unheard_warning(results),
        cut_warning(results),
    ]
    return [warning for warning in found if warning]


def unheard_warning(results: Record) -> Notice | None:
    points = [
        f"`{record['arm']}`, {spaced(record['exam'])}: {record['missing']:,} of {record['answers']:,}"
        for record in results.get("asked", ())
        if record["missing"]
    ]
    meaning = "They are unscored. The command that ran the study asks for them again, and for nothing else."
    return Notice("Answers that never came", tuple(points), meaning) if points else None


def cut_warning(results: Record) -> Notice | None:
    points = [
        f"`{record['arm']}`, {spaced(record['exam'])}: {percent(record['cut'] / record['answers'])}"
        for record in results.get("asked", ())
        if record["cut"] > UNSCORED_WARNING * record["answers"]
    ]
    meaning = "What was left unsaid may be the decision: allow longer answers."
    return Notice("Answers that were cut off", tuple(points), meaning) if points else None


def quick_warning(results: Record) -> Notice | None:
    left = results["study"]["left_out"]
    meaning = "It shows that everything works; the whole study may say something else."
    return Notice("A quick run", tuple(left), meaning) if left else None


def floor_warning(results: Record) -> Notice | None:
    below = [record for record in results["competence"] if not record["competent"]]
    if not below:
        return None
    arms = list(dict.fromkeys(record["arm"] for record in below))
    points = [f"`{arm}`: {floor_point(record for record in below if record['arm'] == arm)}" for arm in arms]
    return Notice(
        f"Below the competence floor of {share(below[0]['at_least'])}",
        tuple(points),
        "These arms do not reliably do what they were taught, so their other scores mean little.",
    )


def chance_warning(results: Record) -> Notice | None:
    points = [
        f"{contrast_name(contrast)}, `{contrast['metric']}`: {nowhere}"
        for contrast in results["contrasts"]
        if contrast["declared"] and (nowhere := says_nothing(contrast, results))
    ]
    meaning = "Where both arms are at chance or at the limit, the exam supports no conclusion about reasons."
    return Notice("Both arms at chance or at the limit", tuple(points), meaning) if points else None


def floor_point(records: Iterable[Record]) -> str:
    return "; ".join(f"{competence_rate(record)} on {subset_label(record['subset'])}" for record in records)


def competence_rate(record: Record) -> str:
    """A rate beside its floor: to three digits where two would hide that it stays below."""
    rate, floor = record["rate"], record["at_least"]
    if not record["competent"] and share(rate) == share(floor):
        return f"{rate:.3f}".removeprefix("0")
    return share(rate)


def failed_warning(results: Record) -> Notice | None:
    failed = [arm for arm in results["arms"] if arm["state"] == "failed"]
    points = [
        f"`{arm['name']}`, {unit.rpartition('/')[2]}: {first_line(cause)}"
        for arm in failed
        for unit, cause in arm["failures"].items()
    ]
    meaning = "The numbers of a failed arm come from the seeds that it finished, if any."
    return Notice("Failed arms", tuple(points), meaning) if points else None


def first_line(text: str) -> str:
    return text.strip().split("\n")[0]


def unfinished_warning(results: Record) -> Notice | None:
    found: dict[str, list[str]] = {}
    for arm in results["arms"]:
        if arm["state"] in ("part", "not run"):
            state = "not run" if arm["state"] == "not run" else f"only {seeds_label(arm['seeds'])}"
            found.setdefault(state, []).append(f"`{arm['name']}`")
    points = [f"{state}: {', '.join(arms)}" for state, arms in found.items()]
    return Notice("Not finished", tuple(points), "This page shows a part of the study.") if points else None


def seeds_label(seeds: Sequence[int | None]) -> str:
    return ", ".join(seed_label(seed) for seed in seeds) or "no seed"


def unscored_warning(results: Record) -> Notice | None:
    shares = {arm["name"]: unscored_share(results, arm) for arm in results["arms"]}
    points = [f"`{name}`: {percent(lost)} of its answers" for name, lost in shares.items() if lost > UNSCORED_WARNING]
    title = f"More than {percent(UNSCORED_WARNING)} of the answers could not be scored"
    meaning = (
        "Unscored answers are neither right nor wrong: they are left out of the rates, counted beside them, and listed "
        "by cause under “What failed”."
    )
    return Notice(title, tuple(points), meaning) if points else None


def unscored_share(results: Record, arm: Record) -> float:
    """The share of an arm's generated answers in its own format that could not be scored."""
    generated = {(metric["exam"], metric["name"]) for metric in results["metrics"] if metric["generated"]}
    asked = lost = 0
    for rate in results["rates"]:
        of_text = (rate["exam"], rate["metric"]) in generated
        if rate["arm"] == arm["name"] and rate["format"] == "own" and of_text:
            asked += rate["asked"]
            lost += rate["unscored"]
    return lost / asked if asked else 0.0
