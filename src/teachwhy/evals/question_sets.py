"""Questions with one right answer, for the exam `side_effects`: from JSONL, or from CSV as MMLU publishes its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from ..data import Text, read_records
from ..errors import InputError, Place
from ..text import csv_rows
from .items import Item, lone_item

RIGHT = "right"
LETTERS = "ABCD"


class GeneralQuestion(BaseModel):
    """A question and the full texts of its answers; letters are never shown."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Text
    family: str = ""
    question: Text
    right: Text
    wrong: list[Text] = Field(min_length=1)


def read_questions(paths: Sequence[Path]) -> list[Item]:
    """The questions of all files as items, each file a kind of its own. Errors: a line that does not fit."""
    return [as_item(question, path.stem) for path in paths for question in questions_of(path)]


def questions_of(path: Path) -> list[GeneralQuestion]:
    return mmlu(path) if path.suffix == ".csv" else read_records([path], GeneralQuestion)


def mmlu(path: Path) -> list[GeneralQuestion]:
    """MMLU's own files: no header; question, four answers, and the letter of the right one (arXiv 2009.03300)."""
    found = []
    for number, row in csv_rows(path):
        if len(row) != 6 or row[5] not in LETTERS or not all(cell.strip() for cell in row):
            raise InputError(
                "This row is not a question, four answers and the letter of the right one.",
                where=str(Place(path, number)),
                remedy="Files in another form go in as JSONL: id, question, right, wrong.",
            )
        question, *answers, letter = row
        right = answers.pop(LETTERS.index(letter))
        name = f"{path.stem}-{number}"
        found.append(GeneralQuestion(id=name, family=path.stem, question=question, right=right, wrong=answers))
    return found


def as_item(question: GeneralQuestion, kind: str) -> Item:
    wrong = {f"wrong-{number}": text for number, text in enumerate(question.wrong, 1)}
    return plain_case(question.id, kind, question.family, question.question, {RIGHT: question.right} | wrong)


def plain_case(identifier: str, kind: str, family: str, prompt: str, answers: dict[str, str]) -> Item:
    gold = RIGHT if answers else None
    name = f"side-effects-{identifier}"
    return lone_item(name, family=f"{kind}: {family}", kind=kind, prompt=prompt, gold=gold, answers=answers)
