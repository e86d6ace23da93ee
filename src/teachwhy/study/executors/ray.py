"""The Ray executor: every unit is a task that runs anywhere in a cluster, and is run again where its worker is lost.

A task starts a fresh worker process, as the local executor does, and passes its messages on. Both die with the driver:
Ray ends the tasks of a driver that is gone, and a worker process ends with the task that holds its standard input.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from queue import Queue
from typing import IO, Any

from ...errors import RunError, TeachwhyError, first_line
from ...models import ModelSource, find_model
from ..folder import locked
from ..job import Job, Step
from ..plan import Unit, versions
from .hand import WORKER_MEMORY_BYTES, Inbox, OnMessage, start_worker

LOST_AT_MOST = 5
TELL_EVERY_SECONDS = 2.0
LOOK_EVERY_SECONDS = 0.5
SHOWN_WITHIN_SECONDS = 90.0  # NFS clients keep what they know of a folder for up to a minute


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
        asked = resources(job, [node["Resources"] for node in ray.nodes() if node["Alive"]])
        task = ray.remote(work).options(num_returns="streaming", max_retries=0, **asked)
        shared = ray.put(job)
        lost: Counter[str] = Counter()
        failures: dict[str, str] = {}
        running = {task.remote(shared, group): group for group in in_order(job.together(units))}
        while running:
            # Together: to look at a thousand streams for the sake of one message would take all the driver's time.
            for stream in ray.wait(list(running), num_returns=len(running), timeout=LOOK_EVERY_SECONDS)[0]:
                group = running[stream]
                unit = group[0]
                message = next_message(ray, stream, unit)
                if message is None:
                    del running[stream]
                    if job.shared:
                        job.shared.pull(job.run.parent, parts_of(job, group))
                    failed = any(one.name in failures for one in group)
                    message = None if failed else not_here(job, group)
                if message and "lost" in message:
                    running.pop(stream, None)
                    lost[unit.name] += 1
                    message = after_loss(unit, message["lost"], lost[unit.name])
                    if "failed" not in message:
                        running[task.remote(shared, group)] = group
                if message:
                    failures |= {unit.name: message["failed"]} if "failed" in message else {}
                    on_message(message)
    return failures


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
    try:
        import ray
    except ModuleNotFoundError:
        raise RunError("The executor ray needs Ray.", remedy="pip install 'teachwhy[ray]'") from None
    if ray.is_initialized():  # by whoever called us
        yield ray
        return
    try:
        ray.init(log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
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
        return {"num_gpus": 1, "num_cpus": 1}
    most = max((node.get("memory", 0.0) for node in nodes), default=0.0)
    return {"num_cpus": job.threads, "memory": min(WORKER_MEMORY_BYTES, most)}


def in_order(groups: Sequence[Sequence[Unit]]) -> list[Sequence[Unit]]:
    """Trainings first: they have the longest way to go, and short units fill what is left at the end."""
    return sorted(groups, key=lambda group: not group[0].trained)


def parts_of(job: Job, group: Sequence[Unit]) -> list[str]:
    return list(dict.fromkeys(part for unit in group for part in job.parts(unit)))


def next_message(ray: Any, stream: Any, unit: Unit) -> dict[str, Any] | None:
    """What a task says next, a loss and a fault of its own among it; None when it has said everything."""
    try:
        return dict(ray.get(next(stream)))
    except StopIteration:
        return None
    except ray.exceptions.RayTaskError as error:
        return {"unit": unit.name, "failed": f"{type(error.cause).__name__}: {first_line(error.cause)}"}
    except ray.exceptions.RayError as error:
        return {"unit": unit.name, "lost": f"{type(error).__name__}: {first_line(error).split('. ')[0]}"}


def after_loss(unit: Unit, cause: str, times: int) -> dict[str, Any]:
    """Whether a unit whose worker was lost is run again. times: how often it was lost in this run."""
    if times > LOST_AT_MOST:
        return {"unit": unit.name, "failed": f"its worker was lost {times} times, at last: {cause}"}
    return {"unit": unit.name, "again": f"its worker was lost ({cause}); run again, {times} of {LOST_AT_MOST}"}


def not_here(job: Job, group: Sequence[Unit], seconds: float = SHOWN_WITHIN_SECONDS) -> dict[str, Any] | None:
    """The failure of units whose results do not show in the run folder as it is seen from here."""
    end = time.monotonic() + seconds
    while missing := [unit for unit in group if not job.done(unit)]:
        if time.monotonic() > end:
            return {
                "unit": missing[0].name,
                "failed": f"it is done, but nothing of it is in {job.run}: is that folder shared by all machines?",
            }
        time.sleep(0.5)
    return None


def work(job: Job, group: Sequence[Unit]) -> Iterator[dict[str, Any]]:
    """What a task does, on whatever machine: the steps that a unit still needs, in a fresh worker process.

    group: the unit, with those of its checkpoints that are asked for.
    Yields the worker's messages: unit, and phase/done/total/note, or ended, or failed; or lost, with its cause.
    """
    try:
        # A unit that another driver left at work is waited for; what it finished is not done again.
        with run_folder(fit_to_machine(job), group) as here, lock_of(here, group[0]) as lock:
            if not all(map(here.done, group)):
                yield from told_now_and_then(run_steps(here, group, lock))
    except TeachwhyError as error:
        yield {"unit": group[0].name, "failed": f"{error} (on {platform.node()})"}


def lock_of(job: Job, unit: Unit) -> contextlib.AbstractContextManager[IO[str]]:
    return locked(job.run / ".locks" / unit.whole, say=lambda text: None)


@contextlib.contextmanager
def run_folder(job: Job, group: Sequence[Unit]) -> Iterator[Job]:
    """The job as it is, or, where the run folder is kept at an address, in a folder with what the units start from."""
    if job.shared is None:
        yield job
        return
    with tempfile.TemporaryDirectory(prefix="teachwhy-") as scratch:
        here = replace(job, run=Path(scratch) / job.run.name)
        job.shared.pull(Path(scratch), parts_of(here, group))
        for record in (record for unit in group for record in here.damaged(unit)):
            record.unlink(missing_ok=True)
        yield here


def run_steps(job: Job, group: Sequence[Unit], lock: IO[str]) -> Iterator[dict[str, Any]]:
    """All that one worker process says of the steps; it is gone when they are over, however that comes about."""
    inbox: Inbox = Queue()
    hand = start_worker(job, inbox, lock)
    try:
        for step in steps_left(job, group):
            hand.begin(step)
            while True:
                message = inbox.get()[1] or {"unit": step.unit.name, "lost": hand.cause_of_death()}
                if job.shared and ("ended" in message or "failed" in message):
                    job.shared.push(job.run.parent, [job.run.name])
                yield message
                if "failed" in message or "lost" in message:
                    return
                if "ended" in message:
                    break
    finally:
        hand.end()


def steps_left(job: Job, group: Sequence[Unit]) -> Iterator[Step]:
    """One after another, each looked at when it is due."""
    if not all(map(job.trained, group)):
        yield Step(job.taught_as(group[0]), "training")
    for unit in group:
        if not job.done(unit):
            yield Step(unit, "exams")


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
    here = versions()
    for name in ("torch", "transformers"):
        if job.environment.get(name, here[name]) != here[name]:
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
