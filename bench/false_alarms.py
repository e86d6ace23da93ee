"""How often the declared test cries wolf, by simulation.

Run: python bench/false_alarms.py [--draws 20000]     the table in docs/statistics.md: planted worlds without a
                                                      difference, four ways to test (two minutes on one core)
     python bench/false_alarms.py --run results.json  the same for the noise that a finished run found in its own
                                                      declared contrasts, and whether a planted effect is found
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import numpy as np
from scipy.special import stdtr

from teachwhy.stats import VarianceComponents, two_way
from teachwhy.stats.power import power, simulate, simulate_false_alarms, smallest_detectable

ITEMS = 6
RATES = (0.5, 0.9)
FAMILY_NOISE, SEED_NOISE, CELL_NOISE = (0.05, 0.30), (0.0, 0.08, 0.20), 0.05  # standard deviations of the difference
RESAMPLES = 1000


def ours(cells: two_way.Numbers) -> float:
    """The test that teachwhy reports."""
    return called(two_way.p_values(two_way.fit(cells)))


def satterthwaite(cells: two_way.Numbers) -> float:
    """The textbook variant: the same variance, components at zero pooled away, squared weights."""
    families, seeds = cells.shape[-2:]
    squares = two_way.mean_squares(cells)
    family, seed, residual = squares.family, squares.seed, squares.residual
    scaled = np.maximum(family, residual) + np.maximum(seed, residual) - residual
    kept_family, kept_seed = family > residual, seed > residual
    spent = np.where(kept_family, family**2 / (families - 1), 0) + np.where(kept_seed, seed**2 / (seeds - 1), 0)
    spent += np.where(kept_family == kept_seed, residual**2 / ((families - 1) * (seeds - 1)), 0)
    t = np.abs(cells.mean(axis=(-2, -1))) / np.sqrt(scaled / (families * seeds))
    return called(2 * stdtr(scaled**2 / spent, -t))


def families_only(cells: two_way.Numbers) -> float:
    """Student's t over family means, as if there were no training noise."""
    return called(two_way.p_values(two_way.fit_families(cells)))


def bootstrap(cells: two_way.Numbers) -> float:
    """Families and seeds drawn again with replacement; a false alarm is a 95% percentile interval without zero."""
    draws, families, seeds = cells.shape
    rng = np.random.default_rng(1)
    family_weights = rng.multinomial(families, np.full(families, 1 / families), RESAMPLES) / families
    seed_weights = rng.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES) / seeds
    weights = (family_weights[:, :, None] * seed_weights[:, None, :]).reshape(RESAMPLES, -1)
    low, high = np.quantile(cells.reshape(draws, -1) @ weights.T, (0.025, 0.975), axis=1)
    return float(((low > 0) | (high < 0)).mean())


def called(p: two_way.Numbers) -> float:
    """The share of draws in which a difference is called at 5%."""
    return float((p < 0.05).mean())


METHODS = (ours, satterthwaite, families_only, bootstrap)


def worlds(draws: int) -> None:
    """One row a world, one column a method and rate, in percent; then the worst of each column."""
    names = [f"{method.__name__} {rate}" for method in METHODS for rate in RATES]
    print("| families | seeds | family noise | seed noise | " + " | ".join(names) + " |")
    print("|" + "---:|" * (4 + len(names)))
    rng = np.random.default_rng(0)
    rows = []
    for families, seeds, family, seed in itertools.product((10, 20, 40), (3, 5), FAMILY_NOISE, SEED_NOISE):
        noise = VarianceComponents(family**2, seed**2, CELL_NOISE**2)
        drawn = [simulate(0.0, noise, families, seeds, ITEMS, draws, rng, rate) for rate in RATES]
        rows.append([100 * method(world) for method in METHODS for world in drawn])
        shown = " | ".join(f"{share:.1f}" for share in rows[-1])
        print(f"| {families} | {seeds} | {family:.2f} | {seed:.2f} | {shown} |", flush=True)
    print("| worst | | | | " + " | ".join(f"**{share:.1f}**" for share in np.max(rows, axis=0)) + " |")


def own_noise(results: Path, draws: int) -> None:
    """False alarms, the smallest difference found four times in five, and how often it is found in other draws."""
    print("| contrast | families | seeds | false alarms | smallest difference at power .8 | found in fresh draws |")
    print("|---|---:|---:|---:|---:|---:|")
    for contrast in json.loads(results.read_text())["contrasts"]:
        if not (contrast["declared"] and contrast["components"]):
            continue
        noise = VarianceComponents(**contrast["components"])
        size = contrast["families"], contrast["seeds"]
        alarms = simulate_false_alarms(noise, *size, ITEMS, draws, np.random.default_rng(0), rate=None)
        effect = smallest_detectable(noise, *size, ITEMS, rate=None, draws=draws)
        shown, found = "none", ""
        if effect is not None:
            fresh = power(effect, noise, *size, ITEMS, rate=None, draws=draws, draw_seed=1)
            shown, found = f"{effect:.3f}", f"{fresh:.3f}"
        name = f"{contrast['arm']} - {contrast['versus']}"
        print(f"| {name} | {size[0]} | {size[1]} | {alarms.claimed:.4f} | {shown} | {found} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=20_000)
    parser.add_argument("--run", type=Path, help="the results.json of a finished run")
    chosen = parser.parse_args()
    if chosen.run:
        own_noise(chosen.run, chosen.draws)
    else:
        worlds(chosen.draws)


if __name__ == "__main__":
    main()
