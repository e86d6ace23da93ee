"""A worker process: reads a job and steps from its standard input, tells of its progress on standard output.

Started as `python -m teachwhy.study.worker`. It ends the moment its standard input closes, so it dies with the
process that started it, whatever killed that one.
"""

from __future__ import annotations

import json
import os
import pickle
import queue
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import TeachwhyError, first_line
from ..redact import redacted
from .job import Job, Step
from .unit import Worker


def main() -> None:
    # Whatever a library prints must not mix with the messages.
    messages = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    job: Job = pickle.load(sys.stdin.buffer)
    steps: queue.Queue[Step] = queue.Queue()
    threading.Thread(target=read_steps, args=(sys.stdin.buffer, steps), daemon=True).start()
    if not job.source.behind_api:
        set_up_torch(job.threads)
    worker = Worker(job)
    while True:
        step = steps.get()
        send(messages, unit=step.unit.name, **run_step(worker, step, messages))


def set_up_torch(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    # Confident models give probabilities below the smallest normal float; computing with those is ten times slower.
    torch.set_flush_denormal(True)


def read_steps(stream: BinaryIO, steps: queue.Queue[Step]) -> None:
    while True:
        try:
            steps.put(pickle.load(stream))
        except (EOFError, pickle.UnpicklingError):
            leave()


def leave() -> None:
    """At once; where this worker leads a group of its own, as with vLLM, together with all that it started."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def run_step(worker: Worker, step: Step, messages: Any) -> dict[str, Any]:
    """Run one step; a failure is a message, not the end of the worker."""

    def tell(phase: str, done: int, total: int, note: str) -> None:
        send(messages, unit=step.unit.name, phase=phase, done=done, total=total, note=note)

    try:
        worker.run(step, tell)
    except TeachwhyError as error:
        return {"failed": str(error)}
    except Exception as error:
        log = Path(worker.job.run) / "logs" / f"{step.unit.name.replace('/', '-')}.txt"
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text(redacted(traceback.format_exc()), encoding="utf-8")
        except OSError:
            traceback.print_exc()
        return {"failed": f"{type(error).__name__}: {first_line(error)} (see {log})"}
    return {"ended": step.part}


def send(messages: Any, **fields: Any) -> None:
    try:
        messages.write(json.dumps(fields) + "\n")
        messages.flush()
    except BrokenPipeError:
        os._exit(0)


if __name__ == "__main__":
    main()
