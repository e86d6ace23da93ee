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
    """calls: planned. answers: here already. tokens_in, tokens_out: a call, with what it takes to ask again.

    measured: whether the preview came to it; where not, its tokens are not known.
    """

    stage: str
    model: str
    calls: int
    answers: int
    tokens_in: float
    tokens_out: float
    measured: bool = True

    @property
    def open(self) -> int:
        return max(0, self.calls - self.answers)

    def dollars(self, price: Price | None) -> float | None:
        return price.cost(self.open * self.tokens_in, self.open * self.tokens_out) if price else None


def estimated(
    plan: Sequence[Planned],
    used: Mapping[str, Usage],
    met: Mapping[str, int],
    answers: Mapping[str, int],
    models: Mapping[str, str],
) -> list[StageEstimate]:
    """plan: calls of the whole, where every draft is asked about. used: what the preview took, by stage.

    met: drafts that came to a stage which asks about some of them alone. answers: how many are here, by stage.
    models: stage -> who is asked.
    """
    found = []
    for one in plan:
        usage = used.get(one.stage, Usage())
        if one.calls:
            read, wrote = (tokens / max(1, usage.questions) for tokens in (usage.tokens_in, usage.tokens_out))
            share = usage.questions / met[one.stage] if met.get(one.stage) and usage.questions else 1.0
            calls, here = round(share * one.calls), answers.get(one.stage, 0)
            found.append(StageEstimate(one.stage, models[one.stage], calls, here, read, wrote, usage.questions > 0))
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
        read, written = (f"{one.open * tokens:,.0f}" for tokens in (one.tokens_in, one.tokens_out))
        if not one.measured:
            read = written = "not measured"
        lines.append(f"{one.stage:16} {one.calls:8,} {one.open:8,} {read:>12} {written:>12}")
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
        how = "about" if all(one.measured for one in stages) else "at least"
        lines.append(
            f"{how} ${sum(cost or 0 for cost in costs):,.2f} at the prices in {where}; ${spent:,.2f} spent so far"
        )
    return lines
