"""The one-file page of a run: results in, one self-contained HTML string out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..data import ARM_PROPERTIES, as_table
from . import drawing, figures, registered, wording
from .drawing import Drawing
from .figures import Panel, Row, draw
from .headline import headline
from .methods import methods
from .prompts import prompts_view
from .sections import (
    alt,
    arm_label,
    arm_row,
    curves_view,
    distances_view,
    estimate_text,
    exam_views,
    ladder_view,
    panels_alt,
    stage_views,
)
from .unmatched import apart, twin_groups
from .unseen import visible
from .wording import BY_CHOICE, Measure, Record, contrast_name, share, signed, subset_label

TEMPLATES, PAGE = Path(__file__).parent / "templates", "page.html.j2"
MOST_LISTED = 50
CONTRASTS_DRAWN = {"declared": "Declared contrasts", "exploratory": "Exploratory contrasts, uncorrected"}


def render_report(results: dict[str, Any], *, timings: dict[str, Any]) -> str:
    """The page of a run as HTML that needs no other file.

    results: as results.json holds them. timings: {"units": {name: {"train": s, "exams": s}}, "written": when}; the
    only part of the page that may differ between two runs of one study. Without matplotlib the page has no figures.
    """
    return page_environment().get_template(PAGE).render(view(results, timings)).lstrip()


def page_environment(*folders: Path) -> Any:
    """What every page is made with: all text is escaped, and a name that is not there is an error.

    folders: where templates of other rooms stand; what they include of this room's is found too.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "share": share,
        "signed": signed,
        "p_value": wording.p_value,
        "spaced": wording.spaced,
        "subset": subset_label,
        "format_label": wording.format_label,
        "seed": wording.seed_label,
        "level": wording.level_text,
        "decimals": wording.decimals,
        "sentence": wording.sentence,
        "competence_rate": wording.competence_rate,
        "direction_label": wording.direction_label,
        "scope": wording.scope,
        "code": code,
    }
    environment.globals |= {"wording": wording, "apart": apart}
    return environment


def view(results: Record, timings: Record) -> dict[str, Any]:
    """Everything the template shows, in the order of the page."""
    drawn = drawing.matplotlib_found()
    full = at_full_size(results)
    measures = wording.declared_measures(results)
    declared = [contrast for contrast in results["contrasts"] if contrast["declared"]]
    exploratory = [contrast for contrast in results["contrasts"] if not contrast["declared"]]
    return {
        "results": results,
        "figures_drawn": drawn,
        "headline": headline(results),
        "warnings": wording.warnings(results),
        "verdicts": [wording.verdict(contrast, results) for contrast in declared],
        "contrasts": contrast_groups(results, declared, exploratory, drawn),
        "declared_title": registered.title(results),
        "registration": registered.sentences(results),
        "registered": registered.of_contrasts(results),
        "ladder": ladder_view(results, drawn),
        "distances": distances_view(results, drawn),
        "curves": curves_view(results, drawn),
        "stage_curves": stage_views(results, drawn),
        "prompts": prompts_view(results, drawn),
        "sections": exam_views(full, drawn),
        "measures": [measure_view(full, measure, number, drawn) for number, measure in enumerate(measures)],
        "exams": exam_sections(full),
        "competence": competence_view(results, drawn),
        "examples": example_groups(results),
        "arms": arm_index(results),
        "twin_groups": twin_groups(results),
        "lengths": length_table(results["checks"]),
        "matching": matching(results["checks"], full["training"]),
        "against_why": as_table(results["checks"]["against_why"]),
        "properties": {name.replace("_", " "): meaning for name, meaning in ARM_PROPERTIES.items()},
        "training": training_table(results),
        "near_duplicates": results["checks"]["overlap"]["near_duplicates"][:MOST_LISTED],
        "settings": yaml.safe_dump(results["study"]["stamp"]["settings"], sort_keys=False, allow_unicode=True),
        "fingerprints": fingerprints(results),
        "machine": {name: value for name, value in results["model"].items() if name not in ("name", "fingerprint")},
        "methods": methods(results).split("\n\n"),
        "seeds": sorted({seed for arm in results["arms"] for seed in arm["seeds"] if seed is not None}),
        "times": time_table(results, timings),
        "written": timings.get("written", ""),
    }


def drawings(results: Record) -> list[Drawing]:
    """Every figure of the page, in its order."""
    shown = {name: value for name, value in view(results, {}).items() if name != "results"}
    return list(drawings_in(shown))


def drawings_in(value: Any) -> Iterator[Drawing]:
    if isinstance(value, Drawing):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from drawings_in(part)


def code(text: str) -> Any:
    """Names between backticks as code, everything escaped."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(visible(text)))))


# Contrasts


def contrast_groups(
    results: Record, declared: Sequence[Record], exploratory: Sequence[Record], drawn: bool
) -> list[dict[str, Any]]:
    """Declared and exploratory contrasts, drawn on one scale so that the eye can compare them."""
    groups = []
    axis = figures.difference_axis([contrast_row(contrast, results) for contrast in [*declared, *exploratory]])
    for name, contrasts in (("declared", declared), ("exploratory", exploratory)):
        rows = [contrast_row(contrast, results) for contrast in contrasts]
        title, level = CONTRASTS_DRAWN[name], contrasts[0]["level"] if contrasts else None
        figure = (
            draw(f"{name}-contrasts", [Panel("", rows)], axis, title=title, level=level) if drawn and rows else None
        )
        metrics = list(dict.fromkeys(contrast["metric"] for contrast in contrasts))
        groups.append({"name": name, "contrasts": contrasts, "metrics": metrics, "figure": figure, "alt": alt(rows)})
    return groups


def contrast_row(contrast: Record, results: Record) -> Row:
    several = len({other["metric"] for other in results["contrasts"]}) > 1
    details = [subset_label(contrast["subset"])]
    details += [contrast["metric"]] if several else []
    details += ["off-format"] if contrast["format"] == "off" else []
    return Row(
        label=contrast_name(contrast),
        detail=", ".join(details),
        text=estimate_text(signed(contrast["estimate"]), contrast),
        value=contrast["estimate"],
        low=contrast["low"],
        high=contrast["high"],
        seeds=tuple(contrast["per_seed"].values()),
        families=tuple(contrast["per_family"].values()),
    )


# Arms


def arm_index(results: Record) -> dict[str, Record]:
    return {arm["name"]: arm for arm in results["arms"]}


def measure_view(results: Record, measure: Measure, number: int, drawn: bool) -> dict[str, Any]:
    """One declared metric: every arm in its own format, by subset."""
    rates = [rate for rate in results["rates"] if measure.holds(rate) and rate["format"] == "own"]
    subsets = wording.subsets_of(rates)
    groups = [(subset, [(arm, rate_at(rates, arm, subset)) for arm in arms_run(results)]) for subset in subsets]
    # Drawn: all items together and by distance; every other group stands in the table.
    panels = [
        Panel(subset_label(subset), [arm_row(arm, rate) for arm, rate in rows])
        for subset, rows in groups
        if "distance" in subset or not subset
    ]
    title, level = f"{measure.exam}: {measure.metric} by arm, own format", rates[0]["level"] if rates else None
    return {
        "metric": wording.metric_of(results, measure.exam, measure.metric),
        "groups": groups,
        "covers": covers(rates),
        "notes": [f"`{rate['arm']}`, {subset_label(rate['subset'])}: {rate['note']}" for rate in rates if rate["note"]],
        "methods": methods(results).split("\n\n"),
        "seeds": sorted({seed for rate in rates for seed in rate["per_seed"] if seed != "None"}, key=int),
        "level": level,
        "figure": draw(f"measure-{number}", panels, figures.rate_axis(), title=title, level=level)
        if drawn and panels
        else None,
        "alt": panels_alt(panels),
    }


def at_full_size(results: Record) -> dict[str, Any]:
    """The results without arms that read fewer examples and without checkpoints: they would crowd every table."""
    arms = [arm for arm in results["arms"] if arm.get("size") is None and arm.get("checkpoint_of") is None]
    names = [arm["name"] for arm in arms]
    kept = {field: [one for one in results[field] if one["arm"] in names] for field in ("rates", "training")}
    return {**results, "arms": arms, **kept}


def arms_run(results: Record) -> list[Record]:
    """The arms with a number or a failure to show; those that were not run are named above."""
    return [arm for arm in results["arms"] if arm["state"] != "not run"]


def rate_at(rates: Sequence[Record], arm: Record, subset: Mapping[str, str]) -> Record | None:
    return next((rate for rate in rates if rate["arm"] == arm["name"] and rate["subset"] == subset), None)


def covers(rates: Sequence[Record]) -> list[tuple[str, list[str]]]:
    """What the intervals cover -> the arms of which this holds."""
    found: dict[str, list[str]] = {}
    for rate in rates:
        arms = found.setdefault(rate["covers"], [])
        if rate["arm"] not in arms:
            arms.append(rate["arm"])
    return list(found.items())


def exam_sections(results: Record) -> list[dict[str, Any]]:
    """Each exam: where its rates are given for all items together a short table of them, then all its tables."""
    tables = other_tables(results)
    sections = []
    for exam in dict.fromkeys(table["metric"]["exam"] for table in tables):
        whole = [
            rate for rate in results["rates"] if (rate["exam"], rate["format"]) == (exam, "own") and not rate["subset"]
        ]
        metrics = [metric for metric in results["metrics"] if metric["exam"] == exam]
        arms = [arm for arm in results["arms"] if any(rate["arm"] == arm["name"] for rate in whole)]
        rows = [(metric, [of_metric(whole, arm, metric) for arm in arms]) for metric in metrics]
        short = [(metric, rates) for metric, rates in rows if any(rates)]
        mine = [table for table in tables if table["metric"]["exam"] == exam]
        sections.append({"name": exam, "arms": arms, "short": short, "tables": mine})
    return sections


def of_metric(rates: Sequence[Record], arm: Record, metric: Record) -> Record | None:
    wanted = (arm["name"], metric["name"])
    return next((rate for rate in rates if (rate["arm"], rate["metric"]) == wanted), None)


def other_tables(results: Record) -> list[dict[str, Any]]:
    """Every metric in both formats, generated and by choice: a table for each, with the arms of each subset as rows."""
    named = [(measure.exam, generated(measure.metric)) for measure in wording.declared_measures(results)]
    named += [(rate["exam"], generated(rate["metric"])) for rate in results["rates"]]
    tables = []
    for exam, metric in dict.fromkeys(named):
        rates = [rate for rate in results["rates"] if (rate["exam"], generated(rate["metric"])) == (exam, metric)]
        columns = sorted({(rate["format"], rate["metric"]) for rate in rates}, key=own_first)
        groups = [
            (
                subset,
                [
                    (arm, [rate_at(of_column(rates, column), arm, subset) for column in columns])
                    for arm in arms_run(results)
                ],
            )
            for subset in wording.subsets_of(rates)
        ]
        if rates:
            tables.append({"metric": wording.metric_of(results, exam, metric), "columns": columns, "groups": groups})
    return tables


def generated(metric: str) -> str:
    """The metric of generated answers that stands beside one by choice."""
    return metric.removesuffix(BY_CHOICE)


def own_first(column: tuple[str, str]) -> tuple[bool, str]:
    format, metric = column
    return format != "own", metric


def of_column(rates: Sequence[Record], column: tuple[str, str]) -> list[Record]:
    return [rate for rate in rates if (rate["format"], rate["metric"]) == column]


def competence_view(results: Record, drawn: bool) -> dict[str, Any]:
    """The floor and every trained arm's rate against it."""
    records = results["competence"]
    floor = records[0]["at_least"] if records else None
    panels = [
        Panel(subset_label(subset), [competence_row(results, one) for one in records if one["subset"] == subset])
        for subset in wording.subsets_of(records)
    ]
    setting = results["study"]["stamp"]["settings"].get("competence")
    title = f"Competence of the trained arms; the dashed line is the floor, {share(floor)}"
    return {
        "records": records,
        "floor": floor,
        "metric": wording.metric_of(results, setting["exam"], setting["metric"]) if setting else None,
        "figure": draw("competence", panels, figures.rate_axis(floor), title=title) if drawn and panels else None,
        "alt": f"Floor at {share(floor)}. {panels_alt(panels)}",
        "subsets": wording.subsets_of(records),
        "rows": [
            (arm, [rate_at(records, arm, subset) for subset in wording.subsets_of(records)])
            for arm in results["arms"]
            if arm["trained"]
        ],
    }


def competence_row(results: Record, record: Record) -> Row:
    text = wording.competence_rate(record) + ("" if record["competent"] else " below the floor")
    label = arm_label(arm_index(results)[record["arm"]])
    return Row(label, "", text, record["rate"], mark="square" if record["competent"] else "cross")


# Example answers


def example_groups(results: Record) -> list[dict[str, Any]]:
    """The drawn items, each with the answers of all arms."""
    format = results["study"]["stamp"]["settings"]["format"]
    groups: dict[str, dict[str, Any]] = {}
    for record in results["answers"]:
        subset = {"kind": record["kind"], "distance": record["distance"]}
        empty = {"item": record, "subset": subset, "options": options(record), "answers": []}
        group = groups.setdefault(record["item"], empty)
        group["answers"].append(answer_view(record, format))
    return list(groups.values())


def options(record: Record) -> list[dict[str, Any]]:
    """The possible actions of an item, each with what asks for it."""
    return [
        {"decision": decision, "text": text, "marks": marks(record, decision)}
        for decision, text in record["answers"].items()
    ]


def marks(record: Record, decision: str) -> list[str]:
    """Why a decision is named on the page: it is the right one, or a fact of the case asks for it."""
    facts = [f"fact {name}" for name, wanted in record["facts"].items() if wanted == decision]
    return (["gold"] if record["gold"] == decision else []) + facts


def answer_view(record: Record, format: Mapping[str, str]) -> dict[str, Any]:
    decision = record["decision"]
    return {
        "arm": record["arm"],
        "seed": record["seed"],
        "parts": parts(record["answer"], format),
        "decision": decision,
        "marks": marks(record, decision) if decision is not None else [],
        "cause": record["cause"],
    }


def parts(answer: str, format: Mapping[str, str]) -> list[tuple[str, str]]:
    """(kind, text) in the order written; kind is reason, action, or other for words under no marker."""
    kinds = {format["reason_marker"]: "reason", format["action_marker"]: "action"}
    markers = "|".join(re.escape(marker) for marker in kinds if marker)
    pieces = re.split(f"({markers})", answer) if markers else [answer]
    found = zip(["other", *(kinds[marker] for marker in pieces[1::2])], pieces[::2], strict=True)
    return [(kind, text.strip()) for kind, text in found if text.strip()]


# Checks


LENGTHS = {
    "words_beside": "words beside the action",
    "words_action": "words in the action",
    "rows": "rows",
    "tokens": "tokens",
    "trained": "tokens the loss counts",
    "length_median": "median row",
    "length_95th": "95th percentile",
    "length_longest": "longest row",
    "cut": "rows cut",
}


def length_table(checks: Record) -> dict[str, Any]:
    """Words and tokens of each trained arm's rows."""
    arms = {arm: {**checks["lengths"].get(arm, {}), **checks["tokens"].get(arm, {})} for arm in checks["tokens"]}
    return {"columns": LENGTHS, "arms": arms}


def matching(checks: Record, training: Sequence[Record]) -> dict[str, list[str]]:
    """What is the same in all trained arms, and what is not, with its range."""
    columns = {
        label: [arm[key] for arm in length_table(checks)["arms"].values() if key in arm]
        for key, label in LENGTHS.items()
        if key in ("words_beside", "words_action", "rows", "tokens", "trained")
    }
    columns["updates"] = [record["updates"] for record in training]
    same = [label for label, values in columns.items() if values and min(values) == max(values)]
    ranges = {label: (min(values), max(values)) for label, values in columns.items() if len(set(values)) > 1}
    differing = [f"{label} ({low:,} to {high:,})" for label, (low, high) in ranges.items()]
    return {"same": same, "differing": differing}


def training_table(results: Record) -> list[dict[str, Any]]:
    """What each training used, with the canary of its adapter."""
    canaries = {(record["arm"], record["seed"]): record for record in results["canaries"]}
    order = list(arm_index(results))
    records = sorted(results["training"], key=lambda record: (order.index(record["arm"]), record["seed"]))
    return [dict(record) | {"canary": canaries.get((record["arm"], record["seed"]), {})} for record in records]


# How to do it again


def fingerprints(results: Record) -> dict[str, str]:
    stamp = results["study"]["stamp"]
    return {name: stamp[name] for name in ("model", "policy", "examples", "items")}


def time_table(results: Record, timings: Record) -> dict[str, Any]:
    """Minutes of training and exams by arm, from the seconds of each unit."""
    rows = []
    for arm in results["arms"]:
        units = [spent for unit, spent in timings.get("units", {}).items() if unit.rpartition("/")[0] == arm["name"]]
        if units:
            rows.append((arm["name"], *(sum(spent[step] for spent in units) for step in ("train", "exams"))))
    totals = tuple(sum(row[place] for row in rows) for place in (1, 2))
    return {"rows": rows, "totals": totals}
