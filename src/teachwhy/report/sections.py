"""The parts of the page that put arms side by side: the ladder, distances, and what each exam asks to be shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import figures, wording
from .figures import Panel, Row, draw
from .planes import Line, Side, Spot, draw_lines, draw_plane
from .wording import MINUS, Record, bracket, share, signed, spaced

PLACES = ("decisions", "explanations", "agents", "costs")


# Comparisons


def ladder_view(results: Record, drawn: bool) -> dict[str, Any] | None:
    """A panel for each foot, with every rung over it; None where the study has no such arms."""
    found = of_role(results, "ladder")
    panels = [
        Panel(f"over {foot}", [comparison_row(record, record["arm"]) for record in found if record["versus"] == foot])
        for foot in dict.fromkeys(record["versus"] for record in found)
    ]
    return panels_view("ladder", "The gain of each arm over the lower ones", found, panels, drawn)


def distances_view(results: Record, drawn: bool) -> dict[str, Any] | None:
    """A panel for each arm that the treated one is set against, from near to far; None where there is one distance."""
    found = of_role(results, "distance")
    if len({record["subset"]["distance"] for record in found}) < 2:
        return None
    panels = [
        Panel(
            f"{found[0]['arm']} {MINUS} {versus}",
            [
                comparison_row(record, spaced(record["subset"]["distance"]))
                for record in found
                if record["versus"] == versus
            ],
        )
        for versus in dict.fromkeys(record["versus"] for record in found)
    ]
    return panels_view("distances", "The difference from near to far", found, panels, drawn)


def of_role(results: Record, role: str) -> list[Record]:
    return [record for record in results["comparisons"] if record["role"] == role]


def comparison_row(record: Record, label: str) -> Row:
    seeds = tuple(record["per_seed"].values())
    text = estimate_text(signed(record["estimate"]), record)
    return Row(label, "", text, record["estimate"], record["low"], record["high"], seeds)


def panels_view(
    name: str, title: str, records: Sequence[Record], panels: Sequence[Panel], drawn: bool
) -> dict[str, Any] | None:
    if not records:
        return None
    axis = figures.difference_axis([row for panel in panels for row in panel.rows])
    return {
        "records": records,
        "first": records[0],
        "figure": draw(name, panels, axis, title=title, level=records[0]["level"]) if drawn else None,
        "alt": panels_alt(panels),
    }


# Sizes and stages


def curves_view(results: Record, drawn: bool) -> list[dict[str, Any]]:
    """For each measure the scores of its arms by size."""
    return line_views(results, results["curves"], "curves", "tokens", "tokens that training read", "by size", drawn)


def stage_views(results: Record, drawn: bool) -> list[dict[str, Any]]:
    """For each measure the scores of the arms that were examined on their way, at each checkpoint."""
    records = results.get("stage_curves", ())
    return line_views(results, records, "stages", "updates", "updates so far", "on the way", drawn, even=True)


def line_views(
    results: Record,
    records: Sequence[Record],
    name: str,
    field: str,
    across: str,
    by: str,
    drawn: bool,
    even: bool = False,
) -> list[dict[str, Any]]:
    """For each measure of the records their scores against a field of their points, a line for each arm.

    name, by: of the figures. across: what the field is, in words. even: as `draw_lines` takes it.
    """
    found: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        key = (record["exam"], record["metric"], wording.subset_label(record["subset"]))
        found.setdefault(key, []).append(record)
    views = []
    for number, ((exam, metric, subset), of_measure) in enumerate(found.items()):
        lines = [
            Line(record["arm"], points)
            for record in of_measure
            if (points := [(one[field], one["estimate"]) for one in record["points"] if has_number(one)])
        ]
        places = sorted({place for line in lines for place, _ in line.points})
        up = spaced(metric)
        drawing = draw_lines(f"{name}-{number}", lines, across, up, places, title=f"{up} {by}", even=even)
        views.append(
            {
                "metric": wording.metric_of(results, exam, metric),
                "subset": subset,
                "records": of_measure,
                "figure": drawing if drawn and lines else None,
                "alt": "; ".join(
                    f"{line.label}: {', '.join(share(score) for _, score in line.points)}" for line in lines
                ),
            }
        )
    return views


# What each exam asks to be shown


def exam_views(results: Record, drawn: bool) -> list[dict[str, Any]]:
    """The sections that exams hand back, in the page's order; those with nothing measured are left out."""
    found = [section_view(results, section, drawn) for section in results["sections"]]
    return sorted(
        (view for view in found if view["panels"] or view["planes"]), key=lambda view: PLACES.index(view["place"])
    )


def section_view(results: Record, section: Record, drawn: bool) -> dict[str, Any]:
    exam = section["exam"]
    panels = [panel for metric in section["shown"] if (panel := metric_panel(results, exam, metric)).rows]
    planes = [plane_view(results, exam, across, up, drawn) for across, up in section["planes"]]
    return {
        **section,
        "panels": panels,
        "metrics": [wording.metric_of(results, exam, metric) for metric in section["shown"]],
        "figure": draw(f"exam-{exam.replace('_', '-')}", panels, figures.rate_axis(), title=section["title"])
        if drawn and panels
        else None,
        "alt": panels_alt(panels),
        "planes": [plane for plane in planes if plane["rows"]],
    }


def metric_panel(results: Record, exam: str, metric: str) -> Panel:
    """One measure of every arm, all items together."""
    rows = [arm_row(arm, rate) for arm in results["arms"] if (rate := whole_rate(results, exam, metric, arm["name"]))]
    better = wording.metric_of(results, exam, metric)["higher_is_better"]
    return Panel(
        f"{spaced(metric)}{'' if better is None else ' (higher is better)' if better else ' (lower is better)'}", rows
    )


def whole_rate(results: Record, exam: str, metric: str, arm: str) -> Record | None:
    """An arm's rate over all items; where an exam gives rates by group alone, that of the only group that has one."""
    wanted = (exam, metric, arm, "own")
    rates = [
        rate for rate in results["rates"] if tuple(rate[key] for key in ("exam", "metric", "arm", "format")) == wanted
    ]
    whole = [rate for rate in rates if not rate["subset"]]
    return whole[0] if whole else rates[0] if len(rates) == 1 else None


def plane_view(results: Record, exam: str, across: str, up: str, drawn: bool) -> dict[str, Any]:
    """Every arm between two shares of an exam."""
    pairs = [
        (arm, *(whole_rate(results, exam, metric, arm["name"]) for metric in (across, up))) for arm in results["arms"]
    ]
    rows = [(arm, one, other) for arm, one, other in pairs if has_number(one) and has_number(other)]
    metrics = [wording.metric_of(results, exam, metric) for metric in (across, up)]
    spots = [Spot(arm_label(arm), one["estimate"], other["estimate"]) for arm, one, other in rows]
    name = f"{across} against {up}"
    sides = [Side(spaced(metric["name"]), bool(metric["higher_is_better"])) for metric in metrics]
    return {
        "metrics": metrics,
        "rows": rows,
        "name": name,
        "figure": draw_plane(f"plane-{across}-{up}".replace("_", "-"), spots, *sides, title=spaced(name))
        if drawn and spots
        else None,
        "alt": "; ".join(f"{spot.label}: {share(spot.across)} and {share(spot.up)}" for spot in spots),
    }


def has_number(rate: Record | None) -> bool:
    return rate is not None and rate["estimate"] is not None


# Rows and words that several parts of the page share


def arm_row(arm: Record, rate: Record | None) -> Row:
    if rate is None:
        return Row(arm_label(arm), "", arm["state"], None)
    seeds = [value for seed, value in rate["per_seed"].items() if seed != "None"]
    text = estimate_text(share(rate["estimate"]), rate)
    return Row(arm_label(arm), "", text, rate["estimate"], rate["low"], rate["high"], seeds)


def arm_label(arm: Record) -> str:
    """The arm's name, with a mark where it failed."""
    return f"✕ {arm['name']}" if arm["state"] == "failed" else str(arm["name"])


def estimate_text(estimate: str, record: Mapping[str, Any]) -> str:
    if record["estimate"] is None:
        return "not measured"
    return f"{estimate} {bracket(record['low'], record['high']) if record['low'] is not None else 'no interval'}"


def alt(rows: Sequence[Row]) -> str:
    """The figure in words, for those who cannot see it."""
    return "; ".join(f"{row.label}{f' ({row.detail})' if row.detail else ''}: {row.text}" for row in rows)


def panels_alt(panels: Sequence[Panel]) -> str:
    return ". ".join(f"{panel.title}: {alt(panel.rows)}" for panel in panels)
