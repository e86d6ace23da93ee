"""What goes out to other formats: a conversation with its response, made of an example, a pair or a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ...errors import InputError, Place
from ...policy import Policy
from ..arms import Arm, find_arm
from ..document import Document
from ..example import Example
from ..pair import Pair
from ..rows import Writing

Part = Literal["prompt", "tools", "response", "other"]
Record = Example | Pair | Document


@dataclass(frozen=True)
class Chat:
    """One lesson, ready to be written.

    messages: the conversation with its system prompt, up to the response. other: the response that `response` is
    preferred to. masked: a part of the response is read and not trained. fields: all that the lesson has, by name.
    parts: which of them stand, to the letter and apart from others, in which part of the chat. kind: example, pair or
    document. place: where the lesson is from, for errors.
    """

    messages: list[dict[str, str]]
    response: str
    fields: dict[str, Any]
    parts: Mapping[str, Part]
    kind: str
    place: Place
    other: str | None = None
    tools: list[dict[str, Any]] | None = None
    masked: bool = False


@dataclass(frozen=True)
class Telling:
    """How lessons are told where a format leaves it open.

    arm: what the response of an example holds; `what` is the action alone. reason: first, last or woven. markers: the
    words before the reason and before the action, as a study has them. policy: for an arm that shows it. version: of
    documents.
    """

    arm: str = "what"
    reason: str = "first"
    markers: tuple[str, str] = ("", "")
    reason_names_fact: bool = False
    policy: Policy | None = None
    version: str = "why"


def chats_of(records: Sequence[Record], telling: Telling, file: str) -> list[Chat]:
    """The lessons as chats, in their order. Errors: an arm that trains nothing, or a field that the arm needs."""
    examples = [record for record in records if isinstance(record, Example)]
    responses = dict(zip((one.id for one in examples), responses_of(examples, telling), strict=True))
    return [chat_of(record, responses.get(record.id), telling, file) for record in records]


def responses_of(examples: Sequence[Example], telling: Telling) -> list[tuple[str, bool]]:
    """What the arm teaches to answer, by the arm's own function, and whether a part of it is not trained."""
    arm = find_arm(telling.arm, where="--arm")
    if not arm.trained and not arm.in_prompt:
        raise InputError(
            f"The arm {arm.name!r} teaches nothing, so there is nothing to write.",
            where="--arm",
            remedy="Take `what` for the action alone, or `why`.",
        )
    if arm.in_prompt:
        return [(example.action, False) for example in examples]
    reason_marker, action_marker = telling.markers
    writing = Writing(lambda example: "", "", telling.reason, reason_marker, action_marker, telling.reason_names_fact)
    # An action that stands alone without a marker is kept to the letter; a row may take white space off its start.
    alone = not arm.reasons and not action_marker
    rows = arm.rows(examples, writing)
    masked = [any(not one.train for one in row.segments if one.kind != "prompt") for row in rows]
    texts = [example.action if alone else row.text for example, row in zip(examples, rows, strict=True)]
    return list(zip(texts, masked, strict=True))


def chat_of(record: Record, answered: tuple[str, bool] | None, telling: Telling, file: str) -> Chat:
    place = Place(file, identifier=record.id)
    fields = said_fields(record)
    if isinstance(record, Document):
        parts: dict[str, Part] = {"question": "prompt", telling.version: "response"}
        asked = [{"role": "user", "content": record.question}] if record.question else []
        return Chat(asked, record.text(telling.version), fields, parts, "document", place)
    parts = {"messages": "prompt", "tools": "tools"}
    messages = [message.model_dump() for message in record.messages]
    if messages[0]["role"] != "system":
        parts["system"] = "prompt"
        if record.system and record.system.strip():
            messages.insert(0, {"role": "system", "content": record.system})
    if isinstance(record, Pair):
        parts |= {"chosen": "response", "rejected": "other"}
        return Chat(messages, record.chosen, fields, parts, "pair", place, record.rejected, record.tools)
    arm, (response, masked) = find_arm(telling.arm), answered or (record.action, False)
    if response == record.action:
        parts["action"] = "response"
    shown = with_policy(messages, arm, telling)
    return Chat(shown, response, fields, parts, "example", place, None, record.tools, masked)


def with_policy(messages: list[dict[str, str]], arm: Arm, telling: Telling) -> list[dict[str, str]]:
    """What the arm shows of the policy, before every other system prompt."""
    if not arm.in_prompt:
        return messages
    if not telling.policy:
        raise InputError(
            f"The arm {arm.name!r} shows the policy, and none is given.",
            where="--policy",
            remedy="Name the policy file.",
        )
    shown, has_system = arm.system_text(telling.policy), messages[0]["role"] == "system"
    said = [shown, messages[0]["content"]] if has_system else [shown]
    return [{"role": "system", "content": "\n\n".join(said)}, *messages[has_system:]]


def said_fields(record: Record) -> dict[str, Any]:
    """The fields that a lesson has, by name; those left out that are empty, or as they are where nothing is said."""
    values = record.model_dump()
    return {
        name: values[name]
        for name, field in type(record).model_fields.items()
        if values[name] not in (None, "", field.default)
    }
