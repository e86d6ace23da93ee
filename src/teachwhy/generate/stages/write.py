"""The kind `write`: the teacher writes fields of a draft, or writes them again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from ...policy import Policy
from ...text import words
from ..draft import Draft
from ..reading import TEXT, Fits, Form, Read
from ..teacher import NEVER_CAME, Question
from .stage import AskingSome, Work, stage_kind

WITHIN_WORDS = 4  # words more or less are always allowed


def bounds_around(text: str, within: float) -> tuple[int, int]:
    """Fewest and most words of what is to be as long as a text. within: how far it may be off, as a share."""
    count = len(words(text))
    room = max(WITHIN_WORDS, round(within * count))
    return max(1, count - room), count + room


@stage_kind
class Write(AskingSome):
    """The teacher writes fields of each draft; a field that is there already is written anew."""

    kind: Literal["write"] = "write"
    gives: list[str] = Field(min_length=1)
    unless_there: bool = Field(False, description="Ask only of drafts that lack one of the fields.")
    as_long_as: str | None = Field(None, description="A field whose number of words the first of `gives` is to have.")
    within: float = Field(0.25, gt=0, lt=1, description="How far it may be off that, as a share.")
    words: tuple[int, int] | str | None = Field(
        None, description="Fewest and most words of the first of `gives`, or the field of the draft that holds them."
    )
    one_of: dict[str, list[str]] = Field(default_factory=dict, description="Field -> the values it may have.")

    def needs(self) -> set[str]:
        named = {self.as_long_as, self.words if isinstance(self.words, str) else None}
        return super().needs() | {name for name in named if name}

    def given(self) -> set[str]:
        return set() if self.only_where else set(self.gives)

    def concerns(self, draft: Draft) -> bool:
        return super().concerns(draft) and not (self.unless_there and set(self.gives) <= set(draft.fields))

    def through(self, drafts: Sequence[Draft], work: Work) -> Iterable[Draft]:
        for draft, read in self.asked_among(drafts, work):
            if read is None:
                yield draft
            else:
                left = {"left as it was": read.cause} if read.cause else None
                yield draft.changed(self.name, read.values or {}, left)

    def question(self, draft: Draft, policy: Policy) -> Question:
        form = self.form(draft, policy)
        return Question(
            draft.id, self.messages(draft, policy, form, self.wishes(draft)), form, self.fits(draft, policy)
        )

    def form(self, draft: Draft, policy: Policy) -> Form:
        bounds = self.bounds(draft)
        return Form(
            dict.fromkeys(self.gives, TEXT),
            words={self.gives[0]: bounds} if bounds else {},
            one_of={"principle": policy.ids, **self.one_of},
        )

    def of_use(self, draft: Draft, read: Read) -> Read:
        """No text is lost for a rewriting that failed: where a stage before wrote it, it stays."""
        earlier = {name for change in draft.trail for name in change.fields}
        failed = read.values is None and not (read.cause or "").startswith(NEVER_CAME)
        return replace(read, values={}) if failed and set(self.gives) <= earlier else read

    def bounds(self, draft: Draft) -> tuple[int, int] | None:
        """Fewest and most words of what is written first."""
        if isinstance(self.words, str):
            fewest, most = draft.fields[self.words]
            return fewest, most
        if not self.as_long_as:
            return self.words
        return bounds_around(str(draft.fields[self.as_long_as]), self.within)

    def wishes(self, draft: Draft) -> str:
        """What else is said of the answer: its length, and what a field may be."""
        said = [f"`{name}` is one of: {', '.join(values)}." for name, values in self.one_of.items()]
        if bounds := self.bounds(draft):
            said.append(f"Write `{self.gives[0]}` in {bounds[0]} to {bounds[1]} words.")
        return " ".join(said)

    def fits(self, draft: Draft, policy: Policy) -> Fits:
        """What is wrong with the values that were written for a draft."""

        def fault(values: dict[str, Any]) -> str | None:
            for name, allowed in self.one_of.items():
                if values.get(name) not in allowed:
                    return f"`{name}` is none of {', '.join(allowed)}"
            if "principle" in values and values["principle"] not in policy.ids:
                return "`principle` is none of the policy's"
            bounds, count = self.bounds(draft), len(words(values[self.gives[0]]))
            if bounds and not bounds[0] <= count <= bounds[1]:
                return f"`{self.gives[0]}` has {count} words, not {bounds[0]} to {bounds[1]}"
            return None

        return fault
