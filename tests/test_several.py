"""One unit trained by two processes on the CPU: as by one to the last digits, and taken over by a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import test_reinforce_stage as reinforcement
import tiny
from in_process import run_study_here
from test_run import never

from teachwhy.errors import ModelError
from teachwhy.models import weights
from teachwhy.study import several
from teachwhy.study.run import Run
from teachwhy.study.unit import Worker

SILENT: Callable[[str], None] = lambda text: None  # noqa: E731
LORA = {"epochs": 2, "batch": 3, "learning_rate": 0.01, "rank": 4, "alpha": 8, "compile": False}
# Batches of three in micro batches of one: the second process has two rows' time for one row.
OWN = {"adapter": "none", "epochs": 2, "batch": 3, "micro_batch": 1, "learning_rate": 0.003, "compile": False}
STAGED = [{"name": "first", "kind": "supervised", "checkpoints": 2}]
FSDP = str(Path(__file__).with_name("fsdp_on_cpu.py"))


def by_two(study: Path, runs: Path, *program: str) -> str:
    """What two processes print that train why/seed-0 together."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", *program]
    command = [*launch, str(study), "--arm", "why", "--seed", "0", "--runs", str(runs)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    return done.stdout


def by_one(study: Path, runs: Path) -> Run:
    return run_study_here(study, arms=["why"], seeds=[0], runs=runs)


def assert_the_same(one: Run, two: Path, processes: int) -> None:
    """Losses and weights of why/seed-0 in two run folders."""
    from safetensors.torch import load_file

    folder = one.folder / "train" / "why" / "seed-0"
    other = two / one.folder.parent.name / one.folder.name / "train" / "why" / "seed-0"
    records = [json.loads((place / "train.json").read_text()) for place in (folder, other)]
    assert records[0]["losses"] == pytest.approx(records[1]["losses"], abs=1e-5)
    assert records[0]["stamp"] == records[1]["stamp"]
    assert [record["processes"] for record in records] == [1, processes]
    assert records[0]["files"].keys() == records[1]["files"].keys()
    [name] = [file for file in records[0]["files"] if file.endswith(".safetensors")]
    first, second = load_file(folder / name), load_file(other / name)
    assert first.keys() == second.keys()
    for weight, values in first.items():
        assert (values - second[weight]).abs().max() < 1e-4, weight


def test_two_processes_train_what_one_does_and_a_run_goes_on_from_it(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = tiny.build_tiny_study(tmp_path / "study", tiny_model, train=LORA)
    said = by_two(study, tmp_path / "two", "-m", "teachwhy.study.several")
    assert "why/seed-0: training 4/4 loss" in said
    assert said.count("was trained by 2 processes") == 1, "the first process alone speaks"
    assert_the_same(by_one(study, tmp_path / "one"), tmp_path / "two", 2)
    monkeypatch.setattr(Worker, "train", never)
    examined = by_one(study, tmp_path / "two")
    assert examined.failures == {}
    assert len(examined.results["canaries"]) == 1
    told: list[str] = []
    several.train_together(study, "why", 0, tmp_path / "two", told.append)
    assert [text for text in told if "is trained" in text]


def test_what_was_trained_while_the_lock_was_waited_for_is_left_as_it_is(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its exams were sat with just these bytes."""
    study = tiny.build_tiny_study(tmp_path / "study", tiny_model, train=LORA)

    @contextmanager
    def waited(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
        by_one(study, tmp_path / "runs")
        yield

    monkeypatch.setattr(several, "locked", waited)
    monkeypatch.setattr(several, "teach_in", never)
    told: list[str] = []
    several.train_together(study, "why", 0, tmp_path / "runs", told.append)
    assert "why/seed-0 is trained" in told[-1]


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [LORA, OWN], ids=["adapter", "own weights"])
def test_sharded_weights_come_to_the_same(tiny_model: Path, tmp_path: Path, recipe: dict[str, Any]) -> None:
    """FSDP, with each process holding half of every weight; what is saved is whole."""
    study = tiny.build_tiny_study(tmp_path / "study", tiny_model, train=recipe)
    assert by_two(study, tmp_path / "two", FSDP).count("sharded: True") == 2
    assert_the_same(by_one(study, tmp_path / "one"), tmp_path / "two", 2)


@pytest.mark.slow
def test_two_processes_train_own_weights_in_micro_batches(tiny_model: Path, tmp_path: Path) -> None:
    study = tiny.build_tiny_study(tmp_path / "study", tiny_model, train=OWN)
    by_two(study, tmp_path / "two", "-m", "teachwhy.study.several")
    assert_the_same(by_one(study, tmp_path / "one"), tmp_path / "two", 2)


@pytest.mark.parametrize(
    ("arm", "train", "told"),
    [
        ("base", LORA, "The arm 'base' is not trained."),
        ("why", {**LORA, "compile": True}, "without torch.compile"),
        ("wy", LORA, "Did you mean 'why'?"),
        ("why@first.50", LORA, "'why@first.50' is a checkpoint"),
    ],
    ids=["not trained", "compiled", "unknown", "checkpoint"],
)
def test_what_several_processes_cannot_do_is_refused_plainly(
    tiny_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arm: str,
    train: dict[str, Any],
    told: str,
) -> None:
    stages = {"stages": STAGED} if "@" in arm else {}
    study = tiny.build_tiny_study(tmp_path / "study", tiny_model, train=train, **stages)
    with pytest.raises(SystemExit) as stopped:
        several.main([str(study), "--arm", arm, "--seed", "0", "--runs", str(tmp_path / "runs")])
    assert stopped.value.code == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_two_processes_teach_one_stage_after_another(tiny_model: Path, tmp_path: Path) -> None:
    """The second from where the first ended, with a checkpoint on the way."""
    stages = [{"name": "examples", "kind": "supervised", "checkpoints": 2}, {"name": "again", "kind": "supervised"}]
    study = tiny.build_tiny_study(tmp_path / "study", tiny_model, train=LORA, stages=stages)
    by_two(study, tmp_path / "two", "-m", "teachwhy.study.several")
    one = by_one(study, tmp_path / "one")
    assert_the_same(one, tmp_path / "two", 2)
    trained = [
        sorted(str(file.relative_to(runs)) for file in runs.glob("*/*/train/why*/seed-0/train.json"))
        for runs in (tmp_path / "one", tmp_path / "two")
    ]
    assert trained[0] == trained[1]
    assert len(trained[0]) == 3
    assert not list((tmp_path / "two").rglob("*.tmp"))


def test_a_stage_of_reinforcement_is_left_to_one_process(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = reinforcement.build(tmp_path / "study", tiny_model, train={"batch": 8, "compile": False})
    with pytest.raises(SystemExit):
        several.main([str(study), "--arm", "acted", "--seed", "0", "--runs", str(tmp_path / "runs")])
    assert "'reinforce' is taught by one process" in capsys.readouterr().err


def test_a_sharded_network_is_not_given_weights_that_it_could_not_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "is_sharded", lambda network: True)
    with pytest.raises(ModelError, match="cannot go on from saved weights"):
        weights.load_weights(object(), tmp_path)
