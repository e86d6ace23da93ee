"""Stages of teaching: documents, supervised, preference, reinforcement and wash-out, in any order."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import Field

from .stage import STAGES, Lessons, Making, Stage, TaughtRow, Teaching, stage_kind

# A kind is one file here, and no other names it.
for module in pkgutil.iter_modules(__path__):
    import_module(f"{__name__}.{module.name}")

if TYPE_CHECKING:
    AnyStage = Stage
else:
    AnyStage = Annotated[Union[tuple(STAGES.values())], Field(discriminator="kind")]  # noqa: UP007

__all__ = ["STAGES", "AnyStage", "Lessons", "Making", "Stage", "TaughtRow", "Teaching", "stage_kind"]


def usual_stages() -> list[Any]:
    """What a study without stages is: its arms' own rows, supervised."""
    return [STAGES["supervised"](kind="supervised", name="examples")]
