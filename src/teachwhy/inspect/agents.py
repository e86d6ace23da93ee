"""Runs of agents on models with tools of their own: native calls written down as text, results given back natively."""

from __future__ import annotations

from dataclasses import dataclass, field

from inspect_ai.model import ChatMessage, ChatMessageAssistant, ChatMessageTool, ChatMessageUser, Model
from inspect_ai.tool import ToolInfo

from ..evals import Answer
from ..evals.honeypots import RunCase, Step, step, tool_descriptions
from ..evals.honeypots.calls import OPENING, calls_in
from ..models.api import as_messages, as_tool, read_output
from .asking import Spoken


@dataclass
class Run:
    """A run as the model has it. texts: its answers so far, in the text form that the world is replayed from."""

    messages: list[ChatMessage]
    texts: list[str] = field(default_factory=list)


@dataclass
class Agents:
    """The runs of a sample, by their first cases. before: what stands before the system prompt of every one.

    The world is replayed from the answers' text form each time, so that a run here and a stored one cannot differ.
    """

    before: str
    sample: int
    runs: dict[str, Run] = field(default_factory=dict)

    async def ask(self, model: Model, case: RunCase) -> Spoken:
        run = self.runs.setdefault(case.of, Run(self.opening(case)))
        if run.texts:
            run.messages += told(run.messages[-1], step(case, run.texts))
        output = await model.generate(run.messages, tools_of(case))
        reply = read_output(output)
        run.messages.append(output.message)
        run.texts.append(reply.text)
        return Spoken(Answer(case.id, "own", reply.text, sample=self.sample, cause=reply.cause), list(run.messages))

    def opening(self, case: RunCase) -> list[ChatMessage]:
        """The scenario's own system prompt, without the words that tell of tools: those come with the request."""
        system = "\n\n".join(filter(None, (self.before, case.script.system)))
        return as_messages([{"role": "system", "content": system}, {"role": "user", "content": case.script.task}])


def tools_of(case: RunCase) -> list[ToolInfo]:
    return [as_tool(tool) for tool in tool_descriptions(case.script)]


def told(said: ChatMessage, after: Step) -> list[ChatMessage]:
    """What a model is told after an answer: the results of its calls, and then what the user says.

    said: the answer. Calls that it wrote as text stand before its native ones in the text form; their results come as
    text as well. A native call beyond those that are carried out has the last result, which says so.
    """
    native = said.tool_calls or [] if isinstance(said, ChatMessageAssistant) else []
    written_out = calls_in(said.text) if OPENING in said.text or not native else []
    first = min(len(written_out), len(after.results))
    results = after.results[first:]
    found: list[ChatMessage] = [
        ChatMessageTool(content=results[min(place, len(results) - 1)], tool_call_id=call.id, function=call.function)
        for place, call in enumerate(native)
        if results
    ]
    written = [f"<tool_response>\n{result}\n</tool_response>" for result in after.results[:first]]
    text = "\n".join([*written, *filter(None, [after.told])])
    return [*found, *([ChatMessageUser(content=text)] if text else [])]
