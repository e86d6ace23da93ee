"""Pairs of responses as tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..data import Example, Pair
from ..errors import CheckError
from ..models import ChatFormat


@dataclass(frozen=True)
class PairRow:
    """One pair as tokens; `example` is the id of the pair it was made from.

    prompt, chosen, rejected: token ids, each of shape (its length,). Both responses end with the end of a turn.
    """

    example: str
    prompt: tuple[int, ...]
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]

    def content(self) -> list[list[int]]:
        """What a stamp knows it by."""
        return [list(self.prompt), list(self.chosen), list(self.rejected)]

    @property
    def shared(self) -> int:
        """Tokens of the longer of its two conversations: what the pairs of one update are sorted by."""
        return len(self.prompt) + max(len(self.chosen), len(self.rejected))

    @property
    def length(self) -> int:
        """Tokens of both conversations; each is run through the network."""
        return 2 * len(self.prompt) + self.trained

    @property
    def trained(self) -> int:
        return len(self.chosen) + len(self.rejected)


def tokenize_pairs(
    pairs: Sequence[Pair], prompt: Callable[[Example], str], chat: ChatFormat, context: int
) -> list[PairRow]:
    """Pair rows in order. prompt: renders a conversation to text. context: tokens that the model holds; 0: not known.

    Errors (CheckError): a pair of which one side is longer than the model's context.
    """
    rows = [tokenize_pair(pair, prompt, chat) for pair in pairs]
    for row in rows:
        if context and row.shared > context:
            raise CheckError(
                f"A pair has {row.shared} tokens on its longer side; the model's context holds {context}.",
                where=f"pair {row.example!r}",
                remedy="Shorten the pair; rows are never cut.",
            )
    return rows


def tokenize_pair(pair: Pair, prompt: Callable[[Example], str], chat: ChatFormat) -> PairRow:
    """Prompt, response and turn end are tokenised apart, as they are for rows of examples."""
    end = chat.tokens(chat.end)
    chosen, rejected = ((*chat.tokens(text), *end) for text in (pair.chosen, pair.rejected))
    return PairRow(pair.id, tuple(chat.tokens(prompt(pair.as_example()))), chosen, rejected)
