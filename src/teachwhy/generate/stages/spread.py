"""The kind `spread`: one draft becomes several, from a list that the teacher writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import Field

from ..draft import Draft, shared_out
from ..reading import LIST, Form
from ..teacher import Question
from .stage import Asking, Work, asked_together, stage_kind

REST: Literal["rest"] = "rest"


@stage_kind
class Spread(Asking):
    """One draft becomes several: the teacher writes a list, and each entry is a draft of its own."""

    kind: Literal["spread"] = "spread"
    gives: list[str] = Field(min_length=1, description="The fields of each entry.")
    count: int | Literal["rest"] = Field(REST, description="How many; rest: as many as lessons are still wanted.")
    at_least: int = Field(1, gt=0, description="Lessons that are to come of an entry, where so many are wanted.")
    per_call: int = Field(5, gt=0, description="Entries that are asked for at once, where `count` is rest.")
    temperature: float = Field(1.0, ge=0, le=2)
    max_tokens: int = Field(1200, gt=0)

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
        return Form({"all": LIST}, tuple(self.gives), self.per_call if self.count == REST else int(self.count))

    def questions(self, draft: Draft, work: Work) -> list[Question]:
        """One question a call; from the second on it says which part of the list it is, and differs from the others.

        What is asked does not hang on how many lessons are wanted, so that more of them find the first ones bought.
        """
        found = []
        for number in range(self.calls(draft.quota)):
            part = f"This is part {number + 1} of a longer list; let it share nothing with the other parts."
            messages = self.messages(draft, work.policy, self.form(), part if self.count == REST else "")
            found.append(Question(draft.id, messages, self.form(), sample=number))
        return found

    def through(self, drafts: Sequence[Draft], work: Work) -> Iterable[Draft]:
        owners = [draft for draft in drafts for _ in range(self.calls(draft.quota))]
        reads = self.ask([question for draft in drafts for question in self.questions(draft, work)], work)
        entries: dict[str, list[dict[str, str]]] = {draft.id: [] for draft in drafts}
        for draft, read in asked_together(owners, reads, self.name, work.drop):
            entries[draft.id] += read.values["all"] if read.values else []
        for draft in drafts:
            yield from draft.children(self.name, entries[draft.id][: self.parts(draft.quota)])
