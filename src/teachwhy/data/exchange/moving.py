"""Lessons out to a format of others and back in, with a line for everything that does not come along."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import InputError, Place
from ...text import canonical, jsonl_objects
from ..document import VERSIONS, read_documents
from ..example import TEXTS_BESIDE, read_examples
from ..pair import NOT_SAID, Pair, read_pairs
from ..reading import read_records, validated
from ..woven import sentences
from .chat import Chat, Record, Telling, chats_of, said_fields
from .formats import LABELLED, UNSIGNED, Format, find_format
from .messages import Notes, refused

TEXTS = {*TEXTS_BESIDE, *VERSIONS, "action"}
ALONE = "trl-language-modeling-text"


@dataclass(frozen=True)
class Moved:
    """Lines to write, and what is to be said of what they do not hold."""

    lines: list[dict[str, Any]]
    said: list[str]


def export_lessons(path: Path, to: str, telling: Telling, *, keep_fields: bool = False) -> Moved:
    """The lessons of a file in another format.

    Errors (InputError): a format that there is not, or that cannot hold such lessons; fields that it has no room for;
    a lesson that the arm or the format cannot be written from.
    """
    format = find_format(to, "--to")
    if keep_fields and not format.columns:
        raise InputError(
            f"The format {to!r} has no room for further fields.",
            where="--keep-fields",
            remedy="Leave it out, or export to hf-chat or one of TRL's formats.",
        )
    chats = chats_of(read_lessons(path), telling, str(path))
    for chat in chats:
        refuse_unfit(chat, format)
    kept = [beside(chat, format) if keep_fields else {} for chat in chats]
    lines = [line | more for chat, more in zip(chats, kept, strict=True) for line in format.write(chat)]
    return Moved(lines, losses(chats, format, kept))


def read_lessons(path: Path) -> Sequence[Record]:
    """Examples, pairs or documents, by the fields of the first line."""
    fields = set(next((value for _, value in jsonl_objects(path)), {}))
    if {"chosen", "rejected"} & fields:
        return read_pairs([path])
    if set(VERSIONS) & fields and not {"action", "messages", "prompt"} & fields:
        return read_documents([path])
    return read_examples([path])


def refuse_unfit(chat: Chat, format: Format) -> None:
    if chat.kind not in format.kinds:
        raise InputError(
            f"The format {format.name!r} holds no {chat.kind}; it takes: {', '.join(format.kinds)}.",
            where=str(chat.place),
            remedy="`teachwhy export --help` lists the formats.",
        )
    if not chat.messages and format.name != ALONE:
        raise InputError(
            f"Document {chat.place.identifier!r} has no question that it would answer, so it makes no chat.",
            where=f"{chat.place}, field 'question'",
            remedy=f"Write one, or export to {ALONE}.",
        )


def beside(chat: Chat, format: Format) -> dict[str, Any]:
    """The fields that stand in columns of their own, since no part of the format holds them.

    All versions of a document are kept, so that it can be told which one its text is.
    """
    return {
        name: value
        for name, value in chat.fields.items()
        if chat.parts.get(name) not in format.holds or (chat.kind == "document" and name in VERSIONS)
    }


def losses(chats: Sequence[Chat], format: Format, kept: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each field that is not in the file, or in the response and no longer to be told apart from it."""
    lost: Counter[str] = Counter()
    mixed: Counter[str] = Counter()
    for chat, columns in zip(chats, kept, strict=True):
        for name in set(beside(chat, format)) - set(columns):
            if chat.parts.get(name) not in format.holds:
                told = "response" in format.holds and name in TEXTS and stands_in(chat.fields[name], chat.response)
                (mixed if told else lost)[name] += 1
    order = list(dict.fromkeys(name for chat in chats for name in chat.fields))
    said = [f"{name}: not in the file ({lost[name]} of {len(chats)})" for name in order if lost[name]]
    said += [
        f"{name}: in the response, not apart from it ({mixed[name]} of {len(chats)})" for name in order if mixed[name]
    ]
    masked = sum(chat.masked for chat in chats)
    if masked and "response" in format.holds:
        said.append(f"the loss: the arm does not train the reason, the format trains all ({masked} of {len(chats)})")
    if (lost or mixed) and format.columns:
        said.append("`--keep-fields` keeps fields as columns of their own")
    return said


def stands_in(text: str, response: str) -> bool:
    """Whether every sentence of a text stands in the response, as one piece or woven into it."""
    return all(sentence.strip() in response for sentence in sentences(text))


def import_lessons(path: Path, source: str) -> Moved:
    """The lines of a file in another format as examples, pairs or documents.

    Errors (InputError): a format that there is not; a line that is not of it, or holds what no lesson can.
    """
    format, notes = find_format(source, "--from"), Counter[str]()
    labels = [value.get("label") for _, value in jsonl_objects(path)] if source in LABELLED else []
    if all(label is True for label in labels):
        records: Sequence[Record] = read_records(
            [path], format.model, lambda value, file, row: format.read(value, Place(file, row), notes)
        )
    else:
        records = paired(path, format, notes)
    said = [f"{text} ({count})" for text, count in sorted(notes.items()) if count]
    return Moved([said_fields(record) for record in records], said)


def paired(path: Path, format: Format, notes: Notes) -> list[Pair]:
    """Pairs of labelled responses: of each conversation, the first good one with the first bad one, and so on."""
    sides: dict[str, tuple[list[Any], list[Any]]] = defaultdict(lambda: ([], []))
    for row, value in jsonl_objects(path):
        place = Place(path, row)
        if not isinstance(value.get("label"), bool):
            raise refused("`label` is neither true nor false.", place, "label", "Write true or false.")
        columns = {name: one for name, one in value.items() if name in ("chosen_by", "rejected_by")}
        ours = {name: one for name, one in value.items() if name not in (*columns, "chosen", "rejected")}
        read = format.read(ours, place, notes)
        key = canonical([read.get("system"), read["messages"], read.get("tools")])
        sides[key][not value["label"]].append((place, read | columns))
    pairs: list[Pair] = []
    for good, bad in sides.values():
        notes["labelled response without one of the other label to the same prompt left out"] += abs(
            len(good) - len(bad)
        )
        for (place, chosen), (_, rejected) in zip(good, bad, strict=False):
            notes[UNSIGNED] += "chosen_by" not in chosen
            pairs.append(validated(Pair, pair_fields(chosen, rejected), place))
    if not pairs:
        raise InputError(
            "No prompt has a good response and a bad one, so no pair can be made.",
            where=f"{path}, field 'label'",
            remedy="Import the lines with `label` true alone, as examples.",
        )
    return pairs


def pair_fields(chosen: Mapping[str, Any], rejected: Mapping[str, Any]) -> dict[str, Any]:
    unsaid = {"chosen_by": NOT_SAID, "rejected_by": NOT_SAID}
    sides = {"chosen": chosen["action"], "rejected": rejected["action"]}
    shared = {name: value for name, value in chosen.items() if name in Pair.model_fields and value is not None}
    return unsaid | shared | sides
