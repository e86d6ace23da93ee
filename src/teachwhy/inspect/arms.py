"""Arms of a run as models that can be named and loaded: `RUN:ARM:SEED`, `RUN:ARM`, or any model by its own name."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

from ..data import find_arm
from ..errors import InputError, RunError, listed
from ..evals import ExamFormat
from ..models import LanguageModel, find_model, load_model, load_trained
from ..models.load import model_context
from ..study import Job, Unit, plan_units
from ..study.ask import job_of

PLAIN = ExamFormat(reasons=False, place="first", reason_marker="", action_marker="", off_share=0.0)
PROBE = "A probe of a few words."
LONGEST_ANSWER = 512  # tokens, of an answer to a request that is not an exam's
FORM = "Write RUN_FOLDER:ARM:SEED, or RUN_FOLDER:ARM where the arm is not trained, as in runs/swap/1a2b3c4d:why:0."

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Arm:
    """A model with all that belongs to its arm.

    format: how it writes in exams. before: what it is shown of the policy, ahead of every system prompt.
    max_new_tokens: how long its answers are where nobody says. context: tokens that it holds. canary: what proves that
    its adapter is applied.
    """

    name: str
    model: LanguageModel
    context: int
    format: ExamFormat = PLAIN
    before: str = ""
    max_new_tokens: int = LONGEST_ANSWER
    canary: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ArmName:
    folder: Path
    arm: str
    seed: int | None


@cache
def load_arm(name: str) -> Arm:
    """The arm or model of this name, loaded once. Errors: no such run, arm, seed or model; an arm not trained yet."""
    named = parts_of(name)
    if named is None:
        source = find_model(name, base_folder=Path(), say=log.info)
        return Arm(name, load_model(source), model_context(source))
    job = job_of(named.folder, named.folder, log.info)
    unit = unit_of(job, named)
    study = job.study
    if job.source.behind_api:
        raise InputError(
            "The model of this run is behind an API.",
            where=f"run {job.run}",
            remedy=f"Ask it by the name of its provider, {job.source.folder}, with -T system={unit.arm.arm}.",
        )
    model, canary = load_unit(job, unit)
    before = find_arm(unit.arm.arm).system_text(study.policy)
    longest, format = study.settings.max_new_tokens, study.exam_format(unit.arm)
    return Arm(name, model, model_context(job.source), format, before, longest, canary)


def load_unit(job: Job, unit: Unit) -> tuple[LanguageModel, dict[str, float]]:
    """The model of a unit, and the canary of a trained one."""
    device, dtype = job.environment["device"], job.environment["dtype"]
    if not unit.trained:
        return load_model(job.source, device=device, dtype=dtype), {}
    folder = unit.train_folder(job.run)
    model, canary = load_trained(job.source, folder, device=device, dtype=dtype, probe=PROBE)
    return model, asdict(canary)


def source_fingerprint(name: str) -> str | None:
    """Of the model of this name, where it is one as it came: neither trained nor shown a policy."""
    named = parts_of(name)
    if named is None:
        return find_model(name, base_folder=Path(), say=log.info).fingerprint
    job = job_of(named.folder, named.folder, log.info)
    arm = find_arm(unit_of(job, named).arm.arm)
    return None if arm.trained or arm.in_prompt else job.source.fingerprint


def parts_of(name: str) -> ArmName | None:
    """The folder, arm and seed that a name stands for; None for the name of a model. A folder may hold colons."""
    head, _, last = name.rpartition(":")
    if is_run(head):
        return ArmName(Path(head), last, None)
    folder, _, arm = head.rpartition(":")
    if is_run(folder):
        if not last.isdecimal():
            raise InputError(f"The seed {last!r} is not a whole number.", where=f"model {name!r}", remedy=FORM)
        return ArmName(Path(folder), arm, int(last))
    if head and not Path(name).exists() and not name.startswith(("bundled:", "hub:")):
        raise InputError(
            "There is no run folder of this name.",
            where=f"model {name!r}",
            remedy=f"{FORM} The folder is the one that holds study.json.",
        )
    return None


def is_run(folder: str) -> bool:
    return bool(folder) and (Path(folder) / "study.json").is_file()


def unit_of(job: Job, named: ArmName) -> Unit:
    where = f"run {job.run}"
    units = plan_units(job.study, [named.arm], None if named.seed is None else [named.seed])
    if units[0].trained and named.seed is None:
        trained = [str(unit.seed) for unit in units if job.trained(unit)]
        raise InputError(
            f"The arm {named.arm!r} is trained, so it needs a seed.",
            where=where,
            remedy=f"{FORM} Trained: {listed(trained) or 'none yet'}.",
        )
    if not units[0].trained and named.seed is not None:
        raise InputError(f"The arm {named.arm!r} is not trained, so it has no seed.", where=where, remedy=FORM)
    if not job.trained(units[0]):
        raise RunError(f"{units[0].name} is not trained yet.", where=where, remedy="Run the study first.")
    return units[0]
