"""How a run scales: measured with one and two workers, and reckoned up to a thousand from what units and driver take.

Run: python -m bench.scaling [--study STUDY] [--runs RUNS] [--units 2 4 8] [--keep] [--out FILE]

Measured: the tiny study of the tests, by its number of units, on a Ray cluster of one and of two processors; what the
driver takes for a unit that does nothing; and, of a finished run (STUDY in RUNS; swap without one), how
long its units took and what preparing, looking and collecting take. Reckoned, by list scheduling in plan order: the
time of a study of 1,000 units on 1 to 1,000 workers, and which part of it holds the rest up.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import secrets
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)
RECKONED_UNITS = 1000
IDLE_UNITS = 300
MESSAGES = 60  # of a unit that takes two minutes, one every two seconds
SHARED_BYTES_PER_SECOND = 1e9  # assumed: a network drive behind ten gigabits


@dataclass(frozen=True)
class Costs:
    """Seconds. prepare, results: once a run. driver: of the driver's own time, a unit. collect: of results, a unit.

    A unit stands here with its checkpoints, since one task trains and examines them all.
    step_zero: for the adapter that all units of a seed start from, made by the first of them while the others wait.
    read, write: of the shared storage's own time, a unit: the base model, where it lies there, and what a unit leaves.
    """

    prepare: float = 0.0
    driver: float = 0.0
    step_zero: float = 0.0
    read: float = 0.0
    write: float = 0.0
    collect: float = 0.0
    results: float = 0.0


@dataclass(frozen=True)
class Load:
    """One unit: its seed, or None where it starts from no adapter, and the seconds its worker needs."""

    seed: int | None
    seconds: float


def makespan(units: Sequence[Load], workers: int, costs: Costs) -> float:
    """Seconds from start to report: each unit goes to the worker that is free first, in the order given.

    Driver and shared storage serve one at a time, in the order in which workers come to them; a unit waits for the
    step-0 adapter of its seed.
    """
    driver = storage = costs.prepare
    ready: dict[int | None, float] = {None: 0.0}
    waiting = deque(units)
    at_work = [(costs.prepare, False)] * min(workers, len(units))  # until when, and whether something is to be written
    while at_work:
        now, writes = heapq.heappop(at_work)
        if writes:
            now = storage = max(now, storage) + costs.write
        if waiting:
            unit = waiting.popleft()
            start = driver = max(now, driver) + costs.driver
            if costs.read:
                start = storage = max(start, storage) + costs.read
            begun = max(start, ready.setdefault(unit.seed, start + costs.step_zero))
            heapq.heappush(at_work, (begun + unit.seconds, True))
    return max(now, storage) + costs.results + costs.collect * len(units)


def bounds(units: Sequence[Load], workers: int, costs: Costs) -> dict[str, float]:
    """Seconds below which no schedule of these units comes, part by part; the largest is what holds the rest up."""
    count = len(units)
    return {
        "the work itself, shared out": sum(unit.seconds for unit in units) / workers,
        "the longest unit": max(unit.seconds for unit in units),
        "the driver, before and between units": costs.prepare + costs.driver * count,
        "the shared storage": (costs.read + costs.write) * count,
        "collecting results": costs.results + costs.collect * count,
    }


def reckoned(units: Sequence[Load], costs: Costs) -> list[dict[str, Any]]:
    alone = makespan(units, 1, costs)
    rows = []
    for workers in WORKERS:
        seconds, parts = makespan(units, workers, costs), bounds(units, workers, costs)
        held_up = max(parts, key=lambda name: parts[name])
        speedup = alone / seconds
        rows.append(
            {
                "workers": workers,
                "seconds": round(seconds, 1),
                "speedup": round(speedup, 1),
                "efficiency": round(speedup / workers, 3),
                "held_up_by": held_up,
                "parts": {name: round(value, 1) for name, value in parts.items()},
            }
        )
    return rows


def larger(units: Sequence[Load], count: int) -> list[Load]:
    """A study of `count` units: the measured ones again and again, each time with seeds of their own."""
    seeds = 1 + max((unit.seed for unit in units if unit.seed is not None), default=0)
    return [
        replace(unit, seed=None if unit.seed is None else unit.seed + seeds * (number // len(units)))
        for number in range(count)
        for unit in [units[number % len(units)]]
    ]


# What is measured


def timed(action: Any) -> tuple[float, Any]:
    began = time.perf_counter()
    result = action()
    return time.perf_counter() - began, result


def processor_seconds(action: Any) -> tuple[float, Any]:
    """Of the driver's own work, which other work on the machine does not lengthen."""
    began = time.process_time()
    result = action()
    return time.process_time() - began, result


def idle(job: Any, task: Any) -> Iterator[dict[str, Any]]:
    """What a unit says that does nothing."""
    for done in range(MESSAGES):
        yield {"unit": task.name, "phase": "training", "done": done, "total": MESSAGES, "note": "loss 1.00"}
    yield {"unit": task.name, "ended": "training"}
    yield {"unit": task.name, "ended": "exams"}


def driver_seconds(job: Any, unit: Any) -> float:
    """What driver and cluster take for a unit that does nothing, everything on this machine: so at most this."""
    import ray

    from teachwhy.study.executors import ray as on_ray

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    kept = on_ray.work, on_ray.not_here
    on_ray.work, on_ray.not_here = idle, lambda job, task, failures: []
    try:
        units = [replace(unit, arm=unit.arm.model_copy(update={"name": f"a{number}"})) for number in range(IDLE_UNITS)]
        with open(os.devnull) as lock:
            on_ray.run_on_ray(job, units[:10], 2, lambda message: None, lock)  # starts Ray's own workers
            seconds, failures = timed(lambda: on_ray.run_on_ray(job, units, 2, lambda message: None, lock))
        assert not failures
    finally:
        on_ray.work, on_ray.not_here = kept
        ray.shutdown()
    return seconds / IDLE_UNITS


def run_times(model: Path, folder: Path, counts: Sequence[int]) -> dict[int, dict[int, float]]:
    """Workers -> units -> seconds of a whole run on a Ray cluster of so many processors, everything made anew."""
    import ray
    import tiny

    from teachwhy.study import run_study

    found: dict[int, dict[int, float]] = {}
    for workers in (1, 2):
        ray.init(address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False)
        found[workers] = {}
        for count in counts:
            name = f"{workers}-{count}"
            contrast = {"arm": "why", "versus": "what", "metric": "follows_first_fact"}
            changes = {"arms": ["what", "why"], "contrasts": [contrast], "exploratory": []}
            study = tiny.build_tiny_study(folder / name, model, seeds=list(range(count // 2)), **changes)
            seconds, done = timed(
                lambda study=study, name=name: run_study(
                    study, runs=folder / f"{name}-runs", executor="ray", say=lambda text: None
                )
            )
            assert not done.failures
            found[workers][count] = seconds
            print(f"  {count} units, {workers} at once: {seconds:.1f} s", flush=True)
        ray.shutdown()
    return found


def looked_at(job: Any, unit: Any) -> bool:
    """As often as a run looks at a unit: is it damaged; is it done, before, after, and for log, page and results."""
    return not job.damaged(unit) and all(job.done(unit) for _ in range(5))


def part_of(job: Any, units: Sequence[Any], folder: Path) -> Any:
    """The job with a run folder that has these units alone."""
    for unit in units:
        for there, here in (
            (unit.evals_folder(job.run), unit.evals_folder(folder)),
            (unit.train_folder(job.run), unit.train_folder(folder)),
        ):
            here.parent.mkdir(parents=True, exist_ok=True)
            here.symlink_to(there)
    (folder / "study.json").symlink_to(job.run / "study.json")
    return replace(job, run=folder)


def of_run(study: Path, runs: Path) -> tuple[list[Load], Costs, dict[str, Any]]:
    """What the units of a finished run took by their records, and what its driver takes now. Writes nothing."""
    from teachwhy.study import plan_units, prepare_job, read_study
    from teachwhy.study.folder import read_json
    from teachwhy.study.results import collect

    prepare, job = processor_seconds(lambda: prepare_job(read_study(study), runs, lambda text: None))
    looking, units = processor_seconds(lambda: [unit for unit in plan_units(job.study) if looked_at(job, unit)])
    if len(units) < 2:
        raise SystemExit(f"No two units of {study} are done in {runs}.")
    half = units[: len(units) // 2]
    with tempfile.TemporaryDirectory() as folder:
        few, _ = processor_seconds(lambda: collect(part_of(job, half, Path(folder) / job.run.name), {}))
    whole, _ = processor_seconds(lambda: collect(job, {}))
    collected = max(0.0, (whole - few) / (len(units) - len(half)))
    loads: dict[str, Load] = {}
    written = 0
    for unit in units:
        records = [read_json(unit.evals_folder(job.run) / f"{exam}.json") for exam in job.study.settings.exams]
        train = read_json(unit.train_folder(job.run) / "train.json") if unit.trained else {}
        # One task trains a unit and sits the exams of its checkpoints; what is kept midway says no time of its own.
        before = loads.get(unit.whole, Load(unit.seed, 0.0))
        seconds = before.seconds + train.get("seconds", 0.0) + sum(record["seconds"] for record in records)
        loads[unit.whole] = replace(before, seconds=seconds)
        folders = [unit.evals_folder(job.run), *([unit.train_folder(job.run)] if unit.trained else [])]
        written += sum(file.stat().st_size for folder in folders for file in folder.iterdir())
    model = sum(file.stat().st_size for file in Path(job.source.folder).iterdir() if file.is_file())
    count, tasks = len(units), len(loads)
    costs = Costs(
        prepare=prepare,
        driver=looking / tasks,
        read=model / SHARED_BYTES_PER_SECOND,
        write=written / tasks / SHARED_BYTES_PER_SECOND,
        collect=collected * count / tasks,
        results=max(0.0, whole - collected * count),
    )
    about = {"units": tasks, "checkpoints": count - tasks, "bytes_a_unit": written // tasks}
    about["bytes_of_the_model"] = model
    return list(loads.values()), costs, about


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [f"{'workers':>8} {'time':>10} {'times faster':>13} {'of what is possible':>20}  held up by"]
    lines += [
        f"{row['workers']:8} {row['seconds'] / 60:7.1f} min {row['speedup']:13} {row['efficiency']:20.0%}  "
        f"{row['held_up_by']}"
        for row in rows
    ]
    return "\n".join(lines)


def of_tiny_study(folder: Path, counts: Sequence[int]) -> dict[str, Any]:
    """Seconds of whole runs of the tiny study, and what of them is neither training nor exam; printed as it comes."""
    import tiny

    from teachwhy.study import plan_units, prepare_job, read_study

    print("measured, the tiny study on a Ray cluster:", flush=True)
    times = run_times(tiny.build_tiny_model(folder / "model"), folder, counts)
    least, most = min(counts), max(counts)
    a_unit = (times[1][most] - times[1][least]) / (most - least)
    study, runs = folder / f"1-{most}" / "study.yaml", folder / f"1-{most}-runs"
    loads = of_run(study, runs)[0]
    job = prepare_job(read_study(study), runs, lambda text: None)
    return {
        "seconds_by_workers_and_units": times,
        "seconds_a_unit": round(a_unit, 2),
        "seconds_before_and_between_steps": round(a_unit - sum(load.seconds for load in loads) / len(loads), 2),
        "idle_unit_seconds": round(driver_seconds(job, plan_units(job.study)[0]), 5),
        "machine": {"processors": os.cpu_count(), "load_average": [round(load, 1) for load in os.getloadavg()]},
    }


def measure(chosen: argparse.Namespace) -> tuple[list[Load], Costs, dict[str, Any]]:
    """The tiny study, or what was measured of it before; then the finished run."""
    from teachwhy.models import load_model
    from teachwhy.study import prepare_job, read_study

    if chosen.keep:
        tiny_study = json.loads(chosen.out.read_text(encoding="utf-8"))["measured"]["tiny"]
    else:
        with tempfile.TemporaryDirectory(prefix="teachwhy-scaling-") as name:
            tiny_study = of_tiny_study(Path(name), chosen.units)
    loads, costs, about = of_run(chosen.study, chosen.runs)
    job = prepare_job(read_study(chosen.study), chosen.runs, lambda text: None)
    loading, _ = processor_seconds(lambda: load_model(job.source, device="cpu", dtype=job.environment["dtype"]))
    # A unit loads its model twice, to train and to sit exams; the tiny model takes no time to load.
    start = tiny_study["seconds_before_and_between_steps"] + 2 * loading
    costs = replace(costs, driver=costs.driver + tiny_study["idle_unit_seconds"], step_zero=loading)
    measured = {
        "tiny": tiny_study,
        "run": about | {"study": job.study.settings.name, "seconds": [round(load.seconds, 1) for load in loads]},
        "seconds_before_and_between_steps": round(start, 2),
        "costs": {field: round(value, 5) for field, value in asdict(costs).items()},
    }
    return [replace(load, seconds=load.seconds + start) for load in loads], costs, measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, default=ROOT / "studies" / "swap", help="a study with a finished run")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where that run is")
    parser.add_argument("--units", type=int, nargs="+", default=[2, 4, 8], help="of the tiny study; even numbers")
    parser.add_argument("--keep", action="store_true", help="take what FILE says of the tiny study")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "scaling.json")
    chosen = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests"))
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    units, costs, measured = measure(chosen)
    print(json.dumps(measured, indent=2))
    found: dict[str, Any] = {"measured": measured, "assumed": {"shared_bytes_per_second": SHARED_BYTES_PER_SECOND}}
    places = {"on each machine": replace(costs, read=0.0), "on the shared storage, read for every unit": costs}
    many = larger(units, RECKONED_UNITS)
    found["reckoned"] = {place: reckoned(many, where) for place, where in places.items()}
    for place, rows in found["reckoned"].items():
        print(f"\nreckoned, {RECKONED_UNITS} units, the base model {place}:\n{table(rows)}")
    chosen.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
