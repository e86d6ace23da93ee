"""Answers of a local model that are held to a JSON schema: at every step only tokens that can still lead to one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .chat import Chat
from .sampling import Choose

# As people write JSON. Without it a model may put line breaks between two fields for as long as it is let.
SEPARATORS: Any = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


def held(choose: Choose, schemas: Sequence[str], chat: Chat) -> Choose:
    """The choice of tokens, where row n of a batch is held to schema n; a row whose schema is "" writes as it likes.

    A row whose object is whole ends its turn. Masks are of llguidance, <https://github.com/guidance-ai/llguidance>.
    """
    import torch
    from llguidance import LLMatcher

    grammars = {
        text: LLMatcher(chat.guide, LLMatcher.grammar_from_json_schema(text, SEPARATORS)) for text in {*schemas} - {""}
    }
    matchers = [grammars[text].deep_copy() if text else None for text in schemas]

    def choose_held(logits: Any, rows: Any, step: int) -> Any:
        asked = [matchers[row] for row in rows.tolist()]
        allowed = torch.stack([allowed_by(matcher, logits.shape[-1], chat.stop_tokens) for matcher in asked])
        chosen = choose(logits.masked_fill(~allowed.to(logits.device), float("-inf")), rows, step)
        for matcher, token in zip(asked, chosen.tolist(), strict=True):
            if matcher and not matcher.is_stopped():
                matcher.consume_token(token)
        return chosen

    return choose_held


def allowed_by(matcher: Any, size: int, stops: Sequence[int]) -> Any:
    """Which tokens may come next, shape (size,), as booleans. stops: what ends a turn."""
    import numpy as np
    import torch

    allowed = np.full(size, matcher is None)
    if matcher and matcher.is_stopped():
        allowed[list(stops)] = True
    elif matcher:
        bits = np.unpackbits(np.frombuffer(matcher.compute_bitmask(), np.uint8), bitorder="little")[:size]
        allowed[: len(bits)] = bits
    return torch.from_numpy(allowed)
