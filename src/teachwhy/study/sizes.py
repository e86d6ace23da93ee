"""The arms that are trained on fewer examples too: which, and whether the study has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..data import find_arm
from ..errors import InputError, listed, unknown_name

if TYPE_CHECKING:
    from .study_file import ArmSetting, StudySettings


def sizes_arms(settings: StudySettings) -> list[str]:
    """The names of the arms that are trained at every size."""
    names = [setting.name for setting in settings.arms]
    return settings.sizes_arms or [name for name in ("what", "why") if name in names]


def sized_arms(settings: StudySettings, full: int) -> tuple[ArmSetting, ...]:
    """The arms of `sizes_arms` at each size below the full one, which is the arm itself.

    Named as why@60: a name in a study file holds no '@', so it is nobody else's.
    """
    return tuple(
        setting.model_copy(update={"name": f"{setting.name}@{size}", "examples": size})
        for size in sorted(settings.sizes)
        if size < full
        for setting in settings.arms
        if setting.name in sizes_arms(settings)
    )


def check_sizes(settings: StudySettings, full: int, where: str) -> None:
    """Refuse sizes that the twins do not have, and arms that are no twins. full: how many examples the twins read."""
    if not settings.sizes:
        return
    if len(set(settings.sizes)) < len(settings.sizes) or max(settings.sizes) > full:
        raise InputError(
            f"`sizes` holds a number twice, or one above the {full} examples that the twins read.",
            where=f"{where}, field 'sizes'",
            remedy="Name each size once; the full one is the arm itself and need not be named.",
        )
    kinds = {setting.name: find_arm(setting.arm) for setting in settings.arms}
    twins = [name for name, kind in kinds.items() if kind.trained and kind.reads == "twins"]
    for name in sizes_arms(settings):
        if name not in twins:
            raise unknown_name("twin arm in this study", name, twins, where=f"{where}, field 'sizes_arms'")
    if not sizes_arms(settings):
        raise InputError(
            "The study has neither an arm named `what` nor one named `why` to train at these sizes.",
            where=f"{where}, field 'sizes'",
            remedy=f"Name some under `sizes_arms`: {listed(twins)}.",
        )
