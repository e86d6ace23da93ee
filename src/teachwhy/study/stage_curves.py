"""Learning, transfer and forgetting: each arm's scores at the checkpoints on its way through the stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..stats import interval
from .arm_setting import ArmSetting
from .curves import Observe, Record, by_seed, measured, measures, scores_of, untrained
from .stages import Lessons
from .study_file import Study
from .study_settings import ContrastSetting


def all_stage_curves(study: Study, observe: Observe, lessons: Mapping[str, Sequence[Lessons]]) -> list[Record]:
    """A record for each metric of the declared contrasts and each arm that is examined on its way."""
    on_the_way = [setting for setting in study.settings.arms if study.checkpoints(setting)]
    found = [
        stage_curve(study, setting, measure, observe, lessons[setting.name])
        for measure in measures(study)
        for setting in on_the_way
    ]
    return [record for record in found if record["points"]]


def stage_curve(
    study: Study, setting: ArmSetting, measure: ContrastSetting, observe: Observe, lessons: Sequence[Lessons]
) -> Record:
    """One arm from the untrained model, where that was asked, to its end. updates: all that came before a point."""
    stages = study.stages(setting)
    names = [stage.name for stage in stages]
    places = [*study.checkpoints(setting), setting]
    points = [
        {"arm": foot["arm"], "stage": None, "percent": 0, "updates": 0, **score(study, scores)}
        for foot, scores in untrained(study, measure, observe)
    ][:1]
    for place in places:
        stage, percent = place.point if place.until else (names[-1], 100)
        before = sum(found.updates for found in lessons[: names.index(stage)])
        updates = lessons[names.index(stage)].updates
        within = stages[names.index(stage)].update_at(percent, updates) if percent < 100 else updates
        if scores := scores_of(place.name, measure, observe):
            at = {"arm": place.name, "stage": stage, "percent": percent, "updates": before + within}
            points.append({**at, **score(study, scores)})
    return {"arm": setting.name, **measured(measure), "stages": names, "points": points}


def score(study: Study, scores: Sequence[Any]) -> Record:
    own = interval(scores, study.settings.level)
    return {
        **{field: getattr(own, field) for field in ("estimate", "low", "high", "covers")},
        "per_seed": by_seed(scores),
    }
