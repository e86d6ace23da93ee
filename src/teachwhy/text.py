"""Reading text, YAML and JSONL so that every fault names its file and line; and words of a text."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from .errors import InputError, Place

LONGEST_LINE_BYTES = 4_000_000
STOP_WORDS = frozenset(
    "a an the and or but if so of to in on at by for from with as is are was were be been it its this that these those "
    "they them their he she his her you your we our i my not no do does did will would can could should must may when "
    "then than there here who whom which what why how all any each every only because".split()
)


def read_text(path: Path) -> str:
    """A UTF-8 text file. Errors: missing, unreadable, empty, or another encoding (with the line)."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise InputError("This file does not exist.", where=str(path), remedy="Check the path.") from None
    except OSError as error:
        raise InputError(f"This file cannot be read: {error.strerror}.", where=str(path)) from None
    if not raw.strip():
        raise InputError("This file is empty.", where=str(path), remedy="Fill it, or take it out of the study.")
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
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + first_line if mark else None
        problem = getattr(error, "problem", None) or "not valid YAML"
        raise InputError(
            f"This YAML cannot be read: {problem}.",
            where=str(Place(path, line)),
            remedy="Check indentation, quotes and colons on that line and the one before.",
        ) from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError("This YAML is not a mapping of names to values.", where=str(Place(path, first_line)))
    return value


def jsonl_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number from 1, object) for each line that is not blank."""
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        where = str(Place(path, number))
        if len(line) > LONGEST_LINE_BYTES:
            raise InputError(
                f"This line has {len(line):,} characters; the longest allowed is {LONGEST_LINE_BYTES:,}.",
                where=where,
                remedy="One JSON object a line; is a newline missing?",
            )
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(
                f"This line is not JSON: {error.msg} at character {error.colno}.",
                where=where,
                remedy="Each line must be one whole JSON object.",
            ) from None
        except RecursionError:
            raise InputError("This line is nested too deeply to be read.", where=where) from None
        if not isinstance(value, dict):
            raise InputError("This line is JSON but not an object.", where=where, remedy='Write {"field": ...}.')
        yield number, value


def words(text: str) -> list[str]:
    """Lower-case words, without punctuation."""
    return re.findall(r"\w+(?:['’]\w+)?", text.lower())


def content_words(text: str) -> set[str]:
    """The words of a text that carry meaning, cut to their first six letters so that inflections meet."""
    return {word[:6] for word in words(text) if word not in STOP_WORDS}


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: the form that is hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def fingerprint(value: Any) -> str:
    """sha256 of a value's canonical JSON, in hex."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()
