"""The local executor: a few worker processes that share out the trainings and exams of a run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from queue import Queue
from typing import IO, Any

from ...errors import TeachwhyError
from ..job import Job, Step
from ..plan import Unit
from ..shared import insist
from .hand import Hand, Inbox, OnMessage, start_worker


def run_locally(job: Job, units: Sequence[Unit], workers: int, on_message: OnMessage, lock: IO[str]) -> dict[str, str]:
    """Run the units; returns unit name -> what went wrong, for those that failed. The others go on.

    on_message: called with every message of a worker (unit, and phase/done/total/note, or ended, or failed).
    lock: the run folder's open lock file; the workers hold it too, so that it is free only when they are gone.
    """
    waiting = first_steps(job, units)
    failures: dict[str, str] = {}
    inbox: Inbox = Queue()
    hands = [start_worker(job, inbox, lock) for _ in range(min(workers, len(waiting)))]
    retired: list[Hand] = []
    try:
        give_next(hands, waiting)
        while any(hand.step for hand in hands):
            hand, message = inbox.get()
            if message is None:
                if hand in hands:
                    hands.remove(hand)
                cause = hand.cause_of_death()
                if hand.step is None:
                    continue
                message = {"unit": hand.step.unit.name, "failed": cause}
                if waiting:
                    hands.append(start_worker(job, inbox, lock))
            if "ended" in message and hand.step:
                message = carried(job, hand.step.unit, message)
            if "failed" in message:
                failures[message["unit"]] = message["failed"]
            on_message(message)
            if "ended" in message and hand.step:
                taught = [unit for unit in units if job.taught_as(unit) == hand.step.unit]
                put_exams(hand.step, taught, waiting, workers, apart=exams_apart(job))
            if "ended" in message or "failed" in message:
                hand.trained = hand.trained or (hand.step is not None and hand.step.part == "training")
                hand.step = None
                if hand in hands and spent(job, hand, waiting):
                    hand.retire()
                    hands.remove(hand)
                    retired.append(hand)
                    if len(waiting) > sum(other.step is None for other in hands):
                        hands.append(start_worker(job, inbox, lock))
                give_next(hands, waiting)
    finally:
        for hand in [*hands, *retired]:
            hand.end()
    return failures


def carried(job: Job, unit: Unit, message: dict[str, Any]) -> dict[str, Any]:
    """The message, once what the unit left is where the run folder is kept; else that it failed, and why."""
    try:
        if job.shared:
            insist(partial(job.shared.push, job.run.parent, job.parts(unit)))
        return message
    except TeachwhyError as error:
        return {"unit": unit.name, "failed": str(error)}


def first_steps(job: Job, units: Sequence[Unit]) -> list[Step]:
    """What can be begun: exams of what is trained, and trainings, each once for an arm and all its checkpoints."""
    steps: dict[tuple[str, str], Step] = {}
    for unit in units:
        step = Step(unit, "exams") if job.trained(unit) else Step(job.taught_as(unit), "training")
        steps.setdefault((step.unit.name, step.part), step)
    found = list(steps.values())
    return sorted(found, key=lambda step: step.part == "exams") if exams_apart(job) else found


def exams_apart(job: Job) -> bool:
    """Whether exams wait for all trainings: an engine of their own starts once, and wants the device for itself."""
    return job.study.settings.engine is not None


def put_exams(ended: Step, taught: Sequence[Unit], waiting: list[Step], workers: int, *, apart: bool = False) -> None:
    """Exams follow their training at once; only the last trainings go first, since they have the longest way to go.

    taught: the units that have their adapters of the step that ended. apart: exams wait for all trainings.
    """
    if ended.part == "training":
        last = apart or sum(step.part == "training" for step in waiting) < workers
        place = len(waiting) if last else 0
        waiting[place:place] = [step for unit in taught if (step := Step(unit, "exams")) not in waiting]


def spent(job: Job, hand: Hand, waiting: Sequence[Step]) -> bool:
    """Whether a worker has trained its last and holds what an exam has better use for.

    That is gigabytes of compiled code, or the memory of a device. Otherwise a fresh worker would only cost its start.
    """
    trained_last = hand.trained and not any(step.part == "training" for step in waiting)
    return trained_last and (job.environment["compile"] or job.environment["device"] != "cpu" or exams_apart(job))


def give_next(hands: Sequence[Hand], waiting: list[Step]) -> None:
    """A step to every worker that has none, as long as there are any."""
    for hand in hands:
        if waiting and hand.step is None:
            hand.begin(waiting.pop(0))
