"""Models behind an API, asked through Inspect: conversations in, replies out, and every failure told apart."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import ModelError, first_line
from ..redact import redacted, redacted_answer
from ..text import canonical
from .names import provider_name, service_name
from .price import Purse
from .sampling import Sampling
from .speaker import OnAsk, OnReply, Reply, tell_nobody

RATE_LIMIT = "rate limit"
TIME_OUT = "time-out"
SERVER_ERROR = "server error"
CONNECTION = "connection lost"
MALFORMED = "malformed answer"
BAD_REQUEST = "request not accepted"
FILTERED = "stopped by the provider's filter"
CUT_OFF = "cut off before anything was said"
TOO_LONG = "longer than the model's context"
OVER_BUDGET = "not asked: the budget is spent"
GIVEN_UP = "not asked: too many requests in a row failed"
NEVER = (401, 404)  # no request will ever be answered
IN_WORDS = {"rate_limit_exceeded": 429, "server_error": 500}  # what a library calls an error behind HTTP 200
# Inspect holds to the first limit that a process names for a key, whatever is named later; ours is kept by `ask_all`.
NO_LIMIT = 100_000
UNREADABLE = "arguments that are not JSON"


@dataclass(frozen=True)
class Asking:
    """How an API is asked; no answer depends on it, but on `provider`.

    connections: requests at once. retries: how often Inspect asks again after a failure that may pass; 0 sends each
    prompt once, whatever comes of it. seconds: how long one attempt may take. give_up_after: failures in a row after
    which the rest is not asked. provider: the one of OpenRouter's that is to serve every call; "" for any.
    """

    connections: int = 10
    retries: int = 4
    seconds: int = 120
    give_up_after: int = 20
    provider: str = ""


USUAL = Asking()


class ApiChat:
    """Conversations written down as JSON: the provider renders them, with a template of its own."""

    template_hash = ""
    end = ""

    def prompt(self, messages: Sequence[Mapping[str, str]], tools: Sequence[Mapping[str, Any]] | None = None) -> str:
        return canonical({"messages": list(messages)} | ({"tools": list(tools)} if tools else {}))

    def tokens(self, text: str) -> list[int]:
        raise ModelError(
            "The tokens of a model behind an API are not known before it is asked.",
            remedy="Take the trained arms out, or name a model with weights.",
        )


@dataclass
class ApiModel:
    """A model of one of Inspect's providers. name: as in a study file. purse: what may be spent on it."""

    name: str
    asking: Asking = USUAL
    purse: Purse = field(default_factory=Purse)

    @property
    def chat(self) -> ApiChat:
        return ApiChat()

    def replies(
        self,
        prompts: Sequence[str],
        *,
        max_new_tokens: int,
        sampling: Sampling | None,
        on_reply: OnReply,
        on_ask: OnAsk = tell_nobody,
        schemas: Sequence[str] = (),
    ) -> list[Reply]:
        """As `Speaker.replies`, several at once. Seeds are the provider's: a prompt asked twice may differ.

        What the purse does not reach, and what follows on many failures in a row, is not asked and says so. Errors
        (ModelError): a provider that is not installed, has no key or cannot be pinned; a model or key that the provider
        does not know.
        """
        if not prompts:
            return []
        temperature = sampling.temperature if sampling else 0.0
        return asyncio.run(self.ask_all(prompts, max_new_tokens, temperature, on_reply, on_ask))

    async def ask_all(
        self, prompts: Sequence[str], max_new_tokens: int, temperature: float, on_reply: OnReply, on_ask: OnAsk
    ) -> list[Reply]:
        found: dict[int, Reply] = {}
        queue = Queue(prompts, self.purse, max_new_tokens, self.asking.give_up_after)
        async with inspect_model(self.name, self.asking, max_new_tokens, temperature) as model:

            async def ask_on() -> None:
                while (place := await queue.take()) is not None:
                    on_ask(place)
                    # In a context of its own, so that Inspect's transcript holds this call alone and is freed with it.
                    reply = await asyncio.create_task(ask(model, prompts[place]), context=Context())
                    reply = replace(reply, provider=reply.provider or service_name(self.name))
                    await queue.settle(place, reply)
                    # Also what comes after a fatal reply to another call: it was paid for.
                    found[place] = reply
                    on_reply(place, reply)

            await asyncio.gather(*(ask_on() for _ in range(self.asking.connections)))
        if queue.fatal:
            raise unanswerable(self.name, queue.fatal)
        rest = Reply("", cause=queue.stopped, came=False)
        return [found.get(place, rest) for place in range(len(prompts))]


class Queue:
    """Whose turn it is, and whether there is money for it.

    stopped: why nothing more is asked; fatal: the reply after which nothing ever will be answered.
    """

    def __init__(self, prompts: Sequence[str], purse: Purse, max_new_tokens: int, give_up_after: int) -> None:
        self.places: Iterator[int] = iter(range(len(prompts)))
        self.worst = [purse.worst(prompt, max_new_tokens) for prompt in prompts]
        self.purse = purse
        self.give_up_after = give_up_after
        self.failed_in_a_row = 0
        self.stopped: str | None = None
        self.fatal: Reply | None = None
        self.settled = asyncio.Condition()

    async def take(self) -> int | None:
        """The next place, once it can be paid for; None where nothing more is to be asked."""
        async with self.settled:
            place = None if self.stopped else next(self.places, None)
            if place is None:
                return None
            while not self.purse.fits(self.worst[place]) and self.purse.reserved > 0 and not self.stopped:
                await self.settled.wait()
            if not self.purse.fits(self.worst[place]):
                self.stopped = self.stopped or OVER_BUDGET
            if self.stopped:
                return None
            self.purse.take(self.worst[place])
            return place

    async def settle(self, place: int, reply: Reply) -> None:
        async with self.settled:
            self.purse.settle(self.worst[place], reply.tokens_in, reply.tokens_out)
            self.failed_in_a_row = 0 if reply.came else self.failed_in_a_row + 1
            if reply.cause in [fatal_cause(status) for status in NEVER]:
                self.fatal, self.stopped = reply, reply.cause
            elif self.failed_in_a_row >= self.give_up_after:
                self.stopped = self.stopped or GIVEN_UP
            self.settled.notify_all()


def fatal_cause(status: int) -> str:
    return f"HTTP {status}"


def unanswerable(name: str, reply: Reply) -> ModelError:
    remedies = {
        fatal_cause(401): "Check the key that the provider's environment variable holds.",
        fatal_cause(404): "Check the model's name, and the base URL and provider if you gave them.",
    }
    return ModelError(
        f"The provider will not answer for {name!r}: {reply.detail}",
        where=f"{reply.cause}",
        remedy=f"{remedies[str(reply.cause)]} What was answered is kept.",
    )


def inspect_model(name: str, asking: Asking, max_new_tokens: int, temperature: float) -> Any:
    """Inspect's model, not yet asked anything; it is closed at the end of `async with`."""
    try:
        from inspect_ai.model import GenerateConfig, get_model
    except ModuleNotFoundError:
        raise ModelError(
            f"The model {name!r} is asked through Inspect, which is not installed.",
            remedy="pip install 'teachwhy[inspect]'",
        ) from None
    pin = pinned(name, asking.provider)
    config = GenerateConfig(
        max_tokens=max_new_tokens,
        temperature=temperature,
        max_connections=NO_LIMIT,
        max_retries=asking.retries,
        attempt_timeout=asking.seconds,
    )
    try:
        model = get_model(provider_name(name), config=config, memoize=False, **pin)
    except Exception as error:
        raise ModelError(
            f"The model {name!r} cannot be asked: {plain(error)}",
            remedy="Its provider must be one of Inspect's, installed, and its key in the environment.",
        ) from None
    client: Any = getattr(model.api, "client", None)
    if asking.retries == 0 and hasattr(client, "max_retries"):
        client.max_retries = 0  # the provider's own library would ask again by itself, unseen and uncounted
    return model


def pinned(name: str, provider: str) -> dict[str, Any]:
    """What Inspect passes on to have every call served by one provider. Errors: a model where there is no choice."""
    if not provider:
        return {}
    if not provider_name(name).startswith("openrouter/"):
        raise ModelError(
            f"The provider {provider!r} cannot be chosen for {name!r}: only OpenRouter leaves a choice.",
            remedy="Name a model as inspect:openrouter/maker/model, or leave the provider out.",
        )
    return {"provider": {"order": [provider], "allow_fallbacks": False}}


def plain(error: BaseException) -> str:
    """An error's message on one line, without rich's markup and without keys."""
    return redacted(" ".join(str(error).replace("[bold]", "").replace("[/bold]", "").split()))[:300]


async def ask(model: Any, prompt: str) -> Reply:
    """Ask an Inspect model one conversation that `ApiChat` wrote down; what goes wrong is in the reply."""
    asked = json.loads(prompt)
    try:
        output = await model.generate(
            as_messages(asked["messages"]), [as_tool(tool) for tool in asked.get("tools", ())]
        )
        return replace(read_output(output), provider=serving_provider())
    except Exception as error:
        return failed(error)


def serving_provider() -> str:
    """Who served the last call of this context, where the raw answer says so, as OpenRouter's does."""
    from inspect_ai.event import ModelEvent
    from inspect_ai.log import transcript

    calls = [event.call for event in transcript().events if isinstance(event, ModelEvent) and event.call]
    told = (calls[-1].response or {}).get("provider") if calls else None
    return told if isinstance(told, str) else ""


def as_messages(messages: Sequence[Mapping[str, str]]) -> list[Any]:
    """Messages of ours as Inspect's."""
    from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageUser

    kinds: dict[str, Any] = {"system": ChatMessageSystem, "user": ChatMessageUser, "assistant": ChatMessageAssistant}
    return [kinds[message["role"]](content=message["content"]) for message in messages]


def as_tool(tool: Mapping[str, Any]) -> Any:
    """A tool of an item, in OpenAI's form or the function alone, as Inspect's."""
    from inspect_ai.tool import ToolInfo, ToolParams

    function = tool.get("function", tool)
    return ToolInfo(
        name=function["name"],
        description=function.get("description") or function["name"],
        parameters=ToolParams.model_validate(function.get("parameters") or {}),
    )


def read_output(output: Any) -> Reply:
    """An Inspect `ModelOutput` as a reply: the text with its tool calls behind it, how it ended, what it took.

    A model repeats a key only if somebody put it into the prompt; even then it is not written down.
    """
    usage = output.usage
    tokens = {"tokens_in": input_tokens(usage), "tokens_out": usage.output_tokens} if usage else {}
    if not output.choices:
        return Reply("", cause=MALFORMED, came=False, detail=redacted(output.error or "no choice"), **tokens)
    calls = output.choices[0].message.tool_calls or []
    text = redacted_answer("\n".join(part for part in (output.completion, *map(written_call, calls)) if part))
    cut = output.stop_reason == "max_tokens"
    causes = {"content_filter": FILTERED, "model_length": TOO_LONG}
    cause = causes.get(output.stop_reason) or (CUT_OFF if cut and not text.strip() else None)
    return Reply(text, cause=cause, cut=cut, model=str(output.model), **tokens)


def input_tokens(usage: Any) -> int:
    """All that was read, from a cache or not."""
    cached = (usage.input_tokens_cache_read or 0) + (usage.input_tokens_cache_write or 0)
    return int(usage.input_tokens + cached)


def written_call(call: Any) -> str:
    """A tool call as text, as a local model writes it; one that cannot be read stays so."""
    value = (
        f"{call.function}: {UNREADABLE}"
        if call.parse_error
        else canonical({"name": call.function, "arguments": call.arguments})
    )
    return f"<tool_call>{value}</tool_call>"


def failed(error: BaseException) -> Reply:
    """What an exception of Inspect or a provider's library means: a reply that never came."""
    chain = list(causes_of(error))
    status = next((number for one in chain if (number := status_of(one)) is not None), None)
    names = [type(one).__name__ for one in chain]
    # What is told last is nearest to the fault; a retry's own error says nothing.
    told = next((said(one) for one in chain if isinstance(one, Exception) and "Retry" not in type(one).__name__), "")
    return Reply("", cause=cause_of(status, names), came=False, detail=told)


def said(error: Exception) -> str:
    """The first line of an error. Inspect's begins with the request; OpenRouter's is empty but for its message."""
    told = getattr(error, "provider_message", "") or str(error) or getattr(error, "message", "")
    return first_line(Exception(told) if told else error)


def cause_of(status: int | None, names: Sequence[str]) -> str:
    """status: of HTTP, None where nothing was heard. names: the classes of the errors, the outermost first."""
    if status in NEVER:
        return fatal_cause(status)
    if status == 429:
        return RATE_LIMIT
    if status == 408 or any("Timeout" in name for name in names):
        return TIME_OUT
    if status is not None:
        return SERVER_ERROR if status >= 500 else BAD_REQUEST
    if any("Connect" in name or "Protocol" in name or "Network" in name for name in names):
        return CONNECTION
    return MALFORMED


def causes_of(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those behind it; that of the last attempt behind a retry's."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        attempt = getattr(error, "last_attempt", None)
        inner = attempt.exception() if attempt is not None else None
        error = inner or error.__cause__ or error.__context__


def status_of(error: BaseException) -> int | None:
    """The HTTP status of a provider's error, or that of which an answer of status 200 tells; names differ."""
    response = getattr(error, "response", None)
    found = [getattr(error, name, None) for name in ("status_code", "code")]
    found += [response.get("code")] if isinstance(response, dict) else []
    numbers = (IN_WORDS.get(value, 0) if isinstance(value, str) else value for value in found)
    return next((number for number in numbers if isinstance(number, int) and 400 <= number < 600), None)
