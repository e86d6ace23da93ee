"""The study file: one YAML that names policy, examples, arms, seeds, model, exams and the declared contrasts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..data import Example, find_arm, read_examples, validated
from ..errors import InputError, Place, listed, unknown_name
from ..evals import DISTANCES, EXAMS, ExamFormat, Item, find_exam, read_items
from ..policy import Policy, read_policy
from ..text import load_yaml, read_text
from ..train.settings import TrainSettings

SHAREABLE = ("system", "policy")


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ArmSetting(Strict):
    """An arm of the study. In YAML a bare name, or a mapping where a setting differs from the usual."""

    name: str = Field("", description="What the arm is called in this study; its kind where nothing is given.")
    arm: str = Field(description="The kind of arm; `teachwhy arms` lists them.")
    reason: str | None = Field(None, pattern="^(first|last)$", description="Overrides `format.reason` for this arm.")
    seed_offset: int = Field(0, ge=0, description="Added to each seed: the same arm again with seeds of its own (A/A).")

    @model_validator(mode="before")
    @classmethod
    def accept_bare_name(cls, values: Any) -> Any:
        if isinstance(values, str):
            values = {"arm": values}
        if isinstance(values, dict):
            return {"name": values.get("arm", ""), **values}
        return values


class FormatSettings(Strict):
    """How rows are written down."""

    reason: str = Field("first", pattern="^(first|last)$", description="Place of the reason: before or after the action.")
    reason_marker: str = Field("Reason:", description="Opens what stands beside the action.")
    action_marker: str = Field("Action:", description="Opens the action.")


class ContrastSetting(Strict):
    """A difference between two arms that the study looks at: arm minus versus."""

    arm: str
    versus: str
    exam: str = "decisions"
    metric: str
    format: str = Field("own", pattern="^(own|off)$")
    subset: dict[str, str] = Field(default_factory=dict, description="Item field -> value, such as kind: conflict.")


class CompetenceSetting(Strict):
    """The floor: where a trained arm stays below it, the page warns that its other scores mean little."""

    exam: str = "decisions"
    metric: str = "correct"
    at_least: float = Field(0.9, gt=0, le=1)


class StudySettings(Strict):
    """The study file, as written."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    question: str = ""
    about: str = Field("", description="Printed on the page under the question.")
    limits: str = Field("", description="What the study does not show; printed on the page.")
    policy: str = "policy.md"
    examples: list[str] = Field(min_length=1)
    items: list[str] = Field(min_length=1)
    model: str = "bundled:smollm2-135m"
    trust_remote_code: bool = False
    device: str = Field("auto", pattern="^(auto|cpu|cuda|mps)$")
    dtype: str = Field("auto", pattern="^(auto|float32|bfloat16|float16)$")
    system: str | None = Field(None, description="System prompt where an example or item has none of its own.")
    arms: list[ArmSetting] = Field(min_length=1)
    seeds: list[int] = Field(min_length=1)
    format: FormatSettings = FormatSettings()
    train: TrainSettings = TrainSettings()
    exams: list[str] = Field(["decisions"], min_length=1)
    max_new_tokens: int = Field(64, gt=0)
    contrasts: list[ContrastSetting] = Field(default_factory=list, description="Declared before the run; Holm applies.")
    exploratory: list[ContrastSetting] = Field(default_factory=list, description="Shown, labelled and uncorrected.")
    competence: CompetenceSetting | None = None
    level: float = Field(0.95, gt=0.5, lt=1)
    shared: list[str] = Field(default_factory=list, description="Left out of the overlap check: system, policy.")
    workers: int | None = Field(None, gt=0, description="Units at work at once; null fits the machine.")


@dataclass(frozen=True)
class Study:
    """A study file with everything it names, read and checked against each other."""

    path: Path
    settings: StudySettings
    policy: Policy
    examples: tuple[Example, ...]
    items: tuple[Item, ...]

    @property
    def folder(self) -> Path:
        return self.path.parent

    def arm(self, name: str) -> ArmSetting:
        for setting in self.settings.arms:
            if setting.name == name:
                return setting
        raise unknown_name("arm", name, [setting.name for setting in self.settings.arms], where=str(self.path))

    def exam_format(self, setting: ArmSetting) -> ExamFormat:
        format = self.settings.format
        place = setting.reason or format.reason
        return ExamFormat(find_arm(setting.arm).reasons, place, format.reason_marker, format.action_marker)


def study_path(path: Path) -> Path:
    """A study may be named by its folder."""
    return path / "study.yaml" if path.is_dir() else path


def read_study(path: Path, *, overrides: dict[str, Any] | None = None) -> Study:
    """Read a study and everything it names. `overrides` replaces top-level fields (such as the model)."""
    path = study_path(path)
    values = load_yaml(read_text(path), path) | (overrides or {})
    settings = validated(StudySettings, values, Place(path))
    for number, contrast in enumerate([*settings.contrasts, *settings.exploratory], 1):
        check_contrast(contrast, settings, f"{path}, contrast {number}")
    check_arms(settings, str(path))
    for exam in settings.exams:
        find_exam(exam, where=f"{path}, field 'exams'")
    for shared in settings.shared:
        if shared not in SHAREABLE:
            raise unknown_name("shareable text", shared, SHAREABLE, where=f"{path}, field 'shared'")
    folder = path.parent
    policy = read_policy(folder / settings.policy)
    examples = read_examples([folder / name for name in settings.examples])
    items = read_items([folder / name for name in settings.items])
    check_principles(policy, examples, items, str(path))
    return Study(path, settings, policy, tuple(examples), tuple(items))


def check_arms(settings: StudySettings, where: str) -> None:
    names = [setting.name for setting in settings.arms]
    for setting in settings.arms:
        find_arm(setting.arm, where=f"{where}, field 'arms'")
        if names.count(setting.name) > 1:
            raise InputError(
                f"Two arms are named {setting.name!r}.",
                where=f"{where}, field 'arms'",
                remedy="Give one of them a `name:` of its own.",
            )
    if len(set(settings.seeds)) < len(settings.seeds):
        raise InputError("A seed stands twice.", where=f"{where}, field 'seeds'", remedy="Name each seed once.")


def check_contrast(contrast: ContrastSetting, settings: StudySettings, where: str) -> None:
    names = [setting.name for setting in settings.arms]
    for name in (contrast.arm, contrast.versus):
        if name not in names:
            raise unknown_name("arm in this study", name, names, where=where)
    if contrast.exam not in settings.exams:
        raise unknown_name("exam in this study", contrast.exam, settings.exams, where=where)
    metrics = [metric.name for metric in EXAMS[contrast.exam].metrics]
    if contrast.metric not in metrics:
        raise unknown_name("metric", contrast.metric, metrics, where=where)
    for field, value in contrast.subset.items():
        if field not in ("kind", "distance", "statedness", "principle", "family"):
            raise unknown_name("item field", field, ["kind", "distance", "statedness", "principle", "family"], where=where)
        if field == "distance" and value not in DISTANCES:
            raise unknown_name("distance", value, DISTANCES, where=where)


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
