"""Reporting the loss elsewhere: by names that transformers knows, and without a trace in any result."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from bad_input import assert_refused, edit_study
from in_process import SILENT
from test_run import adapters, answers

from teachwhy.study import run_study
from teachwhy.study.folder import read_json
from teachwhy.train.reporters import Reporting

PART: dict[str, Any] = {"arms": ["what"], "seeds": [0], "say": SILENT}


def with_reports(study: Path, names: list[str]) -> Path:
    """The study with `train.report_to`."""
    train = yaml.safe_load(study.read_text())["train"]
    edit_study(study, train={**train, "report_to": names})
    return study


def event_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("events.out.tfevents*"))


@pytest.mark.usefixtures("here")
def test_by_default_nothing_is_logged(tiny_study: Path, tmp_path: Path) -> None:
    run = run_study(tiny_study, runs=tmp_path / "runs", **PART)
    assert run.failures == {}
    assert not (run.folder / "logs").exists()
    assert not event_files(tmp_path)


@pytest.mark.usefixtures("here")
def test_tensorboard_gets_every_loss_and_no_result_changes(tiny_study: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    silent = run_study(tiny_study, runs=tmp_path / "silent", **PART)
    told = run_study(with_reports(tiny_study, ["tensorboard", "tensorboard"]), runs=tmp_path / "told", **PART)
    assert told.failures == {}
    assert told.folder.name == silent.folder.name, "where the loss is reported is no part of a study's content"
    assert adapters(told.folder) == adapters(silent.folder)
    assert answers(told.folder) == answers(silent.folder)
    assert told.results == silent.results
    (file,) = event_files(told.folder)
    assert file.is_relative_to(told.folder / "logs" / "training" / "what" / "seed-0")
    logged = EventAccumulator(str(file)).Reload().Scalars("train/loss")
    losses = read_json(told.folder / "train" / "what" / "seed-0" / "train.json")["losses"]
    assert [event.value for event in logged] == pytest.approx(losses, abs=1e-3)
    assert len(losses) == 4


@pytest.mark.usefixtures("here")
def test_what_is_trained_is_not_trained_again_to_be_reported(tiny_study: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    run_study(tiny_study, runs=tmp_path / "runs", **PART)
    again = run_study(with_reports(tiny_study, ["tensorboard"]), runs=tmp_path / "runs", **PART)
    assert not event_files(again.folder)


@pytest.mark.parametrize("command", ["run", "plan"])
def test_an_unknown_name_is_refused_before_any_work(teachwhy, tiny_study: Path, tmp_path: Path, command: str) -> None:
    study = with_reports(tiny_study, ["tensorbord"])
    done = teachwhy(command, study, "--runs", tmp_path / "runs")
    assert_refused(done, "no service to report to named 'tensorbord'", "Did you mean 'tensorboard'?", "train.report_to")
    assert not (tmp_path / "runs").exists()


def test_a_package_that_is_not_installed_is_named(
    teachwhy, tiny_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.integrations import integration_utils

    monkeypatch.setattr(integration_utils, "is_trackio_available", lambda: False)
    done = teachwhy("run", with_reports(tiny_study, ["trackio"]), "--runs", tmp_path / "runs")
    assert_refused(done, "'trackio' is not installed", "pip install trackio", "train.report_to")
    assert not (tmp_path / "runs").exists()


def test_a_run_that_a_service_leaves_open_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Else the next training of a worker would go on in it."""
    ended = []

    class Service:
        finish = staticmethod(lambda: ended.append("wandb"))

    monkeypatch.setitem(sys.modules, "wandb", Service)
    Reporting(["tensorboard"], tmp_path, "study", "what/seed-0").close()
    assert ended == []
    Reporting(["tensorboard", "wandb"], tmp_path, "study", "what/seed-0").close()
    assert ended == ["wandb"]
