"""The kind `sides`: one model answers a conversation twice, once with the policy before it and once without."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from ...policy import Policy
from ...text import words
from ..draft import Draft
from ..filling import fill
from ..reading import Fits
from ..teacher import Messages, Question
from .stage import CONVERSATION, AskingStage, Work, asked_together, known, stage_kind
from .write import bounds_around

HELD, FREE, WRITTEN_BY = "held", "free", "written_by"


@stage_kind
class Sides(AskingStage):
    """The teacher answers the conversation under each of two system prompts, the second time at the first's length."""

    kind: Literal["sides"] = "sides"
    prompt: str = ""  # the conversation itself is what is asked
    held: str = Field(description="The system prompt of the field `held`, with `{{policy}}` in it.")
    free: str = Field(description="The system prompt of the field `free`, without it.")
    words: tuple[int, int] = Field((40, 120), description="Fewest and most words of the first answer.")
    within: float = Field(0.15, gt=0, lt=1, description="How far the second may be off its length, as a share.")
    temperature: float = Field(1.0, ge=0, le=2)
    max_tokens: int = Field(500, gt=0)
    fields_of_prompt: ClassVar[tuple[str, ...]] = ("held", "free")

    def needs(self) -> set[str]:
        return super().needs() | {CONVERSATION}

    def given(self) -> set[str]:
        return {HELD, FREE, WRITTEN_BY}

    def planned(self, quotas: Sequence[int]) -> tuple[int, list[int]]:
        return 2 * len(quotas), list(quotas)

    def through(self, drafts: Sequence[Draft], work: Work) -> Iterable[Draft]:
        held = self.answers([(draft, self.words) for draft in drafts], HELD, work)
        second = [(draft, bounds_around(held[draft.id], self.within)) for draft in drafts if draft.id in held]
        free = self.answers(second, FREE, work)
        for draft in drafts:
            if draft.id in free:
                sides = {HELD: held[draft.id], FREE: free[draft.id], WRITTEN_BY: self.asked(work).name}
                yield draft.changed(self.name, sides)

    def answers(self, asked: Sequence[tuple[Draft, tuple[int, int]]], side: str, work: Work) -> dict[str, str]:
        """Id of a draft -> its answer of this side. asked: drafts, each with the fewest and most words it may have."""
        questions = [
            Question(draft.id, self.turns(draft, work.policy, side, bounds), None, as_long_as(bounds))
            for draft, bounds in asked
        ]
        reads = asked_together([draft for draft, _ in asked], self.ask(questions, work), self.name, work.drop)
        return {draft.id: (read.values or {})["text"].strip() for draft, read in reads}

    def turns(self, draft: Draft, policy: Policy, side: str, bounds: tuple[int, int]) -> Messages:
        """The conversation as the side meets it, behind the draft's own system prompt and that of the side."""
        turns = draft.fields.get("messages") or [{"role": "user", "content": draft.fields["prompt"]}]
        own = [draft.fields.get("system"), *(turn["content"] for turn in turns if turn["role"] == "system")]
        told = fill(getattr(self, side), known(draft, policy)).strip()
        length = f"Answer in {bounds[0]} to {bounds[1]} words."
        system = "\n\n".join(part for part in (*own, told, length) if part)
        return ({"role": "system", "content": system}, *(turn for turn in turns if turn["role"] != "system"))


def as_long_as(bounds: tuple[int, int]) -> Fits:
    """What is wrong with the length of an answer."""

    def fault(values: dict[str, Any]) -> str | None:
        count = len(words(values["text"]))
        return None if bounds[0] <= count <= bounds[1] else f"{count} words, not {bounds[0]} to {bounds[1]}"

    return fault
