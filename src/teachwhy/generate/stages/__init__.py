"""The kinds of stages that recipes are made of, one a file."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Union

from pydantic import Field

from .stage import (
    CHUNK,
    OF_A_PRINCIPLE,
    OF_THE_POLICY,
    STAGES,
    AskingSome,
    AskingStage,
    Drop,
    Stage,
    Work,
    chunks,
    stage_kind,
)

# A kind is one file here, and no other names it.
for module in pkgutil.iter_modules(__path__):
    import_module(f"{__name__}.{module.name}")

if TYPE_CHECKING:
    AnyStage = Stage
else:
    AnyStage = Annotated[Union[tuple(STAGES.values())], Field(discriminator="kind")]  # noqa: UP007

__all__ = [
    "CHUNK",
    "OF_A_PRINCIPLE",
    "OF_THE_POLICY",
    "STAGES",
    "AnyStage",
    "AskingSome",
    "AskingStage",
    "Drop",
    "Stage",
    "Work",
    "chunks",
    "stage_kind",
]
