"""The figures of the page: shares as bars in rows, told apart by pattern, and how lengths lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...report.drawing import ACCENT, FAINT, INK, SOFT, WIDE, Canvas, Drawing
from .check import cut

# What fills the parts of a bar, by pattern, so that it is read without colour: (filled, hatch).
FILLS = ((True, ""), (False, ""), (False, "////"), (False, "...."), (False, "xxxx"))
SIGNS = ("■", "□", "▨", "▒", "▩")
ROW, TITLE, HISTOGRAM, TICKS = 42, 30, 84, 30  # pixels
LETTER = 7  # pixels of a letter, about
SHORTEST_LABEL = 8


@dataclass(frozen=True)
class Bar:
    """One row: its label, its numbers in words, and parts of the whole width, which is 1."""

    label: str
    text: str
    parts: Sequence[float]


@dataclass(frozen=True)
class Bars:
    title: str
    rows: Sequence[Bar]


@dataclass(frozen=True)
class Histogram:
    """counts: texts in steps of one width. low: where the first begins."""

    title: str
    text: str
    low: float
    step: float
    counts: Sequence[int]


def draw_bars(name: str, panels: Sequence[Bars], *, title: str) -> Drawing:
    """Rows of bars, panel beneath panel, all to one scale."""
    return Drawing(name, title, lambda width: bars_canvas(panels, width))


def bars_canvas(panels: Sequence[Bars], width: int) -> Canvas:
    heights = [(TITLE if panel.title else 0) + ROW * len(panel.rows) for panel in panels]

    def paint(figure: Any, top: int, height: int) -> None:
        for panel, of_panel in zip(panels, heights, strict=True):
            if panel.title:
                figure.text(0, 1 - (top + 20) / height, panel.title, fontsize=13, fontweight="bold")
            rows = top + of_panel - ROW * len(panel.rows)
            for number, row in enumerate(panel.rows):
                paint_bar(figure, row, rows + ROW * number, width, height)
            top += of_panel

    return Canvas(width, sum(heights) + 8, paint)


def paint_bar(figure: Any, row: Bar, top: int, width: int, height: int) -> None:
    """Label and numbers on one line, the bar beneath them over the whole width."""
    figure.text(
        0,
        1 - (top + 15) / height,
        cut(row.label, max(SHORTEST_LABEL, width // LETTER - len(row.text) - 2)),
        fontsize=12,
    )
    figure.text(1, 1 - (top + 15) / height, row.text, fontsize=12, ha="right")
    axes = figure.add_axes((0, 1 - (top + 34) / height, 1, 14 / height))
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.axis("off")
    axes.plot([0, 1], [0, 0], color=FAINT, linewidth=1, clip_on=False)
    left = 0.0
    for place, part in enumerate(row.parts):
        filled, hatch = FILLS[place % len(FILLS)]
        style = {"facecolor": ACCENT if filled else "none", "edgecolor": ACCENT, "hatch": hatch, "linewidth": 1.2}
        axes.barh(0.5, part, height=0.9, left=left, clip_on=False, **style)
        left += part


def draw_histograms(name: str, panels: Sequence[Histogram], *, title: str) -> Drawing:
    """How values lie, panel beneath panel, all over one range."""
    return Drawing(name, title, lambda width: histograms_canvas(panels, width))


def histograms_canvas(panels: Sequence[Histogram], page: int) -> Canvas:
    width = min(page, 520) if page == WIDE else page
    low = min(panel.low for panel in panels)
    high = max(panel.low + panel.step * len(panel.counts) for panel in panels)

    def paint(figure: Any, top: int, height: int) -> None:
        for panel in panels:
            figure.text(0, 1 - (top + 18) / height, panel.title, fontsize=12.5, fontweight="bold")
            figure.text(1, 1 - (top + 18) / height, panel.text, fontsize=11, color=SOFT, ha="right")
            bottom = top + HISTOGRAM - 22
            axes = figure.add_axes((12 / width, 1 - bottom / height, 1 - 24 / width, (bottom - top - 26) / height))
            axes.set_xlim(low, high)
            axes.patch.set_visible(False)
            axes.yaxis.set_visible(False)
            for side in ("left", "right", "top"):
                axes.spines[side].set_visible(False)
            axes.spines["bottom"].set_color(FAINT)
            axes.tick_params(axis="x", color=FAINT, labelcolor=INK, length=3, labelsize=10.5)
            axes.locator_params(axis="x", nbins=6)
            places = [panel.low + panel.step * number for number in range(len(panel.counts))]
            axes.bar(places, panel.counts, width=panel.step * 0.92, align="edge", color=ACCENT)
            top += HISTOGRAM

    return Canvas(width, HISTOGRAM * len(panels), paint)
