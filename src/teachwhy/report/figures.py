"""The figures of the page: rows of points and intervals, planes and lines, as SVG that follows the page's colours."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .wording import signed

WIDE, NARROW = 720, 328  # pixels; the page shows the one that fits, so that text is never scaled down
INK, ACCENT, FAINT, SOFT = "#000001", "#000002", "#000003", "#000004"
SHARES, SHARE_LABELS = (0, 0.25, 0.5, 0.75, 1), ("0", ".25", ".50", ".75", "1")
MARKS = (("o", "-"), ("s", "--"), ("^", "-."), ("D", ":"), ("v", "-"), ("x", "--"))  # of lines, by shape and dash
COLOURS = {INK: "currentColor", ACCENT: "var(--accent)", FAINT: "var(--faint)", SOFT: "var(--soft)"}


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


def draw(name: str, panels: Sequence[Panel], axis: Axis) -> dict[str, str]:
    """The figure for wide and narrow screens, each one `<svg>` element. name: unique on the page, a word."""
    detailed = any(row.detail for panel in panels for row in panel.rows)
    wide = Layout(WIDE, left=196, right=128, row=38 if detailed else 32, strip=0)
    narrow = Layout(NARROW, left=16, right=16, row=72 if detailed else 58, strip=36 if detailed else 22)
    return {
        "wide": svg(f"{name}-wide", panels, axis, wide),
        "narrow": svg(f"{name}-narrow", panels, axis, narrow),
    }


def svg(name: str, panels: Sequence[Panel], axis: Axis, layout: Layout) -> str:
    title, foot = 30, 34
    heights = [(title if panel.title else 8) + layout.row * len(panel.rows) + foot for panel in panels]
    height = sum(heights)

    def drawing(figure: Any) -> None:
        top = 0
        for panel, panel_height in zip(panels, heights, strict=True):
            body = top + (title if panel.title else 8)
            if panel.title:
                figure.text(0, 1 - (top + 18) / height, panel.title, fontsize=13, fontweight="bold", va="baseline")
            draw_panel(figure, panel, axis, layout, body, height)
            top += panel_height

    return finished(name, layout.width, height, drawing)


def finished(name: str, width: int, height: int, drawing: Callable[[Any], None]) -> str:
    """What `drawing` draws on an empty figure of so many pixels, as an `<svg>` element for the page."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # the user's own style must not change the bytes
        matplotlib.rcParams.update(
            {"svg.fonttype": "none", "svg.hashsalt": name, "text.parse_math": False, "font.size": 12, "text.color": INK}
        )
        figure = Figure(figsize=(width / 72, height / 72), dpi=72)
        FigureCanvasSVG(figure)
        figure.patch.set_visible(False)
        drawing(figure)
        target = io.StringIO()
        figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return for_page(target.getvalue(), name, width, height)


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


@dataclass(frozen=True)
class Spot:
    """One arm in a plane of two shares."""

    label: str
    across: float
    up: float


@dataclass(frozen=True)
class Side:
    """One axis of a plane: its words, and whether more is better."""

    title: str
    higher_is_better: bool


def draw_plane(name: str, spots: Sequence[Spot], across: Side, up: Side) -> dict[str, str]:
    """Every arm as a point between two shares, each named in a column beside the plane; for wide and narrow screens."""
    return {
        size: plane(f"{name}-{size}", spots, across, up, width, edge)
        for size, width, edge in (("wide", 560, 360), ("narrow", NARROW, 196))
    }


def plane(name: str, spots: Sequence[Spot], across: Side, up: Side, width: int, edge: int) -> str:
    """edge: of the square plane, in pixels."""
    left, top, foot = 32, 26, 44
    height = top + edge + foot

    def drawing(figure: Any) -> None:
        axes = figure.add_axes((left / width, foot / height, edge / width, edge / height))
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.02)
        axes.patch.set_visible(False)
        for spine in axes.spines.values():
            spine.set_color(FAINT)
        axes.set_xticks(SHARES, SHARE_LABELS, fontsize=11)
        axes.set_yticks(SHARES, SHARE_LABELS, fontsize=11)
        axes.tick_params(color=FAINT, labelcolor=INK, length=4)
        figure.text(left / width, 8 / height, f"{across.title} →", fontsize=11.5)
        figure.text(0, 1 - 12 / height, f"↑ {up.title}", fontsize=11.5)
        corner = float(across.higher_is_better), float(up.higher_is_better)
        axes.plot(*corner, marker="*", markersize=15, color=SOFT, linestyle="none", clip_on=False)
        write_spots(figure, axes, spots, left + edge + 14, width, top, height - foot, height)

    return finished(name, width, height, drawing)


def write_spots(
    figure: Any, axes: Any, spots: Sequence[Spot], column: int, width: int, top: int, bottom: int, height: int
) -> None:
    """The points, and their names in a column from which a thin line leads to each."""
    ordered = sorted(spots, key=lambda spot: -spot.up)
    step = min(20.0, (bottom - top) / max(len(ordered), 1))
    wanted = [top + (1.02 - spot.up) / 1.04 * (bottom - top) for spot in ordered]
    for spot, place in zip(ordered, spread(wanted, step, top + 6, bottom - 2), strict=True):
        axes.annotate(
            "",
            xy=(spot.across, spot.up),
            xytext=(column / width, 1 - place / height),
            textcoords="figure fraction",
            arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 0.8},
            annotation_clip=False,
        )
        axes.plot([spot.across], [spot.up], marker="o", markersize=7, markerfacecolor=ACCENT, markeredgecolor=INK)
        figure.text((column + 3) / width, 1 - (place + 4) / height, spot.label, fontsize=min(11.5, step * 0.62))


def spread(wanted: Sequence[float], step: float, low: float, high: float) -> list[float]:
    """Places in their order, at least a step apart, each as near to where it is wanted as that allows."""
    places: list[float] = []
    for want in wanted:
        places.append(max(want, low if not places else places[-1] + step))
    over = max(0.0, (places[-1] if places else high) - high)
    for index in range(len(places) - 1, -1, -1):
        after = places[index + 1] - step if index + 1 < len(places) else high
        places[index] = min(places[index], after) if over else places[index]
    return places


@dataclass(frozen=True)
class Line:
    """One arm's scores at several sizes, each (size, score)."""

    label: str
    points: Sequence[tuple[float, float]]


def draw_lines(name: str, lines: Sequence[Line], across: str, up: str, sizes: Sequence[float]) -> dict[str, str]:
    """Scores against size on a logarithmic scale, each line named at its end and told apart by its mark."""
    return {
        size: lines_figure(f"{name}-{size}", lines, across, up, sizes, width)
        for size, width in (("wide", 620), ("narrow", NARROW))
    }


def lines_figure(name: str, lines: Sequence[Line], across: str, up: str, sizes: Sequence[float], width: int) -> str:
    left, right, top, foot, body = 40, 112, 26, 44, 230
    height = top + body + foot

    def drawing(figure: Any) -> None:
        axes = figure.add_axes((left / width, foot / height, (width - left - right) / width, body / height))
        axes.set_xscale("log")
        axes.patch.set_visible(False)
        for side in ("right", "top"):
            axes.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axes.spines[side].set_color(FAINT)
        axes.set_xticks(sizes, [f"{size:,.0f}" for size in sizes], fontsize=11)
        axes.set_xticks([], minor=True)
        axes.tick_params(color=FAINT, labelcolor=INK, labelsize=11)
        for place, line in enumerate(lines):
            marker, dash = MARKS[place % len(MARKS)]
            axes.plot(*zip(*line.points, strict=True), color=INK, marker=marker, markersize=7, linestyle=dash)
            axes.annotate(line.label, line.points[-1], xytext=(9, -4), textcoords="offset points", fontsize=11.5)
        figure.text(left / width, 8 / height, f"{across} →", fontsize=11.5)
        figure.text(0, 1 - 12 / height, f"↑ {up}", fontsize=11.5)

    return finished(name, width, height, drawing)


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
