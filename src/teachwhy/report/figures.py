"""Figures of rows: a point and its interval a line, seeds and families beneath, several panels on one scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .drawing import ACCENT, FAINT, INK, NARROW, SOFT, WIDE, Canvas, Drawing
from .wording import level_text, signed

LETTER = 7  # pixels of a letter of a label, about
SHARES, SHARE_LABELS = (0, 0.25, 0.5, 0.75, 1), ("0", ".25", ".50", ".75", "1")


@dataclass(frozen=True)
class Row:
    """One line of a figure.

    text: its numbers in words. mark: square or cross; without one, an interval has a square and a lone estimate an
    open diamond.
    """

    label: str
    detail: str
    text: str
    value: float | None
    low: float | None = None
    high: float | None = None
    seeds: Sequence[float] = ()
    families: Sequence[float] = ()
    mark: str = ""


@dataclass(frozen=True)
class Panel:
    title: str
    rows: Sequence[Row]


@dataclass(frozen=True)
class Axis:
    """The scale of all panels of a figure, and the line they are read against."""

    low: float
    high: float
    ticks: Sequence[float]
    tick_labels: Sequence[str]
    line: float | None = None


@dataclass(frozen=True)
class Layout:
    """Where things stand, in pixels: labels left of the strip in a wide figure, above it in a narrow one."""

    width: int
    left: int
    right: int
    row: int
    strip: int

    @property
    def narrow(self) -> bool:
        return self.width == NARROW


def draw(name: str, panels: Sequence[Panel], axis: Axis, *, title: str = "", level: float | None = None) -> Drawing:
    """A figure of rows. level: of the intervals."""
    notes = marks_in_words(panels, axis, level)
    return Drawing(name, title or name.replace("-", " "), lambda width: rows_canvas(panels, axis, width), notes)


def layout_of(panels: Sequence[Panel], width: int) -> Layout:
    detailed = any(row.detail for panel in panels for row in panel.rows)
    if width == WIDE:
        longest = max((len(row.label) for panel in panels for row in panel.rows), default=0)
        return Layout(
            WIDE, left=min(290, max(196, LETTER * longest + 12)), right=128, row=38 if detailed else 32, strip=0
        )
    return Layout(NARROW, left=16, right=16, row=72 if detailed else 58, strip=36 if detailed else 22)


def rows_canvas(panels: Sequence[Panel], axis: Axis, width: int) -> Canvas:
    """The panels beneath each other."""
    layout = layout_of(panels, width)
    title, ticks = 30, 34
    heights = [(title if panel.title else 8) + layout.row * len(panel.rows) + ticks for panel in panels]

    def paint(figure: Any, top: int, height: int) -> None:
        for panel, panel_height in zip(panels, heights, strict=True):
            body = top + (title if panel.title else 8)
            if panel.title:
                figure.text(0, 1 - (top + 18) / height, panel.title, fontsize=13, fontweight="bold", va="baseline")
            draw_panel(figure, panel, axis, layout, body, height)
            top += panel_height

    return Canvas(layout.width, sum(heights), paint)


def marks_in_words(panels: Sequence[Panel], axis: Axis, level: float | None) -> str:
    """What the marks of a figure mean, as far as they stand in it."""
    rows = [row for panel in panels for row in panel.rows]
    of_level = f"{level_text(level)} " if level else ""
    found = {
        f"\u25a0 estimate with its {of_level}interval": any(row.low is not None for row in rows),
        "\u25c7 estimate without an interval": any(
            row.low is None and row.value is not None and not row.mark for row in rows
        ),
        "\u25cb each seed": any(row.seeds for row in rows),
        "| each family": any(row.families for row in rows),
        "\u25a0 at or above the dashed line": any(row.mark == "square" for row in rows),
        "\u2715 below it": any(row.mark == "cross" for row in rows),
        "right of the dashed line the first arm scores higher": axis.line == 0,
    }
    return "; ".join(words for words, holds in found.items() if holds) + "."


def draw_panel(figure: Any, panel: Panel, axis: Axis, layout: Layout, top: int, height: int) -> None:
    """One panel whose y axis counts pixels downwards from its top."""
    body = layout.row * len(panel.rows)
    strip_width = layout.width - layout.left - layout.right
    axes = figure.add_axes(
        (layout.left / layout.width, 1 - (top + body) / height, strip_width / layout.width, body / height)
    )
    axes.set_xlim(axis.low, axis.high)
    axes.set_ylim(body, 0)
    axes.patch.set_visible(False)
    axes.yaxis.set_visible(False)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.set_xticks(axis.ticks, axis.tick_labels, fontsize=11)
    axes.tick_params(axis="x", color=FAINT, labelcolor=INK, length=4)
    for number, row in enumerate(panel.rows):
        strip = layout.row * number + layout.strip
        if axis.line is not None:  # row by row, so that it never runs through the words of a narrow figure
            axes.vlines(axis.line, strip, layout.row * (number + 1), color=INK, linewidth=1, linestyle=(0, (4, 3)))
        draw_row(axes, row, strip, layout.row - layout.strip)
        write_row(figure, row, layout, top + layout.row * number, height)


def draw_row(axes: Any, row: Row, top: float, height: float) -> None:
    """Estimate and interval, seeds below them, families as a rug below those."""
    middle = top + height * (0.34 if row.families else 0.42)
    if row.families:
        lines = [top + height * 0.76 - 3.5, top + height * 0.76 + 3.5]
        axes.vlines(list(row.families), *lines, color=FAINT, linewidth=1.2, clip_on=False)
    if row.low is not None and row.high is not None:
        axes.plot([row.low, row.high], [middle, middle], color=ACCENT, linewidth=2, clip_on=False)
        for end in (row.low, row.high):
            axes.plot([end, end], [middle - 4, middle + 4], color=ACCENT, linewidth=2, clip_on=False)
    if row.seeds:
        below = [middle + 9] * len(row.seeds)
        circle = {"color": INK, "marker": "o", "markersize": 4.5, "markerfacecolor": "none", "markeredgecolor": INK}
        axes.plot(list(row.seeds), below, linestyle="none", clip_on=False, **circle)
    if row.value is not None:
        axes.plot([row.value], [middle], color=INK, linestyle="none", clip_on=False, **point(row))


def point(row: Row) -> dict[str, Any]:
    """How the estimate is drawn: told apart by shape, so that the figure can be read without colour."""
    if row.mark == "cross":
        return {"marker": "x", "markersize": 9, "markeredgecolor": INK, "markeredgewidth": 2.5}
    if row.mark == "square" or row.low is not None:
        return {"marker": "s", "markersize": 8, "markerfacecolor": ACCENT, "markeredgecolor": ACCENT}
    open_diamond = {"marker": "D", "markersize": 7, "markerfacecolor": "none"}
    return {**open_diamond, "markeredgecolor": ACCENT, "markeredgewidth": 1.8}


def write_row(figure: Any, row: Row, layout: Layout, top: float, height: int) -> None:
    """The label, its detail and the numbers: beside the strip, or above it in a narrow figure."""

    def write(x: float, y: float, text: str, side: str, **style: Any) -> None:
        figure.text(x / layout.width, 1 - y / height, text, ha=side, va="baseline", **style)

    first = top + (16 if layout.narrow or row.detail else layout.row * 0.42 + 4)
    write(0, first, row.label, "left", fontsize=12.5)
    if row.detail:
        write(0, first + 14, row.detail, "left", fontsize=11, color=SOFT)
    number = top + layout.row * (0.34 if row.families else 0.42) + 4
    if layout.narrow:  # beside the label, or below it where that leaves no room
        room = LETTER * (len(row.label) + len(row.text)) < layout.width
        number = first if room or not row.detail else first + 14
    write(layout.width, number, row.text, "right", fontsize=12)


def rate_axis(line: float | None = None) -> Axis:
    """From 0 to 1, the scale of a share."""
    return Axis(-0.02, 1.02, SHARES, SHARE_LABELS, line)


def difference_axis(rows: Sequence[Row]) -> Axis:
    """Symmetric about zero and wide enough for every point, so that a null result looks like one."""
    values = [value for row in rows for value in (row.value, row.low, row.high, *row.seeds, *row.families)]
    reach = max([0.1, *(abs(value) for value in values if value is not None)])
    limit = math.ceil(reach * 10 - 1e-9) / 10
    step = next(step for step in (0.05, 0.1, 0.2, 0.25, 0.5, 1, 2, 5, limit) if limit / step <= 4)
    count = math.floor(limit / step + 1e-9)
    ticks = [step * place for place in range(-count, count + 1)]
    labels = [signed(tick) if tick else "0" for tick in ticks]
    return Axis(-limit * 1.03, limit * 1.03, ticks, labels, line=0)
