"""The decoder layers of a network, however it is wrapped."""

from __future__ import annotations

from typing import Any


def decoder_layers(network: Any) -> list[Any]:
    """The modules of the longest module list whose members are all of one class: the decoder's layers."""
    import torch

    lists = [module for module in network.modules() if isinstance(module, torch.nn.ModuleList)]
    uniform = [list(found) for found in lists if len({type(member) for member in found}) == 1]
    return max(uniform, key=len, default=[])
