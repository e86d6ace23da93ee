"""The health of a corpus: checks that flag and never mend, as numbers, as a table and as a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...evals import Item
from ...policy import Policy
from .balance import decisions, ease, lengths
from .check import Corpus, checked
from .lesson import Lesson, lessons_of, read_lessons
from .page import health_page, health_table
from .phrases import names, openings, stock_phrases
from .reasons import contradicting, flat_refusals, restating
from .repeats import exact_duplicates, going_round, near_duplicates, overlap_with_items, overlap_with_policy

CHECKS = (
    exact_duplicates,
    near_duplicates,
    going_round,
    overlap_with_items,
    overlap_with_policy,
    openings,
    names,
    stock_phrases,
    decisions,
    flat_refusals,
    lengths,
    ease,
    restating,
    contradicting,
)

__all__ = ["CHECKS", "Lesson", "corpus_health", "health_page", "health_table", "lessons_of", "read_lessons"]


def corpus_health(lessons: Sequence[Lesson], policy: Policy | None, items: Sequence[Item]) -> dict[str, Any]:
    """Every check of a corpus, as one record that JSON can hold.

    {"lessons": how many, "checks": [{"name", "about", "state": "well" | "flagged" | "could not run", "cause",
    "numbers", "flagged": [{"id", "found"}, at most 50], "flagged_in_all"}]}. A check that fails is in the record as
    one that could not run, with its cause.
    """
    corpus = Corpus(lessons, policy, items)
    return {"lessons": len(lessons), "checks": [checked(corpus, one) for one in CHECKS]}
