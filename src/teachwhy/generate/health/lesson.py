"""What the checks read of one lesson, whatever its kind, and how files of any kind become lessons."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...data import TEXTS_BESIDE, VERSIONS, Document, Example, Pair, read_documents, read_examples, read_pairs
from ...errors import InputError
from ...text import jsonl_objects

READERS: dict[str, Callable[[Sequence[Path]], Sequence[Any]]] = {
    "examples": read_examples,
    "documents": read_documents,
    "pairs": read_pairs,
}


@dataclass(frozen=True)
class Lesson:
    """One lesson.

    situation: the conversation before the response, system prompts left out, which many lessons share; of a document,
    its question. action: the action, a document's text, a pair's chosen response. texts: what stands beside it, such as
    reason, neutral, mention, rejected, or a document's other versions; those there are.
    """

    id: str
    principle: str
    decision: str
    situation: str
    action: str
    texts: Mapping[str, str] = field(default_factory=dict)

    @property
    def written(self) -> dict[str, str]:
        """All its texts by name."""
        return {"situation": self.situation, "action": self.action, **self.texts}


def lessons_of(records: Iterable[Example | Document | Pair]) -> Iterator[Lesson]:
    """The lesson of each record, in order."""
    for record in records:
        if isinstance(record, Document):
            yield of_document(record)
        elif isinstance(record, Pair):
            yield Lesson(
                record.id, record.principle, "", conversation(record), record.chosen, {"rejected": record.rejected}
            )
        else:
            beside = {name: text for name in TEXTS_BESIDE if (text := getattr(record, name))}
            decision = record.decision or ""
            yield Lesson(record.id, record.principle, decision, conversation(record), record.action, beside)


def of_document(document: Document) -> Lesson:
    """The version that says why stands for the document, or the first there is."""
    versions = {name: text for name in VERSIONS if (text := getattr(document, name))}
    first = next(iter(versions))
    others = {name: text for name, text in versions.items() if name != first}
    return Lesson(document.id, document.principle, "", document.question or "", versions[first], others)


def conversation(record: Example | Pair) -> str:
    return "\n".join(message.content for message in record.messages if message.role != "system")


def read_lessons(paths: Sequence[Path]) -> list[Lesson]:
    """The lessons of JSONL files of examples, documents or pairs, in their order; all files are of one kind.

    Errors (InputError): a file that is none of them, files of two kinds, and whatever is wrong with a record.
    """
    kinds = {path: kind_of_file(path) for path in paths}
    if len(set(kinds.values())) > 1:
        raise InputError(
            "These files are not of one kind.",
            where=", ".join(f"{path} ({kind})" for path, kind in kinds.items()),
            remedy="Look at examples, documents and pairs one after the other.",
        )
    return list(lessons_of(READERS[kinds[paths[0]]](paths)))


def kind_of_file(path: Path) -> str:
    """examples, documents or pairs, as the fields of the first line tell."""
    _, first = next(jsonl_objects(path))
    fields = set(first)
    if {"chosen", "rejected"} <= fields:
        return "pairs"
    if {"messages", "prompt"} & fields:
        return "examples"
    if set(VERSIONS) & fields:
        return "documents"
    raise InputError(
        f"These are neither examples nor documents nor pairs: the fields are {', '.join(sorted(fields)) or 'none'}.",
        where=f"{path}, the first line",
        remedy="An example has `prompt` or `messages`, and `action`; a document has a text in "
        f"{', '.join(f'`{name}`' for name in VERSIONS)}; a pair has `chosen` and `rejected`.",
    )
