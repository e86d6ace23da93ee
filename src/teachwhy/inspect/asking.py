"""One request put to a model of Inspect: what it is sent, and the answer made of what comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..evals import Answer, ExamFormat, Request
from ..models.api import as_messages, as_tool, read_output
from ..text import words

if TYPE_CHECKING:
    from inspect_ai.model import ChatMessage, Model
    from inspect_ai.tool import ToolInfo

OURS = "teachwhy"  # under this name a request of ours goes to an arm, and its scores of options come back
# A judge that can only write is sure of the option it names: its share among the options is 1 to the last digit.
NAMED, NOT_NAMED = 0.0, -100.0


@dataclass(frozen=True)
class Spoken:
    """An answer, and the whole conversation as the model had it, its own words last."""

    answer: Answer
    messages: list[ChatMessage]


def scores_options(model: Model) -> bool:
    """Whether the model gives log-probabilities of options: an arm of ours does, a model behind an API does not."""
    return bool(getattr(model.api, "scores_options", False))


async def ask(
    model: Model,
    request: Request,
    conversation: Sequence[Mapping[str, str]],
    format: ExamFormat,
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
    sample: int = 0,
) -> Spoken:
    """Put a request to a model. conversation: messages with role and content. tools: that the case offers, not used.

    sample: the number of this asking. A model that gives no log-probabilities is asked for its words: for a reason
    first, where one would be put in an arm's mouth to begin; for one of the options, where they are all that is asked.
    What cannot be asked of it at all, a decision behind words that it never said, is an answer without a choice.
    """
    if scores_options(model):
        return await ask_arm(model, request, conversation, format, tools, sample)
    offered = [as_tool(tool) for tool in tools or ()]
    if request.write:
        reasoned = request.options and request.opening and request.opening == format.reason_marker
        asked = with_parts(conversation, format) if reasoned else conversation
        return await written(model, request, as_messages(asked), offered, sample)
    if request.options and request.opening in ("", format.action_marker):
        return await named(model, request, conversation, sample)
    return Spoken(Answer(request.item, request.format, request.opening, sample=sample), [])


def with_parts(conversation: Sequence[Mapping[str, str]], format: ExamFormat) -> list[Mapping[str, str]]:
    """The conversation with a system prompt that asks for a reason and then the answer, each behind its marker."""
    told = (
        f"Begin with {format.reason_marker!r} and give your reason in one or two sentences. Then write "
        f"{format.action_marker!r} on a new line, and behind it your answer to the user."
    )
    first, *rest = conversation
    if first["role"] == "system":
        return [{"role": "system", "content": f"{first['content']}\n\n{told}"}, *rest]
    return [{"role": "system", "content": told}, *conversation]


async def ask_arm(
    model: Model,
    request: Request,
    conversation: Sequence[Mapping[str, str]],
    format: ExamFormat,
    tools: Sequence[Mapping[str, Any]] | None,
    sample: int,
) -> Spoken:
    """An arm is told what to write behind and which options to score; it gives what the local runner would."""
    from inspect_ai.model import GenerateConfig

    asked = vars(request) | {"options": dict(request.options)}
    told = {"request": asked, "format": vars(format), "tools": list(tools) if tools else None, "sample": sample}
    messages = as_messages(conversation)
    output = await model.generate(messages, config=GenerateConfig(extra_body={OURS: told}))
    found = (output.metadata or {})[OURS]
    answer = Answer(request.item, request.format, found["text"], found["choice"], sample, found["cause"])
    return Spoken(answer, [*messages, output.message])


async def written(
    model: Model, request: Request, messages: list[ChatMessage], tools: list[ToolInfo], sample: int
) -> Spoken:
    output = await model.generate(messages, tools)
    reply = read_output(output)
    answer = Answer(request.item, request.format, reply.text, sample=sample, cause=reply.cause)
    return Spoken(answer, [*messages, output.message])


async def named(model: Model, request: Request, conversation: Sequence[Mapping[str, str]], sample: int) -> Spoken:
    """The option that the model names when it is asked for one of them; no choice where it names none or several."""
    listed = "\n".join(f"- {option}" for option in request.options.values())
    *earlier, last = conversation
    text = f"{last['content']}\n\nAnswer with one of these sentences and nothing else:\n{listed}"
    asked = as_messages([*earlier, {"role": last["role"], "content": text}])
    spoken = await written(model, request, asked, [], sample)
    said = spoken.answer.text
    found = [name for name, option in request.options.items() if in_words(option, said)]
    choice = {name: NAMED if name in found else NOT_NAMED for name in request.options} if len(found) == 1 else {}
    return Spoken(replace(spoken.answer, choice=choice), spoken.messages)


def in_words(option: str, said: str) -> bool:
    """Whether the words of an option stand in what was said, one after another."""
    return f" {' '.join(words(option))} " in f" {' '.join(words(said))} "
