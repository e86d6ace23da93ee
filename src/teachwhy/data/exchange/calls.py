"""Tool calls: as text, which is how lessons hold them, and as the fields that chat formats of others have for them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

from ...errors import InputError, Place

OPENING, CLOSING = "<tool_call>", "</tool_call>"


def call_text(name: str, arguments: Mapping[str, Any]) -> str:
    """A call as a local model writes it in its answer."""
    return f"{OPENING}{json.dumps({'name': name, 'arguments': arguments}, ensure_ascii=False)}{CLOSING}"


def call_in(line: str) -> dict[str, Any] | None:
    """The call that is the whole of a line, or None."""
    if not (line.startswith(OPENING) and line.endswith(CLOSING)):
        return None
    try:
        value = json.loads(line[len(OPENING) : -len(CLOSING)])
    except (ValueError, RecursionError):
        return None
    fits = isinstance(value, dict) and set(value) == {"name", "arguments"}
    return value if fits and isinstance(value["name"], str) and isinstance(value["arguments"], dict) else None


def calls_apart(text: str) -> tuple[str | None, list[dict[str, Any]]]:
    """A text without the calls on its last lines, and those calls; None where it is nothing but calls."""
    lines = text.split("\n")
    calls = [call for call in takewhile(bool, map(call_in, reversed(lines))) if call][::-1]
    before = "\n".join(lines[: len(lines) - len(calls)])
    if not calls or (before and not before.strip()):
        return text, []
    return before or None, calls


def with_native_calls(messages: Sequence[Mapping[str, str]], place: Place) -> list[dict[str, Any]]:
    """The messages with calls in `tool_calls`, and each result with the id of its call.

    A call stays text where something stands behind it, or where not every call of its message has its result. Errors:
    a result that answers no call.
    """
    native: list[dict[str, Any]] = []
    waiting: list[str] = []
    made = 0
    for number, message in enumerate(messages):
        role, content = message["role"], message["content"]
        if role == "tool":
            if not waiting:
                raise InputError(
                    "A message of the role 'tool' answers no call, which this format refuses.",
                    where=f"{place}, message {number + 1}",
                    remedy=f"End the assistant's message before it with {OPENING}...{CLOSING}, or export to hf-chat.",
                )
            native.append({"role": role, "tool_call_id": waiting.pop(0), "content": content})
            continue
        text, calls = calls_apart(content) if role == "assistant" else (content, [])
        results = len(list(takewhile(lambda after: after["role"] == "tool", messages[number + 1 :])))
        if not calls or (number + 1 < len(messages) and results != len(calls)):
            native.append({"role": role, "content": content})
            continue
        waiting = [f"call_{made + count + 1}" for count in range(len(calls))]
        made += len(calls)
        native.append({"role": role, "content": text, "tool_calls": list(map(native_call, waiting, calls))})
    return native


def native_call(identifier: str, call: Mapping[str, Any]) -> dict[str, Any]:
    arguments = json.dumps(call["arguments"], ensure_ascii=False)
    return {"id": identifier, "type": "function", "function": {"name": call["name"], "arguments": arguments}}


def call_as_text(call: Any, place: Place, field: str) -> str:
    """A native call as text. Errors: no function is called, or its arguments are no JSON object."""
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise InputError(
            "This tool call calls no function.",
            where=str(Place(place.file, place.row, field)),
            remedy='Write {"type": "function", "function": {"name": ..., "arguments": ...}}.',
        )
    arguments = function.get("arguments")
    try:
        arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        raise InputError(
            "The arguments of this tool call are no JSON object.",
            where=str(Place(place.file, place.row, f"{field}.function.arguments")),
            remedy='Write an object, or a string that holds one, such as "{\\"city\\": \\"Bern\\"}".',
        )
    return call_text(function["name"], arguments)


def function_tools(tools: Sequence[Mapping[str, Any]], place: Place) -> list[dict[str, Any]]:
    """Tool definitions as OpenAI has them; a function alone is put into its frame. Errors: a tool without a name."""
    framed = []
    for tool in tools:
        function = tool.get("function", tool)
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise InputError(
                "A tool definition has no name.",
                where=str(Place(place.file, field="tools", identifier=place.identifier)),
                remedy='Write {"type": "function", "function": {"name": ..., "parameters": {...}}}.',
            )
        framed.append(dict(tool) if "function" in tool else {"type": "function", "function": dict(tool)})
    return [{"type": "function", **tool} for tool in framed]
