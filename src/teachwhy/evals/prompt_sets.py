"""Published sets of prompts that are to be answered or refused, read from CSV as their authors publish them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..errors import InputError, Place, unknown_name
from ..text import csv_rows, fingerprint
from .edge_cases import DECLINE, HELP
from .items import Item, lone_item

HARMLESS, HARMFUL = "harmless", "harmful"
GOLD = {HARMLESS: HELP, HARMFUL: DECLINE}
CONTRAST = "contrast_"  # opens the type of XSTest's unsafe prompts


class PromptSet(BaseModel):
    """A CSV file of prompts. xstest and or_bench know their own columns; any other file names them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    format: Literal["xstest", "or_bench", "csv"] = "csv"
    prompt: str = Field("prompt", description="Column of the prompt.")
    family: str | None = Field(
        None, description="Column of what the statistics resample; without it each prompt alone."
    )
    label: str | None = Field(None, description="Column that tells harmless from harmful.")
    harmless: list[str] = Field(default_factory=list, description="Values of that column that mean harmless.")
    all: Literal["harmless", "harmful"] | None = Field(
        None, description="Without a label column: what all of them are."
    )
    most: int | None = Field(None, gt=0, description="How many to ask, drawn by a fixed lot; null: all.")

    @model_validator(mode="after")
    def tells_harmless_from_harmful(self) -> PromptSet:
        if self.format == "csv" and bool(self.label and self.harmless) == bool(self.all):
            raise ValueError("give `label` and `harmless`, or `all: harmless` or `all: harmful`")
        own = {"xstest": ("family", "label", "harmless", "all"), "or_bench": ("family", "label", "harmless"), "csv": ()}
        given = [name for name in own[self.format] if getattr(self, name)]
        if given:
            raise ValueError(f"{self.format} has columns of its own, so take out {', '.join(given)}")
        return self


@dataclass(frozen=True)
class Line:
    """A prompt as it stands in the file."""

    prompt: str
    family: str
    harmless: bool


def read_prompts(sets: Sequence[PromptSet], folder: Path) -> list[Item]:
    """The prompts of all sets, as items without twins or answers. Errors: no such file, column, or text."""
    return [item for one in sets for item in read_set(one, folder / one.file)]


def read_set(chosen: PromptSet, path: Path) -> list[Item]:
    rows = rows_of(chosen, path)
    if chosen.label:
        found = {row[chosen.label] for _, row in rows}
        for value in chosen.harmless:
            if value not in found:
                raise unknown_name(f"value of the column {chosen.label!r}", value, found, where=str(path))
    items = [as_item(chosen.file, number, line_of(chosen, path, row)) for number, row in rows]
    drawn = sorted(items, key=lambda item: fingerprint(["drawn", item.id]))[: chosen.most]
    kept = {item.id for item in drawn}
    return [item for item in items if item.id in kept]


def rows_of(chosen: PromptSet, path: Path) -> list[tuple[int, dict[str, str]]]:
    """(line at which it ends, column -> cell) of each row below the header, every column that is needed filled."""
    (_, columns), *rows = csv_rows(path)
    for wanted in columns_of(chosen):
        if wanted not in columns:
            raise unknown_name("column", wanted, columns, where=str(path))
    found = [(number, dict(zip(columns, cells, strict=False))) for number, cells in rows]
    for number, row in found:
        for column in columns_of(chosen):
            if not row.get(column, "").strip():
                raise InputError(
                    f"This row has no {column!r}.",
                    where=str(Place(path, number)),
                    remedy="Fill it, or take the row out.",
                )
    return found


def columns_of(chosen: PromptSet) -> list[str]:
    own: dict[str, list[str | None]] = {"xstest": ["type"], "or_bench": ["category"]}
    named = own.get(chosen.format, [chosen.family, chosen.label])
    return [chosen.prompt, *(name for name in named if name)]


def line_of(chosen: PromptSet, path: Path, row: dict[str, str]) -> Line:
    """XSTest's unsafe prompts have a type that opens with `contrast_`; OR-Bench's harmful ones have their own file."""
    prompt = row[chosen.prompt]
    if chosen.format == "xstest":
        return Line(prompt, row["type"].removeprefix(CONTRAST), not row["type"].startswith(CONTRAST))
    if chosen.format == "or_bench":
        harmless = chosen.all == HARMLESS if chosen.all else "toxic" not in path.stem.lower()
        return Line(prompt, row["category"], harmless)
    harmless = row[chosen.label] in chosen.harmless if chosen.label else chosen.all == HARMLESS
    return Line(prompt, row[chosen.family] if chosen.family else prompt, harmless)


def as_item(file: str, number: int, line: Line) -> Item:
    name, kind = file.removesuffix(".csv"), HARMLESS if line.harmless else HARMFUL
    family = f"{name}: {line.family}"
    return lone_item(f"{name}-{number}", family=family, kind=kind, prompt=line.prompt, gold=GOLD[kind], answers={})
