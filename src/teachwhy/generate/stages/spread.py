"""The kind `spread`: one draft becomes several, from a list that the teacher writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from ..draft import Draft, shared_out
from ..reading import LIST, Form
from ..teacher import Question
from .stage import AskingStage, Work, chunks, stage_kind

REST: Literal["rest"] = "rest"


@stage_kind
class Spread(AskingStage):
    """One draft becomes several: the teacher writes a list, and each entry is a draft of its own."""

    kind: Literal["spread"] = "spread"
    gives: list[str] = Field(min_length=1, description="The fields of each entry.")
    count: PositiveInt | Literal["rest"] = Field(
        REST, description="How many; rest: as many as lessons are still wanted."
    )
    at_least: int = Field(1, gt=0, description="Lessons that are to come of an entry, where so many are wanted.")
    per_call: int = Field(5, gt=0, description="Entries that are asked for at once, where `count` is rest.")
    words: dict[str, tuple[int, int]] = Field(
        default_factory=dict,
        description="Field -> fewest and most words, for a model that is held to them.",
    )
    temperature: float = Field(1.0, ge=0, le=2)
    max_tokens: int = Field(1200, gt=0)

    @model_validator(mode="after")
    def bound_what_it_gives(self) -> Spread:
        for name, (fewest, most) in self.words.items():
            if name not in self.gives:
                raise ValueError(f"`words` names {name!r}, which is not under `gives`")
            if not 1 <= fewest <= most:
                raise ValueError(f"`words` of {name!r} must be two numbers above 0, the fewest and the most")
        return self

    def given(self) -> set[str]:
        return set(self.gives)

    def planned(self, quotas: Sequence[int]) -> tuple[int, list[int]]:
        parts = list(map(self.parts, quotas))
        shares = [share for quota, part in zip(quotas, parts, strict=True) for share in shared_out(quota, part)]
        return sum(map(self.calls, quotas)), shares

    def parts(self, quota: int) -> int:
        """How many entries are made drafts."""
        enough = -(-quota // self.at_least)
        return enough if self.count == REST else min(int(self.count), enough)

    def calls(self, quota: int) -> int:
        return -(-self.parts(quota) // self.per_call) if self.count == REST else 1

    def form(self) -> Form:
        entries = self.per_call if self.count == REST else int(self.count)
        return Form({"all": LIST}, tuple(self.gives), entries, self.words)

    def question(self, draft: Draft, number: int, work: Work) -> Question:
        """The question for one part of a draft's list; parts are told apart by their number.

        What is asked does not hang on how many lessons are wanted, so that more of them find the first ones bought.
        """
        part = f"This is part {number + 1} of a longer list; let it share nothing with the other parts."
        messages = self.messages(draft, work.policy, self.form(), part if self.count == REST else "")
        return Question(draft.id, messages, self.form(), sample=number)

    def through(self, drafts: Sequence[Draft], work: Work) -> Iterable[Draft]:
        """A child keeps its number in the whole list, whatever became of other parts of it."""
        for owners in chunks((draft, number) for draft in drafts for number in range(self.calls(draft.quota))):
            reads = self.ask([self.question(draft, number, work) for draft, number in owners], work)
            for (draft, number), read in zip(owners, reads, strict=True):
                shares = shared_out(draft.quota, self.parts(draft.quota))
                start = number * self.form().count
                mine = shares[start : start + self.form().count]
                if read.values is None:
                    work.drop(replace(draft, quota=sum(mine)), self.name, read.cause or "", read.detail)
                else:
                    yield from draft.children(self.name, read.values["all"][: len(mine)], mine, start + 1)
