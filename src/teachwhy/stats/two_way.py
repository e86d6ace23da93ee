"""The two-way random-effects model on family x seed cells: mean, standard error, degrees of freedom, p.

Every function takes cells of shape (..., families, seeds) and works along the last two axes, so that one contrast and
thousands of simulated ones go through the same lines. Why this variant and no other: docs/statistics.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

MINIMUM_FAMILIES = 10
MINIMUM_SEEDS = 3

# Below this a standard error is rounding: scores are means of a few items, far coarser than 1e-12.
ROUNDING = 1e-12


@dataclass(frozen=True)
class VarianceComponents:
    """Variances of the cell differences: between families, between seeds, and what is left (interaction and items)."""

    family: float
    seed: float
    residual: float


@dataclass(frozen=True)
class Fit:
    """Mean over cells with its standard error and degrees of freedom, each of shape (...)."""

    mean: Numbers
    standard_error: Numbers
    degrees_of_freedom: Numbers


@dataclass(frozen=True)
class MeanSquares:
    """The analysis of variance of a two-way table with one value a cell, each of shape (...)."""

    family: Numbers
    seed: Numbers
    residual: Numbers


def mean_squares(cells: Numbers) -> MeanSquares:
    """Mean squares for families, seeds and residual; needs at least two families and two seeds."""
    families, seeds = cells.shape[-2:]
    grand = cells.mean(axis=(-2, -1), keepdims=True)
    rows = cells.mean(axis=-1, keepdims=True) - grand
    columns = cells.mean(axis=-2, keepdims=True) - grand
    rest = cells - grand - rows - columns
    return MeanSquares(
        family=seeds * (rows**2).sum(axis=(-2, -1)) / (families - 1),
        seed=families * (columns**2).sum(axis=(-2, -1)) / (seeds - 1),
        residual=(rest**2).sum(axis=(-2, -1)) / ((families - 1) * (seeds - 1)),
    )


def components(cells: Numbers) -> VarianceComponents | None:
    """Variance components of one table of shape (families, seeds), negative ones set to zero.

    None below two families or two seeds, where they cannot be told apart.
    """
    families, seeds = cells.shape
    if min(families, seeds) < 2:
        return None
    squares = mean_squares(cells)
    return VarianceComponents(
        family=max(float(squares.family - squares.residual), 0.0) / seeds,
        seed=max(float(squares.seed - squares.residual), 0.0) / families,
        residual=float(squares.residual),
    )


def fit(cells: Numbers, least: Numbers | float = 0.0) -> Fit:
    """The fit a contrast of this shape may claim: over families and seeds, or over families when seeds are too few.

    least: the variance that items alone leave in the mean, by `from_items`; asked for only with few seeds.
    """
    return fit_families_and_seeds(cells) if cells.shape[-1] >= MINIMUM_SEEDS else fit_families(cells, least)


def fit_families(cells: Numbers, least: Numbers | float = 0.0) -> Fit:
    """The mean over families at these very seeds: Student's t on the family means, with a variance of `least` or more.

    Where right and wrong are rare, families can agree by luck, above all families of two items: docs/statistics.md.
    """
    means = cells.mean(axis=-1)
    families = means.shape[-1]
    return Fit(
        mean=means.mean(axis=-1),
        standard_error=np.sqrt(np.maximum(means.var(axis=-1, ddof=1) / families, least)),
        degrees_of_freedom=np.full(means.shape[:-1], families - 1.0),
    )


def fit_families_and_seeds(cells: Numbers) -> Fit:
    """The mean over families and seeds, both taken as drawn from many.

    Its variance is family/F + seed/S + residual/(F·S) with components below zero set to zero. The degrees of freedom
    are the mean of F-1 and S-1, weighted harmonically by the mean squares. Satterthwaite's formula has the same form
    with squared weights, and trusts a seed mean square that is small by luck too much: see docs/statistics.md.
    """
    families, seeds = cells.shape[-2:]
    squares = mean_squares(cells)
    scaled = (
        np.maximum(squares.family, squares.residual) + np.maximum(squares.seed, squares.residual) - squares.residual
    )
    spent = squares.family / (families - 1) + squares.seed / (seeds - 1)
    freedom = np.divide(scaled, spent, out=np.full_like(scaled, np.inf), where=spent > 0)
    fewest, most = min(families, seeds) - 1, (families - 1) * (seeds - 1)
    return Fit(
        mean=cells.mean(axis=(-2, -1)),
        standard_error=np.sqrt(scaled / (families * seeds)),
        degrees_of_freedom=np.clip(freedom, fewest, most),
    )


def item_variance(values: Numbers, counts: Any) -> Numbers:
    """The variance of one item's value, families and seeds together, shape (...).

    values: shape (..., n). counts: how often each counts, shape (..., n). One more item is counted as far from the mean
    as the farthest: the few items that differ in a small sample are as a rule too few. Zero where all are alike.
    """
    total = counts.sum(axis=-1)
    squares = (values - ((counts * values).sum(axis=-1) / total)[..., None]) ** 2
    spread = (counts * squares).sum(axis=-1)
    farthest = np.where(counts > 0, squares, 0.0).max(axis=-1)
    return np.where(spread > ROUNDING, (spread + farthest) / total, 0.0)


def from_items(variance: Numbers | float, counts: Numbers) -> Numbers:
    """The variance that items of a `variance` leave in the mean, with `counts` a cell, shape (..., families, seeds)."""
    families, seeds = counts.shape[-2:]
    return variance * (1 / counts).mean(axis=(-2, -1)) / (families * seeds)


def p_values(fitted: Fit) -> Numbers:
    """Two-sided p that the mean is zero, shape (...); 1 where the standard error is zero and nothing can be said."""
    from scipy.special import stdtr

    spread = ~degenerate(fitted)
    t = np.divide(np.abs(fitted.mean), fitted.standard_error, out=np.zeros_like(fitted.mean), where=spread)
    return 2 * stdtr(fitted.degrees_of_freedom, -t)


def p_equivalence(fitted: Fit, margin: float) -> Numbers:
    """Twice the larger p of two one-sided tests that the mean lies beyond -margin and margin, shape (...).

    The tests are Schuirmann's (1987). Doubled, p is below 1 - level just when the interval at `level` lies inside the
    margin; undoubled it does not hold its level near rates of 0 and 1 (docs/statistics.md). 1 where the standard error
    is zero and nothing can be said.
    """
    from scipy.special import stdtr

    inside = margin - np.abs(fitted.mean)
    t = np.divide(inside, fitted.standard_error, out=np.full_like(inside, -np.inf), where=~degenerate(fitted))
    return np.minimum(2 * stdtr(fitted.degrees_of_freedom, -t), 1.0)


def half_width(fitted: Fit, level: float) -> Numbers:
    """Half the width of the two-sided interval at `level` (0.95 for 95%), shape (...)."""
    from scipy.special import stdtrit

    return stdtrit(fitted.degrees_of_freedom, (1 + level) / 2) * fitted.standard_error


def degenerate(fitted: Fit) -> Any:
    """Where the spread is zero, so that an interval would have no width: a false certainty."""
    return fitted.standard_error <= ROUNDING
