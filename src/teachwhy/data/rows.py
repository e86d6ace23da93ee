"""Rows: what a model is trained on, as an ordered list of segments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from .example import Example
from .woven import weave

SHARED_KINDS = ("prompt", "action", "end")


@dataclass(frozen=True)
class Segment:
    """A stretch of a row. kind: prompt, action, end, or what stands beside the action (reason, mention, ...).

    train: whether the loss counts its tokens.
    """

    kind: str
    text: str
    train: bool


@dataclass(frozen=True)
class Row:
    """One training row; `example` is the id of the example it was made from."""

    example: str
    segments: tuple[Segment, ...]

    @property
    def text(self) -> str:
        return "".join(segment.text for segment in self.segments)

    def shared(self) -> tuple[Segment, ...]:
        """The segments that every twin of this row has to the letter; an action in parts is one segment again."""
        kept = groupby(
            (segment for segment in self.segments if segment.kind in SHARED_KINDS),
            key=lambda segment: (segment.kind, segment.train),
        )
        return tuple(Segment(kind, "".join(part.text for part in parts), train) for (kind, train), parts in kept)

    def beside(self) -> str:
        """What stands beside the action, or between its sentences; empty for `what`."""
        return "".join(segment.text for segment in self.segments if segment.kind not in SHARED_KINDS)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Writing:
    """How a row is written down.

    prompt: renders an example's conversation to text, with the model's own chat template.
    place: "first" writes the reason before the action, "last" after it, "woven" between its sentences.
    reason_marker, action_marker: the words that open each part; woven, a reason has none. end: the text that ends a
    turn.
    reason_names_fact: the examples' reasons name the deciding fact themselves, so `why` is the reason alone.
    seed: of the derangement in `shuffled`.
    """

    prompt: Callable[[Example], str]
    end: str
    place: str = "first"
    reason_marker: str = "Reason:"
    action_marker: str = "Action:"
    reason_names_fact: bool = False
    seed: int = 0

    def row(self, example: Example, kind: str = "", beside: str | None = None, *, train: bool = True) -> Row:
        """The row of an example with `beside` (of the given kind) next to its action, or the action alone.

        train: whether `beside` is trained; the action always is.
        """
        prompt = Segment("prompt", self.prompt(example), False)
        opening = f"{self.action_marker} ".lstrip()
        said = example.action if opening else example.action.lstrip()
        action = Segment("action", opening + said, True)
        end = Segment("end", self.end, True)
        if beside is None:
            return Row(example.id, (prompt, action, end))
        if self.place == "woven":
            first, *others = weave(said, beside)
            parts = [
                Segment("action", text, True) if own else Segment(kind, text, train)
                for own, text in ((True, opening + first[1]), *others)
            ]
            return Row(example.id, (prompt, *parts, end))
        text = f"{self.reason_marker} {beside}".lstrip()
        if self.place == "first":
            return Row(example.id, (prompt, Segment(kind, text + "\n", train), action, end))
        return Row(example.id, (prompt, action, Segment(kind, "\n" + text, train), end))
