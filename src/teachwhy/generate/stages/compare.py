"""The kind `compare`: a judge says which of two answers is the better one, and they become a pair."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from ...text import words
from ..draft import Draft
from ..reading import TEXT, TRUTH, Form
from ..teacher import Question
from .sides import FREE, HELD, WRITTEN_BY
from .stage import AskingStage, Work, asked_together, stage_kind

FIRST, SECOND = "first", "second"
FORM = Form({"better": TEXT, "clearly": TRUTH, "fluent": TRUTH, "because": TEXT}, one_of={"better": (FIRST, SECOND)})
SAID = (
    f"`better` is one of: {FIRST}, {SECOND}. `clearly`: is it clearly the better one? `fluent`: is each of the two "
    "whole, fluent and written as an answer to this person?"
)


@stage_kind
class Compare(AskingStage):
    """The judge is shown both sides as first and second, in an order drawn by lot; a close pair is dropped."""

    kind: Literal["compare"] = "compare"
    prompt: str = Field(description="What is asked; `{{first}}` and `{{second}}` stand for the two answers.")
    by: str = Field("judge", pattern="^(teacher|judge)$")
    temperature: float = Field(0.0, ge=0, le=2)
    max_tokens: int = Field(300, gt=0)

    def needs(self) -> set[str]:
        return super().needs() - {FIRST, SECOND} | {HELD, FREE, WRITTEN_BY}

    def given(self) -> set[str]:
        return {"chosen", "rejected", "chosen_by", "rejected_by"}

    def through(self, drafts: Sequence[Draft], work: Work) -> Iterable[Draft]:
        shown = [replace(draft, fields={**draft.fields, **in_order(draft, work.seed)}) for draft in drafts]
        questions = [Question(draft.id, self.messages(draft, work.policy, FORM, SAID), FORM, fault) for draft in shown]
        for draft, read in asked_together(drafts, self.ask(questions, work), self.name, work.drop):
            values = read.values or {}
            failed = [name for name in ("clearly", "fluent") if not values[name]]
            if failed:
                work.drop(draft, self.name, f"not {' and not '.join(failed)}", values["because"])
            else:
                yield self.as_pair(draft, values, work.seed)

    def as_pair(self, draft: Draft, values: dict[str, Any], seed: int) -> Draft:
        """The draft with the better side as `chosen`. Its note tells which side that is, and how long both are."""
        order = in_order(draft, seed)
        chosen, rejected = order[values["better"]], order[SECOND if values["better"] == FIRST else FIRST]
        writer = draft.fields[WRITTEN_BY]
        note = {
            "preferred": HELD if chosen == draft.fields[HELD] else FREE,
            "shown_as": values["better"],
            "words": {"chosen": len(words(chosen)), "rejected": len(words(rejected))},
            "because": values["because"],
        }
        pair = {"chosen": chosen, "rejected": rejected, "chosen_by": writer, "rejected_by": writer}
        return draft.changed(self.name, pair, note)


def in_order(draft: Draft, seed: int) -> dict[str, str]:
    """The two sides under the names they are shown by: which comes first hangs on the draft alone."""
    sides = [draft.fields[HELD], draft.fields[FREE]]
    random.Random(f"{seed} order {draft.id}").shuffle(sides)
    return dict(zip((FIRST, SECOND), sides, strict=True))


def fault(values: dict[str, Any]) -> str | None:
    return None if values["better"] in (FIRST, SECOND) else f"`better` is neither {FIRST} nor {SECOND}"
