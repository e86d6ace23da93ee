"""Runs of a study in the test's own process: a worker process takes seconds to import torch."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from teachwhy.study import run as run_module
from teachwhy.study import run_study
from teachwhy.study.job import Job, Step
from teachwhy.study.plan import Unit
from teachwhy.study.run import Run
from teachwhy.study.unit import Worker
from teachwhy.study.worker import run_step

SILENT: Callable[[str], None] = lambda text: None  # noqa: E731


def run_here(job: Job, units: Sequence[Unit], workers: int, on_message: Any, lock: Any) -> dict[str, str]:
    """The executor without processes: one worker, in this one."""
    worker = Worker(job)
    failures: dict[str, str] = {}
    for unit in units:
        taught, exams = job.taught_as(unit), Step(unit, "exams")
        for step in [exams] if job.trained(unit) else [Step(taught, "training"), exams]:
            if not failures.keys() & {taught.name, unit.name}:
                outcome = run_step(worker, step, io.StringIO())
                failures |= {step.unit.name: outcome["failed"]} if "failed" in outcome else {}
    return failures


def run_study_here(study: Path, **options: Any) -> Run:
    """`run_study` without processes, and silent; for fixtures that outlive a test."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(run_module, "run_units", run_here)
        return run_study(study, **{"say": SILENT} | options)
