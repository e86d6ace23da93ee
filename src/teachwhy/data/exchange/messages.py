"""Messages of other formats into plain ones: a role and a text each; what a text cannot hold is refused or counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ...errors import InputError, Place, listed
from .calls import CLOSING, OPENING, call_as_text

# What was read otherwise than it stands -> how often.
Notes = Counter[str]
ROLES = {
    **{role: role for role in ("system", "user", "assistant", "tool")},
    "developer": "system",
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "observation": "tool",
    "function_call": "assistant",
}
READ = {"role", "content", "from", "value", "tool_calls", "weight", "refusal", "function_call", "audio"}
PLAIN_TEXT = "Leave it out, or put its text in `content`."


def refused(what: str, place: Place, field: str, remedy: str) -> InputError:
    return InputError(what, where=str(Place(place.file, place.row, field)), remedy=remedy)


def plain_messages(value: Any, place: Place, field: str, notes: Notes) -> list[dict[str, str]]:
    """Messages with `role` and `content`, or `from` and `value`, as ours.

    Errors: no list, a message that is no object or holds no text, an unknown role, images, sound, legacy calls.
    """
    if not isinstance(value, list) or not value:
        raise refused("This is no list of messages.", place, field, 'Write [{"role": ..., "content": ...}, ...].')
    plain = [plain_message(message, place, f"{field}.{number}", notes) for number, message in enumerate(value)]
    check_order_of_results(value, place, field)
    return plain


def plain_message(message: Any, place: Place, field: str, notes: Notes) -> dict[str, str]:
    if not isinstance(message, dict):
        raise refused("A message is no object.", place, field, 'Write {"role": ..., "content": ...}.')
    name, key = ("from", "value") if "from" in message else ("role", "content")
    said = message.get(name)
    if not isinstance(said, str) or said not in ROLES:
        raise refused(f"There is no role {said!r} here.", place, f"{field}.{name}", f"Roles: {listed(sorted(ROLES))}.")
    if message.get("function_call"):
        raise refused(
            "`function_call` is OpenAI's old form of a call and is not read.",
            place,
            f"{field}.function_call",
            "Write it as `tool_calls`.",
        )
    if message.get("audio"):
        raise refused("This message is sound; lessons are text.", place, f"{field}.audio", PLAIN_TEXT)
    texts = [text_of(message.get(key), place, f"{field}.{key}", notes)]
    if said == "function_call":
        texts = [f"{OPENING}{texts[0]}{CLOSING}"]
        notes["tool call written as text"] += 1
    if not texts[0] and isinstance(message.get("refusal"), str):
        texts = [message["refusal"]]
        notes["`refusal` read as the message's text"] += 1
    texts += calls_of(message, place, field, notes)
    text = "\n".join(text for text in texts if text)
    if not text.strip():
        raise refused("This message is empty.", place, f"{field}.{key}", "Give it a text, or leave the line out.")
    if said == "developer":
        notes["role `developer` read as `system`"] += 1
    for other in sorted(set(message) - READ):
        if message[other] is not None:
            notes[f"`{other}` of a message left out"] += 1
    return {"role": ROLES[said], "content": text}


def calls_of(message: Mapping[str, Any], place: Place, field: str, notes: Notes) -> list[str]:
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list):
        raise refused("`tool_calls` is no list.", place, f"{field}.tool_calls", "Write a list of calls.")
    notes["tool call written as text"] += len(calls)
    return [call_as_text(call, place, f"{field}.tool_calls.{number}") for number, call in enumerate(calls)]


def text_of(content: Any, place: Place, field: str, notes: Notes) -> str:
    """A message's text; parts of text are joined as they stand. Errors: a part that is no text."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise refused("This is neither a text nor a list of parts.", place, field, "Write a text.")
    texts = []
    for number, part in enumerate(content):
        kind = part.get("type", "text") if isinstance(part, dict) else None
        text = part.get(kind) if isinstance(part, dict) and kind in ("text", "refusal") else None
        if not isinstance(text, str):
            raise refused(
                f"This part is {kind or 'no object'}; lessons are text.", place, f"{field}.{number}", PLAIN_TEXT
            )
        texts.append(text)
    if len(texts) > 1:
        notes["parts of a message joined into one text"] += 1
    return "".join(texts)


def check_order_of_results(messages: list[Any], place: Place, field: str) -> None:
    """Results are told apart by their order, so they must stand in that of their calls."""
    called: list[Any] = []
    for number, message in enumerate(messages):
        calls = message.get("tool_calls") or []
        called += [call.get("id") for call in calls]
        answers = message.get("tool_call_id")
        if answers is not None and called and answers != called.pop(0):
            raise refused(
                "The results of these tool calls stand in another order than the calls.",
                place,
                f"{field}.{number}.tool_call_id",
                "Put each result behind the results of the calls before its own.",
            )


def check_taught(messages: list[Any], place: Place, field: str, notes: Notes) -> None:
    """What weights say of who is taught: here it is the last message and no other. Errors: the last weighs 0."""
    if messages[-1].get("weight") == 0:
        raise refused(
            "The last message has weight 0, so this line teaches nothing.",
            place,
            f"{field}.{len(messages) - 1}.weight",
            "Cut the chat off behind the message that is to be taught.",
        )
    earlier = [one for one in messages[:-1] if one.get("role", one.get("from")) in ("assistant", "gpt", "chatgpt")]
    if any(one.get("weight") != 0 for one in earlier):
        notes["chat with earlier answers of the assistant: they are read, the last alone is taught"] += 1
