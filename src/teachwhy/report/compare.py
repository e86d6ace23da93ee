"""Several runs side by side, on one page and as a table for the terminal; nothing is pooled over them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from . import drawing, figures, wording
from .figures import Panel, Row
from .page import alt, contrast_row, fingerprints, page_environment
from .table import add_row, new_table, rendered
from .wording import NONE, Notice, Record, Verdict, bracket, p_value, signed, subset_label

TEMPLATE = "compare.html.j2"
SHORT_HASH = 12
LONGEST_LABEL = 26
LONGEST_VALUE = 80
# Settings that the page shows in its own words, or that say nothing of how a run was made.
NOT_COMPARED = ("question", "about", "limits", "contrasts", "exploratory")
NO_POOLING = (
    "No number here pools the runs, and none tests one run against another. Each interval is that of its own run; "
    "whether two of them overlap says nothing about the difference between runs."
)


@dataclass(frozen=True)
class ComparedRun:
    """One run of a comparison. label: its number and model, unique on the page. place: where it was read."""

    label: str
    place: str
    results: Record


@dataclass(frozen=True)
class Entry:
    """What one run has to say on a contrast. contrast, verdict: None where the run lacks it, and `lacking` says why."""

    run: ComparedRun
    contrast: Record | None
    verdict: Verdict | None
    marks: tuple[str, ...]
    lacking: str

    @property
    def row(self) -> Row:
        if self.contrast is None:
            return Row(self.run.label, "", "not in this run", None)
        row = contrast_row(self.contrast, self.run.results)
        return replace(row, label=self.run.label, detail=", ".join(self.marks))


@dataclass(frozen=True)
class Comparison:
    """One contrast that at least one run declares, over all runs. metric: its record in results.json."""

    contrast: Record
    metric: Record
    entries: Sequence[Entry]

    @property
    def name(self) -> str:
        return wording.contrast_name(self.contrast)

    @property
    def measured(self) -> str:
        of = self.contrast
        return f"`{of['metric']}` of `{of['exam']}`; {subset_label(of['subset'])}, {wording.format_label(of['format'])}"


def labelled(found: Sequence[tuple[str, Record]]) -> list[ComparedRun]:
    """(place, results) of each run -> the runs, numbered in this order."""
    runs = []
    for number, (place, results) in enumerate(found, 1):
        model = str(results["model"]["name"]).rstrip("/").rpartition("/")[2]
        label = f"{number}: {model}"
        cut = label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 1]}…"
        runs.append(ComparedRun(cut, place, results))
    return runs


# Contrasts


def comparisons(runs: Sequence[ComparedRun]) -> list[Comparison]:
    """Every contrast that a run declares, in the order in which the runs name them."""
    declared: dict[str, tuple[ComparedRun, Record]] = {}
    for run in runs:
        for contrast in run.results["contrasts"]:
            if contrast["declared"]:
                declared.setdefault(same(contrast), (run, contrast))
    return [
        Comparison(
            contrast,
            wording.metric_of(run.results, contrast["exam"], contrast["metric"]),
            [entry(other, contrast) for other in runs],
        )
        for run, contrast in declared.values()
    ]


def same(contrast: Record) -> str:
    """What makes two contrasts of two runs the same one."""
    fields = ("arm", "versus", "exam", "metric", "format", "subset")
    return json.dumps([contrast[field] for field in fields], sort_keys=True)


def entry(run: ComparedRun, wanted: Record) -> Entry:
    for contrast in run.results["contrasts"]:  # declared ones come first
        if same(contrast) == same(wanted):
            verdict = wording.verdict(contrast, run.results)
            return Entry(run, contrast, verdict, tuple(marks(contrast, run.results)), "")
    return Entry(run, None, None, (), lacking(wanted, run.results))


def lacking(wanted: Record, results: Record) -> str:
    """Why a run has no such contrast."""
    arms = {arm["name"] for arm in results["arms"]}
    for arm in (wanted["arm"], wanted["versus"]):
        if arm not in arms:
            return f"It has no arm `{arm}`."
    if (wanted["exam"], wanted["metric"]) not in {(one["exam"], one["name"]) for one in results["metrics"]}:
        return f"It has no metric `{wanted['metric']}` of an exam `{wanted['exam']}`."
    return "Its study does not make this contrast."


def marks(contrast: Record, results: Record) -> list[str]:
    """What weakens a contrast, in a word or two each."""
    nowhere = wording.says_nothing(contrast, results)
    found = {
        "exploratory": not contrast["declared"],
        "quick run": results["study"]["left_out"],
        "not finished": wording.unfinished_arms(contrast, results),
        "below floor": wording.below_floor(contrast, results),
        str(nowhere).partition(" (")[0].removesuffix(" of the measure"): nowhere,
    }
    return [mark for mark, holds in found.items() if holds]


# What the runs do not share


def facts(results: Record) -> dict[str, str]:
    """What made a run, as name -> value."""
    stamp, model = results["study"]["stamp"], results["model"]
    judge = results["judge"] or {}
    seeds = sorted({seed for arm in results["arms"] for seed in arm["seeds"] if seed is not None})
    found = {
        "study": results["study"]["name"],
        "model": model["name"],
        **{f"fingerprint: {name}": value[:SHORT_HASH] for name, value in fingerprints(results).items()},
        "chat template": results["checks"]["template_hash"][:SHORT_HASH],
        "judge": judge.get("name", ""),
        **{f"number of {name}": value for name, value in results["counts"].items()},
        "arms": [arm["name"] for arm in results["arms"]],
        "seeds": seeds,
        "left out": results["study"]["left_out"],
        **{name: value for name, value in model.items() if name not in ("name", "fingerprint")},
    }
    settings = {name: value for name, value in stamp["settings"].items() if name not in NOT_COMPARED}
    return {name: as_text(value) for name, value in (found | flat(settings)).items()}


def flat(settings: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Settings with the names of those they stand within: train.batch."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= flat(value, f"{before}{name}.") if isinstance(value, Mapping) else {f"{before}{name}": value}
    return found


def as_text(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(part, str | int | float) for part in value):
        text = ", ".join(map(str, value))
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text or "none"


def differences(runs: Sequence[ComparedRun]) -> tuple[list[tuple[str, list[str]]], list[str]]:
    """(name, value in each run) of every fact that is not the same in all runs, and the names of those that are."""
    found = [facts(run.results) for run in runs]
    names = dict.fromkeys(name for of_run in found for name in of_run)
    rows = {name: [of_run.get(name, NONE) for of_run in found] for name in names}
    differing = [(name, list(map(cut, values))) for name, values in rows.items() if len(set(values)) > 1]
    return differing, [name for name, values in rows.items() if len(set(values)) == 1]


def cut(text: str) -> str:
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def unlike(runs: Sequence[ComparedRun]) -> Notice | None:
    """A warning where the runs were not taught or examined alike: their numbers are then of different things."""
    of_runs = [fingerprints(run.results) for run in runs]
    differing = [name for name in ("policy", "examples", "items") if len({of[name] for of in of_runs}) > 1]
    meaning = "What differs between two runs here may come from that, and not from the model."
    return (
        Notice("Not the same material", tuple(f"not the same {name}" for name in differing), meaning)
        if differing
        else None
    )


# The page


def render_comparison(runs: Sequence[ComparedRun]) -> str:
    """The runs on one page that needs no other file. Without matplotlib it has no figures."""
    return page_environment().get_template(TEMPLATE).render(view(runs)).lstrip()


def view(runs: Sequence[ComparedRun]) -> dict[str, Any]:
    """Everything the template shows; all figures are on one scale."""
    drawn, found = drawing.matplotlib_found(), comparisons(runs)
    axis = figures.difference_axis([one.row for comparison in found for one in comparison.entries])
    differing, alike = differences(runs)
    noticed = [(run, wording.warnings(run.results)) for run in runs]
    return {
        "runs": runs,
        "figures_drawn": drawn,
        "unlike": unlike(runs),
        "warnings": [(run, notices) for run, notices in noticed if notices],
        "comparisons": [comparison_view(one, number, axis, drawn) for number, one in enumerate(found)],
        "differing": differing,
        "alike": alike,
        "no_pooling": NO_POOLING,
    }


def comparison_view(comparison: Comparison, number: int, axis: figures.Axis, drawn: bool) -> dict[str, Any]:
    rows = [one.row for one in comparison.entries]
    levels = {one.contrast["level"] for one in comparison.entries if one.contrast}
    level = levels.pop() if len(levels) == 1 else None
    title = f"{comparison.name}, by run"
    return {
        "of": comparison,
        "figure": figures.draw(f"contrast-{number}", [Panel("", rows)], axis, title=title, level=level)
        if drawn
        else None,
        "level": level,
        "alt": alt(rows),
    }


# The table for the terminal


def comparison_table(runs: Sequence[ComparedRun]) -> str:
    """The same as plain text: the runs, what to beware of in each, and every contrast with the runs beneath it."""
    blocks: list[Any] = [f"{len(runs)} runs"]
    blocks += ["\n".join(f"{run.label} ({run.results['study']['name']}, {run.place})" for run in runs)]
    blocks += [f"Differs: {', '.join(name for name, _ in differences(runs)[0]) or 'nothing'}"]
    if notice := unlike(runs):
        blocks.append(f"! {notice.title}: {', '.join(notice.points)}")
    for run in runs:
        if notices := wording.warnings(run.results):
            points = [f"  {notice.title}: {'; '.join(notice.points)}" for notice in notices]
            blocks.append("\n".join([f"! {run.label}", *points]))
    for comparison in comparisons(runs):
        blocks += [f"{comparison.name} in {comparison.measured}", entry_lines(comparison)]
    return rendered([*blocks, NO_POOLING])


def entry_lines(comparison: Comparison) -> Any:
    heads = ["estimate", "interval", "p", "Holm p"]
    table = new_table(["run", "note"], heads, [one.run.label for one in comparison.entries])
    for one in comparison.entries:
        contrast = one.contrast
        if contrast is None:
            add_row(table, one.run.label, one.lacking, *[NONE] * len(heads))
        else:
            numbers = (p_value(contrast["p"]), p_value(contrast["p_adjusted"]))
            interval = bracket(contrast["low"], contrast["high"])
            add_row(table, one.run.label, ", ".join(one.marks), signed(contrast["estimate"]), interval, *numbers)
    return table
