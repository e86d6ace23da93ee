"""What is gained by more examples: each arm of `sizes_arms` at every size, and what one saves over another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from ..evals import find_exam
from ..stats import Observation, Point, contrast, interval, tokens_at
from ..text import canonical
from .arm_setting import ArmSetting
from .study_file import Study
from .study_settings import ContrastSetting

# The scores of an arm on what a contrast measures, and on the items it measures it on.
Observe = Callable[[str, ContrastSetting], list[Observation]]
Record = dict[str, Any]
Side = tuple[Record, Sequence[Observation]]
SPENT = ("updates", "trained_tokens", "tokens")
NOTHING_GAINED: Record = dict.fromkeys(("foot", "gain", "gain_per_thousand_tokens", "gain_per_update"))


def all_curves(study: Study, observe: Observe, training: Sequence[Mapping[str, Any]]) -> list[Record]:
    """A record for each metric of the declared contrasts and each arm of `sizes_arms` that has a score.

    training: what each training that is done used, as results.json holds it.
    """
    if not study.sized:
        return []
    found = [curve(study, name, measure, observe, training) for measure in measures(study) for name in names(study)]
    return [record for record in found if record["points"]]


def names(study: Study) -> list[str]:
    return list(dict.fromkeys(study.settings.arms_by_size))


def measures(study: Study) -> list[ContrastSetting]:
    """The declared contrasts that measure different things, whatever arms they compare."""
    return list({canonical(measured(one)): one for one in study.settings.contrasts}.values())


def measured(one: ContrastSetting) -> Record:
    return {"exam": one.exam, "metric": one.metric, "format": one.format, "subset": dict(one.subset)}


def curve(
    study: Study, name: str, measure: ContrastSetting, observe: Observe, training: Sequence[Mapping[str, Any]]
) -> Record:
    """One arm by size, and what its full size gained over the foot of the curve.

    The foot is the untrained model where it has been asked, else the smallest size.
    """
    sizes = [*(setting for setting in study.sized if setting.name.startswith(f"{name}@")), study.arm(name)]
    sides = [
        (point(setting, scores, study, training), scores)
        for setting in sizes
        if (scores := scores_of(setting.name, measure, observe))
    ]
    points = [record for record, _ in sides]
    foot = next(iter([*untrained(study, measure, observe), *sides[:-1]]), None)
    whole = bool(points) and points[-1]["arm"] == name
    return {
        "arm": name,
        **measured(measure),
        "higher_is_better": find_exam(measure.exam).metric(measure.metric).higher_is_better,
        "points": points,
        **(gained(foot, sides[-1], study.settings.level) if foot and whole else NOTHING_GAINED),
    }


def gained(foot: Side, full: Side, level: float) -> Record:
    """The paired difference between full size and foot, and what of it came of a thousand tokens and of an update."""
    found = contrast(full[1], foot[1], level=level)
    tokens, updates = (full[0][spent] - foot[0][spent] for spent in ("tokens", "updates"))
    return {
        "foot": {field: foot[0][field] for field in ("arm", "examples", "updates", "tokens", "estimate")},
        "gain": {field: getattr(found, field) for field in ("estimate", "low", "high", "covers", "note")},
        "gain_per_thousand_tokens": share_of(found.estimate, tokens / 1000),
        "gain_per_update": share_of(found.estimate, updates),
    }


def share_of(gain: float | None, spent: float) -> float | None:
    """None also where nothing more was spent: two sizes may fill as many batches."""
    return None if gain is None or not spent else gain / spent


def scores_of(arm: str, measure: ContrastSetting, observe: Observe) -> list[Observation]:
    """The scores of an arm; none where no answer could be scored."""
    found = observe(arm, measure)
    return found if any(one.value is not None for one in found) else []


def untrained(study: Study, measure: ContrastSetting, observe: Observe) -> Iterator[Side]:
    """The foot at no tokens, where an arm of the kind `base` has been asked."""
    for setting in study.settings.arms:
        if setting.arm == "base" and (scores := scores_of(setting.name, measure, observe)):
            estimate = interval(scores, study.settings.level).estimate
            yield {"arm": setting.name, "examples": 0, "updates": 0, "tokens": 0, "estimate": estimate}, scores


def point(
    setting: ArmSetting, scores: Sequence[Observation], study: Study, training: Sequence[Mapping[str, Any]]
) -> Record:
    """One size of an arm. Tokens are means over its seeds, which differ where an epoch is not whole."""
    mine = [record for record in training if record["arm"] == setting.name]
    own = interval(scores, study.settings.level)
    return {
        "arm": setting.name,
        "examples": len(study.pool(setting)),
        **{spent: round(mean([record[spent] for record in mine])) for spent in SPENT},
        **{field: getattr(own, field) for field in ("estimate", "low", "high", "covers")},
        "per_seed": by_seed(scores),
    }


def by_seed(scores: Sequence[Observation]) -> dict[str, float]:
    """The mean score of each seed."""
    found: dict[int | None, list[float]] = {}
    for one in scores:
        if one.value is not None:
            found.setdefault(one.seed, []).append(one.value)
    return {str(seed): mean(values) for seed, values in found.items()}


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def token_savings(curves: Sequence[Record]) -> list[Record]:
    """How many tokens an arm needs for what `versus`, named before it in `sizes_arms`, scores at its full size."""
    pairs = [(arm, versus) for versus, arm in combinations(curves, 2) if same_measure(arm, versus)]
    return [saving(arm, versus) for arm, versus in pairs if versus["gain"]]


def same_measure(one: Record, other: Record) -> bool:
    return all(one[field] == other[field] for field in ("exam", "metric", "format", "subset"))


def saving(arm: Record, versus: Record) -> Record:
    full = versus["points"][-1]
    points = [Point(one["tokens"], one["estimate"]) for one in arm["points"] if one["estimate"] is not None]
    record = {
        "arm": arm["arm"],
        "versus": versus["arm"],
        **{field: arm[field] for field in ("exam", "metric", "format", "subset")},
        "score": full["estimate"],
        "tokens_arm": None,
        "tokens_versus": full["tokens"],
        "ratio": None,
    }
    if full["estimate"] is None:
        return record | {"note": f"`{versus['arm']}`: no score at its full size"}
    reached = tokens_at(full["estimate"], points, rising=arm["higher_is_better"])
    if reached.tokens is None:
        return record | {"note": f"`{arm['arm']}`: {reached.note}"}
    ratio = full["tokens"] / reached.tokens
    return record | {"tokens_arm": round(reached.tokens), "ratio": ratio, "note": caution(versus)}


def caution(versus: Record) -> str:
    """Equal scores mean little where the one they are held against has learnt nothing."""
    low, high = versus["gain"]["low"], versus["gain"]["high"]
    learnt = low is not None and (low > 0 or high < 0)
    told = "" if learnt else f"; what `{versus['arm']}` gained over `{versus['foot']['arm']}` is not told from nothing"
    return f"a point estimate, without an interval{told}"
