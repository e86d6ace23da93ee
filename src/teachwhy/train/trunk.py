"""The layers below the first adapted one: frozen, so each row runs through them once and not once an epoch."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError
from ..models.layers import decoder_layers
from ..text import fingerprint
from .tokens import TokenRow

if TYPE_CHECKING:
    import torch

BATCH_ROWS = 32
TOLERANCE = 0.05
KEPT_BYTES = 2**32


class Trunk:
    """Splits a network below its last `layers` decoder layers.

    Inside `above()` the network is its upper part alone and takes hidden states as `inputs_embeds`. This holds for
    decoders that pass `inputs_embeds` on unchanged (Llama, Mistral, Qwen and their kin); `check` proves it.
    """

    def __init__(self, network: Any, layers: int, folder: Path | None = None) -> None:
        self.network = network
        self.folder = folder
        self.all_layers = decoder_layers(network)
        self.first = len(self.all_layers) - layers
        self.decoder = next(
            module
            for module in network.modules()
            if any(len(child) and child[0] is self.all_layers[0] for child in lists_of(module))
        )

    @contextmanager
    def only(self, first: int, last: int, *, norm: bool) -> Iterator[None]:
        """The network with the decoder layers first to last - 1 alone, with or without its final norm."""
        import torch

        layers, final = self.decoder.layers, self.decoder.norm
        self.decoder.layers = torch.nn.ModuleList(self.all_layers[first:last])
        self.decoder.norm = final if norm else torch.nn.Identity()
        try:
            yield
        finally:
            self.decoder.layers, self.decoder.norm = layers, final

    @contextmanager
    def whole(self) -> Iterator[None]:
        """The network as it is outside `above()`, to be saved under the names that its layers have."""
        with self.only(0, len(self.all_layers), norm=True):
            yield

    def above(self) -> Any:
        return self.only(self.first, len(self.all_layers), norm=True)

    def hidden_states(self, rows: Sequence[TokenRow], pad_token: int) -> list[torch.Tensor]:
        """What enters the first adapted layer for each row: shape (length, hidden size).

        Kept in the folder, where there is one, for the other seeds of the arm, which have the same rows.
        """
        if self.folder is None:
            return self.computed(rows, pad_token)
        from safetensors.torch import load_file

        file = self.folder / f"{fingerprint([[row.ids for row in rows], self.first])}.safetensors"
        if not file.exists():
            states = self.computed(rows, pad_token)
            keep(states, file)
            return states
        return list(load_file(file)["states"].split([len(row.ids) for row in rows]))

    def computed(self, rows: Sequence[TokenRow], pad_token: int) -> list[torch.Tensor]:
        """The same, run now: in batches of like length, and checked on one row."""
        import torch

        device = next(self.network.parameters()).device
        order = sorted(range(len(rows)), key=lambda index: len(rows[index].ids))
        found: dict[int, torch.Tensor] = {}
        with torch.no_grad(), self.only(0, self.first, norm=False):
            for start in range(0, len(order), BATCH_ROWS):
                batch = order[start : start + BATCH_ROWS]
                length = max(len(rows[index].ids) for index in batch)
                ids = [[*rows[index].ids, *[pad_token] * (length - len(rows[index].ids))] for index in batch]
                states = self.decoder(input_ids=torch.tensor(ids, device=device), use_cache=False).last_hidden_state
                for place, index in enumerate(batch):
                    found[index] = states[place, : len(rows[index].ids)].clone()
        self.check(rows[order[0]], found[order[0]])
        return [found[index] for index in range(len(rows))]

    def check(self, row: TokenRow, hidden: torch.Tensor) -> None:
        """Whole and split network must agree on a row. Errors (ModelError): this model cannot be split so."""
        import torch

        ids = torch.tensor([list(row.ids)], device=hidden.device)
        with torch.no_grad():
            whole = self.network(input_ids=ids, use_cache=False).logits.float().log_softmax(-1)
            with self.above():
                split = self.network(inputs_embeds=hidden[None], use_cache=False).logits.float().log_softmax(-1)
        apart = (whole - split).abs().max().item()
        if not apart <= TOLERANCE * whole.abs().max().item():
            raise ModelError(
                f"This model cannot be trained on its last layers alone: log-probabilities differ by {apart:.3f}.",
                where="`train.layers` in the study file",
                remedy="Set `train.layers: null`.",
            )


def keep(states: Sequence[torch.Tensor], file: Path) -> None:
    """Write them to a temporary name and rename it; where there is no room for them, they are not kept."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    temporary = file.with_name(f".{file.name}.{platform.node()}.{os.getpid()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if sum(other.stat().st_size for other in file.parent.iterdir()) + size_of(states) <= KEPT_BYTES:
            save_file({"states": torch.cat(list(states))}, temporary)
            temporary.replace(file)
    except (OSError, SafetensorError):
        temporary.unlink(missing_ok=True)


def size_of(states: Sequence[torch.Tensor]) -> int:
    """Bytes."""
    return sum(state.nbytes for state in states)


def lists_of(module: Any) -> list[Any]:
    import torch

    return [child for child in module.children() if isinstance(child, torch.nn.ModuleList)]
