"""Rows as tokens: segment by segment, so that twins share the tokens of what they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..data import SHARED_KINDS, Row, Segment
from ..errors import CheckError
from ..models import ChatFormat


@dataclass(frozen=True)
class TokenRow:
    """One row as tokens.

    ids: token ids, shape (length,). weights: how much the loss counts each of them, same shape; 0 for those that are
    not trained. shared: how many tokens every twin of this row has.
    """

    example: str
    ids: tuple[int, ...]
    weights: tuple[float, ...]
    shared: int

    def content(self) -> list[list[float]]:
        """What a stamp knows it by."""
        return [list(self.ids), list(self.weights)]

    @property
    def length(self) -> int:
        return len(self.ids)

    @property
    def trained(self) -> int:
        return sum(weight > 0 for weight in self.weights)


def tokenize_rows(
    rows: Sequence[Row], chat: ChatFormat, context: int, arm: str, action_share: float | None = None
) -> list[TokenRow]:
    """Token rows in order. Errors (CheckError): a row with no trained token, or longer than the model's context."""
    return [tokenize_row(row, chat, context, arm, action_share) for row in rows]


def tokenize_row(row: Row, chat: ChatFormat, context: int, arm: str, action_share: float | None) -> TokenRow:
    pieces = [(segment, chat.tokens(segment.text)) for segment in row.segments]
    ids = [token for _, tokens in pieces for token in tokens]
    weights = [
        weight
        for (_, tokens), weight_each in zip(pieces, segment_weights(pieces, action_share), strict=True)
        for weight in [weight_each] * len(tokens)
    ]
    # Counted in one piece, or rows with a woven action would be sorted into other updates than those of their twins.
    shared = sum(len(chat.tokens(segment.text)) for segment in row.shared())
    if not any(weights):
        raise CheckError(f"A row of the arm {arm!r} has no token to train on.", where=f"example {row.example!r}")
    if len(ids) > context:
        raise CheckError(
            f"A row of the arm {arm!r} has {len(ids)} tokens; the model's context holds {context}.",
            where=f"example {row.example!r}",
            remedy="Shorten the example; rows are never cut.",
        )
    return TokenRow(row.example, tuple(ids), tuple(weights), shared)


def segment_weights(pieces: Sequence[tuple[Segment, list[int]]], action_share: float | None) -> list[float]:
    """The weight of each token of each segment.

    Without a share every trained token weighs 1, so a long reason leaves the action little of the loss. With one, the
    trained tokens of action and turn end weigh `action_share` together and those beside them the rest; a row that has
    nothing beside its action gives the action all. Every row then weighs 1 in all arms.
    """
    if action_share is None:
        return [float(segment.train) for segment, _ in pieces]
    action = sum(len(tokens) for segment, tokens in pieces if segment.train and segment.kind in SHARED_KINDS)
    beside = sum(len(tokens) for segment, tokens in pieces if segment.train and segment.kind not in SHARED_KINDS)
    share = action_share if beside else 1.0
    return [
        0.0 if not segment.train else share / action if segment.kind in SHARED_KINDS else (1 - share) / beside
        for segment, _ in pieces
    ]
