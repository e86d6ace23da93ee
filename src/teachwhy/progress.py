"""Progress of a run: rich bars on a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

PLAIN_EVERY_SECONDS = 20.0


class RunProgress:
    """Shows the messages of the workers: one bar a unit at work, one line a training or exams that ended."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self.console = Console(stderr=True, soft_wrap=True, markup=False, highlight=False)
        self.bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} {task.fields[note]}", markup=False),
            TimeElapsedColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.tasks: dict[str, Any] = {}
        self.started: dict[str, float] = {}
        self.last_line: dict[str, float] = {}

    def __enter__(self) -> RunProgress:
        self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()

    def say(self, text: str) -> None:
        if self.console.is_terminal:
            self.bars.console.print(text)
        else:
            print(text, file=sys.stderr, flush=True)

    def message(self, message: dict[str, Any]) -> None:
        """Take one message of a worker: progress, ended, failed, or run again."""
        unit = message["unit"]
        self.started.setdefault(unit, time.monotonic())
        if "again" in message:
            self.say(f"{unit}: {message['again']}")
            return
        if "phase" in message:
            self.advance(unit, message)
            return
        if unit in self.tasks:
            self.bars.remove_task(self.tasks.pop(unit))
        outcome = f"failed: {message['failed']}" if "failed" in message else f"{message['ended']} done"
        self.say(f"{unit}: {outcome} after {time.monotonic() - self.started.pop(unit):.0f} s")

    def advance(self, unit: str, message: dict[str, Any]) -> None:
        description = f"{unit} {message['phase']}"
        if self.console.is_terminal:
            if unit not in self.tasks:
                self.tasks[unit] = self.bars.add_task(description, total=message["total"], note="")
            self.bars.update(
                self.tasks[unit],
                description=description,
                completed=message["done"],
                total=message["total"],
                note=message["note"],
            )
        elif time.monotonic() - self.last_line.get(unit, self.started[unit]) >= PLAIN_EVERY_SECONDS:
            self.last_line[unit] = time.monotonic()
            self.say(f"{description} {message['done']}/{message['total']} {message['note']}".rstrip())


class LessonProgress:
    """Lessons finished of those wanted: a bar on a terminal, a line now and then otherwise."""

    def __init__(self, name: str) -> None:
        self.shown = RunProgress()
        self.name = name
        self.task: Any = None
        self.last_line = time.monotonic()
        self.answers = 0

    def __enter__(self) -> Any:
        self.shown.__enter__()
        return self.tell

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shown.__exit__(kind, error, trace)

    def tell(self, done: int, wanted: int, stage: str) -> None:
        """done, wanted: lessons. stage: the one that was answered last; empty where none was."""
        self.answers += bool(stage)
        note = f"{self.answers:,} answers asked for, now {stage}" if stage else ""
        if self.shown.console.is_terminal:
            if self.task is None:
                self.task = self.shown.bars.add_task(self.name, total=wanted, note="")
            self.shown.bars.update(self.task, completed=done, note=note)
        elif time.monotonic() - self.last_line >= PLAIN_EVERY_SECONDS:
            self.last_line = time.monotonic()
            self.shown.say(f"{self.name} {done}/{wanted} lessons {note}".rstrip())
