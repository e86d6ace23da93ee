"""Whoever can be asked: conversations in, text out. A local model and one behind an API answer alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .generate import Sampling, generate
from .load import LanguageModel


@dataclass(frozen=True)
class Reply:
    """What came of one conversation.

    cause: why there is nothing to score; None for an answer. came: whether the model was heard at all: where not, it
    may be asked again. cut: the answer ends where it was not allowed to go on. tokens_in, tokens_out: as the provider
    counts them, 0 where it does not say. model: the name under which it answered. detail: the error, in its own words.
    """

    text: str
    cause: str | None = None
    came: bool = True
    cut: bool = False
    tokens_in: int = 0
    tokens_out: int = 0
    model: str = ""
    detail: str = ""


OnReply = Callable[[int, Reply], None]


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
        self, prompts: Sequence[str], *, max_new_tokens: int, sampling: Sampling | None, on_reply: OnReply
    ) -> list[Reply]:
        """A reply to each prompt, in order; on_reply: told of each as it comes, with its place.

        sampling: None for the likeliest words.
        """
        ...


@dataclass(frozen=True)
class LocalSpeaker:
    """A loaded model as whoever can be asked."""

    model: LanguageModel

    @property
    def chat(self) -> ChatFormat:
        return self.model.chat

    def replies(
        self, prompts: Sequence[str], *, max_new_tokens: int, sampling: Sampling | None, on_reply: OnReply
    ) -> list[Reply]:
        texts = generate(self.model, prompts, max_new_tokens=max_new_tokens, sampling=sampling)
        count = self.model.chat.tokens
        found = [
            Reply(text, tokens_in=len(count(prompt)), tokens_out=len(count(text)), model=self.model.source.name)
            for prompt, text in zip(prompts, texts, strict=True)
        ]
        for place, reply in enumerate(found):
            on_reply(place, reply)
        return found
