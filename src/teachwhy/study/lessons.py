"""The lessons of every arm: what each of its stages teaches it, as tokens, and the table of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..data import Writing
from ..errors import CheckError, named_in
from ..evals import Item
from ..models import ChatFormat
from .arm_setting import ArmSetting
from .stages import Lessons, Making
from .study_file import Study


def lessons_of(
    study: Study,
    setting: ArmSetting,
    chat: ChatFormat,
    context: int,
    writing: Writing,
    asked: Callable[[Item], str],
    own: Lessons,
    counted: int,
) -> list[Lessons]:
    """What each stage of an arm teaches.

    asked: an item to its prompt. own: lessons of its own rows in the study's recipe. counted: rows that the updates of
    full-size arms are counted by.
    """
    found: list[Lessons] = []
    for stage in study.stages(setting):
        making = Making(
            arm=setting,
            material=study.materials.get(stage.name, ()),
            examples=study.pool(setting),
            chat=chat,
            context=context,
            writing=writing,
            format=study.exam_format(setting),
            asked=asked,
            own=own,
            counted=setting.examples or counted,
            earlier=tuple(found),
        )
        with named_in(study.path, "stage"):
            made = stage.lessons(making)
            if any(point.point[0] == stage.name for point in study.checkpoints(setting)):
                stage.check_checkpoints(made)
        found.append(made)
    return found


def check_told_apart(study: Study, lessons: Mapping[str, Sequence[Lessons]]) -> None:
    """Refuse a contrast of two arms that are taught the very same, from the same start, and examined alike."""

    def taught(name: str) -> Any:
        setting = study.arm(name)
        kinds = [stage.record() for stage in study.stages(setting)]
        rows = [(found.hash, found.batch, found.updates, found.settings.recipe()) for found in lessons[name]]
        return kinds, rows, setting.seed_offset, study.exam_format(setting)

    for contrast in study.settings.contrasts:
        if {contrast.arm, contrast.versus} <= lessons.keys() and taught(contrast.arm) == taught(contrast.versus):
            raise CheckError(
                f"The arms {contrast.arm!r} and {contrast.versus!r} are taught the very same: nothing can be compared.",
                where=f"{study.path}, field 'contrasts'",
                remedy="Give them a stage in which their rows differ (`supervised`), or stages of their own.",
            )


def stage_table(
    study: Study, trained: Sequence[ArmSetting], lessons: Mapping[str, Sequence[Lessons]]
) -> list[dict[str, Any]]:
    """For each arm what its stages teach it, in their order; nothing where a study has no stages."""
    if not study.settings.stages:
        return []
    return [
        {
            "arm": setting.name,
            "stage": stage.name,
            "kind": stage.kind,
            **stage.record(),
            "rows": len(found.rows),
            "batch": found.batch,
            "updates": found.updates,
            "tokens": sum(row.length for row in found.rows),
            "trained": sum(row.trained for row in found.rows),
            "sha256": found.hash,
        }
        for setting in trained
        for stage, found in zip(study.stages(setting), lessons[setting.name], strict=True)
    ]
