"""What a generation was told to make, by whom, and at what cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..models import USUAL, Asking
from ..study.prompt_study import PRICES_FILE


@dataclass(frozen=True)
class Order:
    """What `teachwhy generate` was told.

    recipe: a name or a file. sources: files of examples to start from. count: lessons to begin; None: the usual
    number, or all the examples. judge: who reads what the teacher wrote; None: the teacher. without: stages left out.
    budget: in dollars, for all that this folder has cost; None: no limit. items: that will examine what is taught.
    """

    recipe: str
    policy: Path
    teacher: str
    out: Path
    sources: Sequence[Path] = ()
    count: int | None = None
    judge: str | None = None
    without: Sequence[str] = ()
    budget: float | None = None
    prices: Path | None = None
    seed: int = 0
    asking: Asking = USUAL
    items: Sequence[Path] = ()

    @property
    def prices_file(self) -> Path:
        return self.prices or self.out / PRICES_FILE
