"""The share of a gain that a control does not reach, with an interval by Fieller's theorem."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from teachwhy.stats import two_way
from teachwhy.stats.claims import check_level, claim, joined, trained
from teachwhy.stats.observations import Observation, Table, difference, matched, tabulate, unscored
from teachwhy.stats.two_way import Numbers

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
    part, whole = _tables([(difference(w, c, seed), difference(w, f, seed)) for seed, (w, c, f) in together])
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
    low, high, missing = _fieller(part.cells, whole.cells, level)
    estimate = float(part.cells.mean() / whole.cells.mean())
    return replace(found, estimate=estimate, low=low, high=high, covers=missing or claimed.covers)


def _tables(pairs: Sequence[tuple[Observation, Observation]]) -> tuple[Table, Table]:
    """The two differences as tables of one shape: an item that one of them lacks counts in neither."""
    scored = [part.value is not None and whole.value is not None for part, whole in pairs]
    sides = zip(*pairs, strict=True) if pairs else ((), ())
    part, whole = (
        tabulate([one if kept else replace(one, value=None) for one, kept in zip(side, scored, strict=True)])
        for side in sides
    )
    return part, whole


def _fieller(part: Numbers, whole: Numbers, level: float) -> tuple[float | None, float | None, str]:
    """The ends of the set of ratios not told from zero, or None twice and why.

    The set is one interval where the spread grows with the ratio as a parabola does, as in Fieller's own case. Ours
    sets negative components to zero and so bends it: the set is looked at as a whole, and only one piece is claimed.
    """
    from scipy.optimize import brentq

    estimate = part.mean() / whole.mean()
    steps = np.tan(np.linspace(-np.pi / 2, np.pi / 2, _ANGLES + 2)[1:-1])
    ratios = np.sort(np.append(steps, estimate))
    place = int(np.searchsorted(ratios, estimate))
    slack = _slack(part, whole, level)
    inside = slack(ratios) >= 0
    inside[place] = True  # the mean is zero there but for rounding
    if inside[0] or inside[-1]:
        return None, None, "no interval: the data set no end to the share"
    ends = np.flatnonzero(np.diff(inside.astype(int)))  # each piece begins and ends after one of these
    if len(ends) > 2:
        return None, None, "no interval: the shares that agree with the data fall into several pieces"
    before, last = int(ends[0]), int(ends[1])

    def one(ratio: float) -> float:
        return float(slack(np.array([ratio]))[0])

    if one(estimate) <= two_way.ROUNDING:
        return None, None, "no interval: every family shows the same share, so there is no spread to judge by"
    return (
        float(brentq(one, ratios[before], ratios[before + 1])),
        float(brentq(one, ratios[last], ratios[last + 1])),
        "",
    )


def _slack(part: Numbers, whole: Numbers, level: float) -> Callable[[Numbers], Any]:
    """By how much zero lies inside the interval of the mean of part - r * whole, at ratios of shape (n,)."""

    def slack(ratios: Numbers) -> Any:
        fitted = two_way.fit(part - ratios[:, None, None] * whole)
        return two_way.half_width(fitted, level) - np.abs(fitted.mean)

    return slack
