"""What must hold within a study file, and between it and what it names; each fault with its place and remedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..data import Example, find_arm
from ..errors import InputError, listed, unknown_name
from ..evals import EXAMS, ExamFormat, Item, check_apart, honeypots
from ..models import is_api
from ..policy import Policy
from .arm_setting import check_readable
from .study_settings import CompetenceSetting, ContrastSetting, StudySettings

SUBSET_FIELDS = ("kind", "distance", "statedness", "principle", "family", "wrap", *honeypots.KNOBS)


def in_subset(item: Item, subset: Mapping[str, str]) -> bool:
    return all(getattr(item, field, None) == value for field, value in subset.items())


def check_arms(settings: StudySettings, where: str) -> None:
    names = [setting.name for setting in settings.arms]
    for setting in settings.arms:
        find_arm(setting.arm, where=f"{where}, field 'arms'")
        if setting.name == "step0":
            raise InputError(
                "An arm cannot be named 'step0'.",
                where=f"{where}, field 'arms'",
                remedy="Give it another `name:`; the run keeps the adapters that all arms start from under that one.",
            )
        if setting.examples is not None:
            raise InputError(
                f"The arm {setting.name!r} is given a number of examples.",
                where=f"{where}, field 'arms'",
                remedy="Write the number under `sizes` and the arm under `sizes_arms`.",
            )
        if names.count(setting.name) > 1:
            raise InputError(
                f"Two arms are named {setting.name!r}.",
                where=f"{where}, field 'arms'",
                remedy="Give one of them a `name:` of its own.",
            )
    if len(set(settings.seeds)) < len(settings.seeds):
        raise InputError("A seed stands twice.", where=f"{where}, field 'seeds'", remedy="Name each seed once.")


def check_asked(settings: StudySettings, where: str) -> None:
    if not (settings.items or settings.scenarios):
        raise InputError(
            "The study names neither `items` nor `scenarios`, so there is nothing to compare arms on.",
            where=f"{where}, field 'items'",
            remedy="Name a file of items there.",
        )


def check_pools(settings: StudySettings, examples: Sequence[Example], where: str) -> None:
    """Refuse arms that the examples cannot make, and more twins than examples."""
    reads = {find_arm(setting.arm).reads: setting.name for setting in settings.arms}
    if "generic" in reads and not settings.generic:
        raise InputError(
            f"The arm {reads['generic']!r} has nothing to read.",
            where=f"{where}, field 'generic'",
            remedy="Name a file of ordinary tasks there, or take the arm out.",
        )
    if settings.format.reason_names_fact and any(setting.arm == "reason_only" for setting in settings.arms):
        raise InputError(
            "The arm 'reason_only' needs reasons that do not name the deciding fact.",
            where=f"{where}, field 'format.reason_names_fact'",
            remedy="Take the arm out; `why` is the reason alone in this study.",
        )
    check_readable(settings.arms, examples, settings.twins, where)


def check_noise(settings: StudySettings, where: str) -> None:
    """Refuse noise of an arm or seed that the study does not have; and noise or sizes with no metric to look at."""
    for setting in ("noise", "sizes"):
        if getattr(settings, setting) and not settings.contrasts:
            raise InputError(
                f"`{setting}` looks at what the declared contrasts measure, and none is declared.",
                where=f"{where}, field '{setting}'",
                remedy="Declare one under `contrasts`.",
            )
    noise, names = settings.noise, [setting.name for setting in settings.arms]
    if noise and noise.arm not in names:
        raise unknown_name("arm in this study", noise.arm, names, where=f"{where}, field 'noise.arm'")
    if noise and noise.seed is not None and noise.seed not in settings.seeds:
        seeds = map(str, settings.seeds)
        raise unknown_name("seed in this study", str(noise.seed), seeds, where=f"{where}, field 'noise.seed'")


def check_engine(settings: StudySettings, where: str) -> None:
    """Refuse an engine for models that it cannot hold side by side, or that it does not hold."""
    if settings.engine is None:
        return
    if settings.train.adapter == "none":
        raise InputError(
            "vLLM holds one base model and adapters beside it; this study trains the model's own weights.",
            where=f"{where}, field 'engine'",
            remedy="Take `engine` out, or train adapters (`train.adapter: lora`).",
        )
    if is_api(settings.model):
        raise InputError(
            "A model behind an API is served by its provider.",
            where=f"{where}, field 'engine'",
            remedy="Take `engine` out.",
        )


def check_markers(settings: StudySettings, where: str) -> None:
    """Refuse formats in which an exam cannot tell the parts of an answer."""
    if "explanations" in settings.exams and not (settings.format.action_marker and settings.format.reason_marker):
        raise InputError(
            "The exam 'explanations' cannot tell a reason from an action without their markers.",
            where=f"{where}, field 'format'",
            remedy="Give `reason_marker` and `action_marker`, or take the exam out.",
        )


def check_woven(settings: StudySettings, formats: Mapping[str, ExamFormat], where: str) -> None:
    """Refuse exams that need a reason apart from the action where an arm weaves the two. formats: by name of arm."""
    for number, setting in enumerate(settings.arms):
        field = f"arms.{number}.reason" if setting.reason else "format.reason"
        for exam in settings.exams:
            check_apart(EXAMS[exam], formats[setting.name], setting.name, f"{where}, field '{field}'")


def check_quick(settings: StudySettings, where: str) -> None:
    """Refuse names in `quick:` that the study does not have; its arms need only be there where they are written."""
    arms = [setting.name for setting in settings.arms]
    written = settings.quick.arms if "arms" in settings.quick.model_fields_set else []
    for kind, names, known in (("arm", written, arms), ("exam", settings.quick.exams or [], settings.exams)):
        for name in names:
            if name not in known:
                raise unknown_name(f"{kind} in this study", name, known, where=f"{where}, field 'quick.{kind}s'")


def check_contrast(contrast: ContrastSetting, settings: StudySettings, where: str) -> None:
    names = [setting.name for setting in settings.arms]
    for name in (contrast.arm, contrast.versus):
        if name not in names:
            raise unknown_name("arm in this study", name, names, where=where)
    check_metric(contrast.exam, contrast.metric, settings, where)
    for name in contrast.subset:
        if name not in SUBSET_FIELDS:
            raise unknown_name("item field for a subset", name, SUBSET_FIELDS, where=where)


def check_metric(exam: str, metric: str, settings: StudySettings, where: str) -> None:
    if exam not in settings.exams:
        raise unknown_name("exam in this study", exam, settings.exams, where=where)
    metrics = [known.name for known in EXAMS[exam].metrics]
    if metric not in metrics:
        raise unknown_name("metric", metric, metrics, where=where)


def check_floor(floor: CompetenceSetting, settings: StudySettings, where: str) -> None:
    check_metric(floor.exam, floor.metric, settings, where)
    groups = [", ".join(fields) for fields in EXAMS[floor.exam].by if fields]
    if floor.subset and ", ".join(floor.subset) not in groups:
        raise unknown_name("group of items in this exam", ", ".join(floor.subset), groups, where=f"{where}.subset")


def check_subset(contrast: ContrastSetting, items: Sequence[Item], where: str) -> None:
    """Refuse a contrast that would compare nothing. items: what its exam asks."""
    for name, value in contrast.subset.items():
        values = {str(found) for item in items if (found := getattr(item, name, None)) is not None}
        if value not in values:
            raise unknown_name(f"item whose {name} is", value, values, where=where)
    if not any(in_subset(item, contrast.subset) for item in items):
        raise InputError("This contrast's subset holds no item.", where=where, remedy="Widen or mend its `subset`.")


def check_principles(policy: Policy, examples: Sequence[Example], items: Sequence[Item], where: str) -> None:
    known = set(policy.ids)
    for what, records in (("examples", examples), ("items", items)):
        unknown = sorted({record.principle for record in records if record.principle and record.principle not in known})
        if unknown:
            raise InputError(
                f"{what.capitalize()} name principles that the policy does not have: {listed(unknown)}.",
                where=where,
                remedy=f"The policy has: {listed(policy.ids)}.",
            )
