"""What the tests of the statistics share: observations whose family x seed cells are known."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from teachwhy.stats import Observation


def arm(cells, items: int = 1, seeds=None, shift=0.0) -> list[Observation]:
    """Observations whose cell means are `cells` (families x seeds), the items of a cell spread evenly around it."""
    cells = np.asarray(cells, dtype=float)
    seeds = range(cells.shape[1]) if seeds is None else seeds
    spread = np.arange(items) - (items - 1) / 2
    return [
        Observation(f"f{row:02d}-{item}", f"f{row:02d}", seed, float(cells[row, column] + shift + spread[item] / 50))
        for row in range(cells.shape[0])
        for column, seed in enumerate(seeds)
        for item in range(items)
    ]


def against_zero(cells, **options) -> tuple[list[Observation], list[Observation]]:
    """A treated and a control arm whose cell differences are exactly `cells`."""
    return arm(cells, **options), arm(np.zeros_like(np.asarray(cells, dtype=float)), **options)


def noisy_cells(families: int, seeds: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows, columns = rng.normal(0, 0.1, (families, 1)), rng.normal(0, 0.05, (1, seeds))
    return 0.1 + rows + columns + rng.normal(0, 0.1, (families, seeds))


tables = st.integers(0, 10_000).map(lambda seed: noisy_cells(10 + seed % 4, 1 + seed % 5, seed).round(3))
