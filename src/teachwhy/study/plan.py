"""What a study will do: its units, their stamps, and what of it is already done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..data import find_arm
from ..errors import unknown_name
from ..evals import Item, find_exam
from ..models import ModelSource
from ..text import fingerprint
from .arm_setting import ArmSetting
from .folder import read_json
from .stages import Lessons, Stage, usual_stages
from .study_file import Study

PACKAGES = ("teachwhy", "torch", "transformers", "peft", "trl", "accelerate", "tokenizers", "safetensors", "inspect_ai")


PLAIN = usual_stages()[0].record()


@dataclass(frozen=True)
class Unit:
    """The unit of work: one (arm, seed) with its exams. seed None: an arm that is not trained."""

    arm: ArmSetting
    seed: int | None

    @property
    def name(self) -> str:
        return f"{self.arm.name}/seed-{'none' if self.seed is None else self.seed}"

    @property
    def trained(self) -> bool:
        return self.seed is not None

    @property
    def whole(self) -> str:
        """The name of the unit that is trained for it: its own, or that of the arm it is a checkpoint of."""
        return f"{self.arm.whole}/{self.name.rpartition('/')[2]}"

    @property
    def real_seed(self) -> int:
        """The seed that is set: the study's, moved by the arm's offset."""
        return (self.seed or 0) + self.arm.seed_offset

    def train_folder(self, run: Path) -> Path:
        return run / "train" / self.name

    def evals_folder(self, run: Path) -> Path:
        return run / "evals" / self.name


def plan_units(
    study: Study, arms: Sequence[str] | None = None, seeds: Sequence[int] | None = None, *, quick: bool = False
) -> list[Unit]:
    """The units in the order they are run: untrained arms, then seed by seed; arms of smaller size after all others.

    Errors: an unknown arm or seed.

    quick: where arms or seeds are not named, those of `quick.arms` that the study has, and its first seed.
    """
    known = study.settings.seeds
    if quick:
        names = [setting.name for setting in study.settings.arms]
        arms = arms or [name for name in study.settings.quick.arms if name in names]
        if not arms:
            wanted = study.settings.quick.arms[0]
            raise unknown_name("arm in this study", wanted, names, where=f"{study.path}, field 'quick.arms'")
        seeds = seeds or known[:1]
    for seed in seeds or ():
        if seed not in known:
            raise unknown_name("seed in this study", str(seed), map(str, known), where=f"{study.path}, field 'seeds'")
    chosen = with_checkpoints(study, arms) if arms else list(study.arms)
    trained = [setting for setting in chosen if find_arm(setting.arm).trained]
    units = [Unit(setting, None) for setting in chosen if setting not in trained]
    units += [Unit(setting, seed) for seed in dict.fromkeys(seeds or known) for setting in trained]
    return sorted(units, key=lambda unit: unit.arm.examples is not None)


def with_checkpoints(study: Study, names: Sequence[str]) -> list[ArmSetting]:
    """The arms of these names, each with its checkpoints."""
    chosen: dict[str, ArmSetting] = {}
    for name in names:
        setting = study.arm(name)
        points = [] if setting.until else study.checkpoints(setting)
        chosen |= {one.name: one for one in (setting, *points)}
    return list(chosen.values())


def versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def study_stamp(study: Study, source: ModelSource, judge: ModelSource) -> dict[str, Any]:
    """The content that a run folder stands for; arms and seeds are left out, so that parts join in one folder."""
    left_out = {"arms", "seeds", "workers", "executor", "model", "name", "quick"}
    settings = study.settings.model_dump(mode="json", exclude=left_out)
    settings["train"] = study.settings.train.recipe()
    for later in ("sampling", "stages", "engine"):  # stamps of studies without them are as they were
        if not settings[later]:
            del settings[later]
    return {
        "name": study.settings.name,
        "settings": settings,
        "arms": {setting.name: setting.record() for setting in study.settings.arms},
        "model": source.fingerprint,
        "judge": judge.fingerprint,
        "policy": fingerprint([principle.record() for principle in study.policy.principles]),
        "examples": fingerprint(
            [example.model_dump(exclude_none=True) for example in (*study.examples, *study.generic)]
        ),
        "items": fingerprint(
            [item.model_dump(exclude_none=True) for item in (*study.items, *study.prompts, *study.questions)]
        ),
        "scenario_families": study.scenarios.fingerprint if study.scenarios else None,
        **({"stages": material_stamp(study)} if study.settings.stages else {}),
    }


def material_stamp(study: Study) -> str:
    """Of what the files of all stages hold."""
    held = {
        name: [record.model_dump(mode="json", exclude_none=True) for record in material]
        for name, material in study.materials.items()
    }
    return fingerprint(held)


def train_stamps(
    stages: Sequence[tuple[Stage, Lessons]], source: ModelSource, unit: Unit, environment: dict[str, Any]
) -> list[str]:
    """After each stage of a unit, the fingerprint of everything its adapter then depends on."""
    stamps: list[str] = []
    for stage, lessons in stages:
        found = {name: value for name, value in environment.items() if name != "trl" or stage.over_trl}
        parts = [source.fingerprint, lessons.hash, lessons.settings.recipe(), unit.real_seed, found]
        if stamps or stage.record() != PLAIN:
            stamps.append(fingerprint(["stage", 1, stage.record(), stamps[-1:], *parts]))
        else:  # a training of the arm's own rows from step 0 is the same with stages and without
            stamps.append(fingerprint(["train", 1, *parts]))
    return stamps


def checkpoint_stamp(stage: str, percent: int) -> str:
    """Of what stands midway in a stage. stage: the stamp of its end."""
    return stage if percent == 100 else fingerprint(["checkpoint", stage, percent])


def evals_stamp(
    study: Study,
    unit: Unit,
    model: str,
    judge: str,
    prompts: str,
    exam: str,
    cases: Sequence[Item],
    environment: dict[str, Any],
) -> str:
    """Fingerprint of everything an arm's answers depend on. model: of the adapter, or of the base model."""
    found, format = find_exam(exam), study.exam_format(unit.arm)
    requests = [vars(request) for request in found.requests(cases, format)]
    written = {name: value for name, value in vars(format).items() if name != "judged"}
    # What an exam asks on hangs on the judge, and on the items beyond their words.
    asked_on = [format.judged, judge, [case.hangs_on for case in cases]] if found.follow_up else None
    longest, sampling = study.settings.max_new_tokens, study.settings.sampling
    parts = ["evals", found.version, model, prompts, requests, written, asked_on, longest, environment]
    later = [setting.model_dump() for setting in (sampling, study.settings.engine) if setting]
    return fingerprint([*parts, *later])


def stamp_fits(path: Path, stamp: Any) -> bool:
    """Whether the record at `path` was made from the same content."""
    record = read_json(path)
    return isinstance(record, dict) and record.get("stamp") == stamp
