"""Rows as tokens: segment by segment, so that twins share the tokens of what they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..data import Row
from ..errors import CheckError
from ..models import Chat


@dataclass(frozen=True)
class TokenRow:
    """ids: token ids of the row, shape (length,). train: whether the loss counts each of them, same shape."""

    example: str
    ids: tuple[int, ...]
    train: tuple[bool, ...]
    shared: int

    @property
    def trained(self) -> int:
        return sum(self.train)


def tokenize_rows(rows: Sequence[Row], chat: Chat, context: int, arm: str) -> list[TokenRow]:
    """Token rows in order. Errors (CheckError): a row with no trained token, or longer than the model's context."""
    return [tokenize_row(row, chat, context, arm) for row in rows]


def tokenize_row(row: Row, chat: Chat, context: int, arm: str) -> TokenRow:
    ids: list[int] = []
    train: list[bool] = []
    shared = 0
    shared_segments = row.shared()
    for segment in row.segments:
        tokens = chat.tokens(segment.text)
        ids += tokens
        train += [segment.train] * len(tokens)
        shared += len(tokens) if segment in shared_segments else 0
    if not any(train):
        raise CheckError(f"A row of the arm {arm!r} has no token to train on.", where=f"example {row.example!r}")
    if len(ids) > context:
        raise CheckError(
            f"A row of the arm {arm!r} has {len(ids)} tokens; the model's context holds {context}.",
            where=f"example {row.example!r}",
            remedy="Shorten the example; rows are never cut.",
        )
    return TokenRow(row.example, tuple(ids), tuple(train), shared)
