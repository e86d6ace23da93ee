"""The Ray executor: its pure parts, one unit as a task does it, and a cluster whose workers and drivers are killed."""

from __future__ import annotations

import json
import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import tiny

from teachwhy.errors import InputError, ModelError, RunError
from teachwhy.study import job as job_module
from teachwhy.study import plan_units, prepare_job, read_study, run_study
from teachwhy.study.engine import EngineSettings
from teachwhy.study.executors import EXECUTORS, find_executor
from teachwhy.study.executors import ray as on_ray
from teachwhy.study.executors.ray import Task
from teachwhy.study.folder import locked
from teachwhy.study.job import Job, Step
from teachwhy.study.plan import study_stamp
from teachwhy.study.run import write_start

SILENT: Callable[[str], None] = lambda text: None  # noqa: E731
GIGABYTE = 2**30
WORKER = "teachwhy.study.worker"
GONE_WITHIN_SECONDS = 20.0
# Nobody else may use a cluster of these tests, and none of them shall write a token into a home.
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


@pytest.fixture
def job(tiny_study: Path, tmp_path: Path) -> Job:
    """A job whose run folder is begun and has no unit done."""
    made = prepare_job(read_study(tiny_study), tmp_path / "runs", SILENT)
    write_start(made, quick=False)
    return made


def task_of(job: Job, name: str) -> Task:
    return next(task for task in on_ray.tasks(job, plan_units(job.study)) if task.name == name)


def with_environment(job: Job, **changes: object) -> Job:
    return replace(job, environment=dict(job.environment) | changes)


# What is asked of the cluster, and in which order


def test_a_unit_asks_for_its_threads_and_the_memory_of_a_worker(job: Job) -> None:
    asked = on_ray.resources(replace(job, threads=4), [{"memory": 64.0 * GIGABYTE}, {"memory": 8.0 * GIGABYTE}])
    assert asked == {"num_cpus": 4, "memory": 3 * GIGABYTE}


def test_a_unit_never_asks_for_more_memory_than_any_machine_has(job: Job) -> None:
    assert on_ray.resources(job, [{"memory": 2.0 * GIGABYTE}, {}])["memory"] == 2 * GIGABYTE


def test_a_unit_on_a_gpu_asks_for_one(job: Job) -> None:
    asked = on_ray.resources(with_environment(job, device="cuda"), [{"GPU": 8.0}])
    assert asked == {"num_gpus": 1, "num_cpus": 1}


def test_a_unit_whose_engine_spreads_over_gpus_asks_for_as_many(job: Job) -> None:
    engine = EngineSettings(name="vllm", options={"tensor_parallel_size": 2, "pipeline_parallel_size": 2})
    settings = job.study.settings.model_copy(update={"engine": engine})
    spread = with_environment(replace(job, study=replace(job.study, settings=settings)), device="cuda")
    assert on_ray.resources(spread, [])["num_gpus"] == 4


def test_what_no_machine_of_the_cluster_has_is_refused_and_not_waited_for() -> None:
    nodes = [{"CPU": 8.0, "memory": 2.0 * GIGABYTE}, {"CPU": 2.0, "memory": 9.0 * GIGABYTE}]
    on_ray.check_room({"num_cpus": 8, "memory": GIGABYTE}, nodes)
    for asked in ({"num_cpus": 16}, {"num_gpus": 1, "num_cpus": 1}, {"num_cpus": 8, "memory": 3 * GIGABYTE}):
        with pytest.raises(RunError, match="No machine of the Ray cluster has what a unit asks for"):
            on_ray.check_room(asked, nodes)


def test_trainings_go_first_and_seeds_stay_in_their_order(job: Job) -> None:
    names = [task.name for task in on_ray.tasks(job, plan_units(job.study))]
    assert names[:3] == ["what/seed-0", "why/seed-0", "swapped/seed-0"]
    assert names[-2:] == ["base/seed-none", "policy_in_prompt/seed-none"]


def test_a_checkpoint_is_in_the_task_of_the_training_that_it_comes_from(tiny_model: Path, tmp_path: Path) -> None:
    stages = [{"name": "first", "kind": "supervised", "checkpoints": 2}]
    study = tiny.build_tiny_study(tmp_path / "staged", tiny_model, seeds=[0], stages=stages)
    staged = prepare_job(read_study(study), tmp_path / "runs", SILENT)
    task = task_of(staged, "what/seed-0")
    assert [unit.name for unit in task.units] == ["what/seed-0", "what@first.50/seed-0"]
    exams = [Step(unit, "exams") for unit in task.units]
    assert list(on_ray.steps_left(staged, task)) == [Step(task.taught, "training"), *exams]
    checkpoint = on_ray.tasks(staged, task.units[1:])[0]
    assert (checkpoint.name, checkpoint.units) == ("what/seed-0", task.units[1:]), "the others are done"
    assert on_ray.failed_units(checkpoint, "what/seed-0") == ["what@first.50/seed-0"], "nobody else would be told"
    assert on_ray.failed_units(task, "what/seed-0") == ["what/seed-0"]
    folder = f"{staged.run.name}/train/what@first.50/seed-0"
    assert folder in on_ray.parts(staged, task)


def test_a_lost_unit_is_run_again_so_often_and_no_more() -> None:
    said = [on_ray.after_loss("what/seed-0", "gone", times) for times in range(1, on_ray.LOST_AT_MOST + 2)]
    assert [message for message in said if "failed" in message] == said[-1:]
    assert said[0]["again"] == "its worker was lost (gone); run again, 1 of 5"
    assert said[-1]["failed"] == "its worker was lost 6 times, at last: gone"


def test_progress_is_passed_on_now_and_then_and_all_else_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.5, 1.0, 2.5, 2.6, 2.7, 2.8])
    monkeypatch.setattr(on_ray.time, "monotonic", lambda: next(clock))
    updates = [{"phase": "training", "done": done} for done in range(4)]
    others = [{"ended": "training"}, {"phase": "decisions", "done": 0}, {"failed": "x"}]
    passed = list(on_ray.told_now_and_then(iter([*updates, *others])))
    assert passed == [updates[0], updates[3], *others]


def test_steps_are_those_that_are_left(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    task, untrained = task_of(job, "what/seed-0"), task_of(job, "base/seed-none")
    unit = task.taught
    assert list(on_ray.steps_left(job, task)) == [Step(unit, "training"), Step(unit, "exams")]
    assert list(on_ray.steps_left(job, untrained)) == [Step(untrained.taught, "exams")]
    monkeypatch.setattr(Job, "trained", lambda job, unit: True)
    assert list(on_ray.steps_left(job, task)) == [Step(unit, "exams")]


# The setting


def test_the_executor_is_in_no_stamp(tiny_study: Path, tmp_path: Path, tiny_model: Path, job: Job) -> None:
    elsewhere = tiny.build_tiny_study(tmp_path / "elsewhere", tiny_model, executor="ray")
    other = prepare_job(read_study(elsewhere), tmp_path / "runs", SILENT)
    assert other.study.settings.executor == "ray"
    assert job.study.settings.executor == "local"
    assert study_stamp(other.study, other.source, other.judge) == study_stamp(job.study, job.source, job.judge)
    assert other.run == job.run
    for unit in plan_units(job.study):
        assert not unit.trained or other.train_stamp(unit) == job.train_stamp(unit)
        assert other.evals_stamp(unit, "decisions") == job.evals_stamp(unit, "decisions")


def test_a_stamp_is_made_once_for_a_job_and_anew_for_another(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver asks for those of a thousand units again and again."""
    unit = task_of(job, "what/seed-0").taught
    first = job.evals_stamp(unit, "decisions")
    assert with_environment(job, dtype="other").evals_stamp(unit, "decisions") != first
    monkeypatch.setattr(job_module, "evals_stamp", lambda *arguments: "made again")
    assert job.evals_stamp(unit, "decisions") == first
    assert replace(job).evals_stamp(unit, "decisions") == "made again"


def test_an_unknown_executor_lists_the_valid_ones(
    tiny_study: Path, tmp_path: Path, tiny_model: Path, teachwhy: Callable[..., Any]
) -> None:
    with pytest.raises(InputError, match=r"(?s)no executor named 'rai'.*Valid: local, ray"):
        find_executor("rai")
    assert sorted(EXECUTORS) == ["local", "ray"]
    done = teachwhy("run", tiny_study, "--runs", tmp_path / "runs", "--executor", "slurm")
    assert (done.code, "where: --executor" in done.err, "Valid: local, ray." in done.err) == (2, True, True)
    named = tiny.build_tiny_study(tmp_path / "named", tiny_model, executor="slurm")
    done = teachwhy("check", named)
    assert (done.code, "field 'executor'" in done.err) == (2, True)
    assert not (tmp_path / "runs").exists()


def test_without_ray_the_error_has_the_line_for_pip(
    tiny_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, teachwhy: Callable[..., Any]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    done = teachwhy("run", tiny_study, "--runs", tmp_path / "runs", "--arms", "base", "--executor", "ray")
    assert done.code == 2
    assert done.err.startswith("The executor ray needs Ray, which is not installed.\n  where: ")
    assert done.err.endswith("next:  pip install 'teachwhy[ray]'\n")
    assert not (tmp_path / "runs").exists()


def test_rays_client_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(RunError, match="cannot go through Ray's client"), on_ray.cluster():
        pass


def test_a_model_behind_an_api_is_refused(job: Job, tmp_path: Path) -> None:
    behind = replace(job, source=replace(job.source, name="inspect:openai/some"))
    with pytest.raises(RunError, match="from one machine"), (tmp_path / "lock").open("w") as lock:
        on_ray.run_on_ray(behind, plan_units(job.study), 1, SILENT, lock)  # type: ignore[arg-type]


# What a task finds on its machine


def test_a_folder_that_is_not_shared_is_said_and_not_made(job: Job, tmp_path: Path) -> None:
    elsewhere = replace(job, run=tmp_path / "not" / "mounted")
    said = list(on_ray.work(elsewhere, task_of(job, "base/seed-none")))
    assert len(said) == 1
    assert "The run folder is not on this machine." in said[0]["failed"]
    assert not elsewhere.run.exists()


def test_another_version_of_torch_is_refused(job: Job) -> None:
    with pytest.raises(RunError, match=r"has torch \S+, and the run is of 1\.0"):
        on_ray.fit_to_machine(with_environment(job, torch="1.0"))


def test_a_model_that_lies_elsewhere_on_this_machine_is_found(job: Job, tmp_path: Path) -> None:
    moved = replace(job, source=replace(job.source, folder=str(tmp_path / "elsewhere")))
    found = on_ray.fit_to_machine(replace(moved, judge=moved.source))
    assert found.source == found.judge == job.source
    other = replace(moved.source, fingerprint="of other weights")
    with pytest.raises(RunError, match="another model of that name"):
        on_ray.fit_to_machine(replace(job, source=other))
    gone = replace(moved.source, name=str(tmp_path / "gone" / "model"))
    with pytest.raises(ModelError, match="no model at this path"):
        on_ray.fit_to_machine(replace(job, source=gone))


def test_what_never_shows_in_the_run_folder_is_a_failure(job: Job) -> None:
    task = task_of(job, "base/seed-none")
    found = on_ray.not_here(job, task, {}, seconds=0.0)
    assert [message["unit"] for message in found] == [task.name]
    assert "shared by all machines" in found[0]["failed"]
    assert on_ray.not_here(job, task, {task.name: "it failed"}, seconds=0.0) == [], "that is said already"


def test_a_task_trains_and_examines_and_another_finds_it_done(job: Job) -> None:
    task = task_of(job, "what/seed-0")
    said = list(on_ray.work(job, task))
    assert [message["ended"] for message in said if "ended" in message] == ["training", "exams"]
    assert {message["unit"] for message in said} == {task.name}
    assert job.done(task.taught)
    assert on_ray.not_here(job, task, {}, seconds=0.0) == []
    assert list(on_ray.work(job, task)) == []


def test_a_task_says_when_its_worker_process_is_lost(job: Job) -> None:
    said = []
    for message in on_ray.work(job, task_of(job, "what/seed-0")):
        said.append(message)
        for process in workers_under(psutil.Process()):
            process.kill()
    assert said[-1]["lost"] == "the worker process ended with code -9 (killed, perhaps for want of memory)"
    assert not workers_under(psutil.Process())


def test_a_unit_at_work_elsewhere_is_waited_for(job: Job) -> None:
    task = task_of(job, "base/seed-none")
    said: list[dict[str, Any]] = []
    with locked(job.run / ".locks" / task.name, say=SILENT):
        second = threading.Thread(target=lambda: said.extend(on_ray.work(job, task)), daemon=True)
        second.start()
        second.join(timeout=1.0)
        assert second.is_alive()
        assert not workers_under(psutil.Process()), "begun though another works on it"
    second.join(timeout=120)
    assert [message["ended"] for message in said if "ended" in message] == ["exams"]


# A cluster


def workers_under(process: psutil.Process) -> list[psutil.Process]:
    return [child for child in descendants(process) if WORKER in command_of(child)]


def descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def command_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; one that has ended and was not waited for is not among them."""
    return [found for found in processes if found.is_running() and command_of(found)]


def all_gone(processes: list[psutil.Process], seconds: float = GONE_WITHIN_SECONDS) -> bool:
    end = time.monotonic() + seconds
    while alive(processes) and time.monotonic() < end:
        time.sleep(0.05)
    return not alive(processes)


def contents(run: Path) -> dict[str, bytes]:
    """The bytes of results, adapters and answers; other files hold times."""
    kinds = ("results.json", "*.safetensors", "*.jsonl")
    return {str(file.relative_to(run)): file.read_bytes() for kind in kinds for file in run.rglob(kind)}


class Driver:
    """`teachwhy run --executor ray` as a process of its own, and what it says."""

    def __init__(self, study: Path, runs: Path, log: Path, environment: dict[str, str], *options: str) -> None:
        self.log = log.open("ab")
        command = [sys.executable, "-m", "teachwhy.cli", "run", str(study), "--runs", str(runs), "--executor", "ray"]
        command += options
        self.process = subprocess.Popen(
            command, stdout=self.log, stderr=self.log, env=os.environ | environment, start_new_session=True
        )

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def wait_for(self, condition: Callable[[], Any], seconds: float = 180.0) -> Any:
        end = time.monotonic() + seconds
        while not (found := condition()):
            assert self.process.poll() is None, f"it ended with code {self.process.returncode}: {self.said()}"
            assert time.monotonic() < end, f"waited too long: {self.said()}"
            time.sleep(0.05)
        return found

    def said(self) -> str:
        self.log.flush()
        return Path(self.log.name).read_text(errors="replace")


@pytest.fixture
def ray_folder() -> Iterator[str]:
    """Where Ray keeps its sockets: their paths must be short."""
    pytest.importorskip("ray")
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield folder


@pytest.fixture
def head(ray_folder: str) -> Iterator[tuple[psutil.Process, dict[str, str]]]:
    """A cluster with room for three units, and the environment that leads to it."""
    start = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--port=0", "--num-cpus=3"]
    start += [f"--memory={12 * GIGABYTE}", f"--object-store-memory={GIGABYTE // 8}", f"--temp-dir={ray_folder}"]
    start += ["--node-ip-address=127.0.0.1", "--include-dashboard=false", "--disable-usage-stats"]
    process = subprocess.Popen(
        start, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, env=os.environ | TOKEN
    )
    address = Path(ray_folder) / "ray_current_cluster"
    try:
        end = time.monotonic() + 120
        while not address.exists():
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.1)
        yield psutil.Process(process.pid), TOKEN | {"RAY_ADDRESS": address.read_text().strip()}
    finally:
        every = [psutil.Process(process.pid), *descendants(psutil.Process(process.pid))]
        process.terminate()
        all_gone(every)
        for left in alive(every):
            left.kill()
        process.wait()


@pytest.fixture(scope="module")
def twelve(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> tuple[Path, dict[str, bytes]]:
    """A study of twelve units, and what the local executor made of it."""
    folder = tmp_path_factory.mktemp("twelve")
    train = tiny.tiny_settings(tiny_model)["train"] | {"epochs": 4}  # type: ignore[operator]
    arms, seeds = ["what", "why", "swapped"], [0, 1, 2, 3]
    study = tiny.build_tiny_study(folder / "study", tiny_model, train=train, arms=arms, seeds=seeds)
    done = run_study(study, runs=folder / "local", say=SILENT)
    assert done.failures == {}
    return study, contents(done.folder)


@pytest.mark.slow
def test_killed_workers_and_drivers_change_no_byte(
    twelve: tuple[Path, dict[str, bytes]], head: tuple[psutil.Process, dict[str, str]], tmp_path: Path
) -> None:
    """Ten workers and two drivers of a run of twelve units are killed at random instants."""
    study, expected = twelve
    cluster, environment = head
    rng = random.Random(0)
    log, runs = tmp_path / "log", tmp_path / "runs"
    driver = Driver(study, runs, log, environment)
    most = killed = 0
    for drivers_killed in range(3):
        for _ in range((3, 4, 3)[drivers_killed]):
            driver.wait_for(lambda: workers_under(cluster))
            time.sleep(rng.uniform(0, 5))
            at_work = driver.wait_for(lambda: workers_under(cluster))
            most = max(most, len(at_work))
            victim = rng.choice(at_work)
            # Either the worker process itself or the process of Ray's that holds it.
            (rng.choice([victim, victim.parent()]) or victim).kill()
            killed += 1
        if drivers_killed < 2:
            at_work = driver.wait_for(lambda: workers_under(cluster))
            driver.kill()
            if drivers_killed == 0:
                assert all_gone(at_work), "workers outlived their driver"
            driver = Driver(study, runs, log, environment)
    assert driver.process.wait(timeout=600) == 0, driver.said()
    assert killed == 10
    assert most >= 3, "three were never at work at once"
    assert 1 <= driver.said().count("run again") <= 10
    run = next(runs.glob("*/*/results.json")).parent
    assert contents(run) == expected
    results = json.loads((run / "results.json").read_text())
    assert sorted((row["arm"], row["seed"]) for row in results["training"]) == sorted(
        (arm, seed) for arm in ("what", "why", "swapped") for seed in range(4)
    )
    assert all_gone(workers_under(cluster))


@pytest.mark.slow
def test_a_cluster_started_for_a_run_dies_with_its_driver_and_the_next_run_goes_on(
    twelve: tuple[Path, dict[str, bytes]], ray_folder: str, tmp_path: Path
) -> None:
    study, expected = twelve
    environment = TOKEN | {"RAY_ADDRESS": "local", "RAY_TMPDIR": ray_folder}
    log, runs = tmp_path / "log", tmp_path / "runs"
    driver = Driver(study, runs, log, environment, "--arms", "what")
    driver.wait_for(lambda: list(runs.glob("*/*/train/*/seed-*/train.json")))
    every = descendants(psutil.Process(driver.process.pid))
    ours = [process for process in every if WORKER in command_of(process) or "ray::work" in command_of(process)]
    assert ours
    driver.kill()
    assert all_gone(ours), [command_of(process) for process in alive(ours)]
    driver = Driver(study, runs, log, environment, "--arms", "what")
    assert driver.process.wait(timeout=600) == 0, driver.said()
    found = contents(next(runs.glob("*/*/results.json")).parent)
    del found["results.json"]  # of a part of the study
    assert len([name for name in found if name.startswith("train/what/")]) == 4
    assert found.items() <= expected.items()
