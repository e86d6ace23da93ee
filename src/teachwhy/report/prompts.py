"""The part of the page on system prompts: how long each is, and which single why earns its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..stats import MINIMUM_FAMILIES
from . import figures, wording
from .drawing import Drawing
from .figures import Panel, Row, draw
from .sections import comparison_row, panels_alt
from .wording import Record

LEFT_OUT = "left_out"


def prompts_view(results: Record, drawn: bool) -> dict[str, Any] | None:
    """None where no arm shows anything of the policy."""
    lengths = results["checks"].get("prompts")
    if not lengths:
        return None
    rows = [left_out_row(results, arm) for arm in left_out_arms(results)]
    first = next((contrast for contrast in results["contrasts"] if contrast["declared"]), None)
    return {
        "lengths": lengths,
        "tokens_known": any(length["tokens"] is not None for length in lengths.values()),
        "rows": rows,
        "columns": columns(results) if rows else [],
        "first": first,
        "figure": figure(rows) if drawn and rows else None,
        "alt": panels_alt(panels(rows)) if rows else "",
        "asked": asked_rows(results),
    }


def left_out_arms(results: Record) -> list[str]:
    return list(dict.fromkeys(record["versus"] for record in left_out(results)))


def left_out(results: Record) -> list[Record]:
    return [record for record in results["comparisons"] if record["role"] == LEFT_OUT]


def columns(results: Record) -> list[Record]:
    """What the whole prompt is set against itself without one why on, over all items: the measure, then the costs."""
    named = dict.fromkeys((record["exam"], record["metric"]) for record in left_out(results) if not record["subset"])
    return [wording.metric_of(results, *names) for names in named]


def left_out_row(results: Record, arm: str) -> dict[str, Any]:
    """One why: what it takes, what it gives on the items of its principle, and what on all."""
    mine = [record for record in left_out(results) if record["versus"] == arm]
    own = next((record for record in mine if record["subset"]), None)
    declared = own and next((one for one in results["contrasts"] if one["declared"] and same(one, own)), None)
    whole, without = (results["checks"]["prompts"].get(name, {}) for name in (mine[0]["arm"], arm))
    return {
        "principle": arm.partition(".")[2],
        "words": less(whole, without, "words"),
        "tokens": less(whole, without, "tokens"),
        "own": own,
        "says": says(declared, results) if declared else "",
        "everywhere": [record for record in mine if not record["subset"]],
    }


def same(one: Record, other: Record) -> bool:
    return all(one[field] == other[field] for field in ("arm", "versus", "exam", "metric", "format", "subset"))


def less(whole: Record, without: Record, unit: str) -> int | None:
    both, rest = whole.get(unit), without.get(unit)
    return None if both is None or rest is None else both - rest


def says(declared: Record, results: Record) -> str:
    """What a declared contrast says of a why, in a few words."""
    if declared["estimate"] is None:
        return "nothing to compare"
    if declared["low"] is None:
        enough = declared["families"] >= MINIMUM_FAMILIES
        return "the same in every family" if enough else wording.why_no_interval(declared)
    if not wording.find(declared, results)[0]:
        return "no difference shown"
    up = declared["estimate"] > 0
    return "earns its tokens" if up == (declared["higher_is_better"] is not False) else "does harm"


def panels(rows: Sequence[Record]) -> list[Panel]:
    own: list[Row] = [comparison_row(row["own"], row["principle"]) for row in rows if row["own"]]
    every = [comparison_row(row["everywhere"][0], row["principle"]) for row in rows if row["everywhere"]]
    return [panel for panel in (Panel("its own items", own), Panel("all items", every)) if panel.rows]


def figure(rows: Sequence[Record]) -> Drawing | None:
    found = panels(rows)
    if not found:
        return None
    axis = figures.difference_axis([row for panel in found for row in panel.rows])
    level = next(row["own"] or row["everywhere"][0] for row in rows)["level"]
    return draw("left-out", found, axis, title="What the prompt loses without one why", level=level)


def asked_rows(results: Record) -> list[dict[str, Any]]:
    """What was asked of a model behind an API, by arm, over its exams."""
    found: dict[str, dict[str, Any]] = {}
    for record in results.get("asked", ()):
        row = found.setdefault(record["arm"], {"arm": record["arm"]})
        for count in ("answers", "missing", "cut", "tokens_in", "tokens_out"):
            row[count] = row.get(count, 0) + record[count]
    return list(found.values())
