"""Where the noise of an arm's score comes from: judging, sampling, training seeds, and the families asked about."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from teachwhy.errors import InputError
from teachwhy.stats import two_way
from teachwhy.stats.claims import joined, trained
from teachwhy.stats.observations import Observation, Table, tabulate
from teachwhy.stats.two_way import Numbers

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class RepeatedObservation:
    """One score of one arm on one item: which sample of the model's answer it reads, and which judging of that sample.

    value, seed: as in Observation. sample, judging: any numbers that tell repetitions of one item and seed apart.
    """

    item: str
    family: str
    seed: int | None
    sample: int
    judging: int
    value: float | None


@dataclass(frozen=True)
class Noise:
    """Standard deviations, in the unit of the scores; each None where the data hold only one repetition of it.

    judging: the same answers judged again. sampling: the same model asked the same items again. seed: trained again
    with another seed. family: asked about other families.
    """

    judging: float | None
    sampling: float | None
    seed: float | None
    family: float | None


@dataclass(frozen=True)
class NoiseSplit:
    """How far a score moves when one thing alone is done again.

    score: one item's score at one seed, sampled once and judged once. rate: the arm's mean over its families and seeds,
    every item sampled once and judged once. samples, judgings: the most repetitions of one item and seed, and of one
    answer. unscored: observations without a value. note: what was left out and what could not be told apart.
    """

    score: Noise
    rate: Noise
    items: int
    families: int
    seeds: int
    samples: int
    judgings: int
    unscored: int
    note: str = ""


@dataclass(frozen=True)
class _Mean:
    """A mean over repetitions, and the variance that the repetitions below it leave in it."""

    value: float
    variance: float


def split_noise(observations: Sequence[RepeatedObservation]) -> NoiseSplit:
    """Split the noise of one arm's scores by nested analysis of variance on means: docs/statistics.md has the formulas.

    What is never repeated cannot be told from what stands above it and is part of that; the note says so. Families and
    seeds are left out as in a contrast. Raises InputError for a repetition given twice, a value that is not finite, an
    item in two families, and seeds mixed with None.
    """
    scored = _checked(observations)
    judged: dict[tuple[str, int | None, int], list[_Mean]] = {}
    for one in scored:
        judged.setdefault((one.item, one.seed, one.sample), []).append(_Mean(one.value or 0.0, 0.0))
    answers, judging = _averaged(judged)
    sampled: dict[tuple[str, int | None], list[_Mean]] = {}
    for (item, seed, _), mean in answers.items():
        sampled.setdefault((item, seed), []).append(mean)
    asked, sampling = _averaged(sampled)
    repeated: dict[str, list[_Mean]] = {}
    for (item, _), mean in asked.items():
        repeated.setdefault(item, []).append(mean)
    seeds = _averaged(repeated)[1]

    family_of = {one.item: one.family for one in scored}
    table = tabulate([Observation(item, family_of[item], seed, mean.value) for (item, seed), mean in asked.items()])
    counts, noise = _in_cells(table, asked, family_of)
    families = _family_variance(table, noise)
    size = table.cells.size
    an_answer = float((1 / counts).sum()) / size**2 if size else None  # of the rate's variance, for 1 in every answer
    return NoiseSplit(
        score=Noise(_root(judging), _root(sampling), _root(seeds), _root(families)),
        rate=Noise(
            judging=_root(judging, an_answer),
            sampling=_root(sampling, an_answer),
            seed=_root(_seed_variance(table, noise), 1 / max(len(table.seeds), 1)),
            family=_root(families, 1 / max(len(table.families), 1)),
        ),
        items=table.items,
        families=len(table.families),
        seeds=trained(table),
        samples=max(map(len, sampled.values()), default=0),
        judgings=max(map(len, judged.values()), default=0),
        unscored=len(observations) - len(scored),
        note=joined(table.note, _confounded(judging, sampling, seeds, families, trained(table))),
    )


def _averaged(groups: Mapping[Key, Sequence[_Mean]]) -> tuple[dict[Key, _Mean], float | None]:
    """Each group's mean, and the variance between repetitions beyond what is left in them from below.

    The variance is pooled over the groups by degrees of freedom, zero where it comes out negative, and None where no
    group holds two repetitions. Unequal groups leave it unbiased: the expected variance of a few independent numbers is
    what they share plus the mean of what is their own.
    """
    spare = sum(len(group) - 1 for group in groups.values())
    beyond = math.fsum((len(group) - 1) * _beyond(group) for group in groups.values() if len(group) > 1)
    component = max(beyond / spare, 0.0) if spare else None
    means = {
        key: _Mean(
            _average(one.value for one in group),
            (_average(one.variance for one in group) + (component or 0.0)) / len(group),
        )
        for key, group in groups.items()
    }
    return means, component


def _beyond(group: Sequence[_Mean]) -> float:
    center = _average(one.value for one in group)
    spread = math.fsum((one.value - center) ** 2 for one in group) / (len(group) - 1)
    return spread - _average(one.variance for one in group)


def _in_cells(
    table: Table, asked: Mapping[tuple[str, int | None], _Mean], family_of: Mapping[str, str]
) -> tuple[Numbers, Numbers]:
    """How many items each cell of the table averages, and the variance that sampling and judging leave in it."""
    row = {family: place for place, family in enumerate(table.families)}
    column = {seed: place for place, seed in enumerate(table.seeds)}
    counts, noise = np.zeros(table.cells.shape), np.zeros(table.cells.shape)
    for (item, seed), mean in asked.items():
        if family_of[item] in row and seed in column:
            cell = row[family_of[item]], column[seed]
            counts[cell] += 1
            noise[cell] += mean.variance
    return counts, noise / counts**2


def _seed_variance(table: Table, noise: Numbers) -> float | None:
    """Between seeds, of the rate of one training, beyond what sampling and judging leave in it."""
    families, seeds = table.cells.shape
    if seeds < 2 or not families:
        return None
    left = noise.sum(axis=0).mean() / families**2
    return max(float(table.cells.mean(axis=0).var(ddof=1) - left), 0.0)


def _family_variance(table: Table, noise: Numbers) -> float | None:
    """Between families, with several seeds beyond all that differs from seed to seed, else beyond asking again."""
    if len(table.families) < 2:
        return None
    components = two_way.components(table.cells)
    if components:
        return components.family
    return max(float(table.cells[:, 0].var(ddof=1) - noise.mean()), 0.0)


def _confounded(
    judging: float | None, sampling: float | None, seeds: float | None, families: float | None, trained_seeds: int
) -> str:
    found = {"judging": judging, "sampling": sampling, "seed": seeds, "family": families}
    names = list(found)
    parts = []
    for place, name in enumerate(names[:2]):
        above = next((other for other in names[place + 1 :] if found[other] is not None), None)
        if found[name] is None and above:
            parts.append(f"{name} was not repeated and is part of {above}")
    if trained_seeds == 1:
        parts.append("one seed shows no training noise")
    return joined(*parts)


def _checked(observations: Sequence[RepeatedObservation]) -> list[RepeatedObservation]:
    """The scored observations, after every check."""
    seen: set[tuple[str, int | None, int, int]] = set()
    family_of: dict[str, str] = {}
    for one in observations:
        where = f"item {one.item!r}, seed {one.seed}, sample {one.sample}, judging {one.judging}"
        key = (one.item, one.seed, one.sample, one.judging)
        if key in seen:
            raise InputError(
                "One judging of one sample is given twice.", where=where, remedy="Number every repetition on its own."
            )
        if one.value is not None and not math.isfinite(one.value):
            raise InputError(
                f"A score is {one.value}.",
                where=where,
                remedy="Give an answer that could not be scored the value None, so that it is counted as unscored.",
            )
        if family_of.setdefault(one.item, one.family) != one.family:
            raise InputError(
                f"One item is in two families: {family_of[one.item]!r} and {one.family!r}.",
                where=where,
                remedy="Give every repetition of an item the family of the items file.",
            )
        seen.add(key)
    if len({one.seed is None for one in observations}) > 1:
        raise InputError(
            "An arm mixes trained and untrained observations.",
            remedy="Split the noise of one arm at a time: every seed a number, or every seed None.",
        )
    return [one for one in observations if one.value is not None]


def _average(numbers: Iterable[float]) -> float:
    listed = list(numbers)
    return math.fsum(listed) / len(listed)


def _root(variance: float | None, share: float | None = 1.0) -> float | None:
    return None if variance is None or share is None else math.sqrt(variance * share)
