"""The job that the workers of a run share, and the steps that they are given: what is done is told by stamps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ..evals import WORDINGS, find_exam
from ..models import USUAL, Asking, ModelSource, Purse
from ..text import fingerprint
from .folder import read_json, whole
from .journal import journal_path
from .noise import Again
from .plan import Unit, checkpoint_stamp, evals_stamp, stamp_fits, train_stamps
from .prepare import Prepared
from .shared import Shared
from .study_file import Study


@dataclass(frozen=True)
class Job:
    """Everything the workers of one run share. environment: what the bytes of a result may depend on.

    source: the model under study. judge: the one that reads and foresees answers. asking, purse: how a model behind an
    API is asked, and what that may cost. shared: where the run folder is kept, if it is a copy.
    known, known_stages: stamps of exams and of stages, which take time and are asked for again and again.
    """

    study: Study
    source: ModelSource
    judge: ModelSource
    prepared: Prepared
    run: Path
    environment: Mapping[str, Any]
    threads: int
    asking: Asking = USUAL
    purse: Purse = field(default_factory=Purse)
    shared: Shared | None = None
    known: dict[tuple[str, str], str] = field(default_factory=dict, init=False, compare=False, repr=False)
    known_stages: dict[str, list[str]] = field(default_factory=dict, init=False, compare=False, repr=False)

    def train_stamp(self, unit: Unit) -> str:
        """Of its adapter: after its last stage, or where it is a checkpoint."""
        stamps = self.stage_stamps(unit)
        if not unit.arm.until:
            return stamps[-1]
        name, percent = unit.arm.point
        names = [stage.name for stage in self.study.stages(unit.arm)]
        return checkpoint_stamp(stamps[names.index(name)], percent)

    def stage_stamps(self, unit: Unit) -> list[str]:
        if unit.whole not in self.known_stages:
            stages = zip(self.study.stages(unit.arm), self.prepared.lessons[unit.arm.whole], strict=True)
            environment = {name: value for name, value in self.environment.items() if name != "vllm"}  # trains nothing
            self.known_stages[unit.whole] = train_stamps(list(stages), self.source, unit, environment)
        return self.known_stages[unit.whole]

    def checkpoints(self, unit: Unit) -> list[Unit]:
        """The units that are examined on the way of this one, and trained with it."""
        if not unit.trained or unit.arm.until:
            return []
        return [replace(unit, arm=setting) for setting in self.study.checkpoints(unit.arm)]

    def evals_stamp(self, unit: Unit, exam: str) -> str:
        if (unit.name, exam) not in self.known:
            model = self.train_stamp(unit) if unit.trained else self.source.fingerprint
            prompts = self.prepared.prompts_hash(unit.arm.name, exam)
            stamp = evals_stamp(
                self.study,
                unit,
                model,
                self.judge.fingerprint,
                prompts,
                exam,
                self.prepared.cases[exam],
                self.examined_in,
            )
            self.known[unit.name, exam] = stamp
        return self.known[unit.name, exam]

    @property
    def examined_in(self) -> dict[str, Any]:
        """What answers depend on beside the model, the items and their prompts: TRL only teaches."""
        return {name: value for name, value in self.environment.items() if name != "trl"}

    def stage_ends(self, unit: Unit) -> list[Unit]:
        """Where the adapter of a unit is kept after each of its stages but the last."""
        if not unit.trained or unit.arm.until:
            return []
        return [replace(unit, arm=unit.arm.at(stage.name, 100)) for stage in self.study.stages(unit.arm)[:-1]]

    def left_by(self, unit: Unit) -> list[Unit]:
        """All whose adapters a training leaves: the stages before the last, the checkpoints, and the unit itself."""
        return list(dict.fromkeys([*self.stage_ends(unit), *self.checkpoints(unit), unit]))

    def taught_as(self, unit: Unit) -> Unit:
        """The unit whose training gives this one its adapter: itself, unless it is a checkpoint."""
        return replace(unit, arm=self.study.arm(unit.arm.whole)) if unit.arm.until else unit

    def end_of(self, unit: Unit, stage: str) -> Unit:
        """Where the adapter of a unit is kept after one of its stages: with the last, the unit itself."""
        last = self.study.stages(unit.arm)[-1].name == stage
        return unit if last else replace(unit, arm=unit.arm.at(stage, 100))

    def has_adapter(self, unit: Unit) -> bool:
        return stamp_fits(unit.train_folder(self.run) / "train.json", self.train_stamp(unit))

    def stage_done(self, unit: Unit, stage: str) -> bool:
        """Whether a stage is behind a unit, with the checkpoints on its way."""
        points = [point for point in self.checkpoints(unit) if point.arm.point[0] == stage]
        end = self.end_of(unit, stage)
        return all(map(self.has_adapter, [end, *points])) and whole(end.train_folder(self.run) / "train.json")

    def taught_elsewhere(self, unit: Unit, stamp: str) -> Path | None:
        """The folder of any arm of this unit's seed whose adapter has this very stamp."""
        records = sorted((self.run / "train").glob(f"*/seed-{unit.seed}/train.json"))
        return next((record.parent for record in records if stamp_fits(record, stamp) and whole(record)), None)

    def again(self, unit: Unit) -> Again | None:
        """What this unit is asked again, if it is the one."""
        found = self.prepared.again
        return found if found and found.unit == unit else None

    def again_stamps(self, unit: Unit) -> dict[str, str]:
        """The records of what a unit is asked and judged again, by name, each with the stamp it must have."""
        again = self.again(unit)
        if again is None:
            return {}
        exam, noise = again.measure.exam, again.settings
        model = self.train_stamp(unit) if unit.trained else self.source.fingerprint
        prompts = fingerprint({case.id: self.prepared.prompts[unit.arm.name][case.id] for case in again.cases})
        environment = self.examined_in
        asked = evals_stamp(self.study, unit, model, self.judge.fingerprint, prompts, exam, again.cases, environment)
        samples = ["samples", 1, again.measure.format, noise.temperature, noise.samples, asked]
        judgings = ["judgings", 1, WORDINGS[: noise.judgings], sorted(again.pairs), self.evals_stamp(unit, exam)]
        stamps = {again.samples: fingerprint(samples)}
        return stamps | ({again.judgings: fingerprint(judgings)} if find_exam(exam).follow_up else {})

    def trained(self, unit: Unit) -> bool:
        """Whether its adapter is there, with those of its checkpoints and of the stages before its last."""
        return not unit.trained or all(map(self.has_adapter, self.left_by(unit)))

    def answered(self, unit: Unit) -> bool:
        """Whether its exams are done."""
        folder = unit.evals_folder(self.run)
        exams = self.study.settings.exams
        return all(stamp_fits(folder / f"{exam}.json", self.evals_stamp(unit, exam)) for exam in exams)

    def repeated(self, unit: Unit) -> bool:
        """Whether all is done that it is to be asked again."""
        folder = unit.evals_folder(self.run)
        return all(stamp_fits(folder / f"{name}.json", stamp) for name, stamp in self.again_stamps(unit).items())

    def examined(self, unit: Unit) -> bool:
        return self.answered(unit) and self.repeated(unit)

    def unheard(self, unit: Unit) -> int:
        """How many answers of its exams never came."""
        records = [read_json(unit.evals_folder(self.run) / f"{exam}.json") for exam in self.study.settings.exams]
        return sum((record or {}).get("asked", {}).get("missing", 0) for record in records)

    def done(self, unit: Unit) -> bool:
        return self.trained(unit) and self.examined(unit) and not self.unheard(unit)

    def parts(self, unit: Unit) -> list[str]:
        """The folders that a unit starts from and leaves, below the study's folder of runs."""
        folders = [unit.evals_folder(self.run)]
        if unit.trained:
            folders += [one.train_folder(self.run) for one in self.left_by(unit)]
            folders.append(self.run / "train" / "step0" / f"seed-{unit.real_seed}")
        if self.source.behind_api:
            folders.append(journal_path(self.run.parent, self.source.fingerprint))
        return list(dict.fromkeys(folder.relative_to(self.run.parent).as_posix() for folder in folders))

    @property
    def trunk_folder(self) -> Path:
        """Where workers keep what the frozen layers make of an arm's rows, until the run is finished."""
        return self.run / "train" / ".trunk"

    def damaged(self, unit: Unit) -> list[Path]:
        """The records of a unit whose adapter or answers are no longer what was written."""
        stored = [*self.study.settings.exams, *self.again_stamps(unit)]
        records = [unit.evals_folder(self.run) / f"{name}.json" for name in stored]
        return [record for record in (unit.train_folder(self.run) / "train.json", *records) if not whole(record)]


@dataclass(frozen=True)
class Step:
    """What a worker is given at a time: the training of a unit, or its exams."""

    unit: Unit
    part: Literal["training", "exams"]
