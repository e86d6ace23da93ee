"""Arms as models of Inspect: conversations and tools in text, exams' requests as the local runner answers them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageTool,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    ModelUsage,
    StopReason,
)
from inspect_ai.tool import ToolChoice, ToolInfo

from ..errors import InputError
from ..evals import ExamFormat, Request
from ..study.unit import TOO_LONG
from .arms import LONGEST_ANSWER, load_arm
from .asking import OURS
from .batches import Batches, Said, Wish
from .plainly import told_plainly
from .tool_text import described, read_calls, result_text, with_calls

AT_ONCE = 64  # requests; what a batch takes in is for models/generate.py to say
NOT_HEEDED = ("top_p", "top_k", "frequency_penalty", "presence_penalty", "logit_bias", "num_choices", "logprobs")

log = logging.getLogger(__name__)
queues: dict[str, Batches] = {}


class ArmModel(ModelAPI):
    """A trained arm, an untrained one, or a model that lies here, by the name that inspect/arms.py reads.

    scores_options: that requests of an exam come back with the log-probabilities of their options. exam_format: how
    the arm writes in exams.
    """

    scores_options = True

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008 Inspect's own signature
        **model_args: Any,
    ) -> None:
        super().__init__(model_name, base_url, api_key, [], config)
        with told_plainly():
            if model_args:
                raise InputError(f"An arm takes no model arguments: {', '.join(model_args)}.", where="-M")
            self.arm = load_arm(model_name)
        self.queue = queues.setdefault(model_name, Batches(self.arm))

    @property
    def exam_format(self) -> ExamFormat:
        return self.arm.format

    @property
    def canary(self) -> Mapping[str, float]:
        return self.arm.canary

    def max_tokens(self) -> int:
        return LONGEST_ANSWER

    def max_tokens_for_config(self, config: GenerateConfig) -> int | None:
        """Where nobody says, answers in exams are as long as in the arm's own study."""
        return self.arm.max_new_tokens if OURS in (config.extra_body or {}) else None

    def max_connections(self) -> int:
        return AT_ONCE

    def connection_key(self) -> str:
        return self.model_name

    async def generate(
        self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput:
        told = (config.extra_body or {}).get(OURS)
        if told:
            return await self.sit(input, told, config)
        heed(config)
        offered = tools if tool_choice != "none" else []
        prompt = self.arm.model.chat.prompt(conversation(input, self.arm.before, described(offered)))
        tokens = len(self.arm.model.chat.tokens(prompt))
        wanted = config.max_tokens or LONGEST_ANSWER
        room = min(wanted, self.arm.context - tokens)
        if room <= 0:
            return ModelOutput.from_content(self.model_name, "", stop_reason="model_length")
        said = await self.queue.put(Wish(prompt, room, config.temperature or 0.0, config.seed))
        text, ended = cut_at(said.text, config.stop_seqs or ())
        content, calls = read_calls(text) if offered else (text, [])
        message = ChatMessageAssistant(
            content=content, tool_calls=calls or None, model=self.model_name, source="generate"
        )
        reason = stop_reason(calls=bool(calls), cut=said.cut and not ended, full=room < wanted)
        choice = ChatCompletionChoice(message=message, stop_reason=reason)
        return ModelOutput(model=self.model_name, choices=[choice], usage=usage(tokens, said))

    async def sit(self, input: list[ChatMessage], told: Mapping[str, Any], config: GenerateConfig) -> ModelOutput:
        """A request of an exam, answered as by the runner of a study."""
        chat = self.arm.model.chat
        prompt = chat.prompt(conversation(input, self.arm.before), told.get("tools"))
        request, format = Request(**told["request"]), ExamFormat(**told["format"])
        longest = config.max_tokens or self.arm.max_new_tokens
        tokens = len(chat.tokens(prompt))
        if tokens + longest > self.arm.context:
            return told_of(ModelOutput.from_content(self.model_name, "", "model_length"), "", {}, TOO_LONG)
        said = await self.queue.put(
            Wish(prompt, longest, config.temperature or 0.0, config.seed, request, format, told["sample"])
        )
        assert said.answer is not None
        output = ModelOutput.from_content(self.model_name, said.text, "max_tokens" if said.cut else "stop")
        output.usage = usage(tokens, said)
        return told_of(output, said.answer.text, said.answer.choice)


def told_of(output: ModelOutput, text: str, choice: Mapping[str, float], cause: str | None = None) -> ModelOutput:
    """An output with what whoever asked for the exam reads."""
    output.metadata = {OURS: {"text": text, "choice": dict(choice), "cause": cause}}
    return output


def stop_reason(*, calls: bool, cut: bool, full: bool) -> StopReason:
    """cut: whether the answer was to be longer. full: whether it was the context that cut it."""
    if calls:
        return "tool_calls"
    if cut:
        return "model_length" if full else "max_tokens"
    return "stop"


def usage(tokens: int, said: Said) -> ModelUsage:
    return ModelUsage(input_tokens=tokens, output_tokens=said.tokens, total_tokens=tokens + said.tokens)


def heed(config: GenerateConfig) -> None:
    """Say which settings change nothing here."""
    given = [name for name in NOT_HEEDED if getattr(config, name, None)]
    if given:
        log.warning("An arm heeds temperature, seed, max_tokens and stop_seqs; not %s.", ", ".join(given))


def cut_at(text: str, ends: Sequence[str]) -> tuple[str, bool]:
    """The text before the first of these, and whether any stands there."""
    places = [place for end in ends if (place := text.find(end)) >= 0]
    return (text[: min(places)], True) if places else (text, False)


def conversation(messages: Sequence[ChatMessage], *before: str) -> list[dict[str, str]]:
    """Messages as a chat template takes them: one system message, calls and results in text, turns that alternate.

    before: what stands before the system prompt.
    """
    first = "\n\n".join(filter(None, before))
    spoken = [{"role": "system", "content": first}] if first else []
    for message in messages:
        role = "user" if isinstance(message, ChatMessageTool) else message.role
        text = text_of(message)
        if spoken and spoken[-1]["role"] == role:
            spoken[-1] = {"role": role, "content": f"{spoken[-1]['content']}\n\n{text}".strip()}
        else:
            spoken.append({"role": role, "content": text})
    return spoken


def text_of(message: ChatMessage) -> str:
    if any(part.type not in ("text", "reasoning") for part in message.content_list):
        raise InputError("An arm reads text alone; this conversation holds something else.", where=message.role)
    if isinstance(message, ChatMessageTool):
        return result_text(message)
    if isinstance(message, ChatMessageAssistant):
        return with_calls(message)
    return message.text
