"""How a figure is drawn: by matplotlib, on the page in its own colours, wide and narrow, or as a file of its own."""

from __future__ import annotations

import contextlib
import io
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

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


def matplotlib_found() -> bool:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


@dataclass(frozen=True)
class Canvas:
    """What is drawn, in pixels. paint: draws it into a figure; given the room above it and the figure's height."""

    width: int
    height: int
    paint: Callable[[Any, int, int], None]


@dataclass(frozen=True)
class Drawing:
    """A figure. name: unique on the page, a word. title: what it shows, for those who see it without the page.

    canvas: what is drawn on a page of a width, WIDE or NARROW. notes: what its marks mean.
    """

    name: str
    title: str
    canvas: Callable[[int], Canvas]
    notes: str = ""

    @cached_property
    def wide(self) -> str:
        """One `<svg>` element for wide screens."""
        return svg(f"{self.name}-wide", self.canvas(WIDE))

    @cached_property
    def narrow(self) -> str:
        """The same for narrow ones."""
        return svg(f"{self.name}-narrow", self.canvas(NARROW))

    def file(self, format: str) -> bytes:
        """The figure as a file of its own, `svg` or `png`: on white, with its title, and what its marks mean."""
        canvas = self.canvas(WIDE)
        notes = textwrap.wrap(self.notes, CHARACTERS_A_LINE)
        title = textwrap.wrap(self.title, CHARACTERS_A_LINE * 3 // 4)
        head, foot = 12 + 20 * len(title), 10 + PIXELS_A_LINE * len(notes)
        target = io.BytesIO()
        with style(self.name, PAPER):
            figure, height = plot(canvas, head, foot)
            figure.patch.set(visible=True, facecolor="white")
            for number, line in enumerate(title):
                figure.text(0, 1 - (14 + 20 * number) / height, line, fontsize=14.5, fontweight="bold")
            for number, line in enumerate(notes):
                above = foot - 14 - PIXELS_A_LINE * number
                figure.text(0, above / height, line, fontsize=11, color=SOFT)
            # A margin around the whole, in inches; the figure is a pixel a point.
            options: dict[str, Any] = {"bbox_inches": full_size(canvas.width, height), "dpi": 72 * PNG_SCALE}
            metadata = {"svg": {"Title": self.title, "Date": None, "Creator": None}, "png": {"Software": None}}[format]
            figure.savefig(target, format=format, metadata=metadata, **options)
        return target.getvalue()


@contextlib.contextmanager
def style(name: str, colours: Sequence[str]) -> Iterator[None]:
    """Settings of matplotlib under which the same figure gives the same bytes, whatever the user's own are."""
    import matplotlib
    from cycler import cycler

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {"svg.fonttype": "none", "svg.hashsalt": name, "text.parse_math": False, "font.size": 12}
        )
        matplotlib.rcParams["axes.prop_cycle"] = cycler(color=colours)
        matplotlib.rcParams["text.color"] = INK
        yield


def svg(name: str, canvas: Canvas) -> str:
    target = io.StringIO()
    with style(name, tuple(COLOURS)), warnings.catch_warnings():
        # The page's own fonts write the words: what matplotlib's lacks is no loss.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure, height = plot(canvas)
        figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return for_page(target.getvalue(), name, canvas.width, height)


def plot(canvas: Canvas, head: int = 0, foot: int = 0) -> tuple[Any, int]:
    """The painted figure, and its whole height in pixels. head, foot: room left free, in pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height = canvas.height + head + foot
    figure = Figure(figsize=(canvas.width / 72, height / 72), dpi=72)
    FigureCanvasAgg(figure)
    figure.patch.set_visible(False)
    canvas.paint(figure, head, height)
    return figure, height


def full_size(width: float, height: float) -> Any:
    """The whole figure and a margin around it, in inches."""
    from matplotlib.transforms import Bbox

    return Bbox([[-MARGIN / 72, -MARGIN / 72], [(width + MARGIN) / 72, (height + MARGIN) / 72]])


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
