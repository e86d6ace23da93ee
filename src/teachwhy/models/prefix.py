"""A prefix that many prompts share (a policy as system prompt): run through the model once, used by all."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .load import LanguageModel

WORTH_SHARING = 8


@dataclass
class SharedPrefix:
    """tokens: the shared token ids (none where sharing does not pay). cache: their keys and values for one row."""

    tokens: list[int] = field(default_factory=list)
    cache: Any = None

    def cache_for(self, rows: int) -> Any:
        """A copy of the cache repeated for a batch of `rows`, or None."""
        if self.cache is None:
            return None
        import torch

        return select_rows(self.cache, torch.zeros(rows, dtype=torch.long))


def select_rows(cache: Any, rows: Any) -> Any:
    """A cache of its own with these rows (indices, shape (rows,)) of another; a row may come more than once."""
    selected = copy.copy(cache)
    selected.layers = [copy.copy(layer) for layer in cache.layers]
    selected.batch_select_indices(rows)
    return selected


def split_shared_prefix(
    model: LanguageModel, token_lists: Sequence[Sequence[int]]
) -> tuple[SharedPrefix, list[Sequence[int]]]:
    """The prefix that all lists share, computed, and what is left of each list (at least one token)."""
    length = shared_length(token_lists)
    if len(token_lists) < 2 or length < WORTH_SHARING:
        return SharedPrefix(), list(token_lists)
    tokens = list(token_lists[0][:length])
    return SharedPrefix(tokens, keys_and_values(model, tokens)), [tokens_[length:] for tokens_ in token_lists]


def shared_length(token_lists: Sequence[Sequence[int]]) -> int:
    """How many first tokens all lists have in common, leaving at least one of each."""
    if not token_lists:
        return 0
    low, high = min(map(list, token_lists)), max(map(list, token_lists))
    limit = min(len(tokens) for tokens in token_lists) - 1
    same = 0
    while same < limit and low[same] == high[same]:
        same += 1
    return same


def last_column(model: LanguageModel) -> Any:
    """What `logits_to_keep` takes for the last column alone.

    As a tensor it makes a copy of the column; the plain number 1 makes a view, for which torch multiplies the whole
    output head once a row, in as many copies of it (gigabytes for a batch) where its weights need no gradient.
    """
    import torch

    return torch.tensor([-1], device=model.device)


def keys_and_values(model: LanguageModel, tokens: Sequence[int]) -> Any:
    import torch

    from .growing import growing_cache

    with torch.inference_mode():
        ids = torch.tensor([list(tokens)], device=model.device)
        cache = growing_cache(model.network)
        return model.network(
            input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=last_column(model)
        ).past_key_values
