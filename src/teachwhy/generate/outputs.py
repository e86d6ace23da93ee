"""Finished lessons: drafts as the records that a study reads, and what is told of them beside that."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from pydantic import BaseModel, ValidationError

from ..study.folder import folder_error
from .draft import Draft
from .recipe import OUTPUTS, Recipe
from .stages.filter import FAILED

LESSONS, TRAIL, DROPPED = "lessons.jsonl", "trail.jsonl", "dropped.jsonl"
NOT_A_LESSON = "does not make a lesson"


def record_of(draft: Draft, recipe: Recipe) -> dict[str, Any]:
    """The fields of a lesson that a draft has come to. Errors (ValidationError): it makes none."""
    model: type[BaseModel] = OUTPUTS[recipe.output]
    known = {*model.model_fields, "prompt"} - {"id"}
    fields = {name: value for name, value in draft.fields.items() if name in known}
    if "messages" in fields:
        fields.pop("prompt", None)
    model.model_validate({"id": draft.id, **fields})
    return {"id": draft.id, **fields}


def why_not(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


@dataclass
class Made:
    """What was made so far. lessons: how many. fields: those that all of them have. principles: id -> lessons.

    decisions: decision -> lessons finished, and drafts dropped.
    """

    lessons: int = 0
    fields: set[str] = field(default_factory=set)
    principles: Counter[str] = field(default_factory=Counter)
    decisions: dict[str, list[int]] = field(default_factory=dict)

    def add(self, record: Mapping[str, Any]) -> None:
        self.fields = self.fields & set(record) if self.lessons else set(record)
        self.lessons += 1
        self.principles[str(record.get("principle", ""))] += 1

    def decided(self, fields: Mapping[str, Any], *, finished: bool) -> None:
        if "decision" in fields:
            self.decisions.setdefault(str(fields["decision"]), [0, 0])[not finished] += 1

    @property
    def can_be_shuffled(self) -> bool:
        """Whether every reason can be put beside a case of another principle."""
        return len(self.principles) > 1 and 2 * max(self.principles.values()) <= self.lessons


@dataclass
class Ledger:
    """The files of one run, written line by line under temporary names, and put in their place at its end.

    made: what came of it. kept: whether the files take the place of older ones at the end. causes: (stage, cause) ->
    drafts dropped.
    """

    folder: Path
    recipe: Recipe
    streams: dict[str, IO[str]] = field(default_factory=dict)
    made: Made = field(default_factory=Made)
    kept: bool = True
    causes: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def finished(self) -> int:
        return self.made.lessons

    def finish(self, draft: Draft) -> dict[str, Any] | None:
        """Write a lesson down with its trail; None where it makes none."""
        try:
            record = record_of(draft, self.recipe)
        except ValidationError as error:
            self.drop(draft, "", NOT_A_LESSON, why_not(error))
            return None
        self.write(LESSONS, record)
        self.write(TRAIL, {"id": draft.id, "stages": [change.record() for change in draft.trail]})
        self.made.add(record)
        self.made.decided(draft.fields, finished=True)
        return record

    def drop(self, draft: Draft, stage: str, cause: str, detail: str = "") -> None:
        """Write down that a draft goes no further; what a judge rejected is kept whole, for a person to read."""
        self.causes[stage, cause] += 1
        self.made.decided(draft.fields, finished=False)
        told = {"id": draft.id, "stage": stage, "cause": cause, "detail": detail, "lessons": draft.quota}
        rejected = {"lesson": self.rejected(draft)} if cause.startswith(FAILED) else {}
        self.write(DROPPED, {name: value for name, value in (told | rejected).items() if value not in ("", None)})

    def rejected(self, draft: Draft) -> dict[str, Any] | None:
        """The fields of a whole lesson; None of one that was rejected before it was whole."""
        try:
            record = record_of(draft, self.recipe)
        except ValidationError:
            return None
        return {name: value for name, value in record.items() if name != "id"}

    def write(self, name: str, record: dict[str, Any]) -> None:
        self.streams[name].write(json.dumps(record, ensure_ascii=False) + "\n")


@contextmanager
def ledger(folder: Path, recipe: Recipe) -> Iterator[Ledger]:
    """What is written inside the block lies in its place when the block ends; after an error the old files still do."""
    names = {name: folder / f".{name}.{os.getpid()}.tmp" for name in (LESSONS, TRAIL, DROPPED)}
    try:
        streams = {name: path.open("w", encoding="utf-8") for name, path in names.items()}
        try:
            book = Ledger(folder, recipe, dict(streams))
            yield book
            for name, stream in streams.items() if book.kept else ():
                stream.flush()
                os.fsync(stream.fileno())
                names[name].replace(folder / name)
        finally:
            for name, stream in streams.items():
                stream.close()
                names[name].unlink(missing_ok=True)
    except OSError as error:
        raise folder_error(error, folder) from None
