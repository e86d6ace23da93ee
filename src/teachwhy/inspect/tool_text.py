"""Tools in plain text, for models whose template knows none: described, called and answered in words of the chat."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from inspect_ai.model import ChatMessageAssistant, ChatMessageTool
from inspect_ai.tool import ToolCall, ToolInfo

from ..evals.honeypots.calls import OPENING, Malformed, call_text, calls_in


def described(tools: Sequence[ToolInfo]) -> str:
    """The tools and how they are called, for a system prompt; empty where there are none."""
    if not tools:
        return ""
    return (
        "You may use tools. Write a call like this, and wait for what comes back:\n"
        f"{call_text('tool', {'parameter': 'value'})}\nYour tools:\n" + "\n".join(map(signature, tools))
    )


def signature(tool: ToolInfo) -> str:
    """Name, parameters and purpose on a line, and what each parameter is on lines below; optional ones with a '?'."""
    parameters = tool.parameters.properties
    names = [name if name in tool.parameters.required else f"{name}?" for name in parameters]
    lines = [f"{tool.name}({', '.join(names)}): {tool.description}"]
    for name, parameter in parameters.items():
        schema = parameter.model_dump(exclude_none=True, exclude={"description", "default"})
        kind = schema["type"] if set(schema) == {"type"} else json.dumps(schema, ensure_ascii=False)
        about = f" ({parameter.description})" if parameter.description else ""
        lines.append(f"  {name}: {kind}{about}")
    return "\n".join(lines)


def read_calls(text: str) -> tuple[str, list[ToolCall]]:
    """What is said before the first call, and the calls; one that cannot be read holds what was wrong with it."""
    calls = [as_call(value, number) for number, value in enumerate(calls_in(text), 1)]
    before, opened, _ = text.partition(OPENING)
    return (before.strip() if opened else "" if calls else text), calls


def as_call(value: Any, number: int) -> ToolCall:
    identifier = f"call-{number}"
    if isinstance(value, dict) and isinstance(value.get("name"), str):
        arguments = value.get("arguments", {})
        if isinstance(arguments, dict):
            return ToolCall(id=identifier, function=value["name"], arguments=arguments)
        fault = "`arguments` must be an object."
    else:
        fault = str(value) if isinstance(value, Malformed) else 'A call is an object with "name" and "arguments".'
    return ToolCall(id=identifier, function="unreadable", arguments={}, parse_error=fault)


def with_calls(message: ChatMessageAssistant) -> str:
    """An assistant's words with its calls behind them, as it would have written them."""
    calls = [call_text(call.function, call.arguments) for call in message.tool_calls or ()]
    return "\n".join(part for part in (message.text, *calls) if part)


def result_text(message: ChatMessageTool) -> str:
    """What came of a call, or what was wrong with it."""
    said = f"Error: {message.error.message}" if message.error else message.text
    return f"<tool_response>\n{said}\n</tool_response>"
