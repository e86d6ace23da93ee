"""The share of a gain that a control does not reach, with an interval by Fieller's theorem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from teachwhy.stats import two_way
from teachwhy.stats.claims import check_level, claim, joined, trained
from teachwhy.stats.observations import Observation, Table, difference, matched, tabulate, unscored
from teachwhy.stats.two_way import MINIMUM_SEEDS, Numbers

_ANGLES = 1000  # places at which the line of ratios is looked at, from minus to plus infinity


@dataclass(frozen=True)
class Share:
    """(why - control) / (why - foot): the part of the total gain that the control does not reach.

    estimate: 1 where the control gains nothing over the foot, 0 where it gains as much as `why`; not cut to [0, 1].
    None unless the lower bound of the total gain is above 0: a share of nothing is no number. low, high: None where no
    interval is claimed. covers: what the interval covers, or why there is no share or no interval. gain, gain_low,
    gain_high: why - foot on the items scored in all three arms, None as in Contrast. items, families, seeds: counts
    behind it. unscored: observations without a value, all three arms. note: what was left out, empty if nothing.
    """

    estimate: float | None
    low: float | None
    high: float | None
    level: float
    covers: str
    gain: float | None
    gain_low: float | None
    gain_high: float | None
    items: int
    families: int
    seeds: int
    unscored: int
    note: str = ""


def share_of_gain(
    why: Sequence[Observation], control: Sequence[Observation], foot: Sequence[Observation], level: float = 0.95
) -> Share:
    """What share of the gain of `why` over the foot of the ladder is not reached by the control.

    Takes the items scored in all three arms at a seed; an untrained arm stands beside every seed. The interval holds
    every ratio r for which the mean of the cells (why - control) - r (why - foot) is not told from zero by the test of
    a contrast (Fieller 1954). Raises InputError as `contrast` does.
    """
    check_level(level)
    together, lacking = matched({"why": why, "control": control, "foot": foot})
    pairs = _scored([(difference(w, c, seed), difference(w, f, seed)) for seed, (w, c, f) in together])
    part, whole = (tabulate(side) for side in pairs)
    claimed = claim(whole, level)
    found = Share(
        estimate=None,
        low=None,
        high=None,
        level=level,
        covers=claimed.covers.replace("no interval", "no share", 1),
        gain=whole.estimate,
        gain_low=claimed.low,
        gain_high=claimed.high,
        items=whole.items,
        families=len(whole.families),
        seeds=trained(whole),
        unscored=unscored(why) + unscored(control) + unscored(foot),
        note=joined(whole.note, f"{lacking} item and seed pairs are not in all three arms" if lacking else ""),
    )
    if claimed.low is None or claimed.high is None:
        return found
    if claimed.low <= 0:
        return replace(found, covers="no share: the total gain is not shown to be above zero")
    values = [
        np.array([one.value for one in side if one.value is not None and one.family in whole.families])
        for side in pairs
    ]
    low, high, missing = _fieller(part, whole, (values[0], values[1]), level)
    estimate = float(part.cells.mean() / whole.cells.mean())
    return replace(found, estimate=estimate, low=low, high=high, covers=missing or claimed.covers)


def _scored(pairs: Sequence[tuple[Observation, Observation]]) -> tuple[list[Observation], list[Observation]]:
    """The two differences, each without a value where the other has none: their tables are then of one shape."""
    scored = [part.value is not None and whole.value is not None for part, whole in pairs]
    part, whole = (
        [pair[side] if kept else replace(pair[side], value=None) for pair, kept in zip(pairs, scored, strict=True)]
        for side in (0, 1)
    )
    return part, whole


def _fieller(
    part: Table, whole: Table, items: tuple[Numbers, Numbers], level: float
) -> tuple[float | None, float | None, str]:
    """The ends of the set of ratios not told from zero, or None twice and why. items: both differences, one an item.

    The set is one interval where the spread grows with the ratio as a parabola does, as in Fieller's own case. Ours
    sets negative components to zero and so bends it: the set is looked at as a whole, and only one piece is claimed.
    """
    from scipy.optimize import brentq

    def slack(ratios: Numbers) -> Any:
        """By how much zero lies inside the interval of the mean of part - r * whole, for ratios of shape (n,)."""
        least: Numbers | float = 0.0
        if len(part.seeds) < MINIMUM_SEEDS:
            variance = two_way.item_variance(items[0] - ratios[:, None] * items[1], np.ones(len(items[0])))
            least = two_way.from_items(variance, part.counts)
        fitted = two_way.fit(part.cells - ratios[:, None, None] * whole.cells, least)
        return two_way.half_width(fitted, level) - np.abs(fitted.mean)

    def at(ratio: float) -> float:
        return float(slack(np.array([ratio]))[0])

    estimate = part.cells.mean() / whole.cells.mean()
    steps = np.tan(np.linspace(-np.pi / 2, np.pi / 2, _ANGLES + 2)[1:-1])
    ratios = np.sort(np.append(steps, estimate))
    inside = (slack(ratios) >= 0) | (ratios == estimate)  # there the mean is zero but for rounding
    if inside[0] or inside[-1]:
        return None, None, "no interval: the data set no end to the share"
    ends = np.flatnonzero(np.diff(inside.astype(int)))  # each piece begins and ends after one of these
    if len(ends) > 2:
        return None, None, "no interval: the shares that agree with the data fall into several pieces"
    if at(estimate) <= two_way.ROUNDING:
        return None, None, "no interval: every family shows the same share, so there is no spread to judge by"
    low, high = (float(brentq(at, ratios[end], ratios[end + 1])) for end in ends)
    return low, high, ""
