"""The page of a corpus and its table for the terminal: the record in, text out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
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
    table = new_table(["check", "state", "what"], ["flagged"], [check["name"] for check in record["checks"]])
    for check in record["checks"]:
        add_row(table, check["name"], check["state"], visible(in_short(check)), f"{check['flagged_in_all']:,}")
    return rendered([headline(record), table])


def headline(record: Record) -> str:
    """How many lessons, and how many checks came out how."""
    states = Counter(check["state"] for check in record["checks"])
    told = [f"{states[state]} {state}" for state in MARKS if states[state]]
    lessons = f"{record['lessons']:,} lesson{'' if record['lessons'] == 1 else 's'}"
    return f"{lessons}; of {len(record['checks'])} checks {', '.join(told)}"


def in_short(check: Record) -> str:
    """The cause, or the first thing that was flagged."""
    if check["cause"]:
        return str(check["cause"])
    first = next(iter(check["flagged"]), None)
    return cut(f"{cut(first['id'], LONGEST_ID)}: {first['found']}", 110) if first else ""


def section(check: Record, drawn: bool) -> dict[str, Any]:
    """What the page shows of one check."""
    figure, alt = figure_of(check) if check["numbers"] else (None, "")
    return {
        "check": check,
        "anchor": check["name"].replace(" ", "-"),
        "mark": MARKS[check["state"]],
        "short": in_short(check),
        "figure": figure if drawn else None,
        "alt": alt,
        "facts": facts(check["numbers"]),
        "tables": tables(check["numbers"]),
    }


# Numbers as facts and tables, whatever the check


def facts(numbers: Record) -> dict[str, str]:
    """Numbers that stand alone, and lists of names."""
    return {
        spaced(name): shown(name, value) for name, value in numbers.items() if not isinstance(value, dict) and alone(value)
    }


def alone(value: Any) -> bool:
    return not (isinstance(value, list) and value and isinstance(value[0], dict))


def shown(name: str, value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if name == "share":
        return percent(value)
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def tables(numbers: Record, title: str = "") -> list[dict[str, Any]]:
    """Tables of what is nested: {"title", "heads", "rows"}, a row's first cell its head."""
    found: list[dict[str, Any]] = []
    rows = {name: value for name, value in numbers.items() if isinstance(value, dict)}
    if rows and all(isinstance(inner, dict) for value in rows.values() for inner in value.values()):
        # Tables by name, such as the words of each text
        return [table for name, value in numbers.items() if isinstance(value, dict) for table in tables(value, spaced(name))]
    if rows and title == "" and any(isinstance(inner, dict) for value in rows.values() for inner in value.values()):
        nested = {name: value for name, value in rows.items() if all(isinstance(inner, dict) for inner in value.values())}
        for name, value in nested.items():
            found += tables(value, spaced(name))
            del rows[name]
    if rows:
        columns = list(dict.fromkeys(name for value in rows.values() for name in value if alone(value[name])))
        columns = [name for name in columns if not any(isinstance(value.get(name), dict) for value in rows.values())]
        if columns:
            cells = [
                [spaced(name) or "none", *(shown(one, value[one]) if one in value else "0" for one in columns)]
                for name, value in rows.items()
            ]
            found.append({"title": title, "heads": ["", *map(spaced, columns)], "rows": cells})
        found += [table for name, value in rows.items() for table in lists(value, spaced(name))]
    return found + lists(numbers, title)


def lists(numbers: Record, title: str) -> list[dict[str, Any]]:
    """A table of each list of records."""
    return [
        {
            "title": f"{title}: {spaced(name)}" if title else spaced(name),
            "heads": ["text", "lessons", "share"],
            "rows": [[one["text"], f"{one['lessons']:,}", percent(one["share"])] for one in value],
        }
        for name, value in numbers.items()
        if not alone(value)
    ]


# Figures


def figure_of(check: Record) -> tuple[Drawing | None, str]:
    """The figure of a check that has one, and what it shows in words; the tables hold the same numbers."""
    drawing = FIGURES.get(check["name"])
    return drawing(check["numbers"]) if drawing else (None, "")


def openings_figure(numbers: Record) -> tuple[Drawing, str]:
    panels = [
        Bars(
            f"Commonest openings of {name}s",
            [
                Bar(f"{visible(one['text'])} …", f"{one['lessons']:,} ({percent(one['share'])})", [one["share"]])
                for one in of_text["commonest"][: MOST_DRAWN // 2]
            ],
        )
        for name, of_text in numbers.items()
    ]
    alt = "; ".join(f"{panel.title}: {row.label} {row.text}" for panel in panels for row in panel.rows[:1])
    return draw_bars("openings", panels, title="Openings"), f"{alt}."


def decisions_figure(numbers: Record) -> tuple[Drawing, str]:
    names = list(dict.fromkeys(sorted(name for counts in numbers["table"].values() for name in counts)))
    rows = []
    for principle, counts in list(numbers["table"].items())[:MOST_DRAWN]:
        whole = sum(counts.values())
        parts = [counts.get(name, 0) / whole for name in names]
        rows.append(Bar(visible(principle) or "no principle", f"{whole:,} lessons", parts))
    key = ", ".join(f"{SIGNS[place % len(SIGNS)]} {name}" for place, name in enumerate(names))
    return draw_bars("decisions", [Bars("", rows)], title="Decisions by principle"), f"In each bar from the left: {key}."


def lengths_figure(numbers: Record) -> tuple[Drawing, str]:
    return histograms("lengths", numbers["words"], "Words of each text")


def ease_figure(numbers: Record) -> tuple[Drawing, str]:
    return histograms("ease", numbers, "Flesch reading ease")


def histograms(name: str, found: Record, title: str) -> tuple[Drawing, str]:
    panels = [
        Histogram(spaced(text), f"median {one['median']:g}", one["bars"]["from"], one["bars"]["step"], one["bars"]["counts"])
        for text, one in found.items()
    ]
    alt = ", ".join(f"{panel.title} {panel.text}" for panel in panels)
    return draw_histograms(name, panels, title=title), f"{title}: {alt}."


FIGURES = {
    "openings": openings_figure,
    "decisions by principle": decisions_figure,
    "lengths": lengths_figure,
    "reading ease": ease_figure,
}


def names_of(sections: Sequence[Record]) -> list[str]:
    return [one["check"]["name"] for one in sections]
