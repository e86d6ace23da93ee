"""What a check is: it reads a corpus, counts and flags, and never mends; its failure costs no other check."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import first_line
from ...evals import Item
from ...policy import Policy
from .lesson import Lesson

MOST_NAMED = 50  # lessons that a record names for one check; a reader looks at a few, and the count has them all
LONGEST_SHOWN = 160  # characters of a text that a record quotes


@dataclass(frozen=True)
class Corpus:
    """What the checks look at."""

    lessons: Sequence[Lesson]
    policy: Policy | None
    items: Sequence[Item]

    def written(self, name: str) -> list[tuple[Lesson, str]]:
        """Every lesson that has a text of this name, with the text."""
        return [(lesson, text) for lesson in self.lessons if (text := lesson.written.get(name, "")).strip()]


@dataclass(frozen=True)
class Found:
    """What a check found: its numbers, and (id of a lesson or a principle, what was found) for whatever it flags."""

    numbers: dict[str, Any]
    flagged: Sequence[tuple[str, str]] = ()


class CannotRun(Exception):
    """A check lacks what it reads; the message says what."""


@dataclass(frozen=True)
class Check:
    """about: what it looks for, what it flags, and what it cannot see."""

    name: str
    about: str
    look: Callable[[Corpus], Found] = field(repr=False)


def check(name: str, about: str) -> Callable[[Callable[[Corpus], Found]], Check]:
    """Make a check of a function."""
    return lambda look: Check(name, about, look)


def checked(corpus: Corpus, one: Check) -> dict[str, Any]:
    """The record of a check: see `corpus_health`."""
    found, cause = Found({}), None
    try:
        if not corpus.lessons:
            raise CannotRun("the corpus has no lesson")
        found = one.look(corpus)
    except CannotRun as lack:
        cause = str(lack)
    except Exception as error:  # whatever is wrong with one check, the others are still worth having
        cause = f"the check failed with {type(error).__name__}: {first_line(error)}"
    return {
        "name": one.name,
        "about": one.about,
        "state": "could not run" if cause else "flagged" if found.flagged else "well",
        "cause": cause,
        "numbers": found.numbers,
        "flagged": [{"id": name, "found": cut(text)} for name, text in found.flagged[:MOST_NAMED]],
        "flagged_in_all": len(found.flagged),
    }


def cut(text: str, most: int = LONGEST_SHOWN) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def share_of(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def by_lesson(flagged: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """One entry a lesson, with all that was found of it, so that what is flagged counts lessons."""
    found: dict[str, list[str]] = {}
    for name, text in flagged:
        found.setdefault(name, []).append(text)
    return [(name, "; ".join(texts)) for name, texts in found.items()]
