"""Run a study: prepare, check, train, examine, compare and report, doing only what is not done yet."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..data import faults
from ..errors import RunError
from ..models import (
    USUAL,
    ApiChat,
    Asking,
    ChatFormat,
    ModelSource,
    Purse,
    check_four_bit,
    choose_device,
    choose_dtype,
    find_model,
    load_chat,
    vllm_version,
)
from ..models.cache import cache_folder
from ..models.load import model_context
from ..text import fingerprint
from ..train.reporters import check_reporters
from .behind_api import behind_api, check_api_study
from .executors import WORKER_MEMORY_BYTES, check_executor, find_executor, run_units
from .folder import at_work, folder_error, locked, read_json, sweep, whole, write_json, write_text
from .history import LOG, answered, begin, note_completed
from .job import Job
from .journal import journal_path
from .plan import Unit, plan_units, stamp_fits, study_stamp, versions
from .prepare import Prepared, prepare, write_prepared
from .register import entries_of
from .results import collect
from .shared import Shared, address_of, copy_of
from .study_file import Study, read_study
from .unit import take_over

PROVIDER = "the provider's"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Run:
    """A finished call of `run_study`: its folder, its results, and what failed (unit name -> cause).

    unheard: unit name -> answers of a model behind an API that never came; the same call asks for them again.
    """

    folder: Path
    results: dict[str, Any]
    failures: dict[str, str]
    unheard: dict[str, int] = field(default_factory=dict)

    @property
    def report(self) -> Path:
        return self.folder / "report.html"


def run_study(
    path: Path,
    *,
    quick: bool = False,
    model: str | None = None,
    arms: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    runs: Path | str = Path("runs"),
    executor: str | None = None,
    asking: Asking = USUAL,
    purse: Purse | None = None,
    say: Say = print,
    on_message: Callable[[dict[str, Any]], None] = lambda message: None,
) -> Run:
    """Run a study, or the part of it that arms and seeds name; parts of one study join in one run folder.

    quick: what the study's `quick:` says, at its first seed. executor: instead of the study's. asking, purse: how a
    model behind an API is asked, and what all that is asked of it in this study may cost. runs: a folder, or an address
    of fsspec's such as s3://bucket/runs, of which a copy is kept here.
    Errors (TeachwhyError): bad input, a check that does not hold, a model or folder that cannot be used.
    """
    study = read_study(path, model=model, quick=quick)
    if executor:
        find_executor(executor, where="--executor")
        study = replace(study, settings=study.settings.model_copy(update={"executor": executor}))
    check_executor(study.settings.executor)
    units = plan_units(study, arms, seeds, quick=quick)
    check_reporters(study.settings.train.report_to, f"{study.path}, field 'train.report_to'")
    job = replace(prepare_job(study, runs, say), asking=asking, purse=purse or Purse())
    if study.settings.train.quantize and any(unit.trained for unit in units):
        check_four_bit(job.environment["device"])
    with locked(job.run, say) as lock:
        if job.shared:
            job.shared.pull(job.run.parent, kept(job.run, job.source))  # what came there while the lock was waited for
        sweep(job.run)
        write_start(job, quick)
        for fault in faults(job.prepared.checks["against_why"]):
            say(f"arm check: {fault}; it should be as in `why`")
        drop_damaged(job, units, say)
        reuse_finished(job, units, say)
        missing = [unit for unit in units if not job.done(unit)]
        failures: dict[str, str] = {}
        if missing:
            workers = count_workers(job)
            say(f"{len(units) - len(missing)} of {len(units)} units are done; {len(missing)} to do in {job.run}")
            failures = run_units(job, missing, workers, on_message, lock)
            failures |= untaught(job, missing, failures)
        shutil.rmtree(job.trunk_folder, ignore_errors=True)  # a killed run may have left it with nothing to do
        note_completed(job, units, quick=quick and not arms and not seeds, say=say)
        results = write_results(job, failures)
        unheard = {unit.name: count for unit in units if (count := job.unheard(unit))}
    return Run(job.run, results, failures, unheard)


def prepare_job(study: Study, runs: Path | str, say: Say) -> Job:
    """Find the model, make and check the rows, and name the run folder. Writes nothing but a copy of what is shared."""
    source, judge, prepared = prepare_study(study, say)
    environment = environment_of(study)
    stamp = fingerprint([study_stamp(study, source, judge), environment])
    folder, shared = runs_of(study, runs)
    run = folder / stamp[:8]
    if shared:
        bring(shared, run, source)
        say(f"{shared.address}: copied to {run.parent}")
    return Job(study, source, judge, prepared, run, environment, environment["threads"], shared=shared)


def runs_of(study: Study, runs: Path | str) -> tuple[Path, Shared | None]:
    """The folder of a study's runs here, and the address that it is a copy of, if it is one."""
    name, address = study.settings.name, address_of(runs)
    if not address:
        return Path(runs).resolve() / name, None
    return copy_of(address, cache_folder()) / name, Shared(f"{address}/{name}")


def bring(shared: Shared, run: Path, source: ModelSource) -> None:
    """What is new at the address comes to the copy, unless a run on this machine is at work in that."""
    if at_work(run):
        return
    shared.pull(run.parent, kept(run, source))
    if not (run / "study.json").exists():
        shared.pull_answers(run.parent)  # a run that begins says what was answered before it


def share(job: Job) -> None:
    """Carry what is new to where the run folder is kept, if it is a copy."""
    if job.shared:
        job.shared.push(job.run.parent, kept(job.run, job.source))


def kept(run: Path, source: ModelSource) -> list[str]:
    """What belongs to a run of all that lies in the study's folder of runs."""
    return [run.name, LOG, journal_path(run.parent, source.fingerprint).name]


def prepare_study(study: Study, say: Say) -> tuple[ModelSource, ModelSource, Prepared]:
    """The model, the judge, and the rows and prompts with every check that comes before training."""
    check_api_study(study)
    find_executor(study.settings.executor, where=f"{study.path}, field 'executor'")
    source = find_named(study, study.settings.model, say)
    judge = find_named(study, study.settings.judge, say) if study.settings.judge else source
    chat, context = chat_of(source)
    judge_chat, judge_context = (chat, context) if judge == source else chat_of(judge)
    return source, judge, prepare(study, chat, context, judge_chat, judge_context)


def chat_of(source: ModelSource) -> tuple[ChatFormat, int | None]:
    """How conversations are written down for a model, and how many tokens it holds, where that is known."""
    return (ApiChat(), None) if source.behind_api else (load_chat(source), model_context(source))


def find_named(study: Study, name: str, say: Say) -> ModelSource:
    """A model that the study file names."""
    trust = study.settings.trust_remote_code
    return find_model(name, base_folder=study.folder, say=say, trust_remote_code=trust)


def environment_of(study: Study) -> dict[str, Any]:
    """What the bytes of a result may depend on beside its inputs."""
    from ..train.compiled import compiler_found

    if behind_api(study):  # whoever serves it says nothing of its machines; no version of ours changes its answers
        return {"device": PROVIDER, "dtype": PROVIDER, "threads": 1, "compile": False}
    device = choose_device(study.settings.device)
    workers = fitting_workers(study, device)
    compile = study.settings.train.compile
    return {
        "device": device,
        "dtype": choose_dtype(study.settings.dtype, device),
        "threads": max(1, (os.cpu_count() or 1) // workers),
        "compile": compiler_found() and device == "cpu" if compile is None else compile,
        "torch": versions()["torch"],
        "transformers": versions()["transformers"],
        **({"trl": versions()["trl"]} if any(stage.over_trl for stage in study.settings.stages or ()) else {}),
        **({"vllm": vllm_version()} if study.settings.engine else {}),
    }


def fitting_workers(study: Study, device: str) -> int:
    """Workers at once: one a core on a CPU while memory lasts, one on any other device."""
    if device == PROVIDER:  # it asks many things at once, out of one purse
        return 1
    if study.settings.workers:
        return study.settings.workers
    if device != "cpu":
        return 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(os.cpu_count() or 1, memory // WORKER_MEMORY_BYTES, 4))


def untaught(job: Job, units: Sequence[Unit], failures: Mapping[str, str]) -> dict[str, str]:
    """The checkpoints that a failed training has not left, each with the cause of that."""
    return {
        unit.name: failures[unit.whole]
        for unit in units
        if unit.arm.until and unit.whole in failures and unit.name not in failures and not job.done(unit)
    }


def count_workers(job: Job) -> int:
    return fitting_workers(job.study, job.environment["device"])


def write_start(job: Job, quick: bool) -> None:
    """The resolved study and the rows, before any work, and what went before the first answers.

    Errors: a folder that belongs to another study; a registration that was edited.
    """
    stamp = study_stamp(job.study, job.source, job.judge) | {"environment": dict(job.environment)}
    record = job.run / "study.json"
    before = read_json(record)
    registrations = [entry.hash for entry in entries_of(job.study)]
    if before is not None and not stamp_fits(record, stamp):
        raise RunError(
            "This run folder belongs to another study.", where=str(job.run), remedy="Give another one with --runs DIR."
        )
    if before is None or not (job.run / "checks.json").exists():
        write_text(job.run / "study.yaml", resolved_yaml(job.study))
        write_json(job.run / "policy.json", [principle.record() for principle in job.study.policy.principles])
        write_prepared(job.prepared, job.study, job.run)
    if before is None or not answered(job.run):
        begun = begin(job.run, job.source.fingerprint, registrations)
        about = {"study_file": str(job.study.path.resolve()), "model": job.study.settings.model, "quick": quick}
        about |= {"versions": versions(), "begun": vars(begun)}
        write_json(record, {"stamp": stamp, "fingerprint": fingerprint(stamp), **about})


def resolved_yaml(study: Study) -> str:
    import yaml

    return yaml.safe_dump(study.settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def drop_damaged(job: Job, units: Sequence[Unit], say: Say) -> None:
    """Forget adapters and answers that are not what was written (cut short, edited), so that they are made again."""
    for unit in units:
        for record in job.damaged(unit):
            say(f"{unit.name}: the files beside {record.relative_to(job.run)} are not as written; making them again")
            record.unlink()


def reuse_finished(job: Job, units: Sequence[Unit], say: Say) -> None:
    """Take over adapters and answers of other runs of this study that were made from the same content."""
    siblings = sorted(path for path in job.run.parent.iterdir() if path.is_dir() and path != job.run)
    others = [replace(job, run=sibling) for sibling in siblings]
    stored = {} if all(map(job.trained, units)) else stored_trainings(siblings)
    for unit in units:
        if not job.trained(unit):
            reuse_training(job, job.taught_as(unit), stored, say)
        for other in others:
            sibling = other.run
            if job.done(unit) or other.damaged(unit):
                continue
            if not job.examined(unit) and other.answered(unit) and (other.repeated(unit) or not job.answered(unit)):
                copy_folder(unit.evals_folder(sibling), unit.evals_folder(job.run))
                say(f"{unit.name}: took the answers over from {sibling.name}")


def stored_trainings(runs: Sequence[Path]) -> dict[str, list[Path]]:
    """Stamp -> the folders in which run folders keep what was trained so."""
    found: dict[str, list[Path]] = {}
    for record in (record for run in runs for record in sorted(run.glob("train/*/seed-*/train.json"))):
        found.setdefault((read_json(record) or {}).get("stamp", ""), []).append(record.parent)
    return found


def reuse_training(job: Job, unit: Unit, stored: Mapping[str, Sequence[Path]], say: Say) -> None:
    """Take over what is stored of a unit: the adapters after its stages, as far as the stages are the same."""
    for one in job.left_by(unit):
        if job.has_adapter(one):
            continue
        taught = next((path for path in stored.get(job.train_stamp(one), ()) if whole(path / "train.json")), None)
        if taught:
            take_over(job, taught, one)
            run = taught.parents[2].name
            say(f"{unit.name}: took the adapter{'' if one == unit else f' {one.arm.name}'} over from {run}")


def copy_folder(source: Path, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        shutil.copytree(source, temporary, ignore=shutil.ignore_patterns(".*.tmp"))
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)
    except OSError as error:  # shutil.Error among them
        shutil.rmtree(temporary, ignore_errors=True)
        raise folder_error(error, target) from None


def report_study(
    path: Path,
    *,
    quick: bool = False,
    model: str | None = None,
    runs: Path = Path("runs"),
    anew: bool = True,
    say: Say = print,
) -> Run:
    """Score the stored answers of a study again and write results and report; anew: the page even where it fits."""
    job = prepare_job(read_study(path, model=model, quick=quick), runs, say)
    if not (job.run / "study.json").exists():
        raise RunError("This study has no run yet.", where=str(job.run), remedy=f"teachwhy run {path}")
    with locked(job.run, say):
        for unit in plan_units(job.study):
            for record in job.damaged(unit):
                raise RunError(
                    f"What is stored of {unit.name} is no longer what was written.",
                    where=str(record.parent),
                    remedy=f"`teachwhy run {path}` makes it again; nothing else is lost.",
                )
        return Run(job.run, write_results(job, {}, anew=anew), {})


def write_results(job: Job, failures: dict[str, str], *, anew: bool = False) -> dict[str, Any]:
    """results.json and both pages from what is stored. The report names its hour, so it stays while it fits.

    anew: write the pages even so.
    """
    from ..report import render_answers, render_report

    results, sittings = collect(job, failures)
    page, answers = job.run / "report.html", job.run / "answers.html"
    fits = page.exists() and answers.exists() and read_json(job.run / "results.json") == results
    if anew or not fits:
        write_text(answers, render_answers(results, sittings))
        write_text(page, render_report(results, timings=timings(job)))
        write_json(job.run / "results.json", results)  # last: after a kill before it, all are written again
    share(job)
    return results


def timings(job: Job) -> dict[str, Any]:
    """Seconds of each finished unit, for the page alone: results.json holds nothing that differs between runs."""
    found = {}
    for unit in plan_units(job.study):
        timed_apart = job.checkpoints(unit)
        own = [one for one in job.stage_ends(unit) if one not in timed_apart]
        trained = [read_json(one.train_folder(job.run) / "train.json") for one in (*own, unit)]
        exams = [read_json(unit.evals_folder(job.run) / f"{exam}.json") or {} for exam in job.study.settings.exams]
        if job.done(unit):
            found[unit.name] = {
                "train": sum((record or {}).get("seconds", 0.0) for record in trained),
                "exams": sum(exam.get("seconds", 0.0) for exam in exams),
            }
    return {"units": found, "written": time.strftime("%Y-%m-%d %H:%M", time.gmtime()) + " UTC"}
