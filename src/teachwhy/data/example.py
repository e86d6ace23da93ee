"""Examples: one training case each, read from JSONL and checked field by field."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from ..errors import InputError, Place
from .reading import read_records

TEXTS_BESIDE = ("reason", "swapped", "mention", "neutral", "unrelated", "deliberation", "paraphrase")


def not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("it is blank")
    return text


Text = Annotated[str, AfterValidator(not_blank)]


class Message(BaseModel):
    """One chat message before the response."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: str = Field(pattern="^(system|user|assistant|tool)$")
    content: Text


class Example(BaseModel):
    """One training case: a situation, the decision, the action, and the texts that may stand beside the action."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Text = Field(description="Unique in the study.")
    principle: str = Field("", description="Id of the policy's principle that decides the case.")
    domain: str = Field("", description="The field of life or work the case is from.")
    shape: Text | None = Field(None, description="The form the lesson takes; an arm may read one shape alone.")
    system: str | None = Field(None, description="System prompt; without it the study's own is used.")
    varied_system: Text | None = Field(None, description="What stands as system prompt in varied surroundings.")
    tools: list[dict[str, Any]] | None = Field(None, description="Tool definitions, JSON schema.")
    messages: list[Message] = Field(min_length=1, description="The conversation up to the response.")
    decision: str | None = Field(None, description="One word for what is decided, such as help or decline.")
    action: Text = Field(description="The response without any reasoning.")
    reason: Text | None = Field(None, description="The true reason; where `mention` is given, without naming the fact.")
    swapped: Text | None = Field(None, description="Another fact and reason that fit the same action.")
    mention: Text | None = Field(None, description="The deciding fact restated, nothing justified.")
    neutral: Text | None = Field(None, description="Text of the same length that justifies nothing.")
    unrelated: Text | None = Field(None, description="A reason of another principle, written for this case.")
    deliberation: Text | None = Field(None, description="Thinking about how to do the task; weighs nothing moral.")
    paraphrase: Text | None = Field(None, description="The action said again.")
    note: str | None = Field(None, description="For the reader; never trained on.")

    @model_validator(mode="before")
    @classmethod
    def accept_short_forms(cls, values: Any) -> Any:
        """`prompt` is short for one user message, `rule` is another name for `principle`."""
        return short_forms(values)

    @model_validator(mode="after")
    def leave_the_system_prompt_free(self) -> Self:
        if self.varied_system and self.messages[0].role == "system":
            raise ValueError("`varied_system` takes the place of `system`; take the system message out of `messages`")
        return self

    def in_varied_surroundings(self) -> Example:
        """The same example with another system prompt around it. Needs `varied_system`."""
        return self.model_copy(update={"system": self.varied_system})


def short_forms(values: Any) -> Any:
    """Expand `prompt` and `rule`, as examples and items both allow them."""
    if not isinstance(values, dict):
        return values
    values = dict(values)
    if "prompt" in values:
        if "messages" in values:
            raise ValueError("give `prompt` or `messages`, not both")
        values["messages"] = [{"role": "user", "content": values.pop("prompt")}]
    if "rule" in values:
        if "principle" in values:
            raise ValueError("give `rule` or `principle`, not both")
        values["principle"] = values.pop("rule")
    return values


def read_examples(paths: Sequence[Path]) -> list[Example]:
    """Examples of one or more JSONL files, in their order; ids are unique over all of them.

    A file whose lines hold nothing but OpenAI-style `messages` (and `tools`) is read as chat: the last assistant
    message is the action.
    """
    return read_records(paths, Example, chat_as_example)


def chat_as_example(value: dict[str, Any], path: Path, row: int) -> dict[str, Any]:
    """An OpenAI-style chat line as an example's fields; anything else is returned as it is."""
    if not set(value) <= {"messages", "tools"} or not isinstance(value.get("messages"), list):
        return value
    messages = value["messages"]
    where = str(Place(path, row, "messages"))
    if not all(isinstance(message, dict) and isinstance(message.get("content"), str) for message in messages):
        raise InputError("A chat message has no text content.", where=where, remedy='Each needs "role" and "content".')
    if len(messages) < 2 or messages[-1].get("role") != "assistant":
        raise InputError(
            "This chat does not end with an assistant message after at least one other.",
            where=where,
            remedy="The last message is what the model is taught to answer.",
        )
    system = messages[0]["content"] if messages[0].get("role") == "system" and len(messages) > 2 else None
    before = messages[1:-1] if system is not None else messages[:-1]
    fields = {"id": f"{path.stem}-{row}", "messages": before, "action": messages[-1]["content"]}
    optional = {"system": system, "tools": value.get("tools")}
    return fields | {name: given for name, given in optional.items() if given is not None}
