"""What went before a run: registrations, answers of other run folders, and full runs. Noted when a run folder begins.

Nothing here is read from the clock or from the times of files: a run folder's `study.json` keeps what was so before its
first answers, and `runs/<study>/log.jsonl` gets a line for each run folder that was completed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..text import fingerprint
from .folder import locked, read_json, read_jsonl, write_jsonl
from .job import Job
from .plan import Unit, plan_units

LOG = "log.jsonl"


@dataclass(frozen=True)
class Begun:
    """What was so when a run folder began.

    registrations: hash of each registration that stood -> units (arm and seed) of the same model that other run folders
    had answers of from before it. runs_before, quick_runs_before: other run folders of the study completed by then.
    """

    registrations: Mapping[str, int] = field(default_factory=dict)
    runs_before: int = 0
    quick_runs_before: int = 0


def begin(run: Path, model: str, registrations: Iterable[str]) -> Begun:
    """What is so now. run: the folder that begins. model: its fingerprint. registrations: hashes, as they stand."""
    log = completed_runs(run.parent)
    full = {line.get("run") for line in log if not line.get("quick")} - {run.name}
    quick = {line.get("run") for line in log if line.get("quick")} - {run.name}
    stood = {entry: answered_units(run.parent, model, without=entry) for entry in registrations}
    return Begun(stood, len(full), len(quick))


def read_begun(run: Path) -> Begun:
    """What was noted when a run folder began; nothing where its record does not say."""
    noted = record_of(run).get("begun")
    return Begun(**noted) if noted else Begun()


def answered_units(folder: Path, model: str, *, without: str | None = None) -> int:
    """Units of a model with answers in the run folders of a study, and in those of its log whose answers are gone.

    without: passes over runs begun under this entry. A folder that does not say which model it is of counts as well.
    """
    runs = [path for path in folder.glob("*") if path.is_dir()]
    of_model = [run for run in runs if record_of(run).get("stamp", {}).get("model", model) == model]
    here = sum(answered(run) for run in of_model if without not in read_begun(run).registrations)
    logged = {line.get("run"): line for line in completed_runs(folder) if line.get("model", model) == model}
    gone = [line for run, line in logged.items() if not answered(folder / str(run))]
    return here + sum(line.get("units", 1) for line in gone if without not in line.get("registrations", ()))


def answered(run: Path) -> int:
    """Units of one run folder of which any answers are stored."""
    return len({file.parent for file in run.glob("evals/*/seed-*/*.jsonl")})


def record_of(run: Path) -> dict[str, Any]:
    """A run folder's study.json; empty where it is not there or not whole."""
    record = read_json(run / "study.json")
    return record if isinstance(record, dict) else {}


def completed_runs(folder: Path) -> list[dict[str, Any]]:
    """The lines of a study's log."""
    return read_jsonl(folder / LOG) if (folder / LOG).is_file() else []


def note_completed(job: Job, units: list[Unit], *, quick: bool, say: Any) -> None:
    """Add a line to the study's log when all units are there for the first time, or all that `--quick` asks for."""
    full = not job.study.left_out and all(job.done(unit) for unit in plan_units(job.study))
    if not full and not (quick and all(job.done(unit) for unit in units)):
        return
    known = {"run": job.run.name, "quick": not full}
    with locked(job.run.parent, say):
        for left in job.run.parent.glob(f".{LOG}.*.tmp"):
            left.unlink()  # by a run that was killed while it wrote
        log = completed_runs(job.run.parent)
        if any(known.items() <= line.items() for line in log):
            return
        line = known | {
            "when": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
            "fingerprint": record_of(job.run).get("fingerprint"),
            "model": job.source.fingerprint,
            "units": answered(job.run),
            "registrations": list(read_begun(job.run).registrations),
            "contrasts": fingerprint([contrast.model_dump() for contrast in job.study.settings.contrasts]),
        }
        write_jsonl(job.run.parent / LOG, [*log, line])
