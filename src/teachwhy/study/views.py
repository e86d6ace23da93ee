"""Looking without running: a study's plan, its status, one of its rows, and whether its inputs hold."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..data import Segment, find_arm
from ..errors import InputError, unknown_name
from ..evals import Request, find_exam
from ..models import find_model, load_chat
from ..models.load import model_context
from ..policy import Finding, check_policy
from ..train.settings import plan_batches
from .plan import Unit, plan_units
from .prepare import prepare, writing
from .run import Say, count_workers, prepare_job
from .study_file import ArmSetting, read_study, study_path
from .unit import Job, Worker
from .worker import set_up_torch

MEASURED_ROWS = 32
MEASURED_UPDATES = 8
MEASURED_ITEMS = 48


@dataclass(frozen=True)
class Speed:
    """What one worker does in a second: tokens trained, tokens through the frozen trunk, requests answered."""

    training: float
    trunk: float
    requests: float


def plan_study(
    path: Path,
    *,
    quick: bool = False,
    model: str | None = None,
    arms: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    runs: Path,
    measure: bool = True,
    say: Say,
) -> str:
    """A table of what a run would do, with minutes estimated from a few timed updates and answers."""
    study = read_study(path, overrides={"model": model} if model else None)
    job = prepare_job(study, runs, say)
    units = plan_units(study, arms, seeds, quick=quick)
    speed = measure_speed(job, units, say) if measure and any(not job.done(unit) for unit in units) else None
    lines = [f"{'unit':28} {'rows':>5} {'updates':>7} {'tokens':>8} {'minutes':>8}  state"]
    total = 0.0
    for unit in units:
        tokens, updates = training_size(job, unit)
        minutes = unit_minutes(job, unit, tokens, speed) if speed else None
        total += minutes or 0.0
        state = "done" if job.done(unit) else "trained, not examined" if unit.trained and job.trained(unit) else "to do"
        rows = len(job.prepared.token_rows.get(unit.arm.name, ()))
        shown = "" if minutes is None else f"{minutes:8.1f}"
        lines.append(f"{unit.name:28} {rows:5} {updates:7} {tokens:8} {shown:>8}  {state}")
    if speed:
        workers = min(count_workers(job), max(1, len(units)))
        lines.append(
            f"\nabout {total / workers:.0f} minutes with {workers} workers at once "
            f"(measured in one worker: {speed.training:.0f} training tokens/s, {speed.requests:.1f} answers/s)"
        )
    lines.append(f"run folder: {job.run}")
    return "\n".join(lines)


def training_size(job: Job, unit: Unit) -> tuple[int, int]:
    """Tokens and updates of a unit's training; zeros for an arm that is not trained."""
    if not unit.trained:
        return 0, 0
    rows = job.prepared.token_rows[unit.arm.name]
    train = job.study.settings.train
    lengths = [row.shared for row in rows]
    batches = plan_batches(lengths, batch=train.batch, epochs=train.epochs, seed=unit.real_seed)
    return sum(len(rows[index].ids) for batch in batches for index in batch), len(batches)


def measure_speed(job: Job, units: Sequence[Unit], say: Say) -> Speed:
    """Measured in this process on a few rows and items. Compiling is not counted."""
    say("measuring a few updates and answers ...")
    set_up_torch(job.threads)
    arm = next((unit.arm for unit in units if unit.trained), units[0].arm)
    training, trunk = measure_training(job, arm) if find_arm(arm.arm).trained else (float("inf"), float("inf"))
    return Speed(training, trunk, measure_exam(job, arm))


def measure_training(job: Job, arm: ArmSetting) -> tuple[float, float]:
    """Tokens a second in updates and through the trunk."""
    from ..train.supervised import train_adapter

    worker = Worker(job)
    model, network = worker.prepare_network()
    rows = job.prepared.token_rows[arm.name][:MEASURED_ROWS]
    train = job.study.settings.train
    batches = plan_batches([row.shared for row in rows], batch=train.batch, epochs=MEASURED_UPDATES, seed=0)
    batches = batches[:MEASURED_UPDATES]
    moments: list[float] = []
    train_adapter(
        network,
        rows,
        batches,
        train,
        pad_token=model.chat.pad_token,
        seed=0,
        scratch=job.run / "train" / ".scratch",
        trunk=worker.trunk,
        progress=lambda update, updates, loss: moments.append(time.perf_counter()),
    )
    tokens = [sum(len(rows[index].ids) for index in batch) for batch in batches]
    half = len(batches) // 2  # the first updates compile
    training = sum(tokens[half:]) / (moments[-1] - moments[half - 1])
    if worker.trunk is None:
        return training, float("inf")
    started = time.perf_counter()
    worker.trunk.computed(rows, model.chat.pad_token)
    return training, sum(len(row.ids) for row in rows) / (time.perf_counter() - started)


def measure_exam(job: Job, arm: ArmSetting) -> float:
    """Requests of the first exam answered a second, by the untrained model in the arm's format."""
    from ..evals import answer_requests
    from ..models import load_model

    environment = job.environment
    model = load_model(job.source, device=environment["device"], dtype=environment["dtype"])
    requests = requests_of(job, arm, job.study.settings.exams[0])[:MEASURED_ITEMS]
    started = time.perf_counter()
    answer_requests(
        model,
        requests,
        job.prepared.prompts[arm.name],
        job.study.exam_format(arm),
        max_new_tokens=job.study.settings.max_new_tokens,
    )
    return len(requests) / (time.perf_counter() - started)


def requests_of(job: Job, arm: ArmSetting, exam: str) -> list[Request]:
    return find_exam(exam).requests(job.study.items, job.study.exam_format(arm))


def unit_minutes(job: Job, unit: Unit, tokens: int, speed: Speed) -> float:
    """Estimated minutes of what is left of a unit. The trunk is run once an arm; it is counted with the first seed."""
    seconds = 0.0
    if not job.trained(unit):
        seconds += tokens / speed.training
        if unit.seed == job.study.settings.seeds[0]:
            seconds += sum(len(row.ids) for row in job.prepared.token_rows[unit.arm.name]) / speed.trunk
    if not job.examined(unit):
        exams = job.study.settings.exams
        seconds += sum(len(requests_of(job, unit.arm, exam)) for exam in exams) / speed.requests
    return seconds / 60


def study_status(path: Path, *, model: str | None, runs: Path, say: Say) -> str:
    """One line a unit, and whether a run is at work."""
    job = prepare_job(read_study(path, overrides={"model": model} if model else None), runs, say)
    units = plan_units(job.study)
    lines = [
        f"{unit.name:28} {'done' if job.done(unit) else 'trained' if job.trained(unit) and unit.trained else '-'}"
        for unit in units
    ]
    done = sum(job.done(unit) for unit in units)
    lines.append(
        f"\n{done} of {len(units)} units done; {'a run is at work' if at_work(job.run) else 'no run is at work'}"
    )
    lines.append(f"run folder: {job.run}")
    return "\n".join(lines)


def at_work(run: Path) -> bool:
    """Whether another process holds the run folder's lock."""
    try:
        with (run / ".lock").open("r") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
    except BlockingIOError:
        return True
    except OSError:
        return False


def show_row(path: Path, *, arm: str, row: int, model: str | None, say: Say) -> tuple[Segment, ...]:
    """The segments of one training row, counted from 1."""
    study = read_study(path, overrides={"model": model} if model else None)
    setting = study.arm(arm)
    if not find_arm(setting.arm).trained:
        trained = [other.name for other in study.settings.arms if find_arm(other.arm).trained]
        raise unknown_name("trained arm", arm, trained)
    source = find_model(study.settings.model, base_folder=study.folder, say=say)
    rows = find_arm(setting.arm).rows(study.examples, writing(study, load_chat(source), setting))
    if row > len(rows):
        raise InputError(f"There is no row {row}; the arm {arm!r} has {len(rows)}.", remedy="Rows count from 1.")
    return rows[row - 1].segments


def check_anything(path: Path, *, say: Say) -> list[Finding]:
    """The findings of a policy file; for a study everything that a run checks before it trains."""
    if not path.is_dir() and path.suffix not in (".yaml", ".yml"):
        return check_policy(path)
    study = read_study(path)
    source = find_model(study.settings.model, base_folder=study.folder, say=say)
    checks = prepare(study, load_chat(source), model_context(source)).checks
    say(f"twins: {checks['twins']['rows']} rows in {len(checks['twins']['arms'])} arms are twins")
    overlap = checks["overlap"]
    say(f"overlap: none in {overlap['taught_texts']} taught and {overlap['examined_texts']} examined texts")
    return check_policy(study_path(path).parent / study.settings.policy)
