"""What of a staged arm is not taught again: under another name, in another run folder, and where its arms end alike."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from in_process import SILENT
from test_stages import EXAMPLES, FORGETTING, READING, build, run, train_record, weights

from teachwhy.study import run_study
from teachwhy.study.unit import Worker


@pytest.fixture
def taught(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The stages that are taught from now on, as arm@stage."""
    found: list[str] = []
    teach = Worker.teach

    def noted(self: Worker, unit, stage, *rest) -> None:
        found.append(f"{unit.arm.name}@{stage.name}")
        teach(self, unit, stage, *rest)

    monkeypatch.setattr(Worker, "teach", noted)
    return found


def test_a_stage_of_another_name_is_the_same_stage(
    tmp_path: Path, tiny_model: Path, here: None, taught: list[str]
) -> None:
    first = run(build(tmp_path, tiny_model))
    taught.clear()
    again = run(build(tmp_path, tiny_model, stages=[READING | {"name": "reads"}, EXAMPLES, FORGETTING]))
    assert again.folder != first.folder
    assert (again.failures, taught) == ({}, [])
    assert again.results["training"] == first.results["training"]
    assert train_record(again, "read@reads")["stage"]["name"] == "reads"


def test_only_the_stages_from_the_first_change_on_are_taught(
    tmp_path: Path, tiny_model: Path, here: None, taught: list[str]
) -> None:
    first = run(build(tmp_path, tiny_model))
    taught.clear()
    again = run(build(tmp_path, tiny_model, stages=[READING, EXAMPLES, FORGETTING | {"train": {"epochs": 3}}]))
    assert (again.failures, taught) == ({}, ["read@forgetting"])
    assert weights(again, "read@examples") == weights(first, "read@examples")
    assert weights(again, "read") != weights(first, "read")


def test_a_checkpoint_that_is_named_alone_is_taken_over_too(
    tmp_path: Path, tiny_model: Path, here: None, taught: list[str]
) -> None:
    stages = [EXAMPLES | {"checkpoints": 2}, FORGETTING]
    arms = [{"name": "plain", "arm": "what"}]
    first = run(build(tmp_path, tiny_model, stages=stages, arms=arms, contrasts=[]))
    taught.clear()
    stages[1] = FORGETTING | {"train": {"epochs": 3}}
    path = build(tmp_path, tiny_model, stages=stages, arms=arms, contrasts=[])
    again = run_study(path, runs=tmp_path / "runs", say=SILENT, arms=["plain@examples.50"])
    assert again.folder != first.folder
    assert weights(again, "plain@examples.50") == weights(first, "plain@examples.50")
    assert (again.failures, taught) == ({}, [])


def test_what_was_deleted_of_a_finished_arm_is_made_again_and_no_more(
    tmp_path: Path, tiny_model: Path, here: None, taught: list[str]
) -> None:
    path = build(tmp_path, tiny_model)
    first = run(path)
    before, results = weights(first, "read@examples"), first.results
    taught.clear()
    shutil.rmtree(first.folder / "train" / "read@examples")
    again = run(path)
    assert (again.failures, taught) == ({}, ["read@examples"])
    assert weights(again, "read@examples") == before
    assert again.results == results


def test_an_arm_that_ends_where_another_goes_on_is_taught_with_it(
    tmp_path: Path, tiny_model: Path, here: None, taught: list[str]
) -> None:
    arms = [
        {"name": "on", "arm": "what", "stages": ["reading", "examples"]},
        {"name": "ends", "arm": "what", "stages": ["reading"]},
    ]
    done = run(build(tmp_path, tiny_model, arms=arms, stages=[READING, EXAMPLES], contrasts=[]))
    assert (done.failures, taught) == ({}, ["on@reading", "on@examples"])
    assert weights(done, "ends") == weights(done, "on@reading") != weights(done, "on")
    assert train_record(done, "ends")["arm"]["name"] == "ends"
