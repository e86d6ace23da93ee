"""Pairs: two responses to one conversation, of which one is to be preferred, read from JSONL and checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..errors import InputError, Place
from .example import Example, Message, Text, short_forms
from .reading import read_records

NOT_SAID = "not said"
TRL_FIELDS = {"prompt", "chosen", "rejected", "tools", "chosen_by", "rejected_by"}


class Pair(BaseModel):
    """Two full responses by one model to one conversation: what sets them apart must be what they do.

    Errors (ValueError): two writers, or one text twice.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Text = Field(description="Unique in the study.")
    principle: str = Field("", description="Id of the policy's principle that decides the case.")
    domain: str = Field("", description="The field of life or work the case is from.")
    system: str | None = Field(None, description="System prompt; without it the study's own is used.")
    tools: list[dict[str, Any]] | None = Field(None, description="Tool definitions, JSON schema.")
    messages: list[Message] = Field(min_length=1, description="The conversation up to the response.")
    chosen: Text = Field(description="The full response that is to be preferred.")
    rejected: Text = Field(description="The full response that it is preferred to.")
    chosen_by: Text = Field(description="The name of the model that wrote `chosen`.")
    rejected_by: Text = Field(description="The name of the model that wrote `rejected`: the same one.")
    note: str | None = Field(None, description="For the reader; never trained on.")

    @model_validator(mode="before")
    @classmethod
    def accept_short_forms(cls, values: Any) -> Any:
        """`prompt` is short for one user message, `rule` is another name for `principle`."""
        return short_forms(values)

    @model_validator(mode="after")
    def differ_in_what_they_do_alone(self) -> Self:
        if self.chosen_by != self.rejected_by:
            raise ValueError(
                f"of the pair {self.id!r}, {self.chosen_by!r} wrote `chosen` and {self.rejected_by!r} `rejected`; with "
                "two writers, how they write tells the two apart, so let one model write both"
            )
        if self.chosen.strip() == self.rejected.strip():
            raise ValueError(f"`chosen` and `rejected` of the pair {self.id!r} are one text, so nothing is preferred")
        return self

    def as_example(self) -> Example:
        """The conversation with the preferred response as its action."""
        fields = self.model_dump(include={"id", "principle", "domain", "system", "tools", "messages"})
        return Example(**fields, action=self.chosen)


def read_pairs(paths: Sequence[Path]) -> list[Pair]:
    """Pairs of one or more JSONL files, in their order; ids are unique over all of them.

    A file in TRL's preference format is read too: texts, or lists of chat messages, with or without `prompt`.
    """
    return read_records(paths, Pair, trl_as_pair)


def trl_as_pair(value: dict[str, Any], path: Path, row: int) -> dict[str, Any]:
    """A line of TRL's preference format as a pair's fields; anything else is returned as it is.

    Who wrote its responses it does not say, unless it has our two fields for that.
    """
    if not {"chosen", "rejected"} <= set(value) <= TRL_FIELDS:
        return value
    prompt, place = as_messages(value.get("prompt", []), "user"), str(Place(path, row))
    chosen, rejected = ([*prompt, *as_messages(value[side], "assistant")] for side in ("chosen", "rejected"))
    for side, conversation in (("chosen", chosen), ("rejected", rejected)):
        if len(conversation) < 2 or not is_response(conversation[-1]):
            raise InputError(
                f"`{side}` does not end with an assistant's text after at least one other message.",
                where=f"{place}, field {side!r}",
                remedy="Its last message is the response; what comes before may stand in `prompt`.",
            )
    if chosen[:-1] != rejected[:-1]:
        raise InputError(
            "`chosen` and `rejected` do not answer the same conversation.",
            where=place,
            remedy="All messages but the last must be the same on both sides.",
        )
    read = {"messages": chosen[:-1], "chosen": chosen[-1]["content"], "rejected": rejected[-1]["content"]}
    unsaid = {"id": f"{path.stem}-{row}", "chosen_by": NOT_SAID, "rejected_by": NOT_SAID}
    return unsaid | {name: given for name, given in value.items() if name != "prompt"} | read


def as_messages(value: Any, role: str) -> list[Any]:
    """Chat messages as they are; a text as one message of that role."""
    return value if isinstance(value, list) else [{"role": role, "content": value}]


def is_response(message: Any) -> bool:
    return isinstance(message, dict) and message.get("role") == "assistant" and isinstance(message.get("content"), str)
