"""Answers of a local model that are held to a JSON schema: at every step only tokens that can still lead to one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import ModelError, first_line
from .chat import Chat
from .sampling import Choose

# As people write JSON. Without it a model may put line breaks between two fields for as long as it is let.
SEPARATORS: Any = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


def held(choose: Choose, schemas: Sequence[str], chat: Chat) -> Choose:
    """The choice of tokens, where row n of a batch is held to schema n; a row whose schema is "" writes as it likes.

    A row whose object is whole ends its turn; one that llguidance gives up on writes on as it likes. So do all where it
    cannot read the tokenizer. Errors (ModelError): a schema that nothing can fit.
    """
    from llguidance import LLExecutor

    if chat.guide is None:
        return choose
    grammars = {text: matcher_of(text, chat.guide) for text in {*schemas} - {""}}
    matchers = [grammars[text].deep_copy() if text else None for text in schemas]
    executor = LLExecutor()

    def choose_held(logits: Any, rows: Any, step: int) -> Any:
        asked = [matchers[row] for row in rows.tolist()]
        allowed = allowed_by(asked, executor, logits.shape[-1], chat).to(logits.device)
        chosen = choose(logits.masked_fill(~allowed, float("-inf")), rows, step)
        for matcher, token in zip(asked, chosen.tolist(), strict=True):
            if matcher and not matcher.is_stopped():
                matcher.consume_token(token)
        return chosen

    return choose_held


def matcher_of(schema: str, guide: Any) -> Any:
    """What follows a text and knows which tokens can come next, <https://github.com/guidance-ai/llguidance>."""
    from llguidance import LLMatcher

    matcher = LLMatcher(guide, LLMatcher.grammar_from_json_schema(schema, SEPARATORS))
    if matcher.is_error():
        raise ModelError(
            f"No answer can have the form that is asked for: {first_line(ValueError(matcher.get_error()))}",
            where=schema,
            remedy="Look at the words and values that the stage of the recipe allows.",
        )
    return matcher


def allowed_by(matchers: Sequence[Any], executor: Any, size: int, chat: Chat) -> Any:
    """Which tokens may come next, shape (rows, size), as booleans."""
    import numpy as np
    import torch
    from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask_par

    bits = allocate_token_bitmask(len(matchers), chat.guide.vocab_size)
    going = [(matcher, row) for row, matcher in enumerate(matchers) if matcher and not matcher.is_stopped()]
    if going:
        fill_next_token_bitmask_par(executor, going, bits)
    known = np.unpackbits(bits.view(np.uint8), axis=1, bitorder="little")[:, :size]
    allowed = np.zeros((len(matchers), size), bool)  # a network may have more columns than its tokenizer has tokens
    allowed[:, : known.shape[1]] = known
    for row, matcher in enumerate(matchers):
        if matcher is None or matcher.is_error():
            allowed[row] = True
        elif matcher.is_stopped():
            allowed[row] = False
            allowed[row, chat.stop_tokens] = True
    return torch.from_numpy(allowed)
