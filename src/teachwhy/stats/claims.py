"""What may be said about the mean of a table beyond its value: one place decides for every contrast, rate and share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from teachwhy.errors import InputError
from teachwhy.stats import two_way
from teachwhy.stats.observations import Table
from teachwhy.stats.two_way import MINIMUM_FAMILIES, MINIMUM_SEEDS, Fit


@dataclass(frozen=True)
class Claim:
    """covers: what the interval covers, or why there is none. The rest is None where none is claimed.

    p is 1, not None, when every family's difference is zero. fitted: what the interval was read from.
    """

    covers: str
    low: float | None = None
    high: float | None = None
    p: float | None = None
    fitted: Fit | None = None


def claim(table: Table, level: float) -> Claim:
    """The interval and p that the size of the table allows, by the table in docs/statistics.md."""
    families, seeds = table.cells.shape
    if not families:
        return Claim("no interval: no family was scored at every seed")
    if families < MINIMUM_FAMILIES:
        return Claim(f"no interval: {families} of the at least {MINIMUM_FAMILIES} families needed")
    variance = two_way.item_variance(table.values, np.ones(len(table.values)))
    fitted = two_way.fit(table.cells, two_way.from_items(variance, table.counts))
    mean = float(fitted.mean)
    if two_way.degenerate(fitted):
        # A width of zero would claim a certainty the data cannot give. No difference anywhere is still a test that
        # found nothing: it keeps a p, so that Holm does not grow kinder to the other contrasts.
        p = 1.0 if abs(mean) <= two_way.ROUNDING else None
        return Claim("no interval: every family shows the same difference, so there is no spread to judge by", p=p)
    half = float(two_way.half_width(fitted, level))
    return Claim(_covers(table, seeds), mean - half, mean + half, float(two_way.p_values(fitted)), fitted)


def trained(table: Table) -> int:
    """How many seeds were trained; 0 when nothing was."""
    return 0 if table.seeds == (None,) else len(table.seeds)


def check_level(level: float) -> None:
    """Raises InputError unless 0 < level < 1."""
    if not 0 < level < 1:
        raise InputError(f"An interval at level {level} does not exist.", remedy="Use a share such as 0.95.")


def joined(*parts: str) -> str:
    """Parts of a note that have something to say."""
    return "; ".join(part for part in parts if part)


def _covers(table: Table, seeds: int) -> str:
    if table.seeds == (None,):
        return "families: nothing was trained, so there is no training noise"
    if seeds < MINIMUM_SEEDS:
        return "families at these seeds: training noise is not covered"
    return "families and seeds"
