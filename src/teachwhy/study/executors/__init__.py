"""Where the units of a run are worked on: `local`, on this machine, or `ray`, anywhere in a Ray cluster."""

from collections.abc import Callable, Sequence
from typing import IO

from ...errors import unknown_name
from ..job import Job
from ..plan import Unit
from .hand import WORKER_MEMORY_BYTES, OnMessage
from .local import run_locally
from .ray import check_installed, run_on_ray

Executor = Callable[[Job, Sequence[Unit], int, OnMessage, IO[str]], dict[str, str]]
EXECUTORS: dict[str, Executor] = {"local": run_locally, "ray": run_on_ray}


def find_executor(name: str, where: str = "") -> Executor:
    """Errors (InputError): a name that is none; the valid ones are listed."""
    if name not in EXECUTORS:
        raise unknown_name("executor", name, EXECUTORS, where=where)
    return EXECUTORS[name]


def check_executor(name: str) -> None:
    """Errors (TeachwhyError): one that cannot run here."""
    if find_executor(name) is run_on_ray:
        check_installed()


def run_units(job: Job, units: Sequence[Unit], workers: int, on_message: OnMessage, lock: IO[str]) -> dict[str, str]:
    """Run the units where the study says; returns unit name -> what went wrong, for those that failed."""
    return find_executor(job.study.settings.executor)(job, units, workers, on_message, lock)


__all__ = ["EXECUTORS", "WORKER_MEMORY_BYTES", "Executor", "OnMessage", "check_executor", "find_executor", "run_units"]
