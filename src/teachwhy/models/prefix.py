"""A prefix that many prompts share (a policy as system prompt): run through the model once, used by all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .attention import shared_prefix_allowed
from .load import LanguageModel
from .past import kept_by

WORTH_SHARING = 8


@dataclass(frozen=True)
class SharedPrefix:
    """tokens: the shared token ids (none where nothing is shared). arguments: what the network's forward is given."""

    tokens: list[int] = field(default_factory=list)
    arguments: dict[str, Any] = field(default_factory=dict)


def split_shared_prefix(
    model: LanguageModel, token_lists: Sequence[Sequence[int]]
) -> tuple[SharedPrefix, list[Sequence[int]]]:
    """The prefix that all lists share, computed, and what is left of each list (at least one token).

    Nothing is shared where the model's family is not one of `attention.FAMILIES`: every row then reads it anew.
    """
    length = shared_length(token_lists)
    if len(token_lists) < 2 or length < WORTH_SHARING or not shared_prefix_allowed(model.network):
        return SharedPrefix(), list(token_lists)
    tokens = list(token_lists[0][:length])
    arguments = {"shared_prefix": keys_and_values(model, tokens)}
    return SharedPrefix(tokens, arguments), [tokens_[length:] for tokens_ in token_lists]


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


def keys_and_values(model: LanguageModel, tokens: Sequence[int]) -> list[tuple[Any, Any]]:
    """Of each layer, both of shape (1, key heads, tokens, size)."""
    import torch

    with torch.inference_mode():
        ids = torch.tensor([list(tokens)], device=model.device)
        output = model.network(input_ids=ids, use_cache=True, logits_to_keep=last_column(model))
    return [(layer.keys, layer.values) for layer in kept_by(output).layers]
