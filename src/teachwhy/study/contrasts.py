"""Which arms are set against each other: the study's own contrasts, and the comparisons that every page draws."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ..data import WITHOUT_WHY, find_arm
from ..evals import DISTANCES, Item, Metric, Score, find_exam
from ..models import is_api
from ..stats import Contrast, Observation, adjust, contrast, interval, share_of_gain
from .arm_setting import ArmSetting
from .study_checks import in_subset
from .study_file import Study
from .study_settings import ContrastSetting

Scores = Mapping[tuple[str, str], Sequence[tuple[int | None, Score]]]

# The ladder: each rung adds something to what stands on the one before, or takes its sense away.
RUNGS = (
    *("what", "paraphrase", "neutral", "deliberation", "mention", "circular", "shuffled", "unrelated"),
    *("masked_why", "why"),
)
FEET = ("base", "generic", "what")
# The same of a study in which nothing is trained: what stands in the place of the whys.
PROMPT_RUNGS = (
    *("rules_in_prompt", "whys_in_prompt", "rules_neutral_in_prompt", "more_rules_in_prompt"),
    *("rules_shuffled_in_prompt", "policy_in_prompt"),
)
PROMPT_FEET = ("base", "rules_in_prompt")


def observations(
    scores: Scores, arm: str, exam: str, metric: str, format: str, subset: Mapping[str, str], items: Mapping[str, Item]
) -> list[Observation]:
    """The scores of one arm on a subset of the items, as the statistics take them: one an item and seed.

    Where an item was asked several times it is their mean, of those that could be scored.
    """
    values: dict[tuple[str, int | None], list[float | None]] = {}
    for seed, score in scores.get((arm, exam), ()):
        if score.metric == metric and score.format == format and in_subset(items[score.item], subset):
            values.setdefault((score.item, seed), []).append(score.value)
    return [Observation(item, items[item].family, seed, mean_of(found)) for (item, seed), found in values.items()]


def mean_of(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def all_contrasts(study: Study, scores: Scores, items: Mapping[str, Item]) -> list[dict[str, Any]]:
    """Declared contrasts, Holm-corrected together, and exploratory ones as they are."""
    declared, exploratory = study.settings.contrasts, study.settings.exploratory
    corrected = adjust([compare(study, setting, scores, items) for setting in declared])
    found = [*corrected, *(compare(study, setting, scores, items) for setting in exploratory)]
    return [
        contrast_record(setting, one, sides(study, setting, scores, items), place < len(declared))
        for place, (setting, one) in enumerate(zip([*declared, *exploratory], found, strict=True))
    ]


def compare(study: Study, setting: ContrastSetting, scores: Scores, items: Mapping[str, Item]) -> Contrast:
    both = both_sides(setting, scores, items)
    return contrast(*both, level=study.settings.level, margin=study.margin(setting))


def both_sides(
    setting: ContrastSetting, scores: Scores, items: Mapping[str, Item]
) -> tuple[list[Observation], list[Observation]]:
    return observed(setting.arm, setting, scores, items), observed(setting.versus, setting, scores, items)


def observed(arm: str, setting: ContrastSetting, scores: Scores, items: Mapping[str, Item]) -> list[Observation]:
    """The scores of an arm on what a contrast measures."""
    return observations(scores, arm, setting.exam, setting.metric, setting.format, setting.subset, items)


def sides(
    study: Study, setting: ContrastSetting, scores: Scores, items: Mapping[str, Item]
) -> dict[str, dict[str, float | None]]:
    """Where the two arms of a contrast stand: a difference between two arms at chance says nothing."""
    found = dict(zip((setting.arm, setting.versus), both_sides(setting, scores, items), strict=True))
    intervals = {arm: interval(observed, study.settings.level) for arm, observed in found.items()}
    return {arm: {"estimate": one.estimate, "low": one.low, "high": one.high} for arm, one in intervals.items()}


def contrast_record(
    setting: ContrastSetting, found: Contrast, sides: Mapping[str, Mapping[str, float | None]], declared: bool
) -> dict[str, Any]:
    components = vars(found.components) if found.components else None
    return {
        "arm": setting.arm,
        "versus": setting.versus,
        "exam": setting.exam,
        "metric": setting.metric,
        "format": setting.format,
        "subset": dict(setting.subset),
        "higher_is_better": metric_of(setting).higher_is_better,
        "declared": declared,
        "sides": {arm: dict(side) for arm, side in sides.items()},
        **{name: value for name, value in vars(found).items() if name not in ("components", "per_seed")},
        "dropping": asdict(found.dropping) if found.dropping else None,
        "bounds": list(found.bounds) if found.bounds else None,
        "components": components,
        "per_seed": {str(seed): value for seed, value in found.per_seed.items()},
    }


def all_comparisons(study: Study, scores: Scores, items: Mapping[str, Item]) -> list[dict[str, Any]]:
    """What the page draws beside the study's own contrasts, on the measure of the first declared one; exploratory.

    role: `ladder` (a rung against a foot), `control` (the treated arm against every other), `distance` (the same two
    arms from near to far), `cost` (what the treated arm does worse elsewhere) or `left_out` (the whole policy in the
    prompt against itself without one why, on the items of that principle and on all, with what it costs).
    """
    if not study.settings.contrasts:
        return []
    return [
        contrast_record(setting, compare(study, setting, scores, items), sides(study, setting, scores, items), False)
        | {"role": role}
        for role, setting in chosen_comparisons(study, items)
    ]


def all_shares(study: Study, scores: Scores, items: Mapping[str, Item]) -> list[dict[str, Any]]:
    """For each foot of the ladder and each control: what share of the gain of `why` over the foot it does not reach.

    On the measure of the first declared contrast, where more of it is better; else there is no gain to share out.
    """
    why = arm_of_kind(study, "why")
    if not (study.settings.contrasts and why and metric_of(study.settings.contrasts[0]).higher_is_better):
        return []
    first, level = study.settings.contrasts[0], study.settings.level
    feet, rungs = arms_of_kinds(study, FEET), arms_of_kinds(study, RUNGS)
    found = {name: observed(name, first, scores, items) for name in (*feet, *rungs)}
    return [
        {"foot": foot, "control": rung, **vars(share_of_gain(found[why], found[rung], found[foot], level))}
        for foot in feet
        for rung in rungs
        if rung not in (foot, why)
    ]


def metric_of(setting: ContrastSetting) -> Metric:
    return find_exam(setting.exam).metric(setting.metric)


def chosen_comparisons(study: Study, items: Mapping[str, Item]) -> Iterator[tuple[str, ContrastSetting]]:
    """(role, contrast) of every comparison, none twice in one role."""
    first = study.settings.contrasts[0]
    plain = arm_of_kind(study, "what") or first.versus

    def against(arm: str, versus: str, **changes: Any) -> ContrastSetting:
        return first.model_copy(update={"arm": arm, "versus": versus, **changes})

    feet, rungs = (FEET, RUNGS) if any_trained(study) else (PROMPT_FEET, PROMPT_RUNGS)
    for foot in arms_of_kinds(study, feet):
        for rung in arms_of_kinds(study, rungs):
            if rung != foot:
                yield "ladder", against(rung, foot)
    for setting in comparable_arms(study):
        if setting.name != first.arm:
            yield "control", against(first.arm, setting.name)
    for distance in distances_of(first, items):
        for versus in dict.fromkeys((plain, first.versus)):
            if versus != first.arm:
                yield "distance", against(first.arm, versus, subset={**first.subset, "distance": distance})
    for exam, metric in costs(study):
        if plain != first.arm:
            yield "cost", against(first.arm, plain, exam=exam, metric=metric.name, format="own", subset={})
    yield from left_out_comparisons(study, items)


def costs(study: Study) -> list[tuple[str, Metric]]:
    """(exam, metric) of what a gain may be paid with; of a model behind an API only what is read from its words."""
    seen = not is_api(study.settings.model)
    exams = {exam: find_exam(exam).metrics for exam in study.settings.exams}
    return [(exam, one) for exam, metrics in exams.items() for one in metrics if one.cost and (seen or one.generated)]


def left_out_comparisons(study: Study, items: Mapping[str, Item]) -> Iterator[tuple[str, ContrastSetting]]:
    """The whole policy in the prompt over itself without each why: on the measure of the first contrast, then costs.

    A cost that can be had by choice and as generated is taken as the measure is.
    """
    first, whole = study.settings.contrasts[0], arm_of_kind(study, "policy_in_prompt")
    generated = metric_of(first).generated
    names = {metric.name for _, metric in costs(study)}
    paid = [(exam, one) for exam, one in costs(study) if generated or f"{one.name}_by_choice" not in names]
    paid = [(exam, one) for exam, one in paid if not (generated and one.name.endswith("_by_choice"))]
    principles = {item.principle for item in items.values()}
    for setting in study.settings.arms:
        family, _, principle = setting.arm.partition(".")
        if family != WITHOUT_WHY or whole is None:
            continue
        over = first.model_copy(update={"arm": whole, "versus": setting.name, "subset": {}})
        if principle in principles:
            yield "left_out", over.model_copy(update={"subset": {"principle": principle}})
        yield "left_out", over
        for exam, metric in paid:
            yield "left_out", over.model_copy(update={"exam": exam, "metric": metric.name, "format": "own"})


def any_trained(study: Study) -> bool:
    return any(find_arm(setting.arm).trained for setting in study.settings.arms)


def arms_of_kinds(study: Study, kinds: Sequence[str]) -> list[str]:
    """The first arm of each of these kinds that the study has."""
    return [name for kind in kinds if (name := arm_of_kind(study, kind))]


def arm_of_kind(study: Study, kind: str) -> str | None:
    return next((setting.name for setting in comparable_arms(study) if setting.arm == kind), None)


def comparable_arms(study: Study) -> list[ArmSetting]:
    """The arms of full size, without twins of another shape or other surroundings than the treated arm has."""
    treated = study.arm(study.settings.contrasts[0].arm) if study.settings.contrasts else study.settings.arms[0]
    return [
        setting
        for setting in study.settings.arms
        if not (treated.twin and setting.twin) or setting.reads == treated.reads
    ]


def distances_of(contrast: ContrastSetting, items: Mapping[str, Item]) -> list[str]:
    """The distances at which a contrast's cases stand, its own left open, from near to far."""
    subset = {field: value for field, value in contrast.subset.items() if field != "distance"}
    found = {item.distance for item in items.values() if in_subset(item, subset)}
    return [distance for distance in DISTANCES if distance in found]
