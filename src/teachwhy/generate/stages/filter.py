"""The kind `filter`: yes or no to a few questions about each draft, which goes on only with the right answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from ...policy import Policy
from ..draft import Draft
from ..reading import TEXT, TRUTH, Form
from ..teacher import Question
from .stage import AskingSome, Strict, Work, stage_kind

FAILED = "failed "  # begins the cause of every draft that a judge rejected; the names of the checks follow


class Check(Strict):
    """A question to be answered with yes or no, and the answer that speaks for the draft."""

    ask: str
    want: bool = True


@stage_kind
class Filter(AskingSome):
    """The judge answers yes or no to questions about each draft; one with a wrong answer is dropped, or only marked."""

    kind: Literal["filter"] = "filter"
    by: str = Field("judge", pattern="^(teacher|judge)$")
    checks: dict[str, Check] = Field(min_length=1, description="Name -> question.")
    keep: Literal["all", "marked"] = Field("all", description="all: drop what fails one; marked: drop nothing.")
    temperature: float = Field(0.0, ge=0, le=2)
    max_tokens: int = Field(300, gt=0)

    def asked_about(self) -> str:
        """The questions, a line each."""
        return "\n".join(f"{name}: {check.ask}" for name, check in self.checks.items())

    def question(self, draft: Draft, policy: Policy) -> Question:
        form = Form(dict.fromkeys(self.checks, TRUTH) | {"because": TEXT})
        return Question(draft.id, self.messages(draft, policy, form, self.asked_about()), form)

    def through(self, drafts: Sequence[Draft], work: Work) -> Iterable[Draft]:
        for draft, read in self.asked_among(drafts, work):
            if read is None:
                yield draft
            else:
                yield from self.kept(draft, read.values or {}, work)

    def kept(self, draft: Draft, values: Mapping[str, Any], work: Work) -> Iterator[Draft]:
        """The draft with what was found, unless that speaks against it."""
        failed = [name for name, check in self.checks.items() if values[name] != check.want]
        if failed and self.keep == "all":
            work.drop(draft, self.name, FAILED + ", ".join(failed), values["because"])
        else:
            found = {"judged": {name: name not in failed for name in self.checks}, **values}
            yield draft.changed(self.name, {}, found)
