"""Logs of Inspect as records of a run: what a study's own runner would have written, so that its report reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data import find_arm
from ..errors import InputError, RunError, first_line, listed
from ..evals import Answer, as_record, find_exam
from ..models.api import read_output
from ..models.names import API_PREFIX
from ..study import Job, Run, Unit, plan_units, prepare_job, read_study
from ..study.ask import job_of
from ..study.folder import content_hashes, locked, write_json, write_jsonl
from ..study.journal import told
from ..study.plan import versions
from ..study.run import Say, write_results, write_start
from .arms import parts_of, source_fingerprint, unit_of
from .asking import OURS
from .cases import messages_of, restored

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSample

TASKS = "teachwhy/"
PROVIDER = "teachwhy/"


@dataclass(frozen=True)
class Joined:
    """A log and what it is a part of."""

    path: Path
    log: EvalLog
    exam: str
    job: Job
    unit: Unit


def join_logs(study: Path, paths: Sequence[Path], *, runs: Path, say: Say) -> list[Run]:
    """Write what logs hold into the run folders that they belong to, and results and report anew; one run a model.

    Errors (InputError): a log that is not of an exam of this study, not whole, or not asked as the study asks.
    """
    jobs: dict[str, Job] = {}
    joined = [found_place(path, study, jobs, runs, say) for path in paths]
    for one in joined:
        check(one)
    done = []
    for job in jobs.values():
        with locked(job.run, say):
            write_start(job, quick=bool(job.study.left_out))
            for one in joined:
                if one.job is job:
                    store(one)
                    say(f"{one.unit.name}: {one.exam} from {one.path.name}")
            done.append(Run(job.run, write_results(job, {}, anew=True), {}))
    return done


def found_place(path: Path, study: Path, jobs: dict[str, Job], runs: Path, say: Say) -> Joined:
    """The job and unit that a log is of. jobs: those already prepared, by the name of the study's model."""
    log = read_log(path)
    exam = log.eval.task.removeprefix(TASKS)
    named = parts_of(log.eval.model.removeprefix(PROVIDER)) if log.eval.model.startswith(PROVIDER) else None
    key = str(named.folder.resolve()) if named else API_PREFIX + log.eval.model
    if key not in jobs:
        jobs[key] = job_of(named.folder, runs, say) if named else prepare_job(read_study(study, model=key), runs, say)
    job = jobs[key]
    if job.study.settings.name != read_study(study).settings.name:
        raise InputError(
            f"This log is of a run of the study {job.study.settings.name!r}.",
            where=str(path),
            remedy="Name that study.",
        )
    if exam not in job.study.settings.exams:
        raise InputError(
            f"The study does not have the exam {exam!r}.",
            where=f"{path}; {job.study.path}, field 'exams'",
            remedy=f"It has: {listed(job.study.settings.exams)}. Add the exam there, or leave this log out.",
        )
    return Joined(path, log, exam, job, unit_of(job, named) if named else shown_unit(job, log, path))


def read_log(path: Path) -> EvalLog:
    from inspect_ai.log import read_eval_log

    try:
        log = read_eval_log(str(path), resolve_attachments=True)
    except Exception as error:
        raise InputError(
            f"This is not a log of Inspect: {first_line(error)}", where=str(path), remedy="Name .eval or .json logs."
        ) from None
    if not log.eval.task.startswith(TASKS):
        raise InputError(
            f"This log is of the task {log.eval.task!r}, which is no exam of ours.",
            where=str(path),
            remedy="Leave it out.",
        )
    return log


def shown_unit(job: Job, log: EvalLog, path: Path) -> Unit:
    """The unit of a model behind an API: the arm whose text it was shown."""
    kind = log.eval.task_args.get("system", "base")
    for unit in plan_units(job.study):
        if unit.arm.arm == kind and not unit.trained:
            return unit
    raise InputError(
        f"The study has no arm {kind!r}, whose text was shown here.",
        where=f"{path}; {job.study.path}, field 'arms'",
        remedy="Add the arm there, or leave this log out.",
    )


def check(one: Joined) -> None:
    """Refuse a log that is not what the study's own runner would have asked, or not all of it."""
    settings, config = one.job.study.settings, one.log.plan.config
    sampling = settings.sampling
    asked: dict[str, tuple[Any, Any]] = {
        "the longest answer (max_tokens)": (config.max_tokens, settings.max_new_tokens),
        "the temperature": (config.temperature, sampling.temperature if sampling else 0.0),
        "how often it asks (epochs)": (one.log.eval.config.epochs or 1, sampling.samples if sampling else 1),
        "the version of the exam": (one.log.eval.task_version, find_exam(one.exam).version),
    }
    for what, (was, wanted) in asked.items():
        if was != wanted:
            raise mismatch(one, f"{what} was {was}, and {wanted} in the study")
    if one.log.eval.task_args.get("system", "base") != "base" and one.log.eval.model.startswith(PROVIDER):
        raise mismatch(one, "the arm was shown a further system prompt")
    check_samples(one)
    check_judge(one)


def mismatch(one: Joined, what: str) -> InputError:
    return InputError(
        f"This log was not asked as the study asks: {what}.",
        where=str(one.path),
        remedy=f"Ask again: inspect eval {TASKS}{one.exam} -T study={one.job.study.path}, with no other settings.",
    )


def check_samples(one: Joined) -> None:
    """Every case of the study, in its words, once an epoch and without an error."""
    wanted = {case.id: case for case in one.job.prepared.cases[one.exam]}
    format = one.job.study.exam_format(one.unit.arm)
    before = find_arm(one.unit.arm.arm).system_text(one.job.study.policy)
    shown = "" if one.log.eval.model.startswith(PROVIDER) else before  # an arm adds its own text itself
    found: dict[int, set[str]] = {}
    for sample in samples_of(one):
        cases = [restored(case) for case in (sample.metadata or {})["cases"]]
        for case in cases:
            if case != wanted.get(case.id):
                raise mismatch(one, f"the case {case.id!r} is none of the study's, or in other words")
        opening = messages_of(cases[0], one.job.study.settings.system or "", shown)
        if said(sample.input) != [(message["role"], message["content"]) for message in opening]:
            raise mismatch(one, f"what stands before the case {cases[0].id!r} is not as in the study")
        if (told_as := sample.store[OURS]["format"]) != asdict(format):
            raise InputError(
                f"The study reads answers as {asdict(format)}, and this model wrote them as {told_as}.",
                where=str(one.path),
                remedy="A model that was not taught the study's format writes plainly: give the study "
                "`format: {reason_marker: '', action_marker: ''}` and `off_format_share: 0`.",
            )
        found.setdefault(sample.epoch, set()).update(case.id for case in cases)
    missing = len(wanted) - min((len(ids) for ids in found.values()), default=0)
    if missing:
        raise InputError(
            f"This log lacks {missing} of the {len(wanted)} cases of the exam {one.exam!r}.",
            where=str(one.path),
            remedy=f"Ask the rest: inspect eval-retry {one.path}; without --limit.",
        )


def check_judge(one: Joined) -> None:
    """Whoever judged must be the study's judge."""
    exam, settings = find_exam(one.exam), one.job.study.settings
    if not (exam.needs_judge or (exam.follow_up and settings.judge)):
        return
    role = (one.log.eval.model_roles or {}).get("grader")
    name = getattr(role, "model", "")
    if not name.startswith(PROVIDER) or source_fingerprint(name.removeprefix(PROVIDER)) != one.job.judge.fingerprint:
        raise mismatch(one, f"the judge was {name or 'nobody'}, and {one.job.judge.name} in the study")


def samples_of(one: Joined) -> Iterator[EvalSample]:
    """The samples that were answered. Errors (RunError): there are none."""
    whole = [sample for sample in one.log.samples or () if sample.error is None and OURS in sample.store]
    if not whole:
        raise RunError("This log holds no answers.", where=str(one.path), remedy="Ask again, or leave it out.")
    yield from whole


def said(messages: Any) -> list[tuple[str, str]]:
    return [("user", messages)] if isinstance(messages, str) else [(one.role, one.text) for one in messages]


def store(one: Joined) -> None:
    """As the study's own runner stores answers: the answers, and then the record with their stamp."""
    folder = one.unit.evals_folder(one.job.run)
    samples = sorted(samples_of(one), key=lambda sample: sample.epoch)
    answers = [Answer(**record) for sample in samples for record in sample.store[OURS]["answers"]]
    write_jsonl(folder / f"{one.exam}.jsonl", [as_record(answer) for answer in in_order(one, answers)])
    exam = find_exam(one.exam)
    record: dict[str, Any] = {
        "stamp": one.job.evals_stamp(one.unit, one.exam),
        "files": content_hashes([folder / f"{one.exam}.jsonl"]),
        "exam": one.exam,
        "version": exam.version,
        "canary": samples[0].store[OURS]["canary"],
        "judge": asdict(one.job.judge) | {"folder": ""} if exam.follow_up else None,
        "environment": dict(one.job.environment),
        "versions": versions(),
        "inspect": {"log": one.path.name, "eval_id": one.log.eval.eval_id, "packages": one.log.eval.packages},
    }
    if one.job.source.behind_api:
        record["asked"] = told(
            read_output(event.output)
            for sample in samples
            for event in sample.events
            if event.event == "model" and event.role is None
        )
    write_json(folder / f"{one.exam}.json", record)


def in_order(one: Joined, answers: Sequence[Answer]) -> list[Answer]:
    """First cases as the study has them, with what followed behind each; the log has them as they were finished."""
    places = {case.id: place for place, case in enumerate(one.job.prepared.cases[one.exam])}
    last = len(places)

    def place(answer: Answer) -> tuple[int, int]:
        return answer.sample, places.get(answer.item, places.get(answer.item.partition("~turn-")[0], last))

    return sorted(answers, key=place)
