"""teachwhy.study.several under FSDP on the CPU; accelerate has it for accelerators alone, and that is lifted here."""

from __future__ import annotations

import os
from typing import Any

os.environ |= {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
    "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "false",
}

from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType

from teachwhy.models import weights
from teachwhy.study import several

as_it_is = AcceleratorState.__init__
is_sharded = weights.is_sharded


def with_fsdp(self: Any, *arguments: Any, fsdp_plugin: Any = None, **settings: Any) -> None:
    as_it_is(self, *arguments, fsdp_plugin=fsdp_plugin, **settings)
    if fsdp_plugin is not None and self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.FSDP
        self.fsdp_plugin = fsdp_plugin


def told(network: Any) -> bool:
    """Print what a test looks for: that the network was sharded when it was saved."""
    found = is_sharded(network)
    print(f"sharded: {found}", flush=True)
    return found


AcceleratorState.__init__ = with_fsdp  # type: ignore[method-assign]
weights.is_sharded = told
several.main()
