"""A run's results for other readers: Markdown for papers and pull requests, CSV for programs, figures as files."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from ..data import faults
from . import registered, wording
from .headline import headline
from .markdown import bullets, code, fenced, inline, lines, one_line, plain, table
from .methods import methods
from .page import drawings, fingerprints, matching
from .prompts import prompts_view
from .unmatched import apart
from .wording import BY_CHOICE, MINUS, NONE, Record, bracket, p_value, share, signed, subset_label

# A spreadsheet takes a text that begins so for a formula (OWASP, "CSV Injection").
FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


# Markdown


def as_markdown(results: Record) -> str:
    """The report as GitHub-flavoured Markdown; every sentence and number is worded as on the page."""
    sections = (
        heading(results),
        warnings(results),
        verdicts(results),
        contrasts(results),
        arms(results),
        rates(results),
        prompts(results),
        competence(results),
        checks(results),
        failures(results),
        limits(results),
        ["## Methods", *map(inline, methods(results).split("\n\n"))],
        again(results),
    )
    return "\n\n".join(block for section in sections for block in section if block) + "\n"


def heading(results: Record) -> list[str]:
    study, counts = results["study"], results["counts"]
    about = (
        f"teachwhy study `{study['name']}`, model `{results['model']['name']}`: {len(results['arms'])} arms; "
        f"{counts['examples']:,} examples taught, a policy of {counts['principles']:,} principles, "
        f"{counts['items']:,} items examined."
    )
    return [f"# {plain(study['question'] or study['name'])}", inline(about), lines(study["about"])]


def warnings(results: Record) -> list[str]:
    blocks = []
    for notice in wording.warnings(results):
        blocks += [f"**Warning: {plain(notice.title)}.**", bullets(notice.points), inline(notice.meaning)]
    return blocks


def verdicts(results: Record) -> list[str]:
    blocks = ["## Verdict"]
    if first := headline(results):
        blocks += [inline(first.finding), bullets(first.points)]
    for contrast in results["contrasts"]:
        if contrast["declared"]:
            found = wording.verdict(contrast, results)
            blocks += [
                f"**{plain(found.name)}: {plain(found.number)}.** {inline(' '.join([found.finding, *found.cautions]))}"
            ]
            blocks += [inline(" ".join(found.details))]
    return blocks if len(blocks) > 1 else [*blocks, wording.NO_VERDICT]


def contrasts(results: Record) -> list[str]:
    blocks = ["## Contrasts", wording.WHAT_A_CONTRAST_IS]
    for declared, title in ((True, registered.title(results)), (False, "Exploratory, uncorrected")):
        found = [contrast for contrast in results["contrasts"] if contrast["declared"] is declared]
        if found:
            said = [inline(" ".join(registered.sentences(results)))] if declared else []
            blocks += [f"### {title}", *filter(None, said), contrast_table(found, results)]
    return blocks if len(blocks) > 2 else []


def contrast_table(found: Sequence[Record], results: Record) -> str:
    heads = ("contrast", "measured on", "interval covers", "estimate", "interval", "p", "Holm p", "sign-flip p")
    counted = ("items", "families", "seeds", "unscored")
    rows = [
        [
            f"{code(contrast['arm'])} {MINUS} {code(contrast['versus'])}",
            measured_on(contrast),
            inline("; ".join(filter(None, (contrast["covers"], contrast["note"], unmatched(contrast, results))))),
            signed(contrast["estimate"]),
            bracket(contrast["low"], contrast["high"]),
            *(p_value(contrast[key]) for key in ("p", "p_adjusted", "p_sign_flip")),
            *(f"{contrast[key]:,}" for key in counted),
            bracket(*contrast["bounds"]) if contrast["bounds"] else NONE,
        ]
        for contrast in found
    ]
    return table([*heads, *counted, "bounds"], rows, text=3)


def unmatched(contrast: Record, results: Record) -> str:
    found = apart(contrast, results)
    return f"no twins, not matched: {', '.join(found)}" if found else ""


def measured_on(record: Record) -> str:
    format = "" if record["format"] == "own" else f", {wording.format_label(record['format'])}"
    return f"{code(record['metric'])}: {plain(subset_label(record['subset']))}{format}"


def arms(results: Record) -> list[str]:
    rows = [
        [
            code(arm["name"]),
            (f"{code(arm['kind'])}: " if arm["kind"] != arm["name"] else "") + inline(arm["summary"]),
            plain(arm["reason"] or "none"),
            (", ".join(map(str, arm["seeds"])) or "none") if arm["trained"] else "untrained",
            plain(arm["state"]),
        ]
        for arm in results["arms"]
    ]
    return ["## Every arm", table(("arm", "what it is", "reason", "seeds done", "state"), rows, text=5)]


def rates(results: Record) -> list[str]:
    """Every arm's rate in its own format by kind and distance, a table for each metric of generated answers."""
    blocks = []
    for metric in results["metrics"]:
        found = [rate for rate in results["rates"] if shown_in_markdown(rate, metric)]
        if found:
            sentence = f"{wording.sentence(metric['meaning'])} {wording.direction_label(metric)}".strip()
            blocks += [f"### {code(metric['name'])} ({code(metric['exam'])}), own format", inline(sentence)]
            blocks += [rate_table(results, found)]
    left_out = "Off-format rates, rates by choice and other groups of items stand in the CSV (`--format csv`)."
    return [*blocks, inline(left_out)] if blocks else []


def shown_in_markdown(rate: Record, metric: Record) -> bool:
    own = (rate["exam"], rate["metric"], rate["format"]) == (metric["exam"], metric["name"], "own")
    return own and not rate["metric"].endswith(BY_CHOICE) and set(rate["subset"]) <= {"kind", "distance"}


def rate_table(results: Record, found: Sequence[Record]) -> str:
    subsets = wording.subsets_of(found)
    rows = []
    for arm in results["arms"]:
        mine = [rate for rate in found if rate["arm"] == arm["name"]]
        if mine or arm["state"] == "failed":
            by_subset = [next((rate for rate in mine if rate["subset"] == subset), None) for subset in subsets]
            rows.append([arm_name(arm), *(rate_cell(rate, arm) for rate in by_subset)])
    return table(["arm", *(plain(subset_label(subset)) for subset in subsets)], rows)


def arm_name(arm: Record) -> str:
    return f"{'✕ ' if arm['state'] == 'failed' else ''}{code(arm['name'])}"


def rate_cell(rate: Record | None, arm: Record) -> str:
    if rate is None:
        return plain(arm["state"]) if arm["state"] != "done" else NONE
    interval = bracket(rate["low"], rate["high"]) if rate["low"] is not None else "no interval"
    unscored = f"; {rate['unscored']:,} unscored" if rate["unscored"] else ""
    return f"{share(rate['estimate'])} {interval}{unscored}"


def prompts(results: Record) -> list[str]:
    """What each prompt arm shows, and what the whole loses without one why."""
    found = prompts_view(results, drawn=False)
    if found is None:
        return []
    blocks = ["## System prompts"]
    if found["rows"]:
        metrics = [f"all items: {code(metric['name'])}" for metric in found["columns"]]
        rows = [
            [
                code(row["principle"]),
                *(NONE if row[unit] is None else f"{row[unit]:,}" for unit in ("words", "tokens")),
                difference(row["own"]),
                plain(row["says"] or "not declared"),
                *map(difference, row["everywhere"]),
            ]
            for row in found["rows"]
        ]
        heads = ["why of", "words", "tokens", "its own items", "which says", *metrics]
        blocks += [f"With each why minus without it, on {code(found['first']['metric'])}.", table(heads, rows)]
    lengths = [
        [code(arm), f"{length['words']:,}", NONE if length["tokens"] is None else f"{length['tokens']:,}"]
        for arm, length in found["lengths"].items()
    ]
    return [*blocks, table(["arm", "words", "tokens"], lengths)]


def difference(record: Record | None) -> str:
    if record is None:
        return NONE
    return f"{signed(record['estimate'])} {bracket(record['low'], record['high'])}"


def competence(results: Record) -> list[str]:
    records = results["competence"]
    if not records:
        return []
    subsets = wording.subsets_of(records)
    rows = []
    for arm in results["arms"]:
        mine = {subset_label(record["subset"]): record for record in records if record["arm"] == arm["name"]}
        if mine:
            rows.append([arm_name(arm), *(competence_cell(mine.get(subset_label(subset))) for subset in subsets)])
    title = f"### Competence of the trained arms (floor {share(records[0]['at_least'])})"
    return [title, table(["arm", *(plain(subset_label(subset)) for subset in subsets)], rows)]


def competence_cell(record: Record | None) -> str:
    if record is None:
        return NONE
    return wording.competence_rate(record) + ("" if record["competent"] else " ✕ below")


def checks(results: Record) -> list[str]:
    found, matched = results["checks"], matching(results["checks"], results["training"])
    overlap = found["overlap"]
    points = [
        f"{overlap['hits']:,} runs of {overlap['run_of_words']} words are shared between {overlap['taught_texts']:,} "
        f"taught and {overlap['examined_texts']:,} examined texts.",
        f"Near-duplicates among them: {len(overlap['near_duplicates']):,}.",
    ]
    points += (
        [f"Left out of this check, as declared shared: {', '.join(overlap['left_out'])}."]
        if overlap["left_out"]
        else []
    )
    points += [f"The same in all trained arms: {', '.join(matched['same'])}."] if matched["same"] else []
    points += [f"Not matched: {'; '.join(matched['differing'])}."] if matched["differing"] else []
    points += [f"Moved against `why` though it should not have: {fault}." for fault in faults(found["against_why"])]
    return ["## What was checked", bullets(points)]


def failures(results: Record) -> list[str]:
    broken = [
        [code(arm["name"]), plain(arm["state"]), plain(where), plain(cause)]
        for arm in results["arms"]
        if arm["state"] != "done"
        for where, cause in (arm["failures"] or {f"{wording.seeds_label(arm['seeds'])} done": "not run yet"}).items()
    ]
    return [
        "## What failed",
        table(("arm", "state", "where", "cause"), broken, text=4) if broken else "No arm failed.",
        *unscored(results["unscored"]),
    ]


def unscored(records: Sequence[Record]) -> list[str]:
    """How many answers could not be scored, a column for each cause."""
    if not records:
        return ["Every answer could be scored."]
    causes = list(dict.fromkeys(record["cause"] for record in records))
    counts: dict[tuple[str, str, str], dict[str, int]] = {}
    for record in records:
        counts.setdefault((record["arm"], record["metric"], record["format"]), {})[record["cause"]] = record["count"]
    rows = [
        [code(arm), code(metric), wording.format_label(format), *(f"{found.get(cause, 0):,}" for cause in causes)]
        for (arm, metric, format), found in counts.items()
    ]
    heads = ("arm", "metric", "format", *map(plain, causes))
    return ["Unscored answers by cause; neither right nor wrong:", table(heads, rows, text=3)]


def limits(results: Record) -> list[str]:
    own = results["study"]["limits"]
    return ["## What it does not show", lines(own) or wording.NO_LIMITS, inline(wording.scope(results))]


def again(results: Record) -> list[str]:
    machine = {name: value for name, value in results["model"].items() if name not in ("name", "fingerprint")}
    stamped = [[plain(name), code(value)] for name, value in (fingerprints(results) | machine).items()]
    settings = yaml.safe_dump(results["study"]["stamp"]["settings"], sort_keys=False, allow_unicode=True)
    return [
        "## How to do it again",
        fenced(f"teachwhy run path/to/{results['study']['name']}"),
        table(("what", "value"), stamped, text=2),
        fenced(settings, "yaml"),
    ]


# CSV


COLUMNS = (
    *("study", "model", "record", "declared", "arm", "versus", "exam", "metric", "higher_is_better", "format"),
    *("estimate", "low", "high", "level", "p", "p_adjusted", "p_sign_flip", "covers"),
    *("items", "families", "seeds", "unscored", "asked", "right", "bound_low", "bound_high", "note"),
)
SUBSET_AFTER = "format"


def as_csv(results: Record) -> str:
    """One row a rate and one a contrast; numbers unrounded, and empty where there is none.

    The groups of items have a column for each field that tells them apart: subset_kind, subset_distance, ...
    """
    fields = sorted({field for record in [*results["rates"], *results["contrasts"]] for field in record["subset"]})
    place = COLUMNS.index(SUBSET_AFTER) + 1
    columns = [*COLUMNS[:place], *(f"subset_{field}" for field in fields), *COLUMNS[place:]]
    target = io.StringIO()
    writer = csv.DictWriter(target, columns, restval="", lineterminator="\n")
    writer.writeheader()
    for record in tidy(results):
        writer.writerow({column: cell(record.get(column)) for column in columns})
    return target.getvalue()


def tidy(results: Record) -> Iterable[dict[str, Any]]:
    """Every rate, then every contrast, as one flat record."""
    run = {"study": results["study"]["name"], "model": results["model"]["name"]}
    for rate in results["rates"]:
        better = wording.metric_of(results, rate["exam"], rate["metric"])["higher_is_better"]
        yield {**run, "record": "rate", **flat(rate), "higher_is_better": better}
    for contrast in results["contrasts"]:
        low, high = contrast["bounds"] or (None, None)
        yield {**run, "record": "contrast", **flat(contrast), "bound_low": low, "bound_high": high}


def flat(record: Record) -> dict[str, Any]:
    return {**record, **{f"subset_{field}": value for field, value in record["subset"].items()}}


def cell(value: object) -> object:
    """A number as it is; a text on one line, and so that no spreadsheet takes it for a formula."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        text = one_line(value)
        return f"'{text}" if text.startswith(FORMULA) else text
    return "" if value is None else value


# Figures


def figure_files(results: Record) -> Mapping[str, bytes]:
    """File name -> content of every figure of the page, as SVG and as PNG. The names say what they show.

    Errors (ModuleNotFoundError): matplotlib is not installed.
    """
    import matplotlib  # noqa: F401  (without it the page has no figures; here they are all that was asked for)

    files: dict[str, bytes] = {}
    for drawing in drawings(results):
        name = free_name(re.sub(r"\W+", "-", drawing.title.split(";")[0].lower()).strip("-")[:80] or "figure", files)
        files |= {f"{name}.{format}": drawing.file(format) for format in ("svg", "png")}
    return files


def free_name(name: str, taken: Mapping[str, bytes]) -> str:
    number = 1
    while f"{name}{'' if number == 1 else f'-{number}'}.svg" in taken:
        number += 1
    return name if number == 1 else f"{name}-{number}"
