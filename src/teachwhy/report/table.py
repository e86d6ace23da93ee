"""The plain-text table that the command line prints after a run."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from . import wording
from .wording import MINUS, NONE, Measure, Record, bracket, contrast_name, percent, share, signed, spaced, subset_label

WIDTH = 100
LONGEST_NAME = 34


def result_table(results: dict[str, Any]) -> str:
    """The declared contrasts, then one line an arm, as plain text of at most 100 columns.

    results: as results.json holds them. Nothing depends on colour or on characters beyond ASCII but the study's own.
    """
    blocks = [f"{results['study']['name']}: {results['study']['question']}".rstrip(": ")]
    for notice in wording.warnings(results):
        blocks.append("\n".join([f"! {notice.title}", *(f"  {point}" for point in notice.points)]))
    declared = [contrast for contrast in results["contrasts"] if contrast["declared"]]
    if declared:
        blocks += ["Declared contrasts", contrast_lines(declared)]
        blocks += [verdict_line(contrast, results) for contrast in declared]
    blocks += ["Arms", arm_lines(results)]
    return rendered(blocks)


def contrast_lines(contrasts: Sequence[Record]) -> Any:
    names = [contrast_name(contrast) for contrast in contrasts]
    table = new_table(["contrast", "measured on"], ["estimate", "interval", "p", "Holm p", "unscored"], names)
    for contrast in contrasts:
        measured = f"{contrast['metric']}: {subset_label(contrast['subset'])}"
        add_row(
            table,
            contrast_name(contrast),
            measured + (", off-format" if contrast["format"] == "off" else ""),
            signed(contrast["estimate"]),
            bracket(contrast["low"], contrast["high"]),
            wording.p_value(contrast["p"]),
            wording.p_value(contrast["p_adjusted"]),
            str(contrast["unscored"]),
        )
    return table


def verdict_line(contrast: Record, results: Record) -> str:
    verdict = wording.verdict(contrast, results)
    covers = [f"The interval covers {contrast['covers']}."] if contrast["low"] is not None else []
    return f"{verdict.name}: {' '.join([verdict.finding, *covers, *verdict.cautions])}"


def arm_lines(results: Record) -> Any:
    """One line an arm: state, competence and the declared metric by distance, and the share of unscored answers."""
    competences = wording.subsets_of(results["competence"])
    measures = wording.declared_measures(results)
    measured = [(measure, subset) for measure in measures for subset in cells(results, measure)]
    heads = [f"competence: {subset_label(subset)}" for subset in competences]
    heads += [f"{spaced(measure.metric)}: {subset_label(subset)}" for measure, subset in measured]
    table = new_table(["arm", "state"], [*heads, "unscored"], [arm["name"] for arm in results["arms"]])
    for arm in results["arms"]:
        add_row(
            table,
            arm["name"],
            arm["state"].upper() if arm["state"] == "failed" else arm["state"],
            *(competence(results, arm, subset) for subset in competences),
            *(rate(results, arm, measure, subset) for measure, subset in measured),
            percent(wording.unscored_share(results, arm)) if arm["seeds"] else NONE,
        )
    return table


def cells(results: Record, measure: Measure) -> list[dict[str, str]]:
    """All items together, or by distance; the page has the other groups."""
    rates = [rate for rate in results["rates"] if measure.holds(rate) and rate["format"] == "own"]
    return [subset for subset in wording.subsets_of(rates) if "distance" in subset or not subset]


def competence(results: Record, arm: Record, subset: dict[str, str]) -> str:
    for record in results["competence"]:
        if (record["arm"], record["subset"]) == (arm["name"], subset):
            return wording.competence_rate(record) + ("" if record["competent"] else " !")
    return NONE


def rate(results: Record, arm: Record, measure: Measure, subset: dict[str, str]) -> str:
    wanted = (arm["name"], "own", subset)
    for record in results["rates"]:
        if measure.holds(record) and (record["arm"], record["format"], record["subset"]) == wanted:
            return share(record["estimate"])
    return NONE


def new_table(texts: Sequence[str], numbers: Sequence[str], names: Sequence[str]) -> Any:
    """names: of the first column, kept on one line each unless one of them is very long."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    whole = max(map(len, names), default=0) <= LONGEST_NAME
    for place, head in enumerate(texts):
        table.add_column(plain(head), overflow="fold", no_wrap=whole and place == 0)
    for head in numbers:
        table.add_column(plain(head), justify="right", overflow="fold")
    return table


def add_row(table: Any, *cells: str) -> None:
    table.add_row(*map(plain, cells))


def plain(text: str) -> Any:
    """Text that rich does not read as markup, without typographic signs that a terminal may not have."""
    from rich.text import Text

    return Text(text.replace(MINUS, "-").replace(NONE, "-").replace("`", "'"))


def rendered(blocks: Sequence[Any]) -> str:
    from rich.console import Console

    target = io.StringIO()
    console = Console(file=target, width=WIDTH, color_system=None, force_terminal=False, legacy_windows=False)
    for number, block in enumerate(blocks):
        console.print(plain(("\n" if number else "") + block) if isinstance(block, str) else block)
    return "\n".join(line.rstrip() for line in target.getvalue().splitlines())
