"""Attention over a prefix that all rows of a batch share: its keys and values are kept once and not once a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

NAME = "teachwhy_shared_prefix"
# Those whose every layer keeps in its cache what its attention reads, and hands on what it does not know: a test each.
FAMILIES = ("gemma", "granite", "llama", "mistral", "olmo2", "phi3", "qwen2", "qwen3", "smollm3")
# Up to this many tokens a row it is quicker to hold all attention scores than to copy the prefix for torch's kernel.
NARROW = 16
LARGEST_COPY = 2**24  # numbers in the copied keys of the rows that are read at once


def allow_shared_prefix(network: Any) -> None:
    """Let `shared_prefix=[(keys, values) of each layer]` be given to the forward of a network of a tested family.

    Without that argument the attention is torch's own.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    config = network.config
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if config.model_type in FAMILIES and kinds == {"full_attention"} and not getattr(config, "sliding_window", None):
        AttentionInterface.register(NAME, attention)
        AttentionMaskInterface.register(NAME, sdpa_mask)
        network.set_attn_implementation(NAME)


def shared_prefix_allowed(network: Any) -> bool:
    return bool(network.config._attn_implementation == NAME)


def attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float,
    shared_prefix: list[tuple[torch.Tensor, torch.Tensor]] | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """The attention function of one layer, as transformers calls it.

    query: shape (rows, heads, width, size); key, value: (rows, key heads, own, size), without the prefix;
    attention_mask: True where a column may be attended to, shape (rows, 1, width, own), or None for causal;
    shared_prefix: of each layer keys and values of shape (1, key heads, prefix, size). Returns (rows, width, heads,
    size).
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if shared_prefix is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    import torch

    width, own = query.shape[2], key.shape[2]
    if attention_mask is None:
        attention_mask = torch.ones(1, 1, width, own, dtype=torch.bool, device=query.device).tril(own - width)
    mask = attention_mask.expand(len(query), -1, -1, -1)
    keys, values = shared_prefix[module.layer_idx]
    if width <= NARROW:
        return few_tokens(query * scaling, key, value, mask, keys[0], values[0]), None
    mask = torch.cat([mask.new_ones(len(mask), 1, width, keys.shape[2]), mask], 3)
    most = max(1, LARGEST_COPY // (query[0, :, 0].numel() * mask.shape[3]))
    parts = zip(*(states.split(most) for states in (query, key, value, mask)), strict=True)
    found = [
        sdpa_attention_forward(module, rows, behind(keys, key), behind(values, value), mask, scaling=scaling, **kwargs)
        for rows, key, value, mask in parts
    ]
    return torch.cat([states for states, _ in found]), None


def behind(prefix: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
    """Each row's states behind a copy of the prefix."""
    import torch

    return torch.cat([prefix.expand(len(states), -1, -1, -1), states], 2)


def few_tokens(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor,
    prefix_keys: torch.Tensor,
    prefix_values: torch.Tensor,
) -> torch.Tensor:
    """One softmax over prefix and own columns, without a copy: the prefix sees all rows' queries as one long list.

    query: scaled, shape (rows, heads, width, size); prefix_keys, prefix_values: (key heads, prefix, size).
    """
    import torch

    rows, heads, width, size = query.shape
    key_heads, prefix = prefix_keys.shape[:2]
    queries = query.reshape(rows, key_heads, -1, size)  # heads of one key head stand together
    to_prefix = by_row(one_list(queries) @ prefix_keys.mT, rows)
    to_own = (queries @ key.mT).unflatten(2, (-1, width)).masked_fill(~mask[:, :, None], float("-inf")).flatten(2, 3)
    shares = torch.cat([to_prefix, to_own], 3).float().softmax(3).to(query.dtype)
    from_prefix = by_row(one_list(shares[..., :prefix]) @ prefix_values, rows)
    found = from_prefix + shares[..., prefix:] @ value
    return found.reshape(rows, heads, width, size).transpose(1, 2).contiguous()


def one_list(states: torch.Tensor) -> torch.Tensor:
    """(rows, key heads, queries, any) to (key heads, rows times queries, any)."""
    return states.transpose(0, 1).flatten(1, 2)


def by_row(states: torch.Tensor, rows: int) -> torch.Tensor:
    """Back again."""
    return states.unflatten(1, (rows, -1)).transpose(0, 1)
