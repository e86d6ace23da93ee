"""Tasks: prompts that a model answers while it is trained, and what its answers are rewarded by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

LOWEST = 0.0


@dataclass(frozen=True)
class TaskRow:
    """One prompt as tokens. What an answer to it is worth is for the reward to know.

    name: of the task. ids: token ids up to where the answer begins, shape (length,).
    """

    name: str
    ids: tuple[int, ...]

    def content(self) -> list[Any]:
        """What a stamp knows it by."""
        return [self.name, list(self.ids)]

    @property
    def shared(self) -> int:
        return len(self.ids)

    @property
    def length(self) -> int:
        return len(self.ids)

    @property
    def trained(self) -> int:
        """None of its own tokens; those of the answers, which nobody knows beforehand."""
        return 0


# Answers as text, each to the row beside it -> a reward from LOWEST to 1 each; None for one that cannot be read.
Reward = Callable[[Sequence[Any], Sequence[str]], Sequence[float | None]]
