"""The page of a corpus and its table for the terminal: the record in, text out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...report.drawing import Drawing, matplotlib_found
from ...report.page import page_environment
from ...report.table import add_row, new_table, rendered
from ...report.unseen import visible
from ...report.wording import percent, spaced
from .check import cut
from .figures import SIGNS, Bar, Bars, Histogram, draw_bars, draw_histograms

TEMPLATES, PAGE = Path(__file__).parent / "templates", "health.html.j2"
MARKS = {"flagged": "▲", "well": "✓", "could not run": "○"}
MOST_DRAWN = 12
MOST_SHOWN = 10  # rows of a listing; the JSON beside the page has more
MOST_COLUMNS = 8
LONGEST_NUMBERS = 34  # characters of a bar's numbers, so that a narrow figure has room for its label
LONGEST_ID = 60
Record = Mapping[str, Any]


def health_page(record: Record) -> str:
    """The record of `corpus_health` as one HTML page that needs no other file. Without matplotlib, without figures."""
    drawn = matplotlib_found()
    sections = [section(check, drawn) for check in record["checks"]]
    return (
        page_environment(TEMPLATES)
        .get_template(PAGE)
        .render(record=record, headline=headline(record), sections=sections, figures_drawn=drawn)
        .lstrip()
    )


def health_table(record: Record) -> str:
    """The same in short, as plain text of at most 100 columns."""
    table = new_table(
        ["check", "state", "cause, or what was flagged first"],
        ["flagged"],
        [check["name"] for check in record["checks"]],
    )
    for check in record["checks"]:
        add_row(table, check["name"], check["state"], visible(in_short(check)), f"{check['flagged_in_all']:,}")
    return rendered([headline(record), table])


def headline(record: Record) -> str:
    """How many lessons, and how many checks came out how."""
    states = Counter(check["state"] for check in record["checks"])
    told = [f"{states[state]} {state}" for state in MARKS if states[state]]
    lessons = f"{record['lessons']:,} lesson{'' if record['lessons'] == 1 else 's'}"
    return f"{lessons}, {len(record['checks'])} checks: {', '.join(told) or 'none'}"


def in_short(check: Record) -> str:
    """The cause, or the first thing that was flagged."""
    if check["cause"]:
        return str(check["cause"])
    first = next(iter(check["flagged"]), None)
    return cut(f"{cut(first['id'], LONGEST_ID)}: {first['found']}", 110) if first else ""


def section(check: Record, drawn: bool) -> dict[str, Any]:
    """What the page shows of one check."""
    numbers = without_bars(check["numbers"])
    drawing = FIGURES.get(check["name"])
    figure = drawing(check["numbers"]) if drawing and numbers else None
    return {
        "check": check,
        "anchor": check["name"].replace(" ", "-"),
        "mark": MARKS[check["state"]],
        "short": in_short(check),
        "figure": figure.drawing if figure and drawn else None,
        "alt": figure.alt if figure else "",
        "note": figure.note if figure else "",
        "facts": facts(numbers),
        "tables": tables(numbers),
    }


# Numbers as facts and tables, whatever the check


def without_bars(value: Any) -> Any:
    """Numbers without the bars of distributions, which are drawn."""
    if not isinstance(value, dict):
        return value
    return {name: without_bars(inner) for name, inner in value.items() if name != "bars"}


def facts(numbers: Record) -> dict[str, str]:
    """Numbers that stand in no table."""
    found = {name: value for name, value in numbers.items() if not (is_listing(value) or is_grid(value))}
    return {} if is_grid(numbers) else {spaced(name): shown(name, value) for name, value in found.items()}


def shown(name: str, value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{inner} {shown(inner, number)}" for inner, number in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if name == "share":
        return percent(value)
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def is_listing(value: Any) -> bool:
    """Texts with how often they stand."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def is_grid(value: Any) -> bool:
    """Rows by name, each with numbers of its own and nothing deeper."""
    return (
        isinstance(value, dict)
        and bool(value)
        and all(
            isinstance(row, dict) and not any(isinstance(cell, dict) for cell in row.values()) for row in value.values()
        )
    )


def tables(numbers: Record) -> list[dict[str, Any]]:
    """{"title", "heads", "rows"} of every table; the first cell of a row is its head."""
    if is_grid(numbers):
        return grid("", numbers)
    found: list[dict[str, Any]] = []
    for name, value in numbers.items():
        if is_listing(value):
            found.append(listing(spaced(name), value))
        elif is_grid(value):
            found += grid(spaced(name), value)
    return found


def grid(title: str, rows: Record) -> list[dict[str, Any]]:
    """One table of the numbers, and one of each listing that a row has."""
    columns = list(
        dict.fromkeys(name for row in rows.values() for name, cell in row.items() if not isinstance(cell, list))
    )
    if len(columns) > MOST_COLUMNS:  # most cells of such a table are empty
        return [
            {
                "title": title,
                "heads": ["", "numbers"],
                "rows": [[name or "none", shown("", row)] for name, row in rows.items()],
            }
        ]
    cells = [
        [spaced(name) or "none", *(shown(column, row.get(column, 0)) for column in columns)]
        for name, row in rows.items()
    ]
    listings = [
        listing(f"{spaced(name)}: {spaced(column)}", cell)
        for name, row in rows.items()
        for column, cell in row.items()
        if is_listing(cell)
    ]
    return [{"title": title, "heads": ["", *map(spaced, columns)], "rows": cells}, *listings]


def listing(title: str, texts: Sequence[Record]) -> dict[str, Any]:
    rows = [[one["text"], f"{one['lessons']:,}", percent(one["share"])] for one in texts[:MOST_SHOWN]]
    return {"title": title, "heads": ["text", "lessons", "share"], "rows": rows}


# Figures


@dataclass(frozen=True)
class Figure:
    """alt: what it shows, in words. note: how it is read."""

    drawing: Drawing
    alt: str
    note: str


def openings_figure(numbers: Record) -> Figure | None:
    panels = [
        Bars(
            f"Openings of {name}s",
            [
                Bar(f"{visible(one['text'])} …", f"{one['lessons']:,} ({percent(one['share'])})", [one["share"]])
                for one in of_text["commonest"][: MOST_DRAWN // 2]
            ],
        )
        for name, of_text in numbers.items()
        if of_text["commonest"]
    ]
    if not panels:
        return None
    alt = "; ".join(f"{panel.title}: {row.label} {row.text}" for panel in panels for row in panel.rows)
    note = "A full line is all texts of that kind."
    return Figure(draw_bars("openings", panels, title="Openings that several texts share"), f"{alt}.", note)


def decisions_figure(numbers: Record) -> Figure:
    """One pattern a decision; where there are more decisions than patterns, a bar's parts are told by its words."""
    table = numbers["by_principle"]
    names = sorted({name for counts in table.values() for name in counts})
    keyed = len(names) <= len(SIGNS)
    rows, told = [], []
    for principle, counts in list(table.items())[:MOST_DRAWN]:
        whole = sum(counts.values())
        label = visible(principle) or "no principle"
        told.append(f"{label}: {(text := ', '.join(f'{count:,} {visible(name)}' for name, count in counts.items()))}")
        if len(text) > LONGEST_NUMBERS:
            text = f"{whole:,} in {len(counts)} decisions"
        rows.append(Bar(label, text, [counts.get(name, 0) / whole for name in (names if keyed else counts)]))
    key = ", ".join(f"{sign} {name}" for sign, name in zip(SIGNS, names, strict=False))
    drawing = draw_bars("decisions", [Bars("", rows)], title="Decisions by principle")
    note = f"In each bar from the left: {key}." if keyed else "The parts of a bar are in the order of its words."
    more = f" The first {MOST_DRAWN} of {len(table)} principles; the table has all." if len(table) > MOST_DRAWN else ""
    return Figure(drawing, f"{'; '.join(told)}.", note + more)


def lengths_figure(numbers: Record) -> Figure:
    return histograms("lengths", numbers["words"], "Words of each text")


def ease_figure(numbers: Record) -> Figure:
    return histograms("ease", numbers, "Flesch reading ease")


def histograms(name: str, found: Record, title: str) -> Figure:
    panels = [
        Histogram(spaced(text), f"median {one['median']:g}", bars["from"], bars["step"], bars["counts"])
        for text, one in found.items()
        for bars in [one["bars"]]
    ]
    alt = ", ".join(f"{panel.title} {panel.text}" for panel in panels)
    note = f"{title} along the line; a bar's height is the number of texts, the highest of each panel drawn alike."
    return Figure(draw_histograms(name, panels, title=title), f"{title}: {alt}.", f"{note} {FARTHEST}")


FARTHEST = "The farthest hundredth at each end is counted in the last bar there."
FIGURES: dict[str, Callable[[Record], Figure | None]] = {
    "openings": openings_figure,
    "decisions by principle": decisions_figure,
    "lengths": lengths_figure,
    "reading ease": ease_figure,
}
