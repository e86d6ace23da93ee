"""The first sentence of the page: what the declared contrasts come to, put against what else could explain it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import wording
from .asked import sampling
from .wording import Record, bracket, listed_names, share, signed, spaced

# Kind of arm -> what it would mean if it did as well as the treated one.
RIVALS = {
    "what": "the answers alone",
    "neutral": "text of the same length that gives no reason",
    "paraphrase": "saying the answer again",
    "circular": "an appeal to the rule",
    "shuffled": "the reason of another rule",
    "unrelated": "a reason of another principle that is written for the case",
    "deliberation": "thinking about the task that weighs nothing moral",
    "mention": "naming the deciding fact",
    "what_more": "as many tokens of further examples",
    "generic": "ordinary tasks",
    "rules_in_prompt": "the rules alone",
    "rules_neutral_in_prompt": "text of the same length that gives no reason",
    "rules_shuffled_in_prompt": "the reasons of other rules",
    "more_rules_in_prompt": "as many words of further rules",
}
# Without these nobody can tell a reason from more text, or from naming the fact.
NEEDED = ("neutral", "mention")
NEEDED_IN_PROMPTS = ("rules_neutral_in_prompt",)


@dataclass(frozen=True)
class Headline:
    """What the study found, in sentences; `x` in them is a name.

    state: nothing compared, not claimed, at chance, no difference, alike, worse, better, explained otherwise.
    number: of the first declared contrast. points: what else could explain it, how far it reaches, what it cost.
    """

    state: str
    finding: str
    number: str
    points: tuple[str, ...]


def headline(results: Record) -> Headline | None:
    """None where the study declares no contrast."""
    declared = [contrast for contrast in results["contrasts"] if contrast["declared"]]
    if not declared:
        return None
    main = declared[0]
    state, finding = found(main, declared, results)
    settled = state in ("better", "worse", "explained otherwise")
    points = [
        *(rival_points(main, results) if rivals_matter(state, main, results) else []),
        *(distance_points(main, results) if settled else []),
        *(cost_points(results) if state not in ("nothing compared", "not claimed") else []),
        *care(main, results),
    ]
    return Headline(state, finding, number(main), tuple(points))


def number(contrast: Record) -> str:
    """+.21 [.05, .37], or the estimate alone where no interval is claimed."""
    interval = f" {bracket(contrast['low'], contrast['high'])}" if contrast["low"] is not None else ""
    return signed(contrast["estimate"]) + interval


def found(main: Record, declared: Sequence[Record], results: Record) -> tuple[str, str]:
    """The state of the finding and its sentence."""
    arm, versus = main["arm"], main["versus"]
    measured = f"on `{main['metric']}` ({wording.subset_label(main['subset'])})"
    if main["estimate"] is None:
        return "nothing compared", f"`{arm}` and `{versus}` could not be compared: {wording.why_no_interval(main)}."
    if main["low"] is None:
        return "not claimed", (
            f"No claim is made about `{arm}` and `{versus}`: {wording.why_no_interval(main)}. "
            f"The estimate {measured} is {signed(main['estimate'])}."
        )
    shown, _ = wording.find(main, results)
    if not shown and (nowhere := wording.says_nothing(main, results)):
        about = "" if one_kind(main, results) else " about reasons"
        return "at chance", f"Nothing can be said{about}: `{arm}` and `{versus}` are both {nowhere} {measured}."
    if not shown and wording.alike(main):
        return "alike", (
            f"`{arm}` and `{versus}` are alike {measured}, to within {share(main['margin'])}: {number(main)}."
        )
    if not shown:
        return "no difference", f"No difference between `{arm}` and `{versus}` was shown {measured}: {number(main)}."
    if not gained(main):
        return "worse", f"`{arm}` does worse than `{versus}` {measured}: {number(main)}."
    beaten = [other["versus"] for other in declared if same_measure(main, other) and gains(other, results)]
    verb = "scores higher" if main["higher_is_better"] is None else "does better"
    sentence = f"`{arm}` {verb} than {listed_names(beaten)} {measured}: {number(main)} over `{versus}`."
    explained = not one_kind(main, results) and unbeaten(main, results)
    return ("explained otherwise" if explained else "better"), sentence


def one_kind(contrast: Record, results: Record) -> bool:
    """Whether both arms write the same beside their actions: what differs is what they read, and not a reason."""
    kinds = {arm["name"]: arm["kind"] for arm in results["arms"]}
    return bool(kinds[contrast["arm"]] == kinds[contrast["versus"]])


def rivals_matter(state: str, main: Record, results: Record) -> bool:
    return state in ("better", "explained otherwise") and not one_kind(main, results)


def gained(contrast: Record) -> bool:
    """Whether the first arm is on the better side (of a preference: the higher one)."""
    up = contrast["estimate"] > 0
    return bool(up if contrast["higher_is_better"] in (True, None) else not up)


def gains(contrast: Record, results: Record) -> bool:
    return wording.find(contrast, results)[0] and gained(contrast)


def same_measure(one: Record, other: Record) -> bool:
    return all(one[field] == other[field] for field in ("arm", "exam", "metric", "format", "subset"))


def controls(main: Record, results: Record) -> dict[str, Record]:
    """Kind of rival -> the contrast of the treated arm with it: the declared one, else the exploratory one."""
    kinds = {arm["name"]: arm["kind"] for arm in results["arms"]}
    drawn = [other for other in results["comparisons"] if other["role"] == "control"]
    declared = [other for other in results["contrasts"] if other["declared"] and same_measure(main, other)]
    found: dict[str, Record] = {}
    for contrast in [*declared, *drawn]:
        kind = kinds[contrast["versus"]]
        if kind in RIVALS and contrast["estimate"] is not None:
            found.setdefault(kind, contrast)
    return dict(sorted(found.items(), key=lambda pair: list(RIVALS).index(pair[0])))


def unbeaten(main: Record, results: Record) -> dict[str, Record]:
    """The rivals that the treated arm was not shown to beat."""
    return {kind: one for kind, one in controls(main, results).items() if not gains(one, results)}


def rival_points(main: Record, results: Record) -> list[str]:
    """What else does as well, what does not, and what was not tried."""
    tried, left = controls(main, results), unbeaten(main, results)
    trained = {arm["name"]: arm["trained"] for arm in results["arms"]}
    needed = NEEDED if trained[main["arm"]] else NEEDED_IN_PROMPTS
    points = [rival_sentence(main, kind, contrast, results) for kind, contrast in left.items()]
    beaten = [kind for kind in tried if kind not in left]
    if left:
        points.append("So the difference cannot be put down to what the reasons say.")
    elif all(kind in beaten for kind in needed):
        means = [RIVALS[kind] for kind in beaten]
        points.append(f"None of these does as much: {', '.join(means)}; so it is what the reasons say that differs.")
    missing = [RIVALS[kind] for kind in needed if kind not in tried]
    if missing:
        points.append(f"Not tried: {' and '.join(missing)}. So it is open whether the reasons do it.")
    return points


def rival_sentence(main: Record, kind: str, contrast: Record, results: Record) -> str:
    label = "" if contrast["declared"] else ", exploratory"
    meaning = RIVALS[kind][:1].upper() + RIVALS[kind][1:]
    if contrast["low"] is None:
        said = "may do as much; no interval is claimed"
    elif wording.alike(contrast) and not wording.find(contrast, results)[0]:
        said = f"does as much, to within {share(contrast['margin'])}"
    elif wording.find(contrast, results)[0]:
        said = "does more"
    else:
        said = "may do as much; no difference was shown"
    return f"{meaning} {said}: `{main['arm']}` − `{contrast['versus']}` {number(contrast)}{label}."


def distance_points(main: Record, results: Record) -> list[str]:
    """Whether it holds near the examples and far from them."""
    drawn = [
        other
        for other in results["comparisons"]
        if other["role"] == "distance" and other["versus"] == main["versus"] and other["low"] is not None
    ]
    if len(drawn) < 2:
        return []
    near, far = drawn[0], drawn[-1]
    at = [f"{spaced(one['subset']['distance'])} {number(one)}" for one in (near, far)]
    same_side = [gains(one, results) if gained(main) else gains_not(one, results) for one in (near, far)]
    if all(same_side):
        return [f"It is there near the examples and far from them: {at[0]}, {at[1]} (exploratory)."]
    if same_side[0]:
        return [f"It is there near the examples ({at[0]}) and was not shown far from them ({at[1]}; exploratory)."]
    if same_side[1]:
        return [f"It was shown far from the examples ({at[1]}) and not near them ({at[0]}; exploratory)."]
    return [f"At neither end was it shown by itself: {at[0]}, {at[1]} (exploratory)."]


def gains_not(contrast: Record, results: Record) -> bool:
    return wording.find(contrast, results)[0] and not gained(contrast)


def cost_points(results: Record) -> list[str]:
    """What the treated arm does worse elsewhere, each exploratory."""
    drawn = [other for other in results["comparisons"] if other["role"] == "cost" and other["estimate"] is not None]
    paid = [other for other in drawn if other["low"] is not None and gains_not(other, results)]
    points = [
        f"Worse elsewhere: {wording.metric_of(results, other['exam'], other['metric'])['meaning']}, "
        f"`{other['arm']}` − `{other['versus']}` {number(other)} (exploratory)."
        for other in paid
    ]
    if drawn and not paid:
        measures = "the one measure" if len(drawn) == 1 else f"{len(drawn)} measures"
        points.append(
            f"Nothing was shown to be worse on {measures} of what could be lost (exploratory; no proof of none)."
        )
    return points


def care(main: Record, results: Record) -> list[str]:
    """How sure it is, and what stands against reading much into it."""
    sure = [f"The {wording.level_text(main['level'])} interval covers {main['covers']}."]
    return [
        *(sure if main["low"] is not None else []),
        *([asked] if (asked := sampling(results)) else []),
        *wording.cautions(main, results, wording.find(main, results)[0]),
    ]
