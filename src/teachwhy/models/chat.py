"""The chat format of a model: prompts rendered to text, text to tokens, and where a turn ends."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from ..errors import ModelError, first_line

PROBE = "teachwhy-probe"


class Chat:
    """Wraps a tokenizer with a chat template. Errors (ModelError): no template, or one that opens a thinking block."""

    def __init__(self, tokenizer: Any) -> None:
        if not tokenizer.chat_template:
            raise ModelError(
                "This model's tokenizer has no chat template.",
                where=str(tokenizer.name_or_path),
                remedy="Use an instruction-tuned model, or put a chat_template.jinja beside its tokenizer.",
            )
        if tokenizer.eos_token is None:
            raise ModelError(
                "This model's tokenizer names no token that ends a text.",
                where=str(tokenizer.name_or_path),
                remedy="Give it an `eos_token` in tokenizer_config.json.",
            )
        self.tokenizer = tokenizer
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        self.refuse_open_thinking()

    def prompt(self, messages: Sequence[Mapping[str, str]], tools: Sequence[Mapping[str, Any]] | None = None) -> str:
        """The conversation as text, up to where the model's answer begins."""
        try:
            return str(
                self.tokenizer.apply_chat_template(
                    list(messages),
                    tools=list(tools) if tools else None,
                    tokenize=False,
                    add_generation_prompt=True,
                    enable_thinking=False,
                )
            )
        except Exception as error:
            raise ModelError(
                f"The model's chat template cannot render this conversation: {first_line(error)}",
                where=str(self.tokenizer.name_or_path),
                remedy="Some templates refuse a system prompt, or two messages of one role in a row.",
            ) from None

    @cached_property
    def end(self) -> str:
        """The text that ends an assistant turn, such as `<|im_end|>`."""
        rendered = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": "x"}, {"role": "assistant", "content": PROBE}], tokenize=False
        )
        tail = rendered.rpartition(PROBE)[2].strip()
        first = self.tokenizer(tail, add_special_tokens=False)["input_ids"][:1] if tail else []
        return str(self.tokenizer.decode(first)) if first else str(self.tokenizer.eos_token)

    @cached_property
    def stop_tokens(self) -> list[int]:
        """The tokens that end generation: the end of a turn and the end of the text."""
        return sorted({self.tokens(self.end)[0], int(self.tokenizer.eos_token_id)})

    @property
    def pad_token(self) -> int:
        return int(self.tokenizer.pad_token_id)

    @cached_property
    def guide(self) -> Any:
        """The tokenizer as llguidance wants it, to hold answers to a schema; None where it cannot read it."""
        from llguidance.hf import from_tokenizer

        try:
            return from_tokenizer(self.tokenizer, eos_token=self.stop_tokens)
        except ValueError:  # a tokenizer in Python
            return None

    @cached_property
    def template_hash(self) -> str:
        return hashlib.sha256(self.tokenizer.chat_template.encode()).hexdigest()

    def tokens(self, text: str) -> list[int]:
        """Token ids of a text that is already rendered: no special token is added."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def text(self, tokens: Sequence[int]) -> str:
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True))

    def refuse_open_thinking(self) -> None:
        """A template that opens a thinking block by itself would be trained on an empty one."""
        tail = self.prompt([{"role": "user", "content": PROBE}]).rpartition(PROBE)[2]
        for opening, closing in (("<think>", "</think>"), ("<thinking>", "</thinking>")):
            if tail.count(opening) > tail.count(closing):
                raise ModelError(
                    f"This model's chat template opens a {opening} block by itself, even with thinking switched off.",
                    where=str(self.tokenizer.name_or_path),
                    remedy="Use the model's non-thinking version, or a template that does not open the block.",
                )
