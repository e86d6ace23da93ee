"""The difference between two arms on the same items and seeds, with the interval it may claim."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from teachwhy.errors import InputError
from teachwhy.stats import two_way
from teachwhy.stats.claims import check_level, claim, joined, trained
from teachwhy.stats.dropping import Dropped, drop_each, verdict
from teachwhy.stats.observations import Observation, Table, differences, filled, index, tabulate, unscored
from teachwhy.stats.two_way import Numbers, VarianceComponents

_EXACT_FAMILIES = 16  # 2^16 sign patterns are listed in a moment; beyond that 2^16 are drawn
_BLOCK = 4096  # sign patterns handled at once, to bound memory


@dataclass(frozen=True)
class Contrast:
    """Treated minus control. Differences carry the unit of the scores, as a rule a share in [-1, 1].

    estimate: mean over family x seed cells, None when no cell is left. low, high, p, degrees_of_freedom: None where no
    interval is claimed (p is 1, not None, when every family's difference is zero). p_sign_flip: over families, at these
    seeds. covers: what the interval covers, or why there is none. items, families, seeds: counts behind the estimate;
    seeds is 0 when neither arm was trained. unscored: observations without a value, both arms. bounds: the estimate had
    every unscored answer gone against the treated arm, and for it; the estimate itself, which leaves these pairs out,
    can lie outside. per_seed, per_family: differences. components: None below two families or two seeds.
    p_adjusted: set by `adjust`. note: what was left out, empty if nothing.
    margin: the largest difference that counts as none, in the unit of the scores, None where none was named.
    p_equivalence: against "the arms differ by the margin or more". equivalent: whether it is below 1 - level, which is
    so just when low and high lie inside the margin. Both are None without a margin and where no interval is claimed.
    dropping: how it comes out without any one family; None where no interval is claimed.
    """

    estimate: float | None
    low: float | None
    high: float | None
    level: float
    p: float | None
    p_sign_flip: float | None
    covers: str
    items: int
    families: int
    seeds: int
    unscored: int
    bounds: tuple[float, float] | None
    per_seed: dict[int, float]
    per_family: dict[str, float]
    components: VarianceComponents | None
    degrees_of_freedom: float | None
    margin: float | None = None
    p_equivalence: float | None = None
    equivalent: bool | None = None
    dropping: Dropped | None = None
    p_adjusted: float | None = None
    p_equivalence_adjusted: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Interval:
    """One arm's own rate; fields as in Contrast. Its overlap with another arm's says nothing about their contrast."""

    estimate: float | None
    low: float | None
    high: float | None
    level: float
    covers: str
    items: int
    families: int
    seeds: int
    unscored: int
    note: str = ""


def contrast(
    treated: Sequence[Observation],
    control: Sequence[Observation],
    *,
    level: float = 0.95,
    margin: float | None = None,
) -> Contrast:
    """Compare two arms item by item and seed by seed.

    Pairs by (item, seed), averages over items within each family x seed cell, and fits a two-way random-effects model
    to the cells, every family weighing the same. An item unscored in either arm leaves the pair. With at least 10
    families the interval covers families and seeds (3 seeds or more) or families at these seeds (fewer); below that
    none is claimed. The sign-flip p is exact up to 16 families, beyond that from 2^16 flips drawn with a fixed seed.
    With a margin, two one-sided tests (Schuirmann 1987) ask whether the difference is smaller than it, each at half of
    1 - level.
    Raises InputError for duplicates, mixed seeds, values that are not finite, families that disagree, a bad level or
    margin.
    """
    check_level(level)
    _check_margin(margin)
    pairs, unpaired = differences(treated, control)
    table = tabulate(pairs)
    claimed = claim(table, level)
    p_equivalence = float(two_way.p_equivalence(claimed.fitted, margin)) if claimed.fitted and margin else None
    return Contrast(
        estimate=table.estimate,
        low=claimed.low,
        high=claimed.high,
        level=level,
        p=claimed.p,
        p_sign_flip=_sign_flip(table.cells.mean(axis=1)) if table.families else None,
        covers=claimed.covers,
        items=table.items,
        families=len(table.families),
        seeds=trained(table),
        unscored=unscored(treated) + unscored(control),
        bounds=_bounds(treated, control),
        per_seed=_per_seed(table),
        per_family=dict(zip(table.families, table.cells.mean(axis=1).tolist(), strict=True)) if table.families else {},
        components=two_way.components(table.cells),
        degrees_of_freedom=float(claimed.fitted.degrees_of_freedom) if claimed.fitted else None,
        margin=margin,
        p_equivalence=p_equivalence,
        equivalent=None if p_equivalence is None else p_equivalence < 1 - level,
        dropping=drop_each(table, verdict(claimed.low, claimed.high), level) if claimed.fitted else None,
        note=joined(table.note, f"{unpaired} observations have no partner in the other arm" if unpaired else ""),
    )


def interval(observations: Sequence[Observation], level: float = 0.95) -> Interval:
    """One arm's mean score with an interval by the same model and the same rules as `contrast`.

    The interval is cut to [0, 1], or to the range of the scores where that is wider: no rate lies beyond.
    """
    check_level(level)
    index(observations, "shown")
    table = tabulate(observations)
    claimed = claim(table, level)
    lowest, highest = _range(observations)
    return Interval(
        estimate=table.estimate,
        low=None if claimed.low is None else max(claimed.low, lowest),
        high=None if claimed.high is None else min(claimed.high, highest),
        level=level,
        covers=claimed.covers,
        items=table.items,
        families=len(table.families),
        seeds=trained(table),
        unscored=unscored(observations),
        note=table.note,
    )


def adjust(contrasts: Sequence[Contrast]) -> list[Contrast]:
    """The same contrasts in the same order with Holm's p_adjusted, over those that have a p.

    p_equivalence_adjusted likewise, over those that have a p_equivalence: two claims of a different kind, each with its
    own error rate.
    """
    differ = _holm([one.p for one in contrasts])
    alike = _holm([one.p_equivalence for one in contrasts])
    return [
        replace(one, p_adjusted=p, p_equivalence_adjusted=p_equivalence)
        for one, p, p_equivalence in zip(contrasts, differ, alike, strict=True)
    ]


def _holm(p_values: Sequence[float | None]) -> list[float | None]:
    tested = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(tested):
        largest = max(largest, min(p * (len(tested) - rank), 1.0))
        adjusted[place] = largest
    return adjusted


def _check_margin(margin: float | None) -> None:
    if margin is not None and not 0 < margin < np.inf:
        raise InputError(
            f"A margin of {margin} is no size of a difference.",
            remedy="Give the largest difference that counts as none, in the unit of the scores, such as 0.05.",
        )


def _bounds(treated: Sequence[Observation], control: Sequence[Observation]) -> tuple[float, float] | None:
    lowest, highest = _range([*treated, *control])
    low = tabulate(differences(filled(treated, lowest), filled(control, highest))[0]).estimate
    high = tabulate(differences(filled(treated, highest), filled(control, lowest))[0]).estimate
    return None if low is None or high is None else (low, high)


def _range(observations: Sequence[Observation]) -> tuple[float, float]:
    values = [one.value for one in observations if one.value is not None]
    return min([0.0, *values]), max([1.0, *values])


def _sign_flip(means: Numbers) -> float:
    """Share of sign patterns over families whose total is at least as far from zero as the one seen."""
    # Totals that are equal on paper may differ in the last digit; the slack counts them as equal.
    threshold = abs(means.sum()) - 1e-9 * np.abs(means).sum()
    reached = total = 0
    for signs in _sign_patterns(len(means)):
        reached += int((np.abs(signs @ means) >= threshold).sum())
        total += len(signs)
    if len(means) <= _EXACT_FAMILIES:
        return reached / total
    return (reached + 1) / (total + 1)  # the pattern seen counts among those drawn


def _sign_patterns(families: int) -> Iterator[Numbers]:
    """Blocks of rows of -1 and +1: every pattern up to 16 families, 2^16 random ones beyond."""
    count = 2 ** min(families, _EXACT_FAMILIES)
    rng = np.random.default_rng(0)
    for start in range(0, count, _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, count))[:, None]
        if families <= _EXACT_FAMILIES:
            bits = (rows >> np.arange(families)) & 1
        else:
            bits = rng.integers(0, 2, size=(len(rows), families))
        yield (2 * bits - 1).astype(np.float64)


def _per_seed(table: Table) -> dict[int, float]:
    if not table.families:
        return {}
    means = table.cells.mean(axis=0).tolist()
    return {seed: mean for seed, mean in zip(table.seeds, means, strict=True) if seed is not None}
