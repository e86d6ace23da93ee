"""Calls as text: found in an answer, checked against the tools, carried out in the world and recorded."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .patterns import Argument, written
from .tools import TOOLS, Parameter, Tool, shown
from .world import Call, Outcome, World

OPENING, CLOSING = "<tool_call>", "</tool_call>"
LONGEST_ANSWER = 20_000  # characters of an answer that are read, and stand in the conversation
LONGEST_ARGUMENT = 4_000
LONGEST_RESULT = 6_000
MOST_CALLS = 8  # of one answer that are carried out
LARGEST_NUMBER = 1e12


@dataclass(frozen=True)
class State:
    """A world and the calls that made it what it is, the first one first."""

    world: World
    calls: tuple[Call, ...] = ()


class Malformed(ValueError):
    """A call that cannot be read, or does not fit its tool; the message is what the agent is told."""


def call_text(name: str, arguments: Mapping[str, Any]) -> str:
    """A call as it stands in an answer."""
    return f"{OPENING}{json.dumps({'name': name, 'arguments': arguments}, ensure_ascii=False)}{CLOSING}"


def calls_in(text: str) -> list[Any]:
    """What stands behind each opening tag, as JSON values; a Malformed where it is no JSON. A list is several calls.

    Small models leave the tags away: an answer without any that is nothing but calls is read as those.
    """
    found: list[Any] = []
    place = text.find(OPENING)
    if place < 0:
        return bare_calls(text)
    while place >= 0 and len(found) <= MOST_CALLS:
        place += len(OPENING)
        try:
            value, place = DECODER.raw_decode(text, SPACE.match(text, place).end())  # type: ignore[union-attr]
        except (ValueError, RecursionError):
            value = Malformed(f"This call is no JSON. Write {call_text('...', {'...': '...'})}")
        found += value if isinstance(value, list) and value else [value]
        place = text.find(OPENING, place)
    return found[: MOST_CALLS + 1]


def bare_calls(text: str) -> list[Any]:
    """The calls that are all there is of an answer, but for a fence of Markdown; none where anything else is there."""
    rest = FENCE.sub(r"\1", text[:LONGEST_ANSWER].strip())
    found: list[Any] = []
    while rest:
        try:
            value, end = DECODER.raw_decode(rest)
        except (ValueError, RecursionError):
            return []
        values = value if isinstance(value, list) else [value]
        if not values or not all(map(is_call, values)):
            return []
        found += values
        rest = rest[end:].lstrip()
    return found[: MOST_CALLS + 1]


def is_call(value: Any) -> bool:
    return isinstance(value, dict) and {*value} == {"name", "arguments"} and isinstance(value["arguments"], dict)


def refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")


DECODER = json.JSONDecoder(parse_constant=refuse)
SPACE = re.compile(r"\s*")
FENCE = re.compile(r"\A```(?:json|tool_call)?\r?\n(.*?)\s*```\Z", re.DOTALL | re.IGNORECASE)


def carry_out(state: State, text: str, tools: Sequence[str], answer: int) -> State:
    """The state after all calls of an answer. tools: the names of those that there are. answer: its number, from 1."""
    for number, value in enumerate(calls_in(text[:LONGEST_ANSWER]), 1):
        if number > MOST_CALLS:
            state = recorded(
                state, answer, "", {}, "malformed", f"At most {MOST_CALLS} calls an answer are carried out."
            )
        else:
            state = use(state, value, tools, answer)
    return state


def use(state: State, value: Any, tools: Sequence[str], answer: int = 1) -> State:
    """The state after one call, given as the value that was written. Any value gives a short plain result."""
    try:
        tool, arguments = understood(value, tools)
    except Malformed as fault:
        return recorded(state, answer, "", {}, "malformed", str(fault))
    call = Call(answer=answer, tool=tool.name, arguments=arguments, state="done", changes=tool.changes, result="")
    reply = next((reply for reply in state.world.replies if reply.fits(call)), None)
    if reply and reply.refused:
        return recorded(state, answer, tool.name, arguments, "failed", reply.says)
    world, text, done = tool.run(state.world, **arguments)
    said = reply.says if reply and done else text
    after = recorded(state, answer, tool.name, arguments, "done" if done else "failed", said)
    return State(world, after.calls)


def recorded(
    state: State, answer: int, tool: str, arguments: Mapping[str, Argument], outcome: Outcome, result: str
) -> State:
    call = Call.model_construct(
        answer=answer,
        tool=tool,
        arguments=dict(arguments),
        state=outcome,
        changes=bool(tool) and TOOLS[tool].changes,
        result=cut(result, LONGEST_RESULT),
    )
    return State(state.world, (*state.calls, call))


def cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[:longest] + "... (cut)"


def understood(value: Any, tools: Sequence[str]) -> tuple[Tool, dict[str, Argument]]:
    """The tool that is called and its arguments. Errors (Malformed): no such tool, or arguments that do not fit it."""
    if isinstance(value, Malformed):
        raise value
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise Malformed('A call is an object with "name" and "arguments".')
    name, given = value["name"].strip(), value.get("arguments")
    if name not in tools:
        raise Malformed(
            f"There is no tool {shown(clean(str(name)[:LONGEST_ARGUMENT]))!r}. There is: {', '.join(tools)}."
        )
    tool = TOOLS[name]
    if not isinstance(given, dict | None):
        raise Malformed(f"The arguments of {name} must be an object.")
    return tool, dict(fitting(tool, given or {}))


def fitting(tool: Tool, given: Mapping[str, Any]) -> Iterator[tuple[str, Argument]]:
    takes = ", ".join(tool.parameters) or "nothing"
    for name in given:
        if name not in tool.parameters:
            raise Malformed(f"{tool.name} takes no {shown(clean(str(name)[:LONGEST_ARGUMENT]))!r}; it takes {takes}.")
    for name, parameter in tool.parameters.items():
        value = given.get(name)
        if value is not None:
            yield name, argument(name, parameter, value)
        elif parameter.needed:
            raise Malformed(f"{tool.name} needs {name!r}; it takes {takes}.")


def argument(name: str, parameter: Parameter, value: Any) -> Argument:
    """An argument of the parameter's kind. Numbers are taken as text where text is wanted, and text as a number."""
    if not isinstance(value, str | int | float):
        raise Malformed(f"{name!r} must be {'a number' if parameter.kind == 'number' else 'text'}.")
    if isinstance(value, str) and len(value) > LONGEST_ARGUMENT:
        raise Malformed(f"{name!r} is too long: at most {LONGEST_ARGUMENT:,} characters.")
    if parameter.kind == "text" and isinstance(value, str):
        return clean(value)
    found = number(name, value)
    return found if parameter.kind == "number" else written(found)


def number(name: str, value: str | int | float) -> float:
    try:
        found = float(value.replace(",", "") if isinstance(value, str) else value)
    except (ValueError, OverflowError):
        found = math.nan
    if not abs(found) <= LARGEST_NUMBER:
        raise Malformed(f"{name!r} must be a number of at most {LARGEST_NUMBER:g}.")
    return found


def clean(text: str) -> str:
    """Text without half characters, which no file can hold, and without control characters."""
    whole = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(sign if sign >= " " or sign in "\n\t" else " " for sign in whole)
