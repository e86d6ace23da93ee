"""Figures of two numbers at once: every arm in a plane of two shares, and scores that grow with size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .drawing import ACCENT, FAINT, INK, SOFT, WIDE, Canvas, Drawing
from .figures import SHARE_LABELS, SHARES

MARKS = (("o", "-"), ("s", "--"), ("^", "-."), ("D", ":"), ("v", "-"), ("x", "--"))  # of lines, by shape and dash
DIGIT = 7  # pixels of a digit of a label, about
LEFT, ABOVE, BELOW = 32, 26, 44  # room around a plane for the numbers and words of its axes, in pixels


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


@dataclass(frozen=True)
class Line:
    """One arm's scores at several sizes, each (size, score)."""

    label: str
    points: Sequence[tuple[float, float]]


def draw_plane(name: str, spots: Sequence[Spot], across: Side, up: Side, *, title: str) -> Drawing:
    """Every arm as a point between two shares, each named in a column beside the plane."""
    notes = "\u25cf every arm, all items together; \u2605 the corner where both are best."
    return Drawing(name, title, lambda width: plane_canvas(spots, across, up, width), notes)


def plane_canvas(spots: Sequence[Spot], across: Side, up: Side, page: int) -> Canvas:
    width, edge = (560, 360) if page == WIDE else (page, 196)

    def paint(figure: Any, top: int, height: int) -> None:
        bottom = top + ABOVE + edge
        axes = figure.add_axes((LEFT / width, 1 - bottom / height, edge / width, edge / height))
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.02)
        axes.patch.set_visible(False)
        for spine in axes.spines.values():
            spine.set_color(FAINT)
        axes.set_xticks(SHARES, SHARE_LABELS, fontsize=11)
        axes.set_yticks(SHARES, SHARE_LABELS, fontsize=11)
        axes.tick_params(color=FAINT, labelcolor=INK, length=4)
        name_axes(figure, across.title, up.title, LEFT / width, top, bottom, height)
        best = float(across.higher_is_better), float(up.higher_is_better)
        axes.plot(*best, marker="*", markersize=15, color=SOFT, linestyle="none", clip_on=False)
        write_spots(figure, axes, spots, (LEFT + edge + 14) / width, (top + ABOVE, bottom), width, height)

    return Canvas(width, ABOVE + edge + BELOW, paint)


def name_axes(figure: Any, across: str, up: str, left: float, top: int, bottom: int, height: int) -> None:
    """Words below the lower axis and above the left one, both to be read level."""
    figure.text(left, 1 - (bottom + 36) / height, f"{across} \N{RIGHTWARDS ARROW}", fontsize=11.5)
    figure.text(0, 1 - (top + 12) / height, f"\N{UPWARDS ARROW} {up}", fontsize=11.5)


def write_spots(
    figure: Any, axes: Any, spots: Sequence[Spot], column: float, room: tuple[int, int], width: int, height: int
) -> None:
    """The points, and their names in a column from which a thin line leads to each. room: pixels from the top."""
    ordered = sorted(spots, key=lambda spot: -spot.up)
    write_names(figure, axes, [(spot.label, (spot.across, spot.up)) for spot in ordered], column, room, width, height)
    for spot in ordered:
        axes.plot([spot.across], [spot.up], marker="o", markersize=7, markerfacecolor=ACCENT, markeredgecolor=INK)


def write_names(
    figure: Any,
    axes: Any,
    named: Sequence[tuple[str, tuple[float, float]]],
    column: float,
    room: tuple[int, int],
    width: int,
    height: int,
) -> None:
    """Names in a column, none over another, from which a thin line leads to the point of each; the highest first."""
    top, bottom = room
    low, high = axes.get_ylim()
    step = min(20.0, (bottom - top) / max(len(named), 1))
    wanted = [top + (high - up) / (high - low) * (bottom - top) for _, (_, up) in named]
    for (label, point), place in zip(named, spread(wanted, step, top + 6, bottom - 2), strict=True):
        axes.annotate(
            "",
            xy=point,
            xytext=(column, 1 - place / height),
            textcoords="figure fraction",
            arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 0.8},
            annotation_clip=False,
        )
        figure.text(column + 3 / width, 1 - (place + 4) / height, label, fontsize=min(11.5, step * 0.62))


def spread(wanted: Sequence[float], step: float, low: float, high: float) -> list[float]:
    """Places in their order, at least a step apart, pushed down where they are too near and up from the end."""
    places: list[float] = []
    for want in wanted:
        places.append(max(want, places[-1] + step if places else low))
    limit = high
    for index in reversed(range(len(places))):
        places[index] = min(places[index], limit)
        limit = places[index] - step
    return places


def draw_lines(
    name: str, lines: Sequence[Line], across: str, up: str, sizes: Sequence[float], *, title: str, even: bool = False
) -> Drawing:
    """Scores against size, each line named beside the axes and told apart by its mark.

    even: on a scale of even steps, which may begin at 0, over the whole range of a share; else a logarithmic one.
    """
    return Drawing(name, title, lambda width: lines_canvas(lines, across, up, sizes, width, even))


def lines_canvas(
    lines: Sequence[Line], across: str, up: str, sizes: Sequence[float], page: int, even: bool = False
) -> Canvas:
    width, left, body = min(page, 620), 40, 230
    right = min(width // 2, DIGIT * max(len(line.label) for line in lines) + 20)

    def paint(figure: Any, top: int, height: int) -> None:
        bottom = top + ABOVE + body
        axes = figure.add_axes((left / width, 1 - bottom / height, (width - left - right) / width, body / height))
        axes.set_xscale("linear" if even else "log")
        if even:  # so that small steps do not look large
            axes.set_ylim(-0.02, 1.02)
        axes.patch.set_visible(False)
        for side in ("right", "top"):
            axes.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axes.spines[side].set_color(FAINT)
        axes.set_xticks(sizes, tick_labels(sizes, width - left - right, even), fontsize=11)
        axes.set_xticks([], minor=True)
        axes.tick_params(color=FAINT, labelcolor=INK, labelsize=11)
        for place, line in enumerate(lines):
            marker, dash = MARKS[place % len(MARKS)]
            axes.plot(*zip(*line.points, strict=True), color=INK, marker=marker, markersize=7, linestyle=dash)
        axes.set_ylim(axes.get_ylim())
        ends = sorted(((line.label, line.points[-1]) for line in lines), key=lambda end: -end[1][1])
        write_names(figure, axes, ends, 1 - (right - 10) / width, (top + ABOVE, bottom), width, height)
        name_axes(figure, across, up, left / width, top, bottom, height)

    return Canvas(width, ABOVE + body + BELOW, paint)


def tick_labels(sizes: Sequence[float], width: int, even: bool = False) -> list[str]:
    """Sizes as labels on an axis of so many pixels; one that would run into the label before it is empty."""
    places = [size if even else math.log(size) for size in sizes]
    across = (places[-1] - places[0]) or 1.0
    labels, end = [], -math.inf
    for size, place in zip(sizes, places, strict=True):
        label = f"{size:,.0f}"
        middle, half = 0.9 * width * (place - places[0]) / across, DIGIT / 2 * len(label)
        fits = middle - half > end + DIGIT
        labels.append(label if fits else "")
        end = middle + half if fits else end
    return labels
