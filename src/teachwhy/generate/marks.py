"""A model that runs here: what a text says can never pass for the model's own marks, such as the end of a turn."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..models import Chat


@dataclass(frozen=True)
class MarksApart:
    """A model's chat format with a space put into every mark that a message holds: `< |im_end|>`.

    A provider behind an API does this by its own means. A model here would read the mark as the token, and with it
    whatever follows as a turn of its own. say: is told once of each mark that was met.
    """

    chat: Chat
    say: Callable[[str], None]
    told: set[str] = field(default_factory=set)

    @property
    def template_hash(self) -> str:
        return self.chat.template_hash

    @property
    def end(self) -> str:
        return self.chat.end

    def tokens(self, text: str) -> list[int]:
        return self.chat.tokens(text)

    def prompt(self, messages: Sequence[Mapping[str, str]], tools: Sequence[Mapping[str, Any]] | None = None) -> str:
        marks = marks_of(self.chat.tokenizer)
        return self.chat.prompt([{**one, "content": self.broken_up(one["content"], marks)} for one in messages], tools)

    def broken_up(self, text: str, marks: re.Pattern[str] | None) -> str:
        # A broken mark may hold a shorter one. This ends: every round makes a gap wider, and no mark is a gap alone.
        while marks and (met := set(marks.findall(text))):
            for mark in sorted(met - self.told):
                self.say(f"a text holds {mark!r}, which this model reads as a mark of its own: {apart(mark)!r} is sent")
            self.told.update(met)
            text = marks.sub(lambda found: apart(found[0]), text)
        return text


def apart(mark: str) -> str:
    return f"{mark[0]} {mark[1:]}"


def marks_of(tokenizer: Any) -> re.Pattern[str] | None:
    """The texts of a tokenizer's special tokens, the longest first; a mark of one character cannot be broken up."""
    added = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    texts = {text.strip() for text in [*added, *tokenizer.all_special_tokens]}
    marks = sorted((text for text in texts if len(text) > 1), key=lambda text: (-len(text), text))
    return re.compile("|".join(map(re.escape, marks))) if marks else None
