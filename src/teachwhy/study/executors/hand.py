"""One worker process as the one that started it holds it: what it is given, what it says, and how it ended."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from ..job import Job, Step

WORKER_MEMORY_BYTES = 3 * 2**30
OnMessage = Callable[[dict[str, Any]], None]
Inbox = queue.Queue[tuple["Hand", dict[str, Any] | None]]


@dataclass
class Hand:
    """One worker process and the step it is at.

    own_group: whether it leads a process group, of all that it starts. trained: whether it has trained, and holds what
    that takes.
    """

    process: subprocess.Popen[bytes]
    own_group: bool = False
    step: Step | None = None
    trained: bool = False
    errors: list[str] = field(default_factory=list)

    def give(self, value: Any) -> None:
        """Errors: none where the worker is already gone; the thread that reads its output reports it as lost."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            pickle.dump(value, self.process.stdin)
            self.process.stdin.flush()

    def begin(self, step: Step) -> None:
        self.step = step
        self.give(step)

    def retire(self) -> None:
        """A worker ends when its standard input closes."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()

    def end(self) -> None:
        """Ends the worker, and what it started: vLLM's own processes would outlive it, and keep lock and device."""
        if self.own_group:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()

    def cause_of_death(self) -> str:
        code = self.process.wait()
        self.end()
        cause = "killed, perhaps for want of memory" if code == -9 else "; ".join(self.errors[-3:])
        return f"the worker process ended with code {code} ({cause})"


def environment_variables(threads: int) -> Mapping[str, str]:
    """The maths libraries read their thread count when they are loaded, before any of our code runs."""
    return {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
        # Every length of a batch has products of its own shape, and oneDNN keeps what it makes for the last 1,024
        # shapes: 0.17 GiB more than for 256 after seven trainings of 15 updates, and no faster.
        "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "256",
    }


def start_worker(job: Job, inbox: Inbox, lock: IO[str]) -> Hand:
    """A fresh worker that has the job. Whatever it says comes to the inbox, and None when it is gone.

    lock: an open lock file, which the worker holds too, so that it is free only when the worker is gone.
    """
    own_group = job.study.settings.engine is not None
    process = subprocess.Popen(
        [sys.executable, "-m", "teachwhy.study.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment_variables(job.threads)},
        pass_fds=(lock.fileno(),),
        start_new_session=own_group,
    )
    hand = Hand(process, own_group)
    assert process.stdout is not None
    assert process.stderr is not None
    threading.Thread(target=keep_last_lines, args=(process.stderr, hand.errors), daemon=True).start()
    threading.Thread(target=read_messages, args=(process.stdout, hand, inbox), daemon=True).start()
    hand.give(job)
    return hand


def read_messages(stream: IO[bytes], hand: Hand, inbox: Inbox) -> None:
    for line in stream:
        if line.endswith(b"\n"):  # else the worker died in the middle of it
            inbox.put((hand, json.loads(line)))
    inbox.put((hand, None))


def keep_last_lines(stream: IO[bytes], lines: list[str], most: int = 20) -> None:
    for line in stream:
        lines.append(line.decode(errors="replace").rstrip())
        del lines[:-most]
