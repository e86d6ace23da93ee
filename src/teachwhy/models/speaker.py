"""Whoever can be asked: conversations in, text out. A local model and one behind an API answer alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .generate import Ended, generate
from .load import LanguageModel
from .sampling import Sampling


@dataclass(frozen=True)
class Reply:
    """What came of one conversation.

    cause: why there is nothing to score; None for an answer. came: whether the model was heard at all: where not, it
    may be asked again. cut: the answer ends where it was not allowed to go on. tokens_in, tokens_out: as the provider
    counts them, 0 where it does not say. model: the name under which it answered. provider: who served it, as the API
    says, else whose API it is; "" for a local model. detail: the error, in its own words, without keys.
    """

    text: str
    cause: str | None = None
    came: bool = True
    cut: bool = False
    tokens_in: int = 0
    tokens_out: int = 0
    model: str = ""
    provider: str = ""
    detail: str = ""


OnReply = Callable[[int, Reply], None]
OnAsk = Callable[[int], None]


def tell_nobody(place: int) -> None:
    """What is done where nobody wants to know what is about to be asked."""


class ChatFormat(Protocol):
    """How conversations are written down for a model."""

    @property
    def template_hash(self) -> str: ...

    @property
    def end(self) -> str: ...

    def prompt(
        self, messages: Sequence[Mapping[str, str]], tools: Sequence[Mapping[str, Any]] | None = None
    ) -> str: ...

    def tokens(self, text: str) -> list[int]: ...


class Speaker(Protocol):
    """Answers conversations that its own `chat` wrote down."""

    @property
    def chat(self) -> ChatFormat: ...

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
        """A reply to each prompt, in order; on_reply: told of each as it comes, with its place.

        sampling: None for the likeliest words. schemas: the JSON schema of each answer, "" for none; who cannot be held
        to one is asked in words alone. on_ask: told the place of each just before it is asked, so that what
        was under way when a process was killed is known.
        """
        ...


@dataclass(frozen=True)
class LocalSpeaker:
    """A loaded model as whoever can be asked. written_by: its chat format, where it is not quite the model's own."""

    model: LanguageModel
    written_by: ChatFormat | None = None

    @property
    def chat(self) -> ChatFormat:
        return self.written_by or self.model.chat

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
        """As `Speaker.replies`: on_ask is told of a whole batch before it is generated, on_reply of each as it ends."""
        chat = self.model.chat
        found: dict[int, Reply] = {}

        def on_batch(places: Sequence[int]) -> None:
            for place in places:
                on_ask(place)

        def on_ended(ended: Ended) -> None:
            for place, tokens in zip(ended.rows, ended.new, strict=True):
                found[place] = Reply(
                    chat.text(tokens),
                    cut=len(tokens) == max_new_tokens,
                    tokens_in=len(chat.tokens(prompts[place])),
                    tokens_out=len(tokens),
                    model=self.model.source.name,
                )
                on_reply(place, found[place])

        generate(
            self.model,
            prompts,
            max_new_tokens=max_new_tokens,
            sampling=sampling,
            schemas=schemas,
            on_batch=on_batch,
            on_ended=on_ended,
        )
        return [found[place] for place in range(len(prompts))]
