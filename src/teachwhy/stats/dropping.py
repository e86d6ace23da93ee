"""How a contrast comes out with each family left out in turn: whether one family carries the verdict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from teachwhy.stats import two_way
from teachwhy.stats.observations import Table
from teachwhy.stats.two_way import MINIMUM_SEEDS, Numbers


@dataclass(frozen=True)
class LeftOut:
    """A contrast without one family; low and high are None where what is left has no spread to judge by."""

    family: str
    estimate: float
    low: float | None
    high: float | None

    @property
    def verdict(self) -> int:
        """1 or -1 where the interval excludes zero on that side, else 0."""
        return verdict(self.low, self.high)


@dataclass(frozen=True)
class Dropped:
    """The contrasts without one family that come out lowest and highest, and what changes the verdict.

    changes: the families, in order, without any one of which the interval would exclude zero where it does not, or
    the other way round, or on the other side.
    """

    lowest: LeftOut
    highest: LeftOut
    changes: tuple[str, ...]


def drop_each(table: Table, before: int, level: float) -> Dropped:
    """Leave each family of a table with a claimed interval out in turn; before: the verdict of the whole table.

    The question is how the same computation would have come out, so the fit is the same even where 9 families are left
    and no contrast of that size would claim an interval of its own.
    """
    without = leave_each_out(table, level)
    return Dropped(
        lowest=min(without, key=lambda one: one.estimate),
        highest=max(without, key=lambda one: one.estimate),
        changes=tuple(one.family for one in without if one.verdict != before),
    )


def leave_each_out(table: Table, level: float) -> list[LeftOut]:
    """The contrast without each family, in the order of the table, which has at least three."""
    rows = np.arange(len(table.families))
    others = np.array([np.delete(rows, row) for row in rows])
    least: Numbers | float = 0.0
    if len(table.seeds) < MINIMUM_SEEDS:
        variance = two_way.item_variance(table.values, table.owners != rows[:, None])
        least = two_way.from_items(variance, table.counts[others])
    fitted = two_way.fit(table.cells[others], least)
    half = two_way.half_width(fitted, level)
    known = ~two_way.degenerate(fitted)
    return [
        LeftOut(family, float(mean), float(mean - width) if spread else None, float(mean + width) if spread else None)
        for family, mean, width, spread in zip(table.families, fitted.mean, half, known, strict=True)
    ]


def verdict(low: float | None, high: float | None) -> int:
    """1 or -1 where an interval excludes zero on that side, else 0, also where there is none."""
    if low is None or high is None:
        return 0
    return int(low > 0) - int(high < 0)
