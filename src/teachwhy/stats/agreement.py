"""Agreement of two readers who each accept or reject: its table, its interval, and Cohen's kappa."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from teachwhy.stats.claims import check_level

Verdicts = tuple[bool, bool]  # what the first reader says, and the second
CELLS: tuple[Verdicts, ...] = ((True, True), (True, False), (False, True), (False, False))


@dataclass(frozen=True)
class Agreement:
    """How far two readers agree. All shares lie in [0, 1].

    both_accept, first_only, second_only, both_reject: readings, by who accepts. share, low, high: of readings alike,
    with Wilson's interval; None without a reading. kappa: Cohen's; None where chance alone would agree always.
    """

    both_accept: int
    first_only: int
    second_only: int
    both_reject: int
    share: float | None
    low: float | None
    high: float | None
    kappa: float | None

    @property
    def readings(self) -> int:
        return self.both_accept + self.first_only + self.second_only + self.both_reject


@dataclass(frozen=True)
class Reweighted:
    """The agreement to be expected of a whole whose parts were sampled unequally; None where a part was not sampled."""

    share: float | None
    low: float | None
    high: float | None
    kappa: float | None


def agreement(readings: Sequence[Verdicts], level: float = 0.95) -> Agreement:
    """The table of these readings."""
    both, first_only, second_only, neither = cells = [sum(one == cell for one in readings) for cell in CELLS]
    alike, count = both + neither, len(readings)
    low, high = wilson(alike, count, level)
    share, beyond_chance = (alike / count, kappa([cell / count for cell in cells])) if count else (None, None)
    return Agreement(both, first_only, second_only, neither, share, low, high, beyond_chance)


def reweighted(strata: Mapping[str, Sequence[Verdicts]], sizes: Mapping[str, int], level: float = 0.95) -> Reweighted:
    """The agreement in the whole. strata: name -> its readings, drawn at random; sizes: name -> members in the whole.

    Each cell of the table is the mean of the strata's shares, weighted by size. The interval joins those of the strata
    by the method of variance estimates recovery (Zou and Donner 2008, Statistics in Medicine 27:1693).
    """
    parts = {name: size for name, size in sizes.items() if size}
    if not parts or not all(strata.get(name) for name in parts):
        return Reweighted(None, None, None, None)
    whole = sum(parts.values())
    cells = [0.0] * len(CELLS)
    share = below = above = 0.0
    for name, size in parts.items():
        weight, readings = size / whole, strata[name]
        for place, cell in enumerate(CELLS):
            cells[place] += weight * sum(one == cell for one in readings) / len(readings)
        alike = sum(first == second for first, second in readings)
        low, high = wilson(alike, len(readings), level)
        share += weight * alike / len(readings)
        below += (weight * (alike / len(readings) - (low or 0.0))) ** 2
        above += (weight * ((high or 0.0) - alike / len(readings))) ** 2
    return Reweighted(share, max(0.0, share - math.sqrt(below)), min(1.0, share + math.sqrt(above)), kappa(cells))


def kappa(shares: Sequence[float]) -> float | None:
    """(p_o - p_e) / (1 - p_e): agreement beyond chance as a share of what is possible.

    shares: of the four `CELLS`. p_o: the share of readings alike; p_e: the same if the readers were independent and
    each accepted as often as they did (Cohen 1960, Educational and Psychological Measurement 20:37).
    """
    both, first_only, second_only, neither = shares
    first, second = both + first_only, both + second_only
    chance = first * second + (1 - first) * (1 - second)
    return (both + neither - chance) / (1 - chance) if 1 - chance > 1e-12 else None


def wilson(successes: int, trials: int, level: float = 0.95) -> tuple[float | None, float | None]:
    """The score interval of a share (Wilson 1927, JASA 22:209); None twice without a trial."""
    check_level(level)
    if not trials:
        return None, None
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, spread = successes / trials, z * z / trials
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / trials + spread / (4 * trials))
    return max(0.0, middle - half), min(1.0, middle + half)
