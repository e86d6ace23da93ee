"""Every error a user can meet: what happened, where (file, row, field), and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .redact import redacted


class TeachwhyError(Exception):
    """A failure the user can act on. The command line prints it without a traceback and exits 2.

    what: one sentence, what happened. where: file, row and field as far as known. remedy: what to do next. No key is
    in any of them.
    """

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what, self.where, self.remedy = redacted(what), redacted(where), redacted(remedy)
        super().__init__(str(self))

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.remedy:
            lines.append(f"  next:  {self.remedy}")
        return "\n".join(lines)


@contextmanager
def named_in(file: Path, *things: str) -> Iterator[None]:
    """What goes wrong within in one of these things, and names no file, is in this file of the user's."""
    try:
        yield
    except TeachwhyError as error:
        if not error.where.startswith(tuple(f"{thing} " for thing in things)):
            raise
        raise type(error)(error.what, where=f"{file}, {error.where}", remedy=error.remedy) from None


class InputError(TeachwhyError):
    """A file the user wrote (study, policy, examples, items) is not as it must be."""


class CheckError(TeachwhyError):
    """A check that guards the comparison (twins, overlap, lengths, masks) does not hold; nothing was trained."""


class ModelError(TeachwhyError):
    """A model could not be fetched, read, or used as asked."""


class RunError(TeachwhyError):
    """A run folder cannot be used: locked, read-only, out of space, or of another study."""


@dataclass(frozen=True)
class Place:
    """Where in the user's input something stands; row and line count from 1."""

    file: Path | str
    row: int | None = None
    field: str | None = None
    identifier: str | None = None

    def __str__(self) -> str:
        parts = [str(self.file)]
        if self.row is not None:
            parts.append(f"line {self.row}")
        if self.identifier is not None:
            parts.append(f"id {self.identifier!r}")
        if self.field:
            parts.append(f"field {self.field!r}")
        return ", ".join(parts)


def unknown_name(kind: str, name: str, valid: Iterable[str], *, where: str = "") -> InputError:
    """The error for a name that is not known: offers the nearest valid one and lists them all."""
    names = sorted(valid)
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"Did you mean {nearest[0]!r}? " if nearest else ""
    return InputError(f"There is no {kind} named {name!r}.", where=where, remedy=f"{hint}Valid: {listed(names)}.")


def first_line(error: Exception) -> str:
    """The first line of another library's message without keys, or the error's kind where it says nothing."""
    return redacted((str(error).strip() or type(error).__name__).splitlines()[0])[:300]


def listed(names: Sequence[str], most: int = 20) -> str:
    """Names joined by commas, cut after `most`."""
    shown = ", ".join(names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
