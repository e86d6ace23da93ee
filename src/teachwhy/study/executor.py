"""The local executor: a few worker processes that share out the trainings and exams of a run."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from .job import Job, Step
from .plan import Unit

OnMessage = Callable[[dict[str, Any]], None]


@dataclass
class Hand:
    """One worker process and the step it is at. trained: whether it has trained, and holds what that takes."""

    process: subprocess.Popen[bytes]
    step: Step | None = None
    trained: bool = False
    errors: list[str] = field(default_factory=list)

    def give(self, value: Any) -> None:
        assert self.process.stdin is not None
        pickle.dump(value, self.process.stdin)
        self.process.stdin.flush()

    def retire(self) -> None:
        """A worker ends when its standard input closes."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()


def run_units(job: Job, units: Sequence[Unit], workers: int, on_message: OnMessage, lock: IO[str]) -> dict[str, str]:
    """Run the units; returns unit name -> what went wrong, for those that failed. The others go on.

    on_message: called with every message of a worker (unit, and phase/done/total/note, or ended, or failed).
    lock: the run folder's open lock file; the workers hold it too, so that it is free only when they are gone.
    """
    waiting = first_steps(job, units)
    failures: dict[str, str] = {}
    inbox: queue.Queue[tuple[Hand, dict[str, Any] | None]] = queue.Queue()
    hands = [start_worker(job, inbox, lock) for _ in range(min(workers, len(waiting)))]
    retired: list[Hand] = []
    try:
        give_next(hands, waiting)
        while any(hand.step for hand in hands):
            hand, message = inbox.get()
            if message is None:
                if hand in hands:
                    hands.remove(hand)
                if hand.step is None:
                    continue
                message = lost_worker(hand)
                if waiting:
                    hands.append(start_worker(job, inbox, lock))
            if "failed" in message:
                failures[message["unit"]] = message["failed"]
            on_message(message)
            if "ended" in message and hand.step:
                taught = [unit for unit in units if job.taught_as(unit) == hand.step.unit]
                put_exams(hand.step, taught, waiting, workers)
            if "ended" in message or "failed" in message:
                hand.trained = hand.trained or (hand.step is not None and hand.step.part == "training")
                hand.step = None
                if hand in hands and spent(hand, waiting):
                    hand.retire()
                    hands.remove(hand)
                    retired.append(hand)
                    if len(waiting) > sum(other.step is None for other in hands):
                        hands.append(start_worker(job, inbox, lock))
                give_next(hands, waiting)
    finally:
        for hand in [*hands, *retired]:
            hand.process.kill()
            hand.process.wait()
    return failures


def start_worker(job: Job, inbox: queue.Queue[tuple[Hand, dict[str, Any] | None]], lock: IO[str]) -> Hand:
    # The maths libraries read their thread count when they are loaded, before any of our code runs.
    threads = str(job.threads)
    settings = {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "TOKENIZERS_PARALLELISM": "false",
        # Every length of a batch has products of its own shape, and oneDNN keeps what it makes for the last 1,024
        # shapes: 0.17 GiB more than for 256 after seven trainings of 15 updates, and no faster.
        "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "256",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "teachwhy.study.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | settings,
        pass_fds=(lock.fileno(),),
    )
    hand = Hand(process)
    assert process.stdout is not None
    assert process.stderr is not None
    threading.Thread(target=keep_last_lines, args=(process.stderr, hand.errors), daemon=True).start()
    threading.Thread(target=read_messages, args=(process.stdout, hand, inbox), daemon=True).start()
    # A worker that is already gone is reported as lost by the thread that reads its output.
    with contextlib.suppress(BrokenPipeError):
        hand.give(job)
    return hand


def first_steps(job: Job, units: Sequence[Unit]) -> list[Step]:
    """What can be begun: exams of what is trained, and trainings, each once for an arm and all its checkpoints."""
    steps: dict[tuple[str, str], Step] = {}
    for unit in units:
        step = Step(unit, "exams") if job.trained(unit) else Step(job.taught_as(unit), "training")
        steps.setdefault((step.unit.name, step.part), step)
    return list(steps.values())


def put_exams(ended: Step, taught: Sequence[Unit], waiting: list[Step], workers: int) -> None:
    """Exams follow their training at once; only the last trainings go first, since they have the longest way to go.

    taught: the units that have their adapters of the step that ended.
    """
    if ended.part == "training":
        last = sum(step.part == "training" for step in waiting) < workers
        place = len(waiting) if last else 0
        waiting[place:place] = [step for unit in taught if (step := Step(unit, "exams")) not in waiting]


def spent(hand: Hand, waiting: Sequence[Step]) -> bool:
    """Whether a worker has trained its last: what it was compiled for is gigabytes that an exam has better use for."""
    return hand.trained and not any(step.part == "training" for step in waiting)


def give_next(hands: Sequence[Hand], waiting: list[Step]) -> None:
    """A step to every worker that has none, as long as there are any."""
    for hand in hands:
        if waiting and hand.step is None:
            hand.step = waiting.pop(0)
            with contextlib.suppress(BrokenPipeError):
                hand.give(hand.step)


def read_messages(stream: IO[bytes], hand: Hand, inbox: queue.Queue[tuple[Hand, dict[str, Any] | None]]) -> None:
    for line in stream:
        if line.endswith(b"\n"):  # else the worker died in the middle of it
            inbox.put((hand, json.loads(line)))
    inbox.put((hand, None))


def keep_last_lines(stream: IO[bytes], lines: list[str], most: int = 20) -> None:
    for line in stream:
        lines.append(line.decode(errors="replace").rstrip())
        del lines[:-most]


def lost_worker(hand: Hand) -> dict[str, Any]:
    code = hand.process.wait()
    cause = "killed, perhaps for want of memory" if code == -9 else "; ".join(hand.errors[-3:])
    assert hand.step is not None
    return {"unit": hand.step.unit.name, "failed": f"the worker process ended with code {code} ({cause})"}
