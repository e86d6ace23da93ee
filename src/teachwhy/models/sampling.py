"""How the next token of every row of a batch is chosen: the likeliest, or drawn by seeded numbers."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

# Logits (rows, vocabulary), which rows of the batch they are (rows,) and the step from 0 -> the next tokens (rows,).
Choose = Callable[[Any, Any, int], Any]


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn where they are not the likeliest.

    temperature: what logits are divided by, above 0. seeds: one a prompt. A prompt with its seed gives the same text
    in whatever batch, as far as its logits are the same there.
    """

    temperature: float
    seeds: Sequence[int]

    def draws(self, index: int, count: int) -> list[float]:
        """The numbers in [0, 1) that decide the tokens of one prompt, in order."""
        rng = random.Random(self.seeds[index])
        return [rng.random() for _ in range(count)]


def chooser(sampling: Sampling | None, batch: Sequence[int], steps: int) -> Choose:
    """How the next token of every row of a batch is chosen. batch: which prompts its rows are."""
    if sampling is None:
        return lambda logits, rows, step: logits.max(-1).indices
    import torch

    draws = torch.tensor([sampling.draws(index, steps) for index in batch], dtype=torch.float64)
    return lambda logits, rows, step: drawn(logits, sampling.temperature, draws[rows.cpu(), step])


def drawn(logits: Any, temperature: float, draws: Any) -> Any:
    """Where a number in [0, 1) falls among the tokens laid side by side, each as wide as it is likely.

    logits: shape (rows, vocabulary). draws: shape (rows,). In float64, which not every device has, so on the CPU.
    """
    import torch

    ends = (logits.cpu().double() / temperature).softmax(-1).cumsum(-1)
    places = torch.searchsorted(ends, draws[:, None] * ends[:, -1:], right=True)[:, 0]
    return places.clamp(max=ends.shape[1] - 1).to(logits.device)
