"""What an arm scored on each item, paired with another arm and averaged into family x seed cells."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from teachwhy.errors import InputError


@dataclass(frozen=True)
class Observation:
    """The score of one arm on one item at one seed.

    value: as a rule in [0, 1]; None when the answer could not be scored. seed: None for an untrained arm, which is
    the same beside every seed of the other arm.
    """

    item: str
    family: str
    seed: int | None
    value: float | None


@dataclass(frozen=True)
class Table:
    """Cell means, one row a family and one column a seed (a single column for seed None when nothing was trained).

    cells: float64 of shape (families, seeds), no gaps. counts: the items behind each cell, same shape. values: all of
    their n values, shape (n,), family by family and ascending; owners: the row of each, same shape. items: distinct
    items in all. note: what was left out.
    """

    cells: NDArray[np.float64]
    counts: NDArray[np.float64]
    values: NDArray[np.float64]
    owners: NDArray[np.int64]
    families: tuple[str, ...]
    seeds: tuple[int | None, ...]
    items: int
    note: str

    @property
    def estimate(self) -> float | None:
        """The mean over cells, every family weighing the same; None for an empty table."""
        return float(self.cells.mean()) if self.cells.size else None


def tabulate(observations: Sequence[Observation]) -> Table:
    """Average the scored observations of each family x seed cell over its items.

    A seed at which nothing was scored is left out first, then every family that still has an empty cell: an average
    over fewer seeds would mix the noise of seeds into the difference between families. The note names both.
    """
    all_families = sorted({observation.family for observation in observations})
    all_seeds = in_order({observation.seed for observation in observations})
    values: dict[tuple[str, int | None], list[float]] = {}
    items: dict[str, set[str]] = {family: set() for family in all_families}
    for observation in observations:
        if observation.value is not None:
            values.setdefault((observation.family, observation.seed), []).append(observation.value)
            items[observation.family].add(observation.item)

    seeds = [seed for seed in all_seeds if any((family, seed) in values for family in all_families)]
    families = [family for family in all_families if seeds and all((family, seed) in values for seed in seeds)]
    # fsum rounds once, so the order of the observations cannot change the last digit.
    cells = [[math.fsum(values[family, seed]) / len(values[family, seed]) for seed in seeds] for family in families]
    counts = [[len(values[family, seed]) for seed in seeds] for family in families]
    of_family = [sorted(one for seed in seeds for one in values[family, seed]) for family in families]
    shape = len(families), len(seeds)
    return Table(
        cells=np.array(cells, dtype=np.float64).reshape(shape),
        counts=np.array(counts, dtype=np.float64).reshape(shape),
        values=np.array([one for found in of_family for one in found], dtype=np.float64),
        owners=np.repeat(np.arange(len(families)), [len(found) for found in of_family]),
        families=tuple(families),
        seeds=tuple(seeds),
        items=sum(len(items[family]) for family in families),
        note=_left_out(sorted(set(all_families) - set(families)), in_order(set(all_seeds) - set(seeds))),
    )


def differences(treated: Sequence[Observation], control: Sequence[Observation]) -> tuple[list[Observation], int]:
    """Treated minus control for every (item, seed) both arms hold, and how many observations have no partner.

    A difference is None when either side is unscored. An untrained arm is paired with every seed of the other.
    Raises InputError when an arm holds an item twice at one seed, when it mixes seeds with None, when a value is not
    finite, or when the arms disagree about an item's family.
    """
    together, unpaired = matched({"treated": treated, "control": control})
    return [difference(ours, theirs, seed) for seed, (ours, theirs) in together], unpaired


def matched(
    arms: Mapping[str, Sequence[Observation]],
) -> tuple[list[tuple[int | None, tuple[Observation, ...]]], int]:
    """What every arm holds of one item at one seed, with the seed, and how many (item, seed) some arm lacks.

    An untrained arm is matched with every seed of the others. Raises InputError as `index` does.
    """
    indexed = [index(found, name) for name, found in arms.items()]
    items = sorted({item for arm in indexed for item, _ in arm})
    seeds = in_order({seed for arm in indexed for _, seed in arm} - {None}) or [None]
    together: list[tuple[int | None, tuple[Observation, ...]]] = []
    lacking = 0
    for seed in seeds:
        for item in items:
            found = [arm.get((item, seed)) or arm.get((item, None)) for arm in indexed]
            held = tuple(one for one in found if one)
            if len(held) == len(found):
                together.append((seed, held))
            elif held:
                lacking += 1
    return together, lacking


def index(observations: Sequence[Observation], arm: str) -> dict[tuple[str, int | None], Observation]:
    """The observations of one arm by (item, seed), checked. Raises InputError as `differences` does."""
    indexed: dict[tuple[str, int | None], Observation] = {}
    for observation in observations:
        key = (observation.item, observation.seed)
        where = f"{arm} arm, item {observation.item!r}, seed {observation.seed}"
        if key in indexed:
            raise InputError(
                "An arm holds two observations of the same item at the same seed.",
                where=where,
                remedy="Average repeated samples first: the statistics take one value an item and seed.",
            )
        if observation.value is not None and not math.isfinite(observation.value):
            raise InputError(
                f"A score is {observation.value}.",
                where=where,
                remedy="Give an answer that could not be scored the value None, so that it is counted as unscored.",
            )
        indexed[key] = observation
    if len({seed is None for _, seed in indexed}) > 1:
        raise InputError(
            "An arm mixes trained and untrained observations.",
            where=f"{arm} arm",
            remedy="Give every observation of a trained arm its seed, and every one of an untrained arm None.",
        )
    return indexed


def unscored(observations: Sequence[Observation]) -> int:
    """How many observations have no value."""
    return sum(observation.value is None for observation in observations)


def filled(observations: Sequence[Observation], value: float) -> list[Observation]:
    """The observations with `value` in place of every missing score."""
    return [replace(one, value=value) if one.value is None else one for one in observations]


def difference(treated: Observation, control: Observation, seed: int | None) -> Observation:
    """Treated minus control of one item, None when either is unscored. Raises InputError when the families disagree."""
    if treated.family != control.family:
        raise InputError(
            f"The arms put one item in two families: {treated.family!r} and {control.family!r}.",
            where=f"item {treated.item!r}",
            remedy="Score both arms on the same items file.",
        )
    value = None if treated.value is None or control.value is None else treated.value - control.value
    return Observation(treated.item, treated.family, seed, value)


def in_order(seeds: set[int | None]) -> list[int | None]:
    """Seeds by number, an untrained arm's None first."""
    return sorted(seeds, key=lambda seed: -1 if seed is None else seed)


def _left_out(families: Sequence[str], seeds: Sequence[int | None]) -> str:
    parts = []
    if seeds:
        parts.append(f"left out, nothing scored: seed {', '.join(map(str, seeds))}")
    if families:
        parts.append(f"left out, not scored at every seed: family {', '.join(families)}")
    return "; ".join(parts)
