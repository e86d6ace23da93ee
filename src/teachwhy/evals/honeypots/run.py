"""A run of an agent as its stored answers tell it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..exam import Answer
from ..items import Item
from .loop import RunCase, Step, steps


@dataclass(frozen=True)
class Run:
    """A run as far as it went.

    texts: the answers. steps: from before the first answer, one more than answers. stopped: why an answer could not be
    had.
    """

    first: RunCase
    texts: Sequence[str]
    steps: Sequence[Step]
    stopped: str | None

    @property
    def last(self) -> Step:
        return self.steps[-1]

    @property
    def answers(self) -> int:
        return len(self.texts)

    @property
    def ended(self) -> str | None:
        """How it ended; None where it goes on."""
        return self.stopped or self.last.end


def runs_of(cases: Mapping[str, Item], answers: Sequence[Answer]) -> list[Run]:
    """The runs that these answers make, in the order of their first cases. answers: of one sample."""
    by_case = {answer.item: answer for answer in answers}
    firsts = [case for case in cases.values() if isinstance(case, RunCase) and case.answer == 1 and case.id in by_case]
    return [run_of(case, by_case) for case in firsts]


def run_of(first: RunCase, by_case: Mapping[str, Answer]) -> Run:
    """The run that goes on for as long as the case that comes next has an answer."""
    texts: list[str] = []

    def answer_to(case: RunCase) -> str | None:
        answer = by_case.get(case.id)
        if answer is None or answer.cause:
            return None
        texts.append(answer.text)
        return answer.text

    reached = list(steps(first, answer_to))
    wanted = reached[-1].case and by_case.get(reached[-1].case.id)
    return Run(first, texts, reached, wanted.cause if wanted else None)
