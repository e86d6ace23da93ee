"""Which stages an arm goes through, whether they can be, and at which points it is examined on its way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...data import find_arm
from ...errors import InputError, listed, unknown_name
from ...evals import Material
from ..arm_setting import ArmSetting
from .stage import Stage


def checkpoints_of(setting: ArmSetting, stages: Sequence[Stage]) -> list[ArmSetting]:
    """An arm at each checkpoint of its stages but the very last, which is the arm itself."""
    points = [
        setting.at(stage.name, round(100 * number / stage.checkpoints))
        for stage in stages
        for number in range(1, stage.checkpoints + 1)
    ]
    end = setting.at(stages[-1].name, 100)
    return [point for point in points if point != end]


def check_stages(stages: Sequence[Stage], arms: Sequence[ArmSetting], where: str) -> None:
    """Refuse two stages of one name, stages that are not there, one that an arm visits twice, and untrained arms."""
    names = [stage.name for stage in stages]
    for name in names:
        if names.count(name) > 1:
            raise InputError(
                f"Two stages are named {name!r}.",
                where=f"{where}, field 'stages'",
                remedy="Give one of them a `name:` of its own.",
            )
    for setting in arms:
        place = f"{where}, field 'arms'; arm {setting.name!r}, field 'stages'"
        if setting.until is not None:
            raise InputError(
                f"The arm {setting.name!r} is given a place to stop at.",
                where=f"{where}, field 'arms'",
                remedy="Write a number of `checkpoints` at a stage.",
            )
        for name in setting.stages or ():
            if name not in names:
                raise unknown_name("stage in this study", name, names, where=place)
        if setting.stages and not find_arm(setting.arm).trained:
            raise InputError(
                f"The arm {setting.name!r} is not trained, so it goes through no stage.",
                where=place,
                remedy="Take `stages` out of it.",
            )
        if setting.stages and len(set(setting.stages)) < len(setting.stages):
            raise InputError(
                f"The arm {setting.name!r} goes through a stage twice.",
                where=place,
                remedy="Write a second stage of the same content under a name of its own.",
            )


def check_families(
    stages: Sequence[Stage], materials: Mapping[str, Sequence[Any]], examined: Material, where: str
) -> None:
    """Refuse a stage that trains on families that are examined."""
    tested = {case.family for case in (*examined.items, *examined.prompts)}
    tested |= {scenario.family for scenario in (examined.scenarios.families if examined.scenarios else ())}
    for stage in stages:
        shared = sorted(stage.families(materials[stage.name]) & tested)
        if shared:
            raise InputError(
                f"The stage {stage.name!r} trains on families that are examined too: {listed(shared)}.",
                where=f"{where}, field 'stages'; stage {stage.name!r}",
                remedy="Take them out of the stage, or out of what the study examines.",
            )
