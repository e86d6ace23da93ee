"""Runs at an address of fsspec's: what is carried, in which order, and that a run can go on from there alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import pytest

from teachwhy.errors import RunError
from teachwhy.study import plan_units, prepare_job, read_study, register_study, run_study
from teachwhy.study import run as run_module
from teachwhy.study import shared as shared_module
from teachwhy.study.executors import ray as on_ray
from teachwhy.study.executors.local import carried
from teachwhy.study.folder import locked
from teachwhy.study.job import Job, Step
from teachwhy.study.shared import Shared, address_of, to_carry

SILENT: Callable[[str], None] = lambda text: None  # noqa: E731


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An address in memory that is this test's own; this machine's copies go to the test's folder."""
    monkeypatch.setenv("TEACHWHY_CACHE", str(tmp_path / "cache"))
    name = tmp_path.name
    yield f"memory://{name}"
    if (files := fsspec.filesystem("memory")).exists(f"/{name}"):
        files.rm(f"/{name}", recursive=True)


def below(address: str) -> dict[str, bytes]:
    files, root = fsspec.core.url_to_fs(address)
    return {path.removeprefix(f"{root}/"): files.cat(path) for path in files.find(root)}


@pytest.mark.parametrize(
    ("runs", "found"),
    [
        ("s3://bucket/runs", "s3://bucket/runs"),
        (Path("s3://bucket/runs"), "s3://bucket/runs"),
        ("memory://runs", "memory://runs"),
        (Path("file:///home/runs"), "file:///home/runs"),
        (Path("runs"), None),
        (Path("/data/a:b"), None),
        ("C:/runs", None),
    ],
)
def test_an_address_is_told_from_a_folder(runs: Path | str, found: str | None) -> None:
    assert address_of(runs) == found


def test_records_go_last_and_a_folder_whose_record_is_the_same_stays() -> None:
    names = ["run/train/b/train.json", "run/train/b/adapter_config.json", "run/train/b/adapter_model.safetensors"]
    names += ["run/train/a/train.json", "run/train/a/adapter_model.safetensors", "log.jsonl"]
    assert to_carry(names, {"run/train/a/train.json"}) == [
        "log.jsonl",
        "run/train/b/adapter_config.json",
        "run/train/b/adapter_model.safetensors",
        "run/train/b/train.json",
    ]


def test_what_is_pushed_can_be_pulled_elsewhere_and_hidden_files_stay(address: str, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for name in ("run/train/what/adapter_model.safetensors", "run/train/what/train.json", "run/.lock", "log.jsonl"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text(name)
    shared = Shared(f"{address}/tiny")
    shared.push(here, ["run", "log.jsonl"])
    shared.pull(there, ["run", "log.jsonl", "nothing"])
    assert {str(path.relative_to(there)) for path in there.rglob("*") if path.is_file()} == {
        "run/train/what/adapter_model.safetensors",
        "run/train/what/train.json",
        "log.jsonl",
    }
    (here / "run/train/what/adapter_model.safetensors").write_text("other")
    shared.push(here, ["run"])
    assert below(address)["tiny/run/train/what/adapter_model.safetensors"] != b"other", "its record is the same"
    (here / "run/train/what/train.json").write_text("other")
    shared.push(here, ["run"])
    shared.pull(there, ["run"])
    assert (there / "run/train/what/adapter_model.safetensors").read_text() == "other"


def test_what_is_made_of_a_record_goes_though_the_record_is_there(address: str, tmp_path: Path) -> None:
    shared = Shared(f"{address}/tiny")
    for text in ("first", "second"):
        for name in ("run/evals/what/e.json", "run/evals/what/e.scores.jsonl", "run/results.json", "run/report.html"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text("the same" if name.endswith(".json") else text)
        shared.push(tmp_path, ["run"])
    kept = below(address)
    assert kept["tiny/run/evals/what/e.scores.jsonl"] == kept["tiny/run/report.html"] == b"second"


def test_a_log_that_has_grown_here_is_not_cut_to_what_is_there(address: str, tmp_path: Path) -> None:
    shared, log = Shared(f"{address}/tiny"), tmp_path / "asked-1.jsonl"
    log.write_text("one\n")
    shared.push(tmp_path, [log.name])
    log.write_text("one\ntwo\n")
    shared.pull(tmp_path, [log.name])
    assert log.read_text() == "one\ntwo\n", "an answer that was paid for"
    shared.push(tmp_path, [log.name])
    log.write_text("one\n")
    shared.push(tmp_path, [log.name])
    assert below(address)["tiny/asked-1.jsonl"] == b"one\ntwo\n", "what another machine asked"
    shared.pull(tmp_path, [log.name])
    assert log.read_text() == "one\ntwo\n"


def test_nothing_is_brought_into_a_folder_where_a_run_is_at_work(address: str, tiny_study: Path) -> None:
    job = prepare_job(read_study(tiny_study), address, SILENT)
    assert job.shared
    (job.run / "evals").mkdir(parents=True)
    (job.run / "evals" / "e.json").write_text("old")
    job.shared.push(job.run.parent, [job.run.name])
    (job.run / "evals" / "e.json").write_text("new")
    with locked(job.run, SILENT):
        prepare_job(read_study(tiny_study), address, SILENT)
        assert (job.run / "evals" / "e.json").read_text() == "new"
    prepare_job(read_study(tiny_study), address, SILENT)
    assert (job.run / "evals" / "e.json").read_text() == "old"


def test_a_registration_counts_the_answers_at_an_address(address: str, tiny_study: Path, here: None) -> None:
    run_study(tiny_study, runs=address, arms=["base", "policy_in_prompt"], say=SILENT)
    shutil.rmtree(Path(os.environ["TEACHWHY_CACHE"]) / "runs")
    told = register_study(tiny_study, decision_rule=None, runs=Path(address), say=SILENT)
    assert "2 units of this study had answers already" in told


def test_storage_that_fails_while_a_unit_is_carried_fails_that_unit(
    address: str, tiny_study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = prepare_job(read_study(tiny_study), address, SILENT)
    [unit] = plan_units(job.study, ["base"])
    message = {"unit": unit.name, "ended": "exams"}
    assert carried(job, unit, message) == message

    def away(self: Shared, *arguments: Any) -> None:
        tries.append(arguments)
        raise RunError("The storage is away.")

    tries: list[Any] = []
    monkeypatch.setattr(Shared, "push", away)
    monkeypatch.setattr(Shared, "pull", away)
    monkeypatch.setattr(shared_module, "PUSH_AGAIN_AFTER_SECONDS", (0.0, 0.0))
    assert carried(job, unit, message) == {"unit": unit.name, "failed": "The storage is away."}
    [task] = on_ray.tasks(job, [unit])
    assert on_ray.not_here(job, task, {}) == [{"unit": unit.name, "failed": "The storage is away."}]
    tries.clear()
    with pytest.raises(RunError):
        shared_module.insist(partial(job.shared.push, job.run.parent, []))
    assert len(tries) == 3


class Broken:
    """A worker that fails at whatever it is given, and says where its log is."""

    def __init__(self, job: Job, inbox: Any, lock: Any) -> None:
        self.job, self.inbox = job, inbox

    def begin(self, step: Step) -> None:
        log = self.job.run / "logs" / "what.txt"
        log.parent.mkdir(parents=True)
        log.write_text("all of it")
        self.inbox.put((self, {"unit": step.unit.name, "failed": f"out of paper (see {log})"}))

    def end(self) -> None:
        """It is gone already."""


def test_what_failed_in_a_folder_that_is_gone_says_where_its_log_is_kept(
    address: str, tiny_study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_ray, "start_worker", Broken)
    job = prepare_job(read_study(tiny_study), address, SILENT)
    [said] = on_ray.work(job, next(task for task in on_ray.tasks(job, plan_units(job.study)) if task.taught.trained))
    log = said["failed"].removeprefix("out of paper (see ").removesuffix(")")
    assert log == f"{address}/tiny/{job.run.name}/logs/what.txt"
    assert below(address)[log.removeprefix(f"{address}/")] == b"all of it"


def test_an_address_that_cannot_be_used_is_an_error(
    tiny_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, teachwhy: Callable[..., Any]
) -> None:
    monkeypatch.setenv("TEACHWHY_CACHE", str(tmp_path / "cache"))
    done = teachwhy("run", tiny_study, "--runs", "nowhere://runs")
    assert done.code == 2
    assert "The runs cannot be kept there: ValueError: Protocol not known: nowhere" in done.err
    assert "where: nowhere://runs/tiny\n" in done.err


@pytest.mark.slow
def test_a_run_goes_on_from_its_address_alone(
    address: str, tiny_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Worker processes here; what is kept there has the bytes of a run in a folder, and no second one works again."""
    some: dict[str, Any] = {"arms": ["base", "what"], "seeds": [0], "say": SILENT}
    plain = run_study(tiny_study, runs=tmp_path / "runs", **some)
    done = run_study(tiny_study, runs=address, **some)
    assert done.failures == {}
    kept = below(f"{address}/tiny")
    run = done.folder.name
    for name in ("results.json", "train/what/seed-0/adapter_model.safetensors", "evals/what/seed-0/decisions.jsonl"):
        assert kept[f"{run}/{name}"] == (plain.folder / name).read_bytes(), name
    assert "log.jsonl" not in kept, "the study is not complete"
    shutil.rmtree(tmp_path / "cache")
    monkeypatch.setattr(run_module, "run_units", never)
    again = run_study(tiny_study, runs=address, **some)
    assert again.results == plain.results


def never(*arguments: Any) -> Any:
    raise AssertionError("this must not be done again")


def test_a_task_works_in_a_folder_of_its_own_and_leaves_its_unit_at_the_address(
    address: str, tiny_study: Path, tmp_path: Path
) -> None:
    job = prepare_job(read_study(tiny_study), address, SILENT)
    task = next(task for task in on_ray.tasks(job, plan_units(job.study)) if task.name == "what/seed-0")
    unit = task.taught
    said = list(on_ray.work(job, task))
    assert [message["ended"] for message in said if "ended" in message] == ["training", "exams"]
    assert not job.run.exists()
    assert job.shared
    job.shared.pull(job.run.parent, job.parts(unit))
    assert job.done(unit)
    assert not job.damaged(unit)
    assert list(on_ray.work(job, task)) == [], "another task finds it done"
    kept = below(address)
    damaged = next(name for name in kept if name.endswith("what/seed-0/adapter_model.safetensors"))
    fsspec.filesystem("memory").pipe(f"/{address.removeprefix('memory://')}/{damaged}", b"cut")
    with on_ray.run_folder(replace(job, run=tmp_path / "elsewhere" / job.run.name), task) as here:
        assert not here.trained(unit), "what is damaged there is made again"
        assert here.answered(unit)
