"""Keys and values of a batch with room for the tokens to come, so that a step of generation does not copy them all."""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

ROOM = 16  # columns; twice as many are no quicker and take memory


class RoomyLayer(DynamicLayer):
    """One layer's keys and values, each a view of a tensor that has free columns behind them.

    torch's own layer makes a new tensor for every token: a copy of all that was kept, at every step of every layer.
    """

    room: tuple[torch.Tensor, torch.Tensor] | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values with these columns behind them, shape (rows, key heads, columns, size)."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        before = self.get_seq_length()
        after = before + key_states.shape[-2]
        if self.room is None or after > self.room[0].shape[-2]:
            self.room = self.wider(self.keys, key_states, after), self.wider(self.values, value_states, after)
        for kept, states in zip(self.room, (key_states, value_states), strict=True):
            kept[..., before:after, :] = states
        self.keys, self.values = (kept[..., :after, :] for kept in self.room)
        return self.keys, self.values

    def wider(self, kept: torch.Tensor | None, states: torch.Tensor, columns: int) -> torch.Tensor:
        """A tensor with the columns kept so far and free ones behind them."""
        room = states.new_empty(*states.shape[:-2], columns + ROOM, states.shape[-1])
        if kept is not None and kept.numel():
            room[..., : kept.shape[-2], :] = kept
        return room

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        super().batch_select_indices(indices)
        self.room = None

    def reorder_cache(self, beam_idx: torch.LongTensor) -> None:
        super().reorder_cache(beam_idx)
        self.room = None


def roomy_cache(network: Any) -> DynamicCache | None:
    """An empty cache for a network whose layers all keep every token; None for others, which make their own."""
    cache = DynamicCache(config=network.config)
    if any(type(layer) is not DynamicLayer for layer in cache.layers):
        return None
    cache.layers = [RoomyLayer() for _ in cache.layers]
    return cache
