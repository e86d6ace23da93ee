"""Items: one evaluation case each, read from JSONL and checked field by field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..data import Message, Text, read_records, short_forms
from ..errors import InputError, listed
from ..text import words

DISTANCES = ("plain", "near", "far_domain", "far_principle", "far_family", "seen_wording", "new_wording")


class Fact(BaseModel):
    """One of the facts of an item: how the prompt states it, and the decision it alone would call for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    states: Text = Field(description="The words of the prompt that state it.")
    decision: Text


class Edit(BaseModel):
    """A change in the words of the last message that leaves the right decision as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    was: Text = Field(description="Words that stand there once.")
    now: Text = Field(description="What stands there afterwards.")


class Item(BaseModel):
    """One evaluation case with either a gold decision or facts that are set against each other."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Text = Field(description="Unique in the study.")
    family: Text = Field(description="The unit the statistics resample.")
    pair: Text = Field(description="Shared by exactly two items, minimal twins.")
    principle: str = Field("", description="Id of the policy's principle that decides the case.")
    domain: str = Field("", description="The field of life or work the case is from.")
    distance: str = Field(description="How far the item is from the examples.")
    kind: str | None = Field(None, description="A label of the pair, such as conflict or agree.")
    statedness: str | None = Field(None, description="stated or implied.")
    system: str | None = Field(None, description="System prompt; without it the study's own is used.")
    tools: list[dict[str, Any]] | None = None
    messages: list[Message] = Field(min_length=1, description="The conversation up to the response.")
    gold: str | None = Field(None, description="The right decision, where there is one.")
    answers: dict[str, str] = Field(min_length=2, description="Decision -> the full text of that action.")
    facts: dict[str, Fact] | None = Field(None, description="Name -> fact; the first is what the policy means.")
    reason: Text | None = Field(None, description="A reason for the right decision, of this case; never trained on.")
    edit: Edit | None = Field(None, description="A change of a fact that does not decide, as in its twin.")

    @model_validator(mode="before")
    @classmethod
    def accept_short_forms(cls, values: Any) -> Any:
        return short_forms(values)

    @model_validator(mode="after")
    def has_something_to_score(self) -> Item:
        if self.distance not in DISTANCES:
            raise ValueError(f"`distance` is {self.distance!r}; valid: {', '.join(DISTANCES)}")
        if self.gold is None and not self.facts:
            raise ValueError("give `gold`, or `facts` where there is no right decision")
        if self.edit and self.messages[-1].content.count(self.edit.was) != 1:
            raise ValueError(f"`edit.was` ({self.edit.was!r}) does not stand once in the last message")
        named = [self.gold] if self.gold else []
        named += [fact.decision for fact in (self.facts or {}).values()]
        for decision in named:
            if decision not in self.answers:
                raise ValueError(f"the decision {decision!r} has no text in `answers`")
        said = {decision: f" {' '.join(words(action))} " for decision, action in self.answers.items()}
        for one, other in permutations(said, 2):
            if said[one] in said[other] or not said[one].strip():
                raise ValueError(f"the answer of {one!r} stands inside that of {other!r}, so they cannot be told apart")
        return self

    @property
    def prompt(self) -> str:
        """The conversation as plain text, for a reader."""
        return "\n".join(message.content for message in self.messages)

    @property
    def hangs_on(self) -> list[Any]:
        """What is asked on hangs on more than the words of the request: partners, say, are of other families."""
        return [self.id, self.family, self.gold]


class Question(Item):
    """One thing that is asked about an item.

    of: the item's id. part: what is asked. by: who is to answer. mouth: the reason put in the model's mouth before its
    action, empty for the action at once; None where it writes a reason of its own.
    """

    of: str
    part: str
    by: Literal["subject", "judge"] = "subject"
    mouth: str | None = None


def lone_item(
    identifier: str, *, family: str, kind: str, prompt: str, gold: str | None, answers: dict[str, str]
) -> Item:
    """An item with no twin, and perhaps no answers, which a study's own items may not be."""
    return Item.model_construct(
        id=identifier,
        family=family,
        pair=identifier,
        distance="plain",
        kind=kind,
        messages=[Message(role="user", content=prompt)],
        gold=gold,
        answers=answers,
    )


AnyItem = TypeVar("AnyItem", bound=Item)


def derived(kind: type[AnyItem], item: Item, **changes: Any) -> AnyItem:
    """A case made of an item, not checked again: some of its fields changed, and those of its kind added."""
    fields = {field: getattr(item, field) for field in Item.model_fields}
    return cast(AnyItem, kind.model_construct(**fields | changes))


def read_items(paths: Sequence[Path]) -> list[Item]:
    """Items of one or more JSONL files. Errors: as for examples, and a pair that is not shared by exactly two."""
    items = read_records(paths, Item)
    counts = Counter(item.pair for item in items)
    odd = sorted(pair for pair, count in counts.items() if count != 2)
    if odd:
        raise InputError(
            f"{len(odd)} pairs are not shared by exactly two items: {listed(odd)}.",
            where=listed([str(path) for path in paths]),
            remedy="A pair is two minimal twins; mend `pair` of these items.",
        )
    return items
