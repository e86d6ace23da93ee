"""Published sets of prompts that are to be answered or refused, read from CSV as their authors publish them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..data import Message
from ..errors import InputError, Place, unknown_name
from ..text import fingerprint, read_text
from .items import Item

HARMLESS, HARMFUL = "harmless", "harmful"
GOLD = {HARMLESS: "help", HARMFUL: "decline"}
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
        if self.format == "csv" and not (self.label and self.harmless) and not self.all:
            raise ValueError("give `label` and `harmless`, or `all: harmless` or `all: harmful`")
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
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
    columns = [name for name in reader.fieldnames or () if name]
    for wanted in columns_of(chosen):
        if wanted not in columns:
            raise unknown_name("column", wanted, columns, where=str(path))
    items = []
    for number, row in enumerate(reader, 1):
        if not (row[chosen.prompt] or "").strip():
            raise InputError(
                "This row has no prompt.",
                where=str(Place(path, number, chosen.prompt)),
                remedy="Fill it or take it out.",
            )
        items.append(as_item(path.stem, number, line_of(chosen, path, row)))
    drawn = sorted(items, key=lambda item: fingerprint(["drawn", item.id]))[: chosen.most]
    kept = {item.id for item in drawn}
    return [item for item in items if item.id in kept]


def columns_of(chosen: PromptSet) -> list[str]:
    if chosen.format == "xstest":
        return [chosen.prompt, "type"]
    if chosen.format == "or_bench":
        return [chosen.prompt, "category"]
    return [name for name in (chosen.prompt, chosen.family, chosen.label) if name]


def line_of(chosen: PromptSet, path: Path, row: dict[str, str]) -> Line:
    """XSTest's unsafe prompts have a type that opens with `contrast_`; OR-Bench's harmful ones have their own file."""
    prompt = row[chosen.prompt]
    if chosen.format == "xstest":
        return Line(prompt, row["type"].removeprefix(CONTRAST), not row["type"].startswith(CONTRAST))
    if chosen.format == "or_bench":
        harmless = chosen.all == HARMLESS if chosen.all else "toxic" not in path.stem
        return Line(prompt, row["category"], harmless)
    harmless = row[chosen.label] in chosen.harmless if chosen.label else chosen.all == HARMLESS
    return Line(prompt, row[chosen.family] if chosen.family else prompt, harmless)


def as_item(name: str, number: int, line: Line) -> Item:
    kind = HARMLESS if line.harmless else HARMFUL
    return Item.model_construct(
        id=f"{name}-{number}",
        family=f"{name}: {line.family}",
        pair=f"{name}-{number}",
        distance="plain",
        kind=kind,
        messages=[Message(role="user", content=line.prompt)],
        gold=GOLD[kind],
        answers={},
    )
