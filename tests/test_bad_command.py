"""Commands that ask for what is not there or cannot be done: refused, with what to do next, nothing lost."""

from __future__ import annotations

import sys

import pytest
from bad_input import assert_refused


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--arms", "wy"), "no arm in this study named 'wy' Did you mean 'why'?"),
        (("--arms", "why,neutral"), "no arm in this study named 'neutral'"),
        (("--seeds", "7"), "no seed in this study named '7' Valid: 0, 1"),
        (("--seeds", "-1"), "no seed in this study named '-1'"),
        (("--model", "./nowhere"), "no model at this path"),
    ],
)
@pytest.mark.parametrize("command", ["run", "plan"])
def test_options_that_do_not_fit(teachwhy, tiny_study, command, arguments, said):
    done = teachwhy(command, tiny_study, *arguments)
    assert_refused(done)
    for word in said.split():
        assert word in done.err


def test_options_that_cannot_be_read(teachwhy, tiny_study):
    for arguments in (("--seeds", "a"), ("--seed", "1"), ("--arms",)):
        done = teachwhy("plan", tiny_study, *arguments)
        assert done.code == 2
        assert arguments[0] in done.err
        assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--arm", "base"), "no trained arm named 'base'"),
        (("--arm", "wy"), "Did you mean 'why'?"),
        (("--row", "7"), "no row 7; the arm 'why' has 6"),
    ],
)
def test_rows_that_cannot_be_shown(teachwhy, tiny_study, arguments, said):
    assert_refused(teachwhy("show", tiny_study, *arguments), said)


def test_asking_where_nothing_is_trained(teachwhy, tiny_study, tmp_path):
    runs = tmp_path / "runs"
    assert_refused(teachwhy("ask", tmp_path / "nowhere", "Hello?"), "neither a run folder nor a study", "nowhere")
    assert_refused(teachwhy("ask", tiny_study, "Hello?", "--arms", "why", "--runs", runs), "No arm", "trained yet")
    broken = runs / "tiny" / "1234"
    broken.mkdir(parents=True)
    for text in ("{", "[]", "{}"):
        (broken / "study.json").write_text(text)
        assert_refused(teachwhy("ask", broken, "Hello?"), "record is broken", str(broken / "study.json"))
    (broken / "study.json").write_text('{"study_file": "/nowhere/study.yaml", "model": "x"}')
    assert_refused(teachwhy("ask", broken, "Hello?"), "no longer where it was", "/nowhere/study.yaml")


def test_a_report_of_a_study_that_never_ran(teachwhy, tiny_study, tmp_path):
    assert_refused(teachwhy("report", tiny_study, "--runs", tmp_path / "runs"), "no run yet", "teachwhy run")


def test_a_starter_is_not_written_over_anything(teachwhy, tmp_path):
    (tmp_path / "policy.md").write_text("mine")
    assert_refused(teachwhy("init", tmp_path), "a study here already", str(tmp_path / "policy.md"))
    assert (tmp_path / "policy.md").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["policy.md"]
    assert_refused(teachwhy("init", tmp_path / "policy.md" / "deeper"), "policy.md")


def test_a_library_that_is_not_installed(teachwhy, tiny_study, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert_refused(teachwhy("plan", tiny_study), "needs transformers", "pip install 'teachwhy[train]'")


def test_an_interrupted_run_says_how_to_go_on(teachwhy, tiny_study, monkeypatch):
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("teachwhy.study.run_study", interrupted)
    done = teachwhy("run", tiny_study)
    assert done.code == 130
    assert "run the same command again" in done.err
