"""The study file: one YAML that names policy, examples, arms, seeds, model, exams and the declared contrasts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..data import Example, check_sizes, find_arm, read_examples, validated
from ..errors import Place, unknown_name
from ..evals import (
    ExamFormat,
    Item,
    Material,
    find_exam,
    honeypots,
    read_items,
    read_prompts,
    read_questions,
    sample_items,
)
from ..policy import Policy, read_policy
from ..text import load_yaml, read_text
from .arm_setting import ArmSetting, pool_of
from .stages import Stage, usual_stages
from .stages.listing import check_families, check_stages, checkpoints_of
from .study_checks import (
    check_arms,
    check_asked,
    check_contrast,
    check_engine,
    check_floor,
    check_markers,
    check_noise,
    check_pools,
    check_principles,
    check_quick,
    check_subset,
    check_woven,
    in_subset,
)
from .study_settings import ContrastSetting, StudySettings

SHAREABLE = ("system", "policy")


@dataclass(frozen=True)
class Study:
    """A study file with everything it names, read and checked against each other.

    left_out: by a quick run. materials: stage -> what its files hold.
    """

    path: Path
    settings: StudySettings
    policy: Policy
    examples: tuple[Example, ...]
    items: tuple[Item, ...]
    generic: tuple[Example, ...] = ()
    prompts: tuple[Item, ...] = ()
    questions: tuple[Item, ...] = ()
    scenarios: honeypots.Scenarios | None = None
    left_out: tuple[str, ...] = ()
    materials: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    @property
    def material(self) -> Material:
        return Material(self.items, self.prompts, self.settings.sample, self.questions, self.scenarios)

    @property
    def folder(self) -> Path:
        return self.path.parent

    @property
    def sized(self) -> tuple[ArmSetting, ...]:
        """The arms of `sizes_arms` at each size below the full one, which is the arm itself.

        Named as why@60: a name in a study file holds no '@', so it is nobody else's.
        """
        return tuple(
            setting.model_copy(update={"name": f"{setting.name}@{size}", "examples": size})
            for size in sorted(self.settings.sizes)
            for setting in self.settings.arms
            if setting.name in self.settings.arms_by_size and size < len(self.pool(setting))
        )

    @property
    def taught(self) -> tuple[ArmSetting, ...]:
        """The arms as the file names them, then those of smaller size."""
        return (*self.settings.arms, *self.sized)

    @property
    def arms(self) -> tuple[ArmSetting, ...]:
        """All that is examined: the arms, those of smaller size, and the checkpoints of the arms."""
        return (*self.taught, *(point for setting in self.settings.arms for point in self.checkpoints(setting)))

    def stages(self, setting: ArmSetting) -> list[Stage]:
        """What an arm goes through."""
        known = {stage.name: stage for stage in self.settings.stages or usual_stages()}
        return [known[name] for name in setting.stages] if setting.stages else list(known.values())

    def checkpoints(self, setting: ArmSetting) -> list[ArmSetting]:
        """The points at which an arm is examined on its way; its end is the arm itself."""
        whole = find_arm(setting.arm).trained and setting.examples is None and setting.until is None
        return checkpoints_of(setting, self.stages(setting)) if whole else []

    def arm(self, name: str) -> ArmSetting:
        for setting in self.arms:
            if setting.name == name:
                return setting
        raise unknown_name("arm in this study", name, [setting.name for setting in self.arms], where=str(self.path))

    def pool(self, setting: ArmSetting) -> list[Example]:
        """The examples that an arm's rows are made of."""
        return pool_of(setting, self.examples, self.generic, self.settings.twins)

    def margin(self, contrast: ContrastSetting) -> float | None:
        """The equivalence margin of a contrast: its own, or else the study's; in the unit of the scores."""
        return self.settings.margin if contrast.margin is None else contrast.margin

    def exam_format(self, setting: ArmSetting) -> ExamFormat:
        format = self.settings.format
        place = setting.reason or format.reason
        arm = find_arm(setting.arm)
        return ExamFormat(
            arm.reasons,
            place,
            format.reason_marker,
            format.action_marker,
            1.0 if arm.both_formats else self.settings.off_format_share,
            self.settings.judge is not None,
        )


def study_path(path: Path) -> Path:
    """A study may be named by its folder."""
    return path / "study.yaml" if path.is_dir() else path


def read_study(path: Path, *, model: str | None = None, quick: bool = False) -> Study:
    """Read a study and everything it names. model: instead of the study's. quick: what its `quick:` says."""
    path = study_path(path)
    values = load_yaml(read_text(path), path) | ({"model": model} if model else {})
    settings = validated(StudySettings, values, Place(path))
    check_arms(settings, str(path))
    check_asked(settings, str(path))
    for exam in settings.exams:
        find_exam(exam, where=f"{path}, field 'exams'")
    for where, contrast in named_contrasts(settings, path):
        check_contrast(contrast, settings, where)
    if settings.competence:
        check_floor(settings.competence, settings, f"{path}, field 'competence'")
    for shared in settings.shared:
        if shared not in SHAREABLE:
            raise unknown_name("shareable text", shared, SHAREABLE, where=f"{path}, field 'shared'")
    folder = path.parent
    policy = read_policy(folder / settings.policy)
    examples = read_examples([folder / name for name in settings.examples])
    items = read_items([folder / name for name in settings.items])
    generic = read_examples([folder / name for name in settings.generic])
    check_principles(policy, [*examples, *generic], items, str(path))
    prompts = read_prompts(settings.prompts, folder)
    questions = read_questions([folder / name for name in settings.questions])
    scenarios = honeypots.read_scenarios(settings.scenarios, folder) if settings.scenarios else None
    check_pools(settings, examples, str(path))
    check_stages(settings.stages, settings.arms, str(path))
    materials = {stage.name: stage.read(folder) for stage in settings.stages}
    read = (tuple(examples), tuple(items), tuple(generic), tuple(prompts), tuple(questions))
    study = Study(path, settings, policy, *read, scenarios, materials=materials)
    check_families(settings.stages, materials, study.material, str(path))
    kinds = {setting.name: find_arm(setting.arm) for setting in settings.arms}
    full = [len(study.pool(setting)) for setting in settings.arms if setting.name in settings.arms_by_size]
    check_sizes(settings.sizes, settings.arms_by_size, kinds, min(full, default=len(examples)), str(path))
    check_markers(settings, str(path))
    check_woven(settings, {setting.name: study.exam_format(setting) for setting in settings.arms}, str(path))
    check_quick(settings, str(path))
    check_noise(settings, str(path))
    check_engine(settings, str(path))
    for where, contrast in named_contrasts(settings, path):
        check_subset(contrast, find_exam(contrast.exam).cases(study.material), where)
    return quickened(study) if quick else study


def quickened(study: Study) -> Study:
    """The study with the exams and items that its `quick:` leaves, and the contrasts that can still be drawn."""
    settings, quick = study.settings, study.settings.quick
    exams, sample = quick.exams or settings.exams, quick.sample or settings.sample
    items = sample_items(study.items, quick.items) if quick.items else list(study.items)
    prompts = study.prompts[: quick.items]
    material = replace(study.material, items=items, prompts=prompts, sample=sample)

    def drawn(contrast: ContrastSetting) -> bool:
        cases = find_exam(contrast.exam).cases(material) if contrast.exam in exams else []
        return any(in_subset(case, contrast.subset) for case in cases)

    contrasts = [contrast for contrast in settings.contrasts if drawn(contrast)]
    changes = {
        "exams": exams,
        "sample": sample,
        "contrasts": contrasts,
        "exploratory": [contrast for contrast in settings.exploratory if drawn(contrast)],
        "competence": settings.competence if settings.competence and settings.competence.exam in exams else None,
        "sizes": [],
        "noise": None,
    }
    counts = {
        "exams": (len(exams), len(settings.exams)),
        "items": (len(items), len(study.items)),
        "prompts": (len(prompts), len(study.prompts)),
        "items of the sampled exams": (sample, settings.sample),
        "declared contrasts": (len(contrasts), len(settings.contrasts)),
        "sizes": (0, len(settings.sizes)),
        "samples for the noise": (0, settings.noise.samples if settings.noise else 0),
    }
    left_out = tuple(f"{few} of {all} {what}" for what, (few, all) in counts.items() if few < all)
    settings = settings.model_copy(update=changes)
    return replace(study, settings=settings, items=tuple(items), prompts=tuple(prompts), left_out=left_out)


def named_contrasts(settings: StudySettings, path: Path) -> list[tuple[str, ContrastSetting]]:
    """Every contrast with the place where it stands, declared ones first."""
    return [
        (f"{path}, field '{field}.{number}'", contrast)
        for field in ("contrasts", "exploratory")
        for number, contrast in enumerate(getattr(settings, field))
    ]
