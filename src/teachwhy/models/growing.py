"""A key-value cache with room to grow: a decoding step writes one column and copies nothing."""

from __future__ import annotations

from typing import Any

from transformers.cache_utils import Cache, DynamicLayer

ROOM = 64


class GrowingLayer(DynamicLayer):
    """The keys and values of one layer, as views of buffers that have room for more.

    transformers' own dynamic layer makes both anew at every step. On a CPU that is half of a step's time, and blocks
    that grow by one token never fit what was freed: generating 48 tokens for 256 rows took 15 GB.
    """

    def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Append the new states, shape (rows, heads, new, size); returns all keys and values so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys = appended(self.keys, key_states)
        self.values = appended(self.values, value_states)
        return self.keys, self.values


def appended(states: Any, new: Any) -> Any:
    """`states` followed by `new`, in the storage of `states` where that has room behind it.

    The buffer travels with the view, so that what selects or repeats rows, and thereby copies, leaves it behind.
    """
    past = states.shape[-2] if states.dim() == 4 else 0
    wide = past + new.shape[-2]
    buffer = getattr(states, "roomy", None)
    if buffer is None or buffer.shape[-2] < wide:
        rows, heads, _, size = new.shape
        buffer = new.new_empty(rows, heads, wide + ROOM, size)
        if past:
            buffer[:, :, :past] = states
    buffer[:, :, past:wide] = new
    view = buffer[:, :, :wide]
    view.roomy = buffer
    return view


def growing_cache(network: Any) -> Any:
    """An empty cache for a network whose layers all attend to everything; None (transformers' own) for any other."""
    kinds = set(getattr(network.config, "layer_types", None) or ["full_attention"])
    return Cache(layer_class_to_replicate=GrowingLayer) if kinds == {"full_attention"} else None
