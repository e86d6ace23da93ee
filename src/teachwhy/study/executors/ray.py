"""The Ray executor: each training is a task that runs anywhere in a cluster, and is run again where its worker is lost.

A task starts a fresh worker process, as the local executor does, and passes its messages on. Both die with the driver:
Ray ends the tasks of a driver that is gone, and a worker process ends with the task that holds its standard input.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import platform
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from queue import Queue
from typing import IO, Any

from ...errors import RunError, TeachwhyError, first_line
from ...models import ModelSource, find_model, vllm_version
from ..folder import locked
from ..job import Job, Step
from ..plan import Unit, versions
from ..shared import insist
from .hand import WORKER_MEMORY_BYTES, Inbox, OnMessage, start_worker

LOST_AT_MOST = 5
TELL_EVERY_SECONDS = 2.0
LOOK_EVERY_SECONDS = 0.5
SHOWN_WITHIN_SECONDS = 90.0  # NFS clients keep what they know of a folder for up to a minute


@dataclass(frozen=True)
class Task:
    """What one task does: the training of a unit, where it is not trained, and the exams of all that it trains.

    taught: the unit that is trained. units: it and its checkpoints, those that are not done.
    """

    taught: Unit
    units: tuple[Unit, ...]

    @property
    def name(self) -> str:
        return self.taught.name

    @property
    def names(self) -> list[str]:
        """Of the units that it does."""
        return [unit.name for unit in self.units]


def run_on_ray(job: Job, units: Sequence[Unit], workers: int, on_message: OnMessage, lock: IO[str]) -> dict[str, str]:
    """Run the units in a cluster; returns unit name -> what went wrong, for those that failed. The others go on.

    workers: not asked; as many units are at work as the cluster has room for. lock: the run folder's, held by the
    driver; each unit has a lock of its own, held where it is worked on.
    Errors (RunError): Ray is not installed or cannot be reached; a model behind an API.
    """
    if job.source.behind_api:
        raise RunError(
            "A model behind an API is asked from one machine, out of one purse.",
            where=f"{job.study.path}, field 'executor'",
            remedy="Leave `executor` out, or take --executor local.",
        )
    with cluster() as ray:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        asked = resources(job, nodes)
        check_room(asked, nodes)
        begin = ray.remote(work).options(num_returns="streaming", max_retries=0, **asked).remote
        stored = ray.put(job)
        lost: Counter[str] = Counter()
        failures: dict[str, str] = {}
        running = {begin(stored, task): task for task in tasks(job, units)}
        while running:
            # Together: to look at a thousand streams for the sake of one message would take all the driver's time.
            for stream in ray.wait(list(running), num_returns=len(running), timeout=LOOK_EVERY_SECONDS)[0]:
                task = running[stream]
                message = next_message(ray, stream, task.name)
                if message is None:
                    del running[stream]
                    for missing in not_here(job, task, failures):
                        failures[missing["unit"]] = missing["failed"]
                        on_message(missing)
                    continue
                if "lost" in message:
                    del running[stream]
                    lost[task.name] += 1
                    message = after_loss(task.name, message["lost"], lost[task.name])
                    if "again" in message:
                        running[begin(stored, task)] = task
                        failures = {unit: cause for unit, cause in failures.items() if unit not in task.names}
                if "failed" in message:
                    failures |= dict.fromkeys(failed_units(task, message["unit"]), message["failed"])
                on_message(message)
    return failures


def check_installed() -> None:
    """Errors (RunError): Ray is not."""
    try:
        import ray  # noqa: F401
    except ModuleNotFoundError:
        raise RunError(
            "The executor ray needs Ray, which is not installed.",
            where="`executor` in the study file, or --executor",
            remedy="pip install 'teachwhy[ray]'",
        ) from None


@contextlib.contextmanager
def cluster() -> Iterator[Any]:
    """Ray, connected to the cluster of RAY_ADDRESS, else to one that runs on this machine, else to one started here.

    Errors (RunError): not installed, not to be reached.
    """
    # A cluster that is started here shall not report to anybody.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = os.environ.get("RAY_ADDRESS", "")
    if address.startswith("ray://"):
        raise RunError(
            "A run cannot go through Ray's client.",
            where=f"RAY_ADDRESS={address}",
            remedy="Start it on a machine of the cluster, with RAY_ADDRESS=HOST:6379 or without.",
        )
    check_installed()
    import ray

    if ray.is_initialized():  # by whoever called us
        yield ray
        return
    try:
        ray.init(log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise RunError(
            f"The Ray cluster cannot be reached: {first_line(error)}.",
            where=f"RAY_ADDRESS={address}" if address else "the cluster that was last started on this machine",
            remedy="Start it with `ray start --head`; where it asks for a token, set RAY_AUTH_MODE=token. Or take "
            "RAY_ADDRESS=local, which starts one for this run alone.",
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def resources(job: Job, nodes: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """What a unit asks of a machine: a GPU, or the processors it has threads for and the memory of a local worker.

    nodes: what each machine of the cluster has, as Ray tells it.
    Never more memory than the largest machine has, as a machine that is small runs one worker locally too.
    """
    if job.environment["device"] == "cuda":
        engine = job.study.settings.engine
        spread = [engine.options.get(f"{way}_parallel_size", 1) for way in ("tensor", "pipeline")] if engine else []
        return {"num_gpus": math.prod(spread), "num_cpus": 1}
    most = max((node.get("memory", 0.0) for node in nodes), default=0.0)
    return {"num_cpus": job.threads, "memory": min(WORKER_MEMORY_BYTES, most)}


def check_room(asked: Mapping[str, float], nodes: Sequence[Mapping[str, float]]) -> None:
    """Errors (RunError): no machine of the cluster has what a unit asks for; Ray would wait for one without a word."""
    named = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}
    if any(all(node.get(named[name], 0.0) >= amount for name, amount in asked.items()) for node in nodes):
        return
    wanted = ", ".join(f"{amount:,.0f} of {named[name]}" for name, amount in asked.items())
    there = "; ".join(", ".join(f"{node.get(name, 0.0):,.0f} {name}" for name in named.values()) for node in nodes)
    raise RunError(
        f"No machine of the Ray cluster has what a unit asks for: {wanted}.",
        where=f"the machines have {there or 'nothing'}",
        remedy="Set `workers` in the study file, so that a unit takes fewer processors; or join a machine that has it "
        "(`ray start --num-gpus 1` where Ray does not find a GPU).",
    )


def tasks(job: Job, units: Sequence[Unit]) -> list[Task]:
    """The units, those of one training together. Trainings first, since they have the longest way to go."""
    found: dict[str, list[Unit]] = {}
    for unit in units:
        found.setdefault(unit.whole, []).append(unit)
    made = [Task(job.taught_as(taught[0]), tuple(taught)) for taught in found.values()]
    return sorted(made, key=lambda task: not task.taught.trained)


def next_message(ray: Any, stream: Any, name: str) -> dict[str, Any] | None:
    """What a task says next, a loss and a fault of its own among it; None when it has said everything."""
    try:
        return dict(ray.get(next(stream)))
    except StopIteration:
        return None
    except ray.exceptions.RayTaskError as error:
        return {"unit": name, "failed": f"{type(error.cause).__name__}: {first_line(error.cause)}"}
    except ray.exceptions.RayError as error:
        return {"unit": name, "lost": f"{type(error).__name__}: {first_line(error).split('. ')[0]}"}


def failed_units(task: Task, unit: str) -> list[str]:
    """What a failure is one of: the unit that is named, or, where that was done before, all that the task does."""
    return [unit] if unit in task.names else task.names


def after_loss(name: str, cause: str, times: int) -> dict[str, Any]:
    """Whether a unit whose worker was lost is run again. times: how often it was lost in this run."""
    if times > LOST_AT_MOST:
        return {"unit": name, "failed": f"its worker was lost {times} times, at last: {cause}"}
    return {"unit": name, "again": f"its worker was lost ({cause}); run again, {times} of {LOST_AT_MOST}"}


def not_here(
    job: Job, task: Task, failures: Mapping[str, str], seconds: float = SHOWN_WITHIN_SECONDS
) -> list[dict[str, Any]]:
    """The failures of units that are done, but do not show in the run folder as it is seen from here.

    failures: unit name -> cause, of those that failed anyway; without its training no unit of a task is done.
    """
    try:
        if job.shared:
            job.shared.pull(job.run.parent, parts(job, task))
    except RunError as error:
        return [{"unit": unit.name, "failed": str(error)} for unit in task.units if unit.name not in failures]
    expected = [] if task.name in failures else [unit for unit in task.units if unit.name not in failures]
    end = time.monotonic() + seconds
    while (missing := [unit for unit in expected if not job.done(unit)]) and time.monotonic() < end:
        time.sleep(0.5)
    cause = f"it is done, but nothing of it is in {job.run}: is that folder shared by all machines?"
    return [{"unit": unit.name, "failed": cause} for unit in missing]


def parts(job: Job, task: Task) -> list[str]:
    return list(dict.fromkeys(part for unit in (task.taught, *task.units) for part in job.parts(unit)))


def work(job: Job, task: Task) -> Iterator[dict[str, Any]]:
    """What a task does, on whatever machine: the steps that its units still need, in a fresh worker process.

    Yields the worker's messages: unit, and phase/done/total/note, or ended, or failed; or lost, with its cause.
    """
    try:
        # A unit that another driver left at work is waited for; what it finished is not done again.
        with run_folder(fit_to_machine(job), task) as here, lock_of(here, task) as lock:
            if not all(here.done(unit) for unit in task.units):
                yield from told_now_and_then(run_steps(here, task, lock))
    except TeachwhyError as error:
        yield {"unit": task.name, "failed": f"{error} (on {platform.node()})"}


def lock_of(job: Job, task: Task) -> contextlib.AbstractContextManager[IO[str]]:
    return locked(job.run / ".locks" / task.name, say=lambda text: None)


@contextlib.contextmanager
def run_folder(job: Job, task: Task) -> Iterator[Job]:
    """The job as it is, or, where the run folder is kept at an address, in a folder with what the task starts from."""
    if job.shared is None:
        yield job
        return
    with tempfile.TemporaryDirectory(prefix="teachwhy-") as scratch:
        here = replace(job, run=Path(scratch) / job.run.name)
        job.shared.pull(Path(scratch), parts(here, task))
        for unit in (task.taught, *task.units):
            for record in here.damaged(unit):
                record.unlink(missing_ok=True)
        yield here


def run_steps(job: Job, task: Task, lock: IO[str]) -> Iterator[dict[str, Any]]:
    """All that one worker process says of the steps; it is gone when they are over, however that comes about."""
    inbox: Inbox = Queue()
    hand = start_worker(job, inbox, lock)
    try:
        for step in steps_left(job, task):
            hand.begin(step)
            message: dict[str, Any] = {}
            while not message.keys() & {"ended", "failed", "lost"}:
                message = inbox.get()[1] or {"unit": task.name, "lost": hand.cause_of_death()}
                if job.shared and message.keys() & {"ended", "failed", "lost"}:
                    insist(partial(job.shared.push, job.run.parent, [job.run.name]))
                    kept = f"{job.shared.address}/{job.run.name}"  # its log too: this folder goes with the task
                    message = {key: str(text).replace(str(job.run), kept) for key, text in message.items()}
                yield message
            if "lost" in message or ("failed" in message and step.part == "training"):
                return
    finally:
        hand.end()


def steps_left(job: Job, task: Task) -> Iterator[Step]:
    """One after another, each looked at when it is due."""
    if not all(job.trained(unit) for unit in task.units):
        yield Step(task.taught, "training")
    yield from (Step(unit, "exams") for unit in task.units if not job.done(unit))


def told_now_and_then(messages: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """All messages but progress that comes too soon after the last: a thousand units would flood the driver."""
    phase, last = "", 0.0
    for message in messages:
        now = time.monotonic()
        if "phase" not in message or message["phase"] != phase or now - last >= TELL_EVERY_SECONDS:
            phase, last = message.get("phase", ""), now
            yield message


def fit_to_machine(job: Job) -> Job:
    """The job with the model's files as this machine has them.

    Errors (TeachwhyError): the run folder is not here, a library of another version, no model or another one.
    """
    if not job.shared and not (job.run / "study.json").is_file():
        raise RunError(
            "The run folder is not on this machine.",
            where=str(job.run),
            remedy="Give a folder that all machines share with --runs DIR.",
        )
    here = versions() | ({"vllm": vllm_version()} if job.study.settings.engine else {})
    for name in ("torch", "transformers", "trl", "vllm"):
        if job.environment.get(name, here.get(name)) != here.get(name):
            raise RunError(
                f"This machine has {name} {here[name]}, and the run is of {job.environment[name]}.",
                remedy="Install the same versions on all machines: results of two are not of one study.",
            )
    source = on_this_machine(job, job.source)
    return replace(job, source=source, judge=source if job.judge == job.source else on_this_machine(job, job.judge))


def on_this_machine(job: Job, source: ModelSource) -> ModelSource:
    """A model that the driver found; found anew where its folder is not here."""
    if source.behind_api or Path(source.folder).is_dir():
        return source
    found = find_model(
        source.name,
        base_folder=job.study.folder,
        say=lambda text: None,
        trust_remote_code=source.trust_remote_code,
    )
    if found.fingerprint != source.fingerprint:
        raise RunError(
            "This machine has another model of that name.",
            where=found.folder,
            remedy="Put the model where all machines have it, at one path.",
        )
    return found
