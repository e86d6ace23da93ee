"""Drafts through the stages of a recipe, from their starts to finished lessons."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from .draft import Draft
from .recipe import Recipe
from .stages import Work


def flow(recipe: Recipe, starts: Iterable[Draft], work: Work) -> Iterator[Draft]:
    """The drafts that come through all stages. Each stage reads a chunk of what the one before gives, and no more."""
    drafts = iter(starts)
    for stage in recipe.stages:
        work.counts[stage.name] = [0, 0]
        drafts = stage.flow(drafts, work)
    return drafts


@dataclass(frozen=True)
class Planned:
    """Calls of one stage, where nothing is dropped and no answer is of no use."""

    stage: str
    calls: int


def planned(recipe: Recipe, starts: Sequence[Draft]) -> tuple[list[Planned], int]:
    """The calls of every stage, and the lessons at the end."""
    quotas, found = [draft.quota for draft in starts], []
    for stage in recipe.stages:
        calls, quotas = stage.planned(quotas)
        found.append(Planned(stage.name, calls))
    return found, len(quotas)
