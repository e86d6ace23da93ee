"""How fast this machine trains and answers, measured on a few rows and items, and the minutes a unit would take."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ..evals import Request, find_exam
from ..train.settings import plan_batches
from ..train.tokens import TokenRow
from .arm_setting import ArmSetting
from .job import Job
from .plan import Unit
from .run import Say
from .stages import Lessons, Stage
from .stages.supervised import is_plain
from .unit import Worker
from .worker import set_up_torch

MEASURED_ROWS = 32
MEASURED_UPDATES = 8
MEASURED_ITEMS = 64
READING_SHARE = 0.5  # of an update's work on a token with an adapter, forward and back to what came before
INFINITE = float("inf")


@dataclass(frozen=True)
class Speed:
    """What one worker does in a second.

    training, trunk: tokens in updates and through the frozen trunk. after_training, untrained: requests answered by a
    model that writes as it was taught, and by one that writes as long as it may.
    """

    training: float
    trunk: float
    after_training: float
    untrained: float


def stages_to_teach(job: Job, units: Sequence[Unit], *, anew: bool = False) -> dict[str, list[tuple[Stage, Lessons]]]:
    """Unit name -> the stages that it has to be taught, with their lessons: what arms share stands with the first.

    anew: as if nothing were done.
    """
    found: dict[str, list[tuple[Stage, Lessons]]] = {}
    seen: set[str] = set()
    for unit in units:
        found[unit.name] = left = []
        if not unit.trained or unit.arm.until or (not anew and job.trained(unit)):
            continue
        stages = zip(job.study.stages(unit.arm), job.prepared.lessons[unit.arm.name], strict=True)
        for (stage, lessons), stamp in zip(stages, job.stage_stamps(unit), strict=True):
            shared = stage.checkpoints <= 1
            done = job.stage_done(unit, stage.name) or (shared and job.taught_elsewhere(unit, stamp))
            if stamp not in seen and (anew or not done):
                left.append((stage, lessons))
            if shared:
                seen.add(stamp)
    return found


def training_size(job: Job, unit: Unit) -> tuple[int, int]:
    """Tokens and updates of a unit's training; zeros for an arm that is not trained, or is a checkpoint of another."""
    if not unit.trained:
        return 0, 0
    if unit.arm.until:
        return 0, 0
    lessons = job.prepared.lessons[unit.arm.name]
    return sum(found.tokens(unit.real_seed) for found in lessons), sum(found.updates for found in lessons)


def measure_speed(job: Job, units: Sequence[Unit], say: Say) -> Speed:
    """Measured in this process on a few rows and items. Compiling is not counted."""
    say("measuring a few updates and answers ...")
    taught = [unit.arm for unit in units if unit.trained and not unit.arm.until]
    trained = next((arm for arm in taught if plain_rows(job, arm)), None)
    untrained = next((unit.arm for unit in units if not unit.trained), None)
    with torch_as_in_a_worker(job.threads):
        training, trunk = measure_training(job, trained) if trained else (INFINITE, INFINITE)
        return Speed(
            training,
            trunk,
            after_training=measure_trained_exam(job, taught[0]) if taught else INFINITE,
            untrained=measure_exam(job, untrained) if untrained else INFINITE,
        )


def plain_rows(job: Job, arm: ArmSetting) -> Sequence[TokenRow]:
    """Of the first stage that has such rows; pairs and tasks are not measured."""
    return next((found.rows for found in job.prepared.lessons[arm.name] if found.rows and is_plain(found.rows)), ())


@contextmanager
def torch_as_in_a_worker(threads: int) -> Iterator[None]:
    """A worker's settings, for as long as it measures; this process is the user's."""
    import torch

    before = torch.get_num_threads()
    set_up_torch(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        torch.set_flush_denormal(False)


def measure_training(job: Job, arm: ArmSetting) -> tuple[float, float]:
    """Tokens a second in updates and through the trunk."""
    from ..train.supervised import train_adapter

    worker = Worker(job)
    model, network = worker.prepare_network()
    if worker.trunk:
        worker.trunk.folder = None  # a plan writes nothing
    rows = plain_rows(job, arm)[:MEASURED_ROWS]
    train = job.study.settings.train
    batches = plan_batches([row.shared for row in rows], batch=train.batch, updates=MEASURED_UPDATES, seed=0)
    moments: list[float] = []
    with tempfile.TemporaryDirectory() as scratch:
        train_adapter(
            network,
            rows,
            batches,
            train,
            pad_token=model.chat.pad_token,
            seed=0,
            scratch=Path(scratch),
            trunk=worker.trunk,
            loss=worker.loss,
            progress=lambda update, updates, loss: moments.append(time.perf_counter()),
        )
    tokens = [sum(len(rows[index].ids) for index in batch) for batch in batches]
    half = len(batches) // 2  # the first updates compile
    training = sum(tokens[half:]) / (moments[-1] - moments[half - 1])
    if worker.trunk is None:
        return training, INFINITE
    started = time.perf_counter()
    worker.trunk.computed(rows, model.chat.pad_token)
    return training, sum(len(row.ids) for row in rows) / (time.perf_counter() - started)


def measure_trained_exam(job: Job, arm: ArmSetting) -> float:
    """Requests answered a second by a trained model, without one.

    The untrained model is stopped after as many tokens as are trained in a row of the arm, and its options are scored
    at once, as behind the marker that it was not taught to write.
    """
    return measure_exam(job, arm, max_new_tokens=round(written_by(job, arm)), marker="")


def written_by(job: Job, arm: ArmSetting) -> float:
    """Tokens of an answer: as many as a trained row has, or as many as there may be."""
    most = job.study.settings.max_new_tokens
    own = job.prepared.token_rows.get(arm.whole)
    return min(most, sum(row.trained for row in own) / len(own)) if own else most


def measure_exam(job: Job, arm: ArmSetting, *, max_new_tokens: int | None = None, marker: str | None = None) -> float:
    """Requests of the first exam answered a second, by the untrained model in the arm's format."""
    from ..evals import answer_requests
    from ..models import load_model

    environment = job.environment
    model = load_model(job.source, device=environment["device"], dtype=environment["dtype"])
    format = job.study.exam_format(arm)
    requests = requests_of(job, arm, job.study.settings.exams[0])[:MEASURED_ITEMS]
    started = time.perf_counter()
    answer_requests(
        model,
        requests,
        job.prepared.prompts[arm.name],
        format if marker is None else replace(format, action_marker=marker),
        max_new_tokens=max_new_tokens or job.study.settings.max_new_tokens,
    )
    return len(requests) / (time.perf_counter() - started)


def requests_of(job: Job, arm: ArmSetting, exam: str) -> list[Request]:
    return find_exam(exam).requests(job.prepared.cases[exam], job.study.exam_format(arm))


def unit_minutes(job: Job, unit: Unit, left: Sequence[tuple[Stage, Lessons]], speed: Speed) -> float:
    """Estimated minutes of what is left of a unit, without the answers that it writes while it is trained.

    left: the stages that it has to be taught. The trunk is run once an arm; it is counted with the first seed.
    """
    seconds = 0.0
    for stage, lessons in left:
        effort = stage.effort(lessons, unit.real_seed)
        seconds += (effort.tokens + READING_SHARE * effort.read) / speed.training
        if unit.seed == job.study.settings.seeds[0]:
            seconds += sum(row.length for row in lessons.rows) / speed.trunk
    answers = speed.after_training if unit.trained else speed.untrained
    if not job.answered(unit):
        exams = job.study.settings.exams
        asked = [len(requests_of(job, unit.arm, exam)) * find_exam(exam).asked_a_case for exam in exams]
        times = job.study.settings.sampling.samples if job.study.settings.sampling else 1
        seconds += times * sum(asked) / answers
    if (again := job.again(unit)) and not job.repeated(unit):
        seconds += again.settings.samples * len(again.cases) * find_exam(again.measure.exam).asked_a_case / answers
    return seconds / 60
