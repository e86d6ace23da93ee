"""The smallest difference that each declared contrast of a study can be expected to find, by simulation."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from ..data import find_arm
from ..errors import InputError
from ..evals import Answer, Item, find_exam
from ..stats import MINIMUM_FAMILIES, MINIMUM_SEEDS, VarianceComponents, smallest_detectable
from ..text import read_text
from .plan import Unit
from .study_checks import in_subset
from .study_file import Study
from .study_settings import ContrastSetting

TARGET = 0.8
DRAWS = 1000
MORE_SEEDS = 2
USUAL = ".20,.04,.05"  # as in docs/statistics.md
COMPARED = ("arm", "versus", "exam", "metric", "format", "subset")  # what makes two contrasts the same


@dataclass(frozen=True)
class Noise:
    """What differences vary by besides the planted one. rate: of the control arm, whose items are right or wrong; None
    where the components hold the noise of items already. source: where it is from, in words.
    """

    components: VarianceComponents
    rate: float | None
    source: str


@dataclass(frozen=True)
class Size:
    """What a contrast compares. items: units that are scored, in all families. seeds: 0 where no arm is trained."""

    families: int
    items: int
    seeds: int

    @property
    def items_a_family(self) -> int:
        return max(1, self.items // max(1, self.families))


def size_of(study: Study, contrast: ContrastSetting, seeds: int) -> Size:
    """How much a contrast compares, counted on its subset of the exam's cases. seeds: of the trained arms."""
    first, second = (scored_cases(study, contrast, arm) for arm in (contrast.arm, contrast.versus))
    both = [case for case in first.values() if case.id in second]
    metric = find_exam(contrast.exam).metric(contrast.metric)
    items = {case.pair for case in both} if metric.of_pairs else both
    trained = any(find_arm(study.arm(arm).arm).trained for arm in (contrast.arm, contrast.versus))
    return Size(len({case.family for case in both}), len(items), seeds if trained else 0)


def scored_cases(study: Study, contrast: ContrastSetting, arm: str) -> dict[str, Item]:
    """The cases of which a contrast gets a score from an arm: those that blank answers to the whole exam give one."""
    exam, format = find_exam(contrast.exam), study.exam_format(study.arm(arm))

    def blank(cases: Sequence[Item]) -> list[Answer]:
        requests = exam.requests(cases, format)
        return [Answer(one.item, one.format, one.opening, dict.fromkeys(one.options, 0.0)) for one in requests]

    given = {case.id: case for case in exam.cases(study.material)}
    answers = exam.sit(list(given.values()), format, blank)
    cases = exam.asked(given, answers, format)
    scores = exam.score_all(cases, answers, format)
    wanted = [score.item for score in scores if (score.metric, score.format) == (contrast.metric, contrast.format)]
    return {item: cases[item] for item in wanted if in_subset(cases[item], contrast.subset)}


def detectable(size: Size, noise: Noise, level: float) -> float | None:
    """The smallest difference found with power .8; None where even the largest on the scale is not.

    Errors (InputError): fewer families than an interval needs.
    """
    components = noise.components if size.seeds else replace(noise.components, seed=0.0)
    return simulated(components, size.families, max(1, size.seeds), size.items_a_family, noise.rate, level)


@cache
def simulated(
    components: VarianceComponents, families: int, seeds: int, items: int, rate: float | None, level: float
) -> float | None:
    """Contrasts of one size share one simulation."""
    return smallest_detectable(components, families, seeds, items, target=TARGET, rate=rate, level=level, draws=DRAWS)


def read_noise(text: str) -> Noise:
    """FAMILY,SEED,REST: standard deviations of the difference between families, between seeds, and of the rest."""
    try:
        family, seed, rest = (float(part) for part in text.split(","))
    except ValueError:
        family = seed = rest = -1.0
    if not all(0 <= deviation <= 1 for deviation in (family, seed, rest)):
        raise InputError(
            "Noise is three standard deviations of a difference between scores, each between 0 and 1.",
            where=f"--noise {text}",
            remedy="Write them as --noise FAMILY,SEED,REST, such as .20,.04,.05.",
        )
    components = VarianceComponents(family**2, seed**2, rest**2)
    source = "assumed; see --noise and --like" if text == USUAL else "as given"
    return Noise(components, 0.5, f"{spread(components)}; items right or wrong around a rate of .50; {source}")


def noise_of_run(path: Path, contrasts: Sequence[ContrastSetting]) -> list[Noise]:
    """For each contrast the components that a finished run found. path: a run folder, or its results.json.

    Errors (InputError): no such file, not a results.json, no such contrast in it, or one without components.
    """
    file = path / "results.json" if path.is_dir() else path
    records = contrasts_in(file)
    return [found_noise(contrast, records, file) for contrast in contrasts]


def contrasts_in(file: Path) -> list[dict[str, Any]]:
    try:
        results = json.loads(read_text(file))
        return [record for record in results["contrasts"] if set(COMPARED) <= set(record)]
    except (ValueError, TypeError, KeyError):
        raise InputError(
            "This is not a results.json.", where=str(file), remedy="Name a run folder, or the results.json in it."
        ) from None


def found_noise(contrast: ContrastSetting, records: Sequence[Mapping[str, Any]], file: Path) -> Noise:
    wanted = {field: getattr(contrast, field) for field in COMPARED}
    record = next((one for one in records if {field: one[field] for field in COMPARED} == wanted), None)
    if record is None:
        raise InputError(
            f"That run does not have the contrast {named(contrast)}.",
            where=str(file),
            remedy="Name a run with the same arms, exam, metric, format and subset, or give --noise.",
        )
    try:
        components = VarianceComponents(**{name: float(value) for name, value in record["components"].items()})
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InputError(
            f"That run found no variance components for {named(contrast)}: they need two families and two seeds.",
            where=str(file),
            remedy="Name a run with more of them, or give --noise.",
        ) from None
    return Noise(components, None, f"{spread(components)}; found in {file}, with the items that it asked")


def spread(components: VarianceComponents) -> str:
    family, seed, rest = (
        short(variance**0.5) for variance in (components.family, components.seed, components.residual)
    )
    return f"standard deviation of the difference {family} between families, {seed} between seeds, {rest} left"


def short(value: float) -> str:
    """Two digits without the leading zero: .25."""
    return f"{value:.2f}".removeprefix("0")


def named(contrast: ContrastSetting) -> str:
    subset = "".join(f", {field}: {value}" for field, value in contrast.subset.items())
    off = ", other format" if contrast.format == "off" else ""
    return f"{contrast.arm} - {contrast.versus} ({contrast.exam}, {contrast.metric}{subset}{off})"


def power_lines(
    study: Study, units: Sequence[Unit], *, noise: str | None = None, like: Path | None = None
) -> list[str]:
    """The table of `teachwhy plan`: each declared contrast of the planned units, with what it can find.

    noise: as `read_noise` takes it. like: as `noise_of_run` takes it. Errors (InputError): both are given, or bad.
    """
    if noise and like:
        raise InputError("--noise and --like both say what the noise is.", remedy="Give one of them.")
    arms = {unit.arm.name for unit in units}
    seeds = len({unit.seed for unit in units if unit.trained})
    contrasts = [one for one in study.settings.contrasts if {one.arm, one.versus} <= arms]
    noises = noise_of_run(like, contrasts) if like else [read_noise(noise or USUAL)] * len(contrasts)
    if not contrasts:
        return ["no declared contrast is among these units"]
    sizes = [size_of(study, contrast, seeds) for contrast in contrasts]
    level = study.settings.level
    lines = [
        f"smallest difference found four times in five (power .8, level {level:g}, {DRAWS:,} simulated studies)",
        f"{'families':>8} {'items':>6} {'seeds':>5} {'planned':>11} {'2 more seeds':>12} {'families x 2':>12}  of",
    ]
    for contrast, size, of in zip(contrasts, sizes, noises, strict=True):
        more_seeds = replace(size, seeds=size.seeds + MORE_SEEDS)
        twice = replace(size, families=2 * size.families, items=2 * size.items)
        lines.append(
            f"{size.families:8} {size.items:6} {size.seeds:5} {found(size, of, level):>11} "
            f"{found(more_seeds, of, level) if size.seeds else 'untrained':>12} {found(twice, of, level):>12}  "
            f"{named(contrast)}"
        )
    sources = dict.fromkeys(f"noise: {one.source}" for one in noises)
    return [*lines, *limits(contrasts, sizes), *sources]


def found(size: Size, noise: Noise, level: float) -> str:
    """The smallest difference as the table shows it."""
    if size.families < MINIMUM_FAMILIES:
        return "no interval"
    smallest = detectable(size, noise, level)
    return f"over {short(1 - (noise.rate or 0))}" if smallest is None else short(smallest)


def limits(contrasts: Sequence[ContrastSetting], sizes: Sequence[Size]) -> Iterator[str]:
    for contrast, size in zip(contrasts, sizes, strict=True):
        if size.families < MINIMUM_FAMILIES:
            yield (
                f"! {named(contrast)}: {size.families} families; below {MINIMUM_FAMILIES} no interval will be claimed, "
                "and no difference counts as shown"
            )
        elif 0 < size.seeds < MINIMUM_SEEDS:
            yield (
                f"! {named(contrast)}: {size.seeds} seeds; below {MINIMUM_SEEDS} the interval does not cover training "
                "noise, so the figure is for these seeds alone"
            )
