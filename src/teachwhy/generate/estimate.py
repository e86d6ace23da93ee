"""What a corpus will take: the calls that its recipe plans, at the tokens that a preview measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import listed
from ..models import Price, is_api
from .flow import Planned
from .teacher import Usage


@dataclass(frozen=True)
class StageEstimate:
    """calls: planned. answers: here already. tokens_in, tokens_out: a call, with what it takes to ask again."""

    stage: str
    model: str
    calls: int
    answers: int
    tokens_in: float
    tokens_out: float

    @property
    def open(self) -> int:
        return max(0, self.calls - self.answers)

    def dollars(self, price: Price | None) -> float | None:
        return price.cost(self.open * self.tokens_in, self.open * self.tokens_out) if price else None


def estimated(
    plan: Sequence[Planned], used: Mapping[str, Usage], answers: Mapping[str, int], models: Mapping[str, str]
) -> list[StageEstimate]:
    """plan: calls of the whole. used: what the preview took, by stage. answers: how many are here, by stage.

    models: stage -> who is asked.
    """
    found = []
    for one in plan:
        usage = used.get(one.stage, Usage())
        if one.calls:
            read, wrote = (tokens / max(1, usage.questions) for tokens in (usage.tokens_in, usage.tokens_out))
            found.append(StageEstimate(one.stage, models[one.stage], one.calls, answers.get(one.stage, 0), read, wrote))
    return found


def estimate_lines(
    stages: Sequence[StageEstimate], prices: Mapping[str, Price | None], lessons: int, where: str, spent: float
) -> list[str]:
    """In words, a line for each stage."""
    lines = [
        f"{lessons:,} lessons where nothing is dropped",
        f"{'stage':16} {'calls':>8} {'open':>8} {'read':>12} {'written':>12}",
    ]
    for one in stages:
        read, written = one.open * one.tokens_in, one.open * one.tokens_out
        lines.append(f"{one.stage:16} {one.calls:8,} {one.open:8,} {read:12,.0f} {written:12,.0f}")
    lines.append("(tokens, for the open calls, from those that the preview measured)")
    costs = [one.dollars(prices[one.model]) for one in stages]
    unknown = sorted({one.model for one, cost in zip(stages, costs, strict=True) if cost is None})
    if unknown and not any(map(is_api, unknown)):
        lines.append(f"no dollars: {listed(unknown)} runs here")
    elif unknown:
        lines.append(
            f"no price of {listed(unknown)} in {where}, so no dollars: write one there for a price or a budget"
        )
    else:
        lines.append(
            f"about ${sum(cost or 0 for cost in costs):,.2f} at the prices in {where}; ${spent:,.2f} spent so far"
        )
    return lines
