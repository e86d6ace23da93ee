"""One unit trained by several processes: `accelerate launch ... -m teachwhy.study.several STUDY --arm why --seed 0`.

`teachwhy run` finds it trained then, and sits its exams. Every process trains its share of each batch; the first writes
to the run folder, the others to folders of their own that go with them.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from ..errors import InputError, RunError, TeachwhyError
from .folder import locked, sweep
from .job import Job
from .plan import Unit, plan_units
from .run import Say, copy_folder, prepare_job, share, write_start
from .study_file import read_study
from .unit import Worker
from .worker import set_up_torch


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="teachwhy.study.several", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--arm", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    chosen = parser.parse_args(arguments)
    try:
        train_together(chosen.study, chosen.arm, chosen.seed, chosen.runs, print)
    except TeachwhyError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


def train_together(path: Path, arm: str, seed: int, runs: Path, say: Say) -> None:
    """Train one unit in all processes that accelerate launched; nothing to do where it is trained.

    Errors (TeachwhyError): those of a run; an arm that is not trained; a study that compiles.
    """
    try:
        from accelerate import PartialState
        from accelerate.utils import broadcast_object_list
    except ModuleNotFoundError:
        raise RunError("Training needs accelerate.", remedy="pip install 'teachwhy[train]'") from None

    study = read_study(path)
    unit = next(unit for unit in plan_units(study, [arm], [seed]) if unit.arm.name == arm)  # with no checkpoint of it
    job = prepare_job(study, runs, say)
    check_together(job, unit)
    if job.trained(unit):
        say(f"{unit.name} is trained: {unit.train_folder(job.run)}")
        return
    processes = PartialState(cpu=job.environment["device"] == "cpu")
    set_up_torch(max(1, job.threads // processes.num_processes))
    with ExitStack() as stack:
        missing = [True]
        # All processes begin with an empty folder, so that none finds a stage done that another would teach.
        if processes.is_main_process:
            stack.enter_context(locked(job.run, say))
            missing = [not job.trained(unit)]  # the run that was waited for may have trained and examined it
            sweep(job.run)
            write_start(job, quick=False)
            own = Path(stack.enter_context(TemporaryDirectory(dir=job.run, prefix=".several.", suffix=".tmp")))
        else:
            own = Path(stack.enter_context(TemporaryDirectory()))
        broadcast_object_list(missing)
        if missing[0]:
            teach_in(own, job, unit, say if processes.is_main_process else silent)
        if missing[0] and processes.is_main_process:
            take_in(own, job.run)
            share(job)
        processes.wait_for_everyone()
    if processes.is_main_process:
        by = f"was trained by {processes.num_processes} processes" if missing[0] else "is trained"
        say(f"{unit.name} {by}: {unit.train_folder(job.run)}")
    processes.destroy_process_group()


def teach_in(own: Path, job: Job, unit: Unit, say: Say) -> None:
    """This process's part of teaching a unit. own: the folder that it writes to."""
    worker = Worker(replace(job, run=own))
    worker.prepare_network()
    worker.trunk = None  # a network without its lower layers cannot be spread over processes
    worker.train(unit, lambda phase, done, total, note: say(f"{unit.name}: {phase} {done}/{total} {note}".rstrip()))


def silent(text: str) -> None:
    """All processes but the first say nothing."""


def take_in(own: Path, run: Path) -> None:
    """What was trained goes to the run folder, the stages before the last one too, and what was reported beside it."""
    for record in sorted(own.glob("train/*/seed-*/train.json")):
        copy_folder(record.parent, run / record.parent.relative_to(own))
    if (own / "logs").is_dir():
        shutil.copytree(own / "logs", run / "logs", dirs_exist_ok=True)


def check_together(job: Job, unit: Unit) -> None:
    """Refuse what several processes cannot do."""
    where = str(job.study.path)
    if unit.arm.until:
        raise InputError(
            f"{unit.arm.name!r} is a checkpoint, which is trained with its arm.",
            where="--arm",
            remedy=f"Name the arm, with --arm {unit.arm.whole}.",
        )
    if not unit.trained:
        raise InputError(f"The arm {unit.arm.name!r} is not trained.", where=where, remedy="Name one that is.")
    for stage in job.study.stages(unit.arm):
        if not stage.in_parts:
            raise InputError(
                f"A stage of the kind {stage.kind!r} is taught by one process.",
                where=f"{where}, stage {stage.name!r}",
                remedy="Run the study as usual, or name an arm that goes through other stages.",
            )
    if job.study.settings.train.adapter == "none" and len(job.study.stages(unit.arm)) > 1:
        raise InputError(
            "Several processes teach a model's own weights one stage: the first alone has what was saved of it.",
            where=f"{where}, arm {unit.arm.name!r}, field 'stages'",
            remedy="Run the study as usual, train an adapter, or name an arm of one stage.",
        )
    if job.environment["compile"]:
        raise InputError(
            "Several processes train a unit without torch.compile.",
            where=f"{where}, field 'train.compile'",
            remedy="Write `compile: false` there.",
        )


if __name__ == "__main__":
    main()
