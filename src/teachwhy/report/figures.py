"""The figures of the page: rows of points and intervals, drawn by matplotlib, for the page itself or as files."""

from __future__ import annotations

import contextlib
import io
import math
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .wording import level_text, signed

WIDE, NARROW = 720, 328  # pixels; the page shows the one that fits, so that text is never scaled down
INK, ACCENT, FAINT, SOFT = "C0", "C1", "C2", "C3"  # places in the colours that are in force, see `style`
COLOURS = {
    "#000001": "currentColor",
    "#000002": "var(--accent)",
    "#000003": "var(--faint)",
    "#000004": "var(--soft)",
}  # what is drawn -> what stands on the page for it, in the order of the places
PAPER = ("#1d1d1b", "#1f5a8c", "#6f6d68", "#5a5955")  # the same places in a file, on white
MARGIN = 24
PIXELS_A_LINE = 17
CHARACTERS_A_LINE = 112
PNG_SCALE = 3


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


def matplotlib_found() -> bool:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


@dataclass(frozen=True)
class Drawing:
    """A figure. name: unique on the page, a word. title: what it shows, for those who see it without the page."""

    name: str
    title: str
    panels: Sequence[Panel]
    axis: Axis
    level: float | None = None

    @cached_property
    def wide(self) -> str:
        """One `<svg>` element for wide screens."""
        return svg(f"{self.name}-wide", self.panels, self.axis, layout_of(self.panels, WIDE))

    @cached_property
    def narrow(self) -> str:
        """The same for narrow ones."""
        return svg(f"{self.name}-narrow", self.panels, self.axis, layout_of(self.panels, NARROW))

    def file(self, format: str) -> bytes:
        """The figure as a file of its own, `svg` or `png`: on white, with its title, and what its marks mean."""
        layout = layout_of(self.panels, WIDE)
        notes = textwrap.wrap(marks_in_words(self.panels, self.axis, self.level), CHARACTERS_A_LINE)
        title = textwrap.wrap(self.title, CHARACTERS_A_LINE * 3 // 4)
        head, foot = 12 + 20 * len(title), 10 + PIXELS_A_LINE * len(notes)
        target = io.BytesIO()
        with style(self.name, PAPER):
            figure, height = plot(self.panels, self.axis, layout, head, foot)
            figure.patch.set(visible=True, facecolor="white")
            for number, line in enumerate(title):
                figure.text(0, 1 - (14 + 20 * number) / height, line, fontsize=14.5, fontweight="bold")
            for number, line in enumerate(notes):
                above = foot - 14 - PIXELS_A_LINE * number
                figure.text(0, above / height, line, fontsize=11, color=SOFT)
            # A margin around the whole, in inches; the figure is a pixel a point.
            options: dict[str, Any] = {"bbox_inches": full_size(layout.width, height), "dpi": 72 * PNG_SCALE}
            metadata = {"svg": {"Title": self.title, "Date": None, "Creator": None}, "png": {"Software": None}}[format]
            figure.savefig(target, format=format, metadata=metadata, **options)
        return target.getvalue()


def draw(name: str, panels: Sequence[Panel], axis: Axis, *, title: str = "", level: float | None = None) -> Drawing:
    """A figure of rows. level: of the intervals."""
    return Drawing(name, title or name.replace("-", " "), panels, axis, level)


def layout_of(panels: Sequence[Panel], width: int) -> Layout:
    detailed = any(row.detail for panel in panels for row in panel.rows)
    if width == WIDE:
        return Layout(WIDE, left=196, right=128, row=38 if detailed else 32, strip=0)
    return Layout(NARROW, left=16, right=16, row=72 if detailed else 58, strip=36 if detailed else 22)


@contextlib.contextmanager
def style(name: str, colours: Sequence[str]) -> Iterator[None]:
    """Settings of matplotlib under which the same figure gives the same bytes, whatever the user's own are."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                "svg.fonttype": "none",
                "svg.hashsalt": name,
                "text.parse_math": False,
                "font.size": 12,
                "text.color": INK,
                "axes.prop_cycle": f"cycler(color={list(colours)})",
            }
        )
        yield


def svg(name: str, panels: Sequence[Panel], axis: Axis, layout: Layout) -> str:
    target = io.StringIO()
    with style(name, tuple(COLOURS)):
        figure, height = plot(panels, axis, layout)
        figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return for_page(target.getvalue(), name, layout.width, height)


def plot(panels: Sequence[Panel], axis: Axis, layout: Layout, head: int = 0, foot: int = 0) -> tuple[Any, float]:
    """The panels beneath each other, and the height of the whole in pixels. head, foot: room left free, in pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    title, ticks = 30, 34
    heights = [(title if panel.title else 8) + layout.row * len(panel.rows) + ticks for panel in panels]
    height = sum(heights) + head + foot
    figure = Figure(figsize=(layout.width / 72, height / 72), dpi=72)
    FigureCanvasAgg(figure)
    figure.patch.set_visible(False)
    top = head
    for panel, panel_height in zip(panels, heights, strict=True):
        body = top + (title if panel.title else 8)
        if panel.title:
            figure.text(0, 1 - (top + 18) / height, panel.title, fontsize=13, fontweight="bold", va="baseline")
        draw_panel(figure, panel, axis, layout, body, height)
        top += panel_height
    return figure, height


def full_size(width: float, height: float) -> Any:
    """The whole figure and a margin around it, in inches."""
    from matplotlib.transforms import Bbox

    return Bbox([[-MARGIN / 72, -MARGIN / 72], [(width + MARGIN) / 72, (height + MARGIN) / 72]])


def marks_in_words(panels: Sequence[Panel], axis: Axis, level: float | None) -> str:
    """What the marks of a figure mean, as far as they stand in it."""
    rows = [row for panel in panels for row in panel.rows]
    of_level = f"{level_text(level)} " if level else ""
    found = {
        f"■ estimate with its {of_level}interval": any(row.low is not None for row in rows),
        "◇ estimate without an interval": any(
            row.low is None and row.value is not None and not row.mark for row in rows
        ),
        "○ each seed": any(row.seeds for row in rows),
        "| each family": any(row.families for row in rows),
        "■ at or above the dashed line": any(row.mark == "square" for row in rows),
        "✕ below it": any(row.mark == "cross" for row in rows),
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
    number = top + 16 if layout.narrow else top + layout.row * (0.34 if row.families else 0.42) + 4
    write(layout.width, number, row.text, "right", fontsize=12)


def for_page(source: str, name: str, width: int, height: float) -> str:
    """A matplotlib SVG made fit to stand inside a page: own ids, the page's font and colours, nothing from outside."""
    body = re.sub(r"<(metadata|style)\b.*?</\1>", "", source[source.index("<svg") :], flags=re.DOTALL)
    body = re.sub(r"<svg\b[^>]*>", "", body, count=1)
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'xlink:href="#', f'href="#{name}-', body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    body = re.sub(r"font-family: [^;\"]*;? ?", "", body)
    for colour, value in COLOURS.items():
        body = body.replace(colour, value)
    # Two SVGs stand for one figure and the page shows one of them; the figure around them carries the words.
    opening = f'<svg viewBox="0 0 {width} {height:g}" style="max-width: {width}px" aria-hidden="true">'
    return opening + re.sub(r"\n\s*", "\n", body).strip()


def rate_axis(line: float | None = None) -> Axis:
    """From 0 to 1, the scale of a share."""
    return Axis(-0.02, 1.02, (0, 0.25, 0.5, 0.75, 1), ("0", ".25", ".50", ".75", "1"), line)


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
