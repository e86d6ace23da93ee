"""What a study of a given size can see, and how often it would cry wolf, by simulation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from teachwhy.errors import InputError
from teachwhy.stats import two_way
from teachwhy.stats.two_way import MINIMUM_FAMILIES, Numbers, VarianceComponents


@dataclass(frozen=True)
class FalseAlarms:
    """How often a test called a difference where none was planted, as shares of `draws`.

    claimed: the test a contrast of this size would use. families_only: Student's t over family means, blind to seeds.
    standard_error: of `claimed`, from the finite number of draws.
    """

    claimed: float
    families_only: float
    draws: int
    standard_error: float


def simulate_false_alarms(
    components: VarianceComponents,
    families: int,
    seeds: int,
    items_per_family: int,
    draws: int,
    rng: np.random.Generator,
    rate: float | None = 0.5,
    *,
    level: float = 0.95,
) -> FalseAlarms:
    """Run `draws` studies in which both arms are alike on average, and count the differences called.

    rate, components and items_per_family mean what they mean in `simulate`. Raises InputError as `simulate` does.
    """
    cells = simulate(0.0, components, families, seeds, items_per_family, draws, rng, rate)
    claimed = _called(two_way.fit(cells), level)
    return FalseAlarms(
        claimed=claimed,
        families_only=_called(two_way.fit_families(cells), level),
        draws=draws,
        standard_error=float(np.sqrt(claimed * (1 - claimed) / draws)),
    )


def power(
    effect: float,
    components: VarianceComponents,
    families: int,
    seeds: int,
    items_per_family: int,
    *,
    rate: float | None = 0.5,
    level: float = 0.95,
    draws: int = 2000,
    draw_seed: int = 0,
) -> float:
    """The share of simulated studies with a true difference `effect` whose interval excludes zero on the right side.

    The draws are seeded, so equal arguments give equal answers; the rest is as in `simulate`. Raises InputError as
    `simulate` does, and below 10 families, where a contrast claims nothing and so has no power to speak of.
    """
    if families < MINIMUM_FAMILIES:
        raise InputError(
            f"A contrast over {families} families claims no interval, so its power is not defined.",
            remedy=f"Plan at least {MINIMUM_FAMILIES} families.",
        )
    rng = np.random.default_rng(draw_seed)
    cells, least = simulate_with_floor(effect, components, families, seeds, items_per_family, draws, rng, rate)
    fitted = two_way.fit(cells, least)
    found = (two_way.p_values(fitted) < 1 - level) & (np.sign(fitted.mean) == np.sign(effect))
    return float(found.mean())


def smallest_detectable(
    components: VarianceComponents,
    families: int,
    seeds: int,
    items_per_family: int,
    *,
    target: float = 0.8,
    rate: float | None = 0.5,
    level: float = 0.95,
    draws: int = 2000,
    draw_seed: int = 0,
) -> float | None:
    """The smallest gain over the control arm found with power `target`, to within 0.005.

    None when even the largest gain the scale allows (up to a rate of 1) is not found that often. Raises as `power`.
    """

    def found(effect: float) -> bool:
        reached = power(
            effect, components, families, seeds, items_per_family,
            rate=rate, level=level, draws=draws, draw_seed=draw_seed,
        )  # fmt: skip
        return reached >= target

    too_small, enough = 0.0, 1.0 if rate is None else 1.0 - rate
    if not found(enough):
        return None
    while enough - too_small > 0.005:
        middle = (too_small + enough) / 2
        too_small, enough = (too_small, middle) if found(middle) else (middle, enough)
    return enough


def simulate(
    effect: float,
    components: VarianceComponents,
    families: int,
    seeds: int,
    items_per_family: int,
    draws: int,
    rng: np.random.Generator,
    rate: float | None,
) -> Numbers:
    """Cell differences of shape (draws, families, seeds) of studies with a planted difference `effect`.

    With a `rate` (the control arm's) every item is right or wrong, and the noise of items comes on top of
    `components`, whose residual is then only how much more a family moves at one seed than at another. The noise is
    split between the arms and rates are cut to [0, 1], so the arms are alike at effect 0 and a large noise or effect
    near the ends of the scale comes out smaller. With rate None cells are normal and the residual must hold the noise
    of items already, as the components of a finished contrast do; items_per_family then plays no part.
    Raises InputError below two families, one seed, item or draw, for a negative variance or a rate outside [0, 1].
    """
    return simulate_with_floor(effect, components, families, seeds, items_per_family, draws, rng, rate)[0]


def simulate_with_floor(
    effect: float,
    components: VarianceComponents,
    families: int,
    seeds: int,
    items_per_family: int,
    draws: int,
    rng: np.random.Generator,
    rate: float | None,
) -> tuple[Numbers, Numbers | float]:
    """The cells of `simulate`, and the variance that items alone leave in each study's mean, shape (draws,).

    The latter is 0 with rate None, where the noise of items is in the cells and cannot be told apart.
    """
    _check_size(families, seeds, items_per_family, draws)
    _check_noise(components, rate)
    noise = (
        rng.normal(0.0, np.sqrt(components.family), (draws, families, 1))
        + rng.normal(0.0, np.sqrt(components.seed), (draws, 1, seeds))
        + rng.normal(0.0, np.sqrt(components.residual), (draws, families, seeds))
    )
    if rate is None:
        return effect + noise, 0.0
    treated = rng.binomial(items_per_family, np.clip(rate + effect + noise / 2, 0.0, 1.0)).astype(np.float64)
    control = rng.binomial(items_per_family, np.clip(rate - noise / 2, 0.0, 1.0)).astype(np.float64)
    counts = np.full((families, seeds), float(items_per_family))
    least = two_way.from_items(_item_variance(treated, control, items_per_family), counts)
    return (treated - control) / items_per_family, least


def _item_variance(treated: Numbers, control: Numbers, items: int) -> Numbers:
    """What `two_way.item_variance` finds in the mean of all ways to pair the right and wrong items of each cell.

    treated, control: right items, shape (draws, families, seeds). Which of them meet which is not drawn.
    """
    ours, theirs = treated / items, control / items
    unequal = ours * (1 - theirs) + theirs * (1 - ours)
    mean = (ours - theirs).mean(axis=(-2, -1))
    spread = unequal.mean(axis=(-2, -1)) - mean**2
    farthest = (1 + np.abs(mean)) ** 2 / unequal[0].size / items
    return np.where(spread > two_way.ROUNDING, spread + farthest, 0.0)


def _called(fitted: two_way.Fit, level: float) -> float:
    return float((two_way.p_values(fitted) < 1 - level).mean())


def _check_size(families: int, seeds: int, items_per_family: int, draws: int) -> None:
    if families < 2 or min(seeds, items_per_family, draws) < 1:
        raise InputError(
            f"A study of {families} families, {seeds} seeds, {items_per_family} items and {draws} draws "
            "cannot be simulated.",
            remedy="Use at least two families and one of each of the others.",
        )


def _check_noise(components: VarianceComponents, rate: float | None) -> None:
    if min(components.family, components.seed, components.residual) < 0 or not 0 <= (rate or 0) <= 1:
        raise InputError(
            f"No world has the variances {components} and the rate {rate}.",
            remedy="Variances are zero or more, a rate lies between 0 and 1.",
        )
