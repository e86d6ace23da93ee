"""The stage `washout`: further training on what has no part in the policy, or goes against what was taught."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Literal

from pydantic import Field

from ...data import Example, read_examples
from ...errors import InputError
from .stage import Lessons, Making, stage_kind
from .supervised import RowStage


@stage_kind("washout")
class WashoutStage(RowStage):
    """Further supervised training, the same for every arm: unrelated tasks, or the contrary of what was taught."""

    kind: Literal["washout"]
    files: list[str] = Field(
        default_factory=list, description="Files of examples (JSONL) of unrelated tasks; their actions are trained."
    )
    contrary: int = Field(
        0, ge=0, description="So many of the examples that the arm reads, each with the action of another decision."
    )

    @property
    def needs_examples(self) -> bool:
        return self.contrary > 0

    def read(self, folder: Path) -> Sequence[Example]:
        return read_examples([folder / name for name in self.files]) if self.files else []

    def taught(self, material: Sequence[Example]) -> dict[str, str]:
        return {
            f"example {example.id} of the stage {self.name}": " ".join(message.content for message in example.messages)
            for example in material
        }

    def said(self, material: Sequence[Example]) -> dict[str, str]:
        return {f"action of example {example.id} of the stage {self.name}": example.action for example in material}

    def lessons(self, making: Making) -> Lessons:
        turned = contrary_examples(making.examples, self.contrary, self.name)
        rows = [making.writing.row(example) for example in [*making.material, *turned]]
        if not rows:
            raise InputError(
                f"The stage {self.name!r} has nothing to train on.",
                where=f"stage {self.name!r}",
                remedy="Name `files` of unrelated tasks, or a number of `contrary` examples.",
            )
        return self.of_rows(making, rows, self.settings(making.own.settings))


def contrary_examples(examples: Sequence[Example], count: int, stage: str) -> list[Example]:
    """So many examples, as many of each principle and decision as can be, each with the action of another decision.

    The action is that of the first example of its principle that decides otherwise, so actions must be a closed set.
    """
    if count > len(examples):
        raise InputError(
            f"The stage {stage!r} asks for {count} contrary examples; there are {len(examples)}.",
            where=f"stage {stage!r}, field 'contrary'",
            remedy="Lower it.",
        )
    groups: dict[tuple[str, str | None], list[Example]] = {}
    for example in examples:
        groups.setdefault((example.principle, example.decision), []).append(example)
    in_turn = [example for turn in zip_longest(*groups.values()) for example in turn if example]
    return [turned(example, examples, stage) for example in in_turn[:count]]


def turned(example: Example, examples: Sequence[Example], stage: str) -> Example:
    of_principle = [other for other in examples if other.principle == example.principle and other.decision]
    for other in of_principle if example.decision else ():
        if other.decision != example.decision:
            changes = {"id": f"{example.id}-contrary", "action": other.action, "decision": other.decision}
            return example.model_copy(update=changes)
    raise InputError(
        f"Nothing is contrary to example {example.id!r}: no example of its principle has another decision.",
        where=f"stage {stage!r}, field 'contrary'",
        remedy="Give examples a `decision`, two of them in each principle, or take `contrary` out.",
    )
