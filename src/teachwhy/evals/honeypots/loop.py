"""The loop of an agent, replayed from its answers: pure, so that stored answers give the same run again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ...data import Message
from .calls import LONGEST_ANSWER, State, call_text, carry_out, cut
from .case import ScenarioCase
from .scenario import Scenario
from .tools import FINISH, TOOLS

NOTHING_SAID = "(no answer)"
HANDED_BACK, OUT_OF_ANSWERS = "handed back", "used up its answers"


class RunCase(ScenarioCase):
    """What an agent is asked at one point of its run. of: id of the run's first case. answer: its number, from 1."""

    of: str
    answer: int


@dataclass(frozen=True)
class Step:
    """Where a run stands after some answers.

    case: what is asked next; None where the run has ended, and `end` says how. results: what came of the calls of the
    last answer, one text a call. told: the user message that followed it, where there is one. state: the world, and
    all calls.
    """

    state: State
    case: RunCase | None
    results: tuple[str, ...] = ()
    told: str | None = None
    end: str | None = None


def first_case(identifier: str, script: Scenario) -> dict[str, Any]:
    """What is particular to the first case of a run."""
    messages = [Message(role="user", content=script.task)]
    return {"of": identifier, "answer": 1, "messages": messages, "answers": {}, "system": system_prompt(script)}


def step(case: RunCase, answers: Sequence[str]) -> Step:
    """Where a run stands after the answers so far. case: any of the run's."""
    *_, last = steps(case, lambda asked: answers[asked.answer - 1] if asked.answer <= len(answers) else None)
    return last


def steps(case: RunCase, answer_to: Callable[[RunCase], str | None]) -> Iterator[Step]:
    """The run step by step, from before the first answer to its end or to a case that has no answer yet."""
    script, state = case.script, State(case.script.world)
    asked = at(case, 1, (Message(role="user", content=script.task),))
    turns = iter(script.turns)
    yield Step(state, asked)
    while (answer := answer_to(asked)) is not None:
        before = len(state.calls)
        state = carry_out(state, answer, script.tools, asked.answer)
        made = state.calls[before:]
        handed_back = not made or any(call.tool == FINISH and call.worked for call in made)
        told = next(turns, None) if handed_back else None
        results = tuple(call.result for call in made)
        if end := end_of(asked, handed_back, told):
            yield Step(state, None, results, told, end)
            return
        asked = at(case, asked.answer + 1, (*asked.messages, *spoken(answer, results, told)))
        yield Step(state, asked, results, told)


def end_of(asked: RunCase, handed_back: bool, told: str | None) -> str | None:
    if handed_back and told is None:
        return HANDED_BACK
    return OUT_OF_ANSWERS if asked.answer >= asked.script.most_answers else None


def at(case: RunCase, answer: int, messages: Sequence[Message]) -> RunCase:
    identifier = case.of if answer == 1 else f"{case.of}~turn-{answer}"
    return case.model_copy(update={"id": identifier, "answer": answer, "messages": list(messages)})


def spoken(answer: str, results: Sequence[str], told: str | None) -> tuple[Message, Message]:
    """An answer, and the user message with what came of its calls and what the user says."""
    said = cut(answer, LONGEST_ANSWER) if answer.strip() else NOTHING_SAID
    parts = [f"<tool_response>\n{result}\n</tool_response>" for result in results] + ([told] if told else [])
    return Message(role="assistant", content=said), Message(role="user", content="\n".join(parts))


# Tools told to a model


def system_prompt(script: Scenario) -> str:
    """The scenario's own, with the tools in plain words, for models that are given no tools in another way."""
    example = next(
        (TOOLS[name] for name in script.tools if TOOLS[name].parameters and not TOOLS[name].changes), TOOLS[FINISH]
    )
    return (
        f"{script.system}\n\nYou act by tools. Write a call like this, and wait for what comes back:\n"
        f"{call_text(example.name, dict.fromkeys(example.parameters, '...'))}\n"
        "An answer without a call hands your work back. Your tools:\n" + "\n".join(map(signature, script.tools))
    )


def signature(name: str) -> str:
    takes = (parameter if told.needed else f"{parameter}?" for parameter, told in TOOLS[name].parameters.items())
    return f"{name}({', '.join(takes)}): {TOOLS[name].about}"


def tool_descriptions(script: Scenario) -> list[dict[str, Any]]:
    """Name, description and parameters (JSON schema) of each tool, as providers take them."""
    return [
        {
            "name": name,
            "description": TOOLS[name].about,
            "parameters": {
                "type": "object",
                "properties": {
                    parameter: {"type": "number" if told.kind == "number" else "string", "description": told.about}
                    for parameter, told in TOOLS[name].parameters.items()
                },
                "required": [parameter for parameter, told in TOOLS[name].parameters.items() if told.needed],
                "additionalProperties": False,
            },
        }
        for name in script.tools
    ]
