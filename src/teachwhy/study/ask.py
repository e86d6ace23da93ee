"""Put one prompt to every arm of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..data import Example, find_arm
from ..errors import RunError
from ..models import ApiModel, LocalSpeaker, Speaker, load_model, load_trained
from .folder import read_json
from .job import Job
from .plan import Unit, plan_units
from .prepare import conversation
from .run import Say, prepare_job
from .study_file import read_study, study_path


def ask_run(
    path: Path, prompt: str, *, arms: Sequence[str] | None, seed: int | None, runs: Path, say: Say
) -> Iterator[tuple[str, str]]:
    """(arm, answer) for each arm of a run that is trained, or needs no training. path: a run folder or a study.

    arms: None for all but those of smaller size.
    """
    job = job_of(path, runs, say)
    named = arms or [setting.name for setting in job.study.settings.arms]
    units = plan_units(job.study, named, None if seed is None else [seed])
    first: dict[str, Unit] = {}
    for unit in units:
        if job.trained(unit):
            first.setdefault(unit.arm.name, unit)
    if not first:
        raise RunError("No arm of this run is trained yet.", where=str(job.run), remedy="Run the study first.")
    for name, unit in first.items():
        yield name, answer(job, unit, prompt)


def job_of(path: Path, runs: Path, say: Say) -> Job:
    """The job of a study, or of the study that a run folder was made from."""
    if (path / "study.json").is_file():
        record = read_json(path / "study.json")
        if not isinstance(record, dict) or not {"study_file", "model"} <= set(record):
            raise RunError(
                "This run's record is broken.", where=str(path / "study.json"), remedy="Name the study itself."
            )
        source = Path(record["study_file"])
        if not source.is_file():
            raise RunError(
                "The study of this run is no longer where it was.", where=str(source), remedy="Put it back there."
            )
        study = read_study(source, model=record["model"], quick=record.get("quick", False))
        job = prepare_job(study, path.resolve().parent.parent, say)
        if job.run != path.resolve():
            raise RunError(
                "The study or its model has changed since this run was made.",
                where=str(path),
                remedy=f"Run the study again; it would go to {job.run}.",
            )
        return job
    if study_path(path).is_file():
        return prepare_job(read_study(path), runs, say)
    raise RunError("This is neither a run folder nor a study.", where=str(path), remedy="Give one of them.")


def answer(job: Job, unit: Unit, prompt: str) -> str:
    """One arm's greedy answer, with the study's system prompt and, for a prompt arm, its text of the policy."""
    speaker = load_unit(job, unit)
    policy = find_arm(unit.arm.arm).system_text(job.study.policy)
    system = "\n\n".join(part for part in (policy, job.study.settings.system) if part)
    case = Example.model_validate({"id": "asked", "prompt": prompt, "action": "-"})
    rendered = speaker.chat.prompt(conversation(case, system or None))
    longest = 4 * job.study.settings.max_new_tokens
    reply = speaker.replies([rendered], max_new_tokens=longest, sampling=None, on_reply=lambda place, reply: None)[0]
    return reply.text.strip() or f"({reply.cause})" if reply.cause else reply.text.strip()


def load_unit(job: Job, unit: Unit) -> Speaker:
    if job.source.behind_api:
        return ApiModel(job.source.name)
    device, dtype = job.environment["device"], job.environment["dtype"]
    if not unit.trained:
        return LocalSpeaker(load_model(job.source, device=device, dtype=dtype))
    folder = unit.train_folder(job.run)
    probe = "A probe of a few words."
    return LocalSpeaker(load_trained(job.source, folder, device=device, dtype=dtype, probe=probe)[0])
