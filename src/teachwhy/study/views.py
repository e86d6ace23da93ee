"""Looking without running: a study's plan, its status, one of its rows, and whether its inputs hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..data import ARM_PROPERTIES, Segment, as_table, faults, find_arm
from ..errors import InputError, unknown_name
from ..models import load_chat
from ..policy import Finding, check_policy
from ..train.reporters import check_reporters
from .arm_setting import ArmSetting
from .cost import cost_lines, cost_of, find_device, read_size, works_of
from .folder import at_work
from .plan import plan_units
from .power import power_lines
from .prepare import rows_of
from .run import Say, chat_of, count_workers, find_named, prepare_job, prepare_study
from .speed import INFINITE, measure_speed, stages_to_teach, training_size, unit_minutes
from .study_file import Study, read_study, study_path


def plan_study(
    path: Path,
    *,
    quick: bool = False,
    model: str | None = None,
    arms: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    runs: Path,
    measure: bool = True,
    noise: str | None = None,
    like: Path | None = None,
    say: Say,
) -> str:
    """A table of what a run would do, with minutes estimated from a few timed updates and answers.

    Below it stands the smallest difference that each declared contrast can find. noise: the standard deviations to
    assume, FAMILY,SEED,REST. like: a run folder or results.json whose contrasts say them.
    """
    study = read_study(path, model=model, quick=quick)
    check_reporters(study.settings.train.report_to, f"{study.path}, field 'train.report_to'")
    job = prepare_job(study, runs, say)
    units = plan_units(study, arms, seeds, quick=quick)
    power = power_lines(study, units, noise=noise, like=like)
    measure = measure and not job.source.behind_api
    speed = measure_speed(job, units, say) if measure and any(not job.done(unit) for unit in units) else None
    lines = [f"{'unit':28} {'rows':>5} {'updates':>7} {'tokens':>8} {'minutes':>8}  state"]
    total = 0.0
    left = stages_to_teach(job, units)
    for unit in units:
        tokens, updates = training_size(job, unit)
        minutes = unit_minutes(job, unit, left[unit.name], speed) if speed else None
        total += minutes or 0.0
        state = "done" if job.done(unit) else "trained, not examined" if unit.trained and job.trained(unit) else "to do"
        rows = sum(len(found.rows) for found in job.prepared.lessons.get(unit.arm.name, ()))
        shown = "" if minutes is None else f"{minutes:8.1f}"
        lines.append(f"{unit.name:28} {rows:5} {updates:7} {tokens:8} {shown:>8}  {state}")
    if speed:
        workers = min(count_workers(job), max(1, len(units)))
        answers = speed.after_training if any(unit.trained for unit in units) else speed.untrained
        lines.append(
            f"\nabout {total / workers:.0f} minutes with {workers} workers at once "
            f"(measured in one worker: {speed.training:.0f} training tokens/s, {answers:.1f} answers/s)"
        )
        stages = [stage for of_unit in left.values() for stage, _ in of_unit]
        if writing := [stage.name for stage in stages if stage.writes]:
            lines.append(f"without what the stage {writing[0]!r} writes while it is trained, which takes longest")
        if stages and speed.training == INFINITE:
            lines.append("without any training: pairs and rewarded cases alone are not measured")
    lines.append(f"run folder: {job.run}")
    return "\n".join([*lines, "", *power])


def plan_cost(
    path: Path,
    parameters: Sequence[str],
    *,
    on: str,
    dollars: float | None,
    quick: bool = False,
    model: str | None = None,
    arms: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    runs: Path,
    say: Say,
) -> str:
    """What the whole study would cost on a kind of device with models of these sizes, whatever of it is done here."""
    sizes, device = [read_size(size) for size in parameters], find_device(on)
    study = read_study(path, model=model, quick=quick)
    job = prepare_job(study, runs, say)
    works = works_of(job, plan_units(study, arms, seeds, quick=quick), chat_of(job.source)[0])
    full = study.settings.train.adapter == "none"
    return "\n".join(cost_lines([cost_of(works, size, device, full=full) for size in sizes], device, dollars))


def study_status(path: Path, *, quick: bool = False, model: str | None, runs: Path, say: Say) -> str:
    """One line a unit, and whether a run is at work."""
    job = prepare_job(read_study(path, model=model, quick=quick), runs, say)
    units = plan_units(job.study, quick=quick)
    lines = [
        f"{unit.name:28} {'done' if job.done(unit) else 'trained' if job.trained(unit) and unit.trained else '-'}"
        for unit in units
    ]
    done = sum(job.done(unit) for unit in units)
    lines.append(
        f"\n{done} of {len(units)} units done; {'a run is at work' if at_work(job.run) else 'no run is at work'}"
    )
    lines.append(f"run folder: {job.run}")
    return "\n".join(lines)


def show_row(
    path: Path, *, arm: str, row: int, stage: str | None = None, model: str | None, say: Say
) -> tuple[Segment, ...]:
    """The segments of one training row, counted from 1. stage: of this one, where the study has stages."""
    study = read_study(path, model=model)
    setting = study.arm(arm)
    if not find_arm(setting.arm).trained:
        trained = [other.name for other in study.arms if find_arm(other.arm).trained]
        raise unknown_name("trained arm", arm, trained)
    if stage:
        return shown_of_stage(study, setting, stage, row, say)
    rows = rows_of(study, load_chat(find_named(study, study.settings.model, say)), setting)
    if row > len(rows):
        raise InputError(f"There is no row {row}; the arm {arm!r} has {len(rows)}.", remedy="Rows count from 1.")
    return rows[row - 1].segments


def shown_of_stage(study: Study, setting: ArmSetting, stage: str, row: int, say: Say) -> tuple[Segment, ...]:
    """A row of a stage; what has no segments, such as a pair of responses, is shown field by field."""
    names = [one.name for one in study.stages(setting)]
    if stage not in names:
        raise unknown_name(f"stage of the arm {setting.name!r}", stage, names)
    rows = prepare_study(study, say)[2].lessons[setting.whole][names.index(stage)].written
    if row > len(rows):
        raise InputError(f"There is no row {row}; the stage {stage!r} has {len(rows)}.", remedy="Rows count from 1.")
    written = rows[row - 1]
    if "segments" in written:
        return tuple(Segment(**segment) for segment in written["segments"])
    return tuple(Segment(name, str(value), name in ("chosen", "rejected")) for name, value in written.items())


def check_anything(path: Path, *, say: Say) -> list[Finding]:
    """The findings of a policy file; for a study everything that a run checks before it trains."""
    if not path.is_dir() and path.suffix not in (".yaml", ".yml"):
        return check_policy(path)
    study = read_study(path)
    checks = prepare_study(study, say)[2].checks
    for line in twin_lines(checks):
        say(line)
    overlap = checks["overlap"]
    say(f"overlap: none in {overlap['taught_texts']} taught and {overlap['examined_texts']} examined texts")
    for line in arm_check_lines(checks["against_why"]):
        say(line)
    return check_policy(study_path(path).parent / study.settings.policy)


def twin_lines(checks: Mapping[str, Any]) -> list[str]:
    """A line for each group of twins; where there are several, with what they read and how long their rows are."""
    groups = checks["twins"]["groups"]
    if len(groups) < 2:
        return [f"twins: {checks['twins']['rows']} rows in {len(checks['twins']['arms'])} arms are twins"]
    lines = []
    for group in groups:
        tokens = [checks["tokens"][name] for name in group["arms"]]
        trained = ", ".join(f"{one['trained'] / one['rows']:.0f}" for one in tokens)
        prompt = min((one["tokens"] - one["trained"]) / one["rows"] for one in tokens)
        read = f"shape {group['shape'] or 'every'}, {group['surroundings']} surroundings"
        updates = checks["updates"][group["arms"][0]]
        lines.append(
            f"twins: {group['rows']} rows ({read}) in {', '.join(group['arms'])}: {updates} updates; "
            f"tokens a row: {prompt:.0f} in the prompt, {trained} trained"
        )
    return lines


def arm_check_lines(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """The arm check as a table: what moved against `why`, and in words what should not have."""
    if not records:
        return []
    signs = {"": " ", "declared": "*", "fault": "!"}
    table = as_table(records)
    width = max(14, *map(len, table))
    lines = [f"\n{'against why':{width}}" + "".join(f"{name:>16}" for name in ARM_PROPERTIES)]
    for arm, cells in table.items():
        lines.append(f"{arm:{width}}" + "".join(f"{value + signs[mark]:>16}" for value, mark in cells))
    lines.append("* moved, as the arm declares; ! moved though it should not have")
    return [*lines, *(f"! {line}" for line in faults(records))]
