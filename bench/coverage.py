"""Whether intervals, tests, equivalence and shares hold their level, by simulation over planted worlds.

Run: python bench/coverage.py [--draws 10000]     the last two tables in docs/statistics.md (minutes on one core)
     python bench/coverage.py --textbook          the same without a floor of items, equivalence by the 90% interval

Every item is right or wrong. Each arm's log-odds move by its own noise between families and seeds, so that rates near 0
and 1 stay there; the true differences follow by integration. A number is the worst of the worlds of its row. The second
table has lopsided families and no difference: a fifth of them move by +.4, the others by -.1.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from teachwhy.stats import MINIMUM_SEEDS, two_way

FAMILIES, SEEDS = (6, 10, 20, 40), (1, 2, 3, 5)
ITEMS = {"6 each": (6,), "2 or 12": (2, 12)}  # families take them in turn
GAINS = ((0.05, 0.25), (0.50, 0.75), (0.95, 0.99))  # rate of the foot and of the treated arm
FAMILY_NOISE, SEED_NOISE, CELL_NOISE = (0.2, 1.0), (0.0, 0.25, 0.6), 0.2  # standard deviations of an arm's log-odds
LEVEL = 0.95
FEWEST = 1000  # claimed shares below which their misses are not given

Right = NDArray[np.int64]


@dataclass(frozen=True)
class Simulation:
    draws: int
    textbook: bool
    rng: np.random.Generator


@dataclass(frozen=True)
class World:
    families: int
    seeds: int
    items: tuple[int, ...]
    family_noise: float
    seed_noise: float

    @property
    def sizes(self) -> NDArray[np.int64]:
        return np.resize(self.items, self.families)[:, None]

    def arm(self, rate: float, simulation: Simulation) -> Right:
        """One arm's right answers, shape (draws, families, seeds)."""
        draws, rng = simulation.draws, simulation.rng
        odds = (
            logit(rate)
            + rng.normal(0, self.family_noise, (draws, self.families, 1))
            + rng.normal(0, self.seed_noise, (draws, 1, self.seeds))
            + rng.normal(0, CELL_NOISE, (draws, self.families, self.seeds))
        )
        return rng.binomial(self.sizes, expit(odds))

    def truth(self, rate: float) -> float:
        """The arm's true rate: the mean over all noise of what its log-odds give, by Gauss and Hermite."""
        spread = (self.family_noise**2 + self.seed_noise**2 + CELL_NOISE**2) ** 0.5
        nodes, weights = np.polynomial.hermite_e.hermegauss(60)
        return float(expit(logit(rate) + spread * nodes) @ weights / weights.sum())


def fit(
    arms: Sequence[Right], weights: Sequence[float], sizes: NDArray[np.int64], simulation: Simulation
) -> two_way.Fit:
    """What a contrast fits to a weighted sum of arms, from their right answers; sizes: items, shape (families, 1)."""
    cells = sum(weight * arm for weight, arm in zip(weights, arms, strict=True)) / sizes
    seeds = cells.shape[-1]
    if seeds >= MINIMUM_SEEDS or simulation.textbook:
        return two_way.fit(cells)
    patterns = np.array(list(itertools.product((0, 1), repeat=len(arms))))
    variance = two_way.item_variance(patterns @ np.array(weights), tally(arms, sizes, simulation.rng))
    return two_way.fit(cells, two_way.from_items(variance, np.repeat(sizes, seeds, axis=1)))


def tally(arms: Sequence[Right], sizes: NDArray[np.int64], rng: np.random.Generator) -> Right:
    """How many items show each pattern of right and wrong over the arms, drawn by chance, shape (draws, patterns)."""
    groups = [np.broadcast_to(sizes, arms[0].shape)]
    for arm in arms:
        left, others, split = arm, np.broadcast_to(sizes, arm.shape), []
        for group in groups:
            others = others - group
            right = rng.hypergeometric(group, others, left)
            split += [group - right, right]
            left = left - right
        groups = split
    return np.stack([group.sum(axis=(1, 2)) for group in groups], axis=-1)


def measured(world: World, low: float, high: float, simulation: Simulation) -> tuple[float, ...]:
    """False alarms, misses of the interval, false equivalence and misses of the share, in percent."""
    between = (low + high) / 2
    foot, again, control, why = (world.arm(rate, simulation) for rate in (low, low, between, high))
    gain, part = (world.truth(high) - world.truth(rate) for rate in (low, between))

    alarms = called(fit((again, foot), (1, -1), world.sizes, simulation))
    fitted = fit((why, foot), (1, -1), world.sizes, simulation)
    half = two_way.half_width(fitted, LEVEL)
    claimed = ~two_way.degenerate(fitted)
    missed = np.abs(fitted.mean - gain) > half
    alike = two_way.p_equivalence(fitted, gain) < (1 - LEVEL) * (2 if simulation.textbook else 1)

    share = part / gain
    weights = 1 - share, -1, share  # (why - control) - share * (why - foot)
    ratio = fit((why, control, foot), weights, world.sizes, simulation)
    shown = claimed & (fitted.mean - half > 0)
    strayed = np.abs(ratio.mean) > two_way.half_width(ratio, LEVEL)
    return (
        alarms,
        100 * float(missed[claimed].mean()),
        100 * float(alike.mean()),
        100 * float(strayed[shown].mean()) if shown.sum() >= FEWEST else np.nan,
    )


def called(fitted: two_way.Fit) -> float:
    """Percent of draws in which a difference is called."""
    return 100 * float((two_way.p_values(fitted) < 1 - LEVEL).mean())


def lopsided(families: int, seeds: int, items: int, simulation: Simulation) -> float:
    """False alarms where a fifth of the families move by +.4 and the others by -.1, around a rate of .5."""
    draws, rng = simulation.draws, simulation.rng
    moved = np.where(rng.random((draws, families, 1)) < 0.2, 0.4, -0.1) / 2
    shape = draws, families, seeds
    treated, control = (rng.binomial(items, np.broadcast_to(0.5 + one, shape)) for one in (moved, -moved))
    return called(fit((treated, control), (1, -1), np.full((families, 1), items), simulation))


def worlds(families: int, seeds: int, items: tuple[int, ...]) -> list[World]:
    """Fewer than three seeds claim nothing about other seeds, so none of their noise is planted there."""
    seed_noise = SEED_NOISE if seeds >= MINIMUM_SEEDS else (0.0,)
    return [World(families, seeds, items, *noise) for noise in itertools.product(FAMILY_NOISE, seed_noise)]


def print_coverage(simulation: Simulation) -> None:
    names = ("false alarms", "interval misses", "false equivalence", "share misses")
    columns = [f"{name} {low:.2f}" for name in names for low, _ in GAINS]
    print("| families | seeds | items | " + " | ".join(columns) + " |")
    print("|" + "---:|" * (3 + len(columns)))
    for families, seeds, (label, items) in itertools.product(FAMILIES, SEEDS, ITEMS.items()):
        planted = worlds(families, seeds, items)
        found = np.array([[measured(world, *gain, simulation) for gain in GAINS] for world in planted])
        worst = np.fmax.reduce(found).T.ravel()  # fmax passes over a share too seldom claimed
        shown = " | ".join("" if np.isnan(share) else f"{share:.1f}" for share in worst)
        print(f"| {families} | {seeds} | {label} | {shown} |", flush=True)


def print_lopsided(simulation: Simulation) -> None:
    print("| families | items a family | " + " | ".join(f"seeds: {seeds}" for seeds in SEEDS) + " |")
    print("|" + "---:|" * (2 + len(SEEDS)))
    for families, items in itertools.product(FAMILIES[1:], (6, 24)):
        alarms = " | ".join(f"{lopsided(families, seeds, items, simulation):.1f}" for seeds in SEEDS)
        print(f"| {families} | {items} | {alarms} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=10_000)
    parser.add_argument("--textbook", action="store_true")
    chosen = parser.parse_args()
    simulation = Simulation(chosen.draws, chosen.textbook, np.random.default_rng(0))
    print_coverage(simulation)
    print()
    print_lopsided(simulation)


if __name__ == "__main__":
    main()
