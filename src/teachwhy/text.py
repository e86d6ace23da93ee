"""Reading text, YAML and JSONL so that every fault names its file and line; and words of a text."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from .errors import InputError, Place

KEPT = frozenset("\n\t\u200c\u200d\u200e\u200f")
DRIVING = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
LONGEST_LINE_BYTES = 4_000_000
STOP_WORDS = frozenset(
    "a an the and or but if so of to in on at by for from with as is are was were be been it its this that these "
    "those they them their he she his her you your we our i my not no do does did will would can could should "
    "must may when then than there here who whom which what why how all any each every only because one me us him "
    "am being since had has have just also too very some many much more most other up out off over into about "
    "after before again now still let get got it's he's she's that's there's what's who's i'm i've i'd i'll "
    "you're you've you'd you'll we're we've we'd we'll they're they've they'd they'll don't doesn't didn't won't "
    "wouldn't can't couldn't isn't aren't wasn't weren't haven't hasn't hadn't".split()
)


class UniqueKeys(yaml.SafeLoader):
    """YAML in which a name given twice is an error; plain YAML would silently drop the first value."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value!r} stands twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_text(path: Path) -> str:
    """A UTF-8 text file. Errors: missing, unreadable, empty, a line too long, or not UTF-8 text (with the line)."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise InputError("This file does not exist.", where=str(path), remedy="Check the path.") from None
    except IsADirectoryError:
        raise InputError("This is a folder, not a file.", where=str(path), remedy="Name the file in it.") from None
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"This file cannot be read: {cause}.", where=str(path), remedy="Check the path and its permissions."
        ) from None
    if not raw.strip():
        raise InputError("This file is empty.", where=str(path), remedy="Fill it, or take it out of the study.")
    for number, row in enumerate(raw.split(b"\n"), 1):
        if len(row) > LONGEST_LINE_BYTES:
            raise InputError(
                f"This line has {len(row):,} bytes; the longest allowed has {LONGEST_LINE_BYTES:,}.",
                where=str(Place(path, number)),
                remedy="Is a newline missing?",
            )
        if b"\0" in row:
            raise InputError(
                "This file holds null bytes, so it is not UTF-8 text.",
                where=str(Place(path, number)),
                remedy="Save it again as UTF-8 (not as UTF-16).",
            )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise InputError(
            "This file is not UTF-8 text.", where=str(Place(path, line)), remedy="Save it again as UTF-8."
        ) from None


def load_yaml(text: str, path: Path, first_line: int = 1) -> dict[str, Any]:
    """A YAML mapping; `first_line` is the line of the file on which `text` begins."""
    try:
        value = yaml.load(text, Loader=UniqueKeys)
    except RecursionError:
        raise InputError(
            "This YAML is nested too deeply to be read.", where=str(path), remedy="Is a closing bracket missing?"
        ) from None
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + first_line if mark else None
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
        raise InputError(
            f"This YAML cannot be read: {problem}.",
            where=str(Place(path, line)),
            remedy="Check indentation, quotes and colons on that line and the one before.",
        ) from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(
            "This YAML is not a mapping of names to values.",
            where=str(Place(path, first_line)),
            remedy="Write `name: value` lines.",
        )
    return value


def jsonl_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number from 1, object) for each line that is not blank."""
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        where = str(Place(path, number))
        try:
            value = json.loads(line, object_pairs_hook=unique_fields, parse_constant=refuse_constant)
            canonical(value).encode()
        except json.JSONDecodeError as error:
            raise InputError(
                f"This line is not JSON: {error.msg} at character {error.colno}.",
                where=where,
                remedy="Each line must be one whole JSON object.",
            ) from None
        except RecursionError:
            raise InputError(
                "This line is nested too deeply to be read.", where=where, remedy="Is a closing bracket missing?"
            ) from None
        except UnicodeEncodeError:
            raise InputError(
                "This line holds half a character (a lone surrogate such as \\ud83d).",
                where=where,
                remedy="Write the whole character, as itself.",
            ) from None
        except ValueError as error:
            raise InputError(f"This line cannot be read: {error}.", where=where, remedy="Mend that line.") from None
        if not isinstance(value, dict):
            raise InputError("This line is JSON but not an object.", where=where, remedy='Write {"field": ...}.')
        yield number, value


def csv_rows(path: Path) -> list[tuple[int, list[str]]]:
    """(line at which it ends, cells) of every row that is not blank. Errors: a quotation mark left open."""
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        return [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise InputError(
            f"This is not a CSV file: {error}.",
            where=str(Place(path, reader.line_num)),
            remedy="Is a quotation mark left open?",
        ) from None


def unique_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object's fields; one that stands twice is an error, since plain JSON would drop the first value."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the field {twice!r} stands twice in one object")
    return fields


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")


def words(text: str) -> list[str]:
    """Lower-case words, without punctuation."""
    return re.findall(r"\w+(?:['’]\w+)?", text.lower())


def content_words(text: str) -> set[str]:
    """The words of a text that carry meaning, cut to their first six letters so that inflections meet."""
    return {word[:6] for word in words(text) if word not in STOP_WORDS}


def printable(text: str) -> str:
    """A text that cannot drive a terminal: control characters and those that turn the direction are shown escaped.

    Line breaks and tabs stay, letters of every script too; so do the joiners that some scripts and emoji need.
    """
    return "".join(one if one in KEPT or unicodedata.category(one) not in DRIVING else escaped(one) for one in text)


def escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: the form that is hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def fingerprint(value: Any) -> str:
    """sha256 of a value's canonical JSON, in hex."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()
