"""Whether intervals, tests, equivalence and shares hold their level, by simulation over planted worlds.

Run: python bench/coverage.py [--draws 10000]     the second table in docs/statistics.md (some minutes on one core)

Every item is right or wrong. Each arm's log-odds move by its own noise between families and seeds, so that rates near 0
and 1 stay there; the true differences follow by integration. A number is the worst of the worlds of its row.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from teachwhy.stats import MINIMUM_SEEDS, two_way
from teachwhy.stats.two_way import Numbers

FAMILIES, SEEDS = (6, 10, 20, 40), (1, 2, 3, 5)
ITEMS = {"6 each": (6,), "2 or 12": (2, 12)}  # families take them in turn
GAINS = ((0.05, 0.25), (0.50, 0.75), (0.95, 0.99))  # rate of the foot and of the treated arm
FAMILY_NOISE, SEED_NOISE, CELL_NOISE = (0.2, 1.0), (0.0, 0.25, 0.6), 0.2  # standard deviations of an arm's log-odds
ALPHA = 0.05
FEWEST = 500  # claimed shares below which their coverage is not given


@dataclass(frozen=True)
class World:
    families: int
    seeds: int
    items: tuple[int, ...]
    family_noise: float
    seed_noise: float

    def cells(self, rate: float, draws: int, rng: np.random.Generator) -> Numbers:
        """One arm's cell means, shape (draws, families, seeds)."""
        odds = (
            logit(rate)
            + rng.normal(0, self.family_noise, (draws, self.families, 1))
            + rng.normal(0, self.seed_noise, (draws, 1, self.seeds))
            + rng.normal(0, CELL_NOISE, (draws, self.families, self.seeds))
        )
        items = np.resize(self.items, self.families)[:, None]
        return rng.binomial(items, expit(odds)) / items

    def truth(self, rate: float) -> float:
        """The arm's true rate: the mean of its log-odds' inverse over all noise, by Gauss and Hermite."""
        spread = (self.family_noise**2 + self.seed_noise**2 + CELL_NOISE**2) ** 0.5
        nodes, weights = np.polynomial.hermite_e.hermegauss(60)
        return float(expit(logit(rate) + spread * nodes) @ weights / weights.sum())


def measured(world: World, low: float, high: float, draws: int, rng: np.random.Generator) -> tuple[float, ...]:
    """False alarms, misses of the interval, false equivalence and misses of the share, in percent."""
    between = (low + high) / 2
    foot, again, control, why = (world.cells(rate, draws, rng) for rate in (low, low, between, high))
    gain, part = (world.truth(high) - world.truth(rate) for rate in (low, between))

    alarms = two_way.p_values(two_way.fit(again - foot)) < ALPHA
    fitted = two_way.fit(why - foot)
    claimed = ~two_way.degenerate(fitted)
    half = two_way.half_width(fitted, 1 - ALPHA)
    missed = np.abs(fitted.mean - gain) > half
    alike = two_way.p_equivalence(fitted, gain) < ALPHA

    ratio = two_way.fit(why - control - part / gain * (why - foot))
    shown = claimed & (fitted.mean - half > 0)
    strayed = np.abs(ratio.mean) > two_way.half_width(ratio, 1 - ALPHA)
    return (
        100 * float(alarms.mean()),
        100 * float(missed[claimed].mean()),
        100 * float(alike.mean()),
        100 * float(strayed[shown].mean()) if shown.sum() >= FEWEST else np.nan,
    )


def worlds(families: int, seeds: int, items: tuple[int, ...]) -> list[World]:
    """Fewer than three seeds claim nothing about other seeds, so none of their noise is planted there."""
    seed_noise = SEED_NOISE if seeds >= MINIMUM_SEEDS else (0.0,)
    return [World(families, seeds, items, *noise) for noise in itertools.product(FAMILY_NOISE, seed_noise)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=10_000)
    draws = parser.parse_args().draws
    rng = np.random.default_rng(0)
    names = ("false alarms", "interval misses", "false equivalence", "share misses")
    columns = [f"{name} {low:.2f}" for name in names for low, _ in GAINS]
    print("| families | seeds | items | " + " | ".join(columns) + " |")
    print("|" + "---:|" * (3 + len(columns)))
    for families, seeds, (label, items) in itertools.product(FAMILIES, SEEDS, ITEMS.items()):
        planted = worlds(families, seeds, items)
        found = np.array([[measured(world, *gain, draws, rng) for gain in GAINS] for world in planted])
        worst = np.fmax.reduce(found).T.ravel()  # fmax passes over a share too seldom claimed
        shown = " | ".join("" if np.isnan(share) else f"{share:.1f}" for share in worst)
        print(f"| {families} | {seeds} | {label} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
