"""Logs of Inspect join a run: the same records, results and report as of a study's own runner."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import tiny
from in_process import run_study_here
from inspect_ai.log import write_eval_log
from inspecting import examined, scripted, tiny_run
from test_noise_run import explained_items

from teachwhy.errors import InputError
from teachwhy.inspect.joining import join_logs
from teachwhy.study import Run


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Run:
    return tiny_run(tmp_path_factory.mktemp("ran"), tiny_model)


def quiet(text: str) -> None:
    pass


def prompt_study(folder: Path, **changes: object) -> Path:
    """Two prompt arms of a model that is named when the study is run."""
    contrast = {
        "arm": "policy_in_prompt",
        "versus": "base",
        "metric": "follows_first_fact",
        "subset": {"kind": "conflict"},
    }
    settings = {
        "arms": ["base", "policy_in_prompt"],
        "format": {"reason_marker": "", "action_marker": ""},
        "off_format_share": 0.0,
        "contrasts": [contrast],
        "exploratory": [],
        "competence": None,
    }
    return tiny.build_tiny_study(folder / "study", "bundled:none", **(settings | changes))


def follows(messages: list) -> str:
    """Follows the first fact where it is shown the policy, and the second where it is not."""
    asked = messages[-1].text
    fact = asked.split(",")[0 if "Lock the door" in messages[0].text else 1]
    yes, no = tiny.ACTIONS[next(rule for rule in tiny.RULES if rule in asked)]
    return no if "without" in fact else yes


def logs_of(study: Path, folder: Path, **settings: object) -> list[Path]:
    model = scripted(follows)
    logs = [
        examined("decisions", model, folder, study=str(study), system=system, limits=settings)
        for system in ("base", "policy_in_prompt")
    ]
    return [Path(log.location) for log in logs]


def test_logs_of_a_model_behind_an_api_become_a_run_with_results_and_a_report(tmp_path: Path):
    study = prompt_study(tmp_path)
    [done] = join_logs(study, logs_of(study, tmp_path), runs=tmp_path / "runs", say=quiet)
    assert [arm["state"] for arm in done.results["arms"]] == ["done", "done"]
    [contrast] = done.results["contrasts"]
    assert contrast["estimate"] == 1.0, "all conflict cases go the other way"
    assert "follows_first_fact_by_choice" not in {metric["name"] for metric in done.results["metrics"]}
    assert done.report.exists()
    assert {record["missing"] for record in done.results["asked"]} == {0}
    assert all(record["tokens_out"] == record["answers"] == 12 for record in done.results["asked"])


def test_logs_joined_again_change_no_byte(tmp_path: Path):
    study = prompt_study(tmp_path)
    logs = logs_of(study, tmp_path)
    [done] = join_logs(study, logs, runs=tmp_path / "runs", say=quiet)
    files = [done.folder / "results.json", *done.folder.rglob("*.jsonl")]
    before = {path: path.read_bytes() for path in files}
    join_logs(study, logs[::-1], runs=tmp_path / "runs", say=quiet)
    assert {path: path.read_bytes() for path in files} == before


def test_logs_of_two_models_become_two_runs(tmp_path: Path):
    study = prompt_study(tmp_path)
    logs = [*logs_of(study, tmp_path), *logs_of(study, tmp_path)]
    done = join_logs(study, logs, runs=tmp_path / "runs", say=quiet)
    assert len({run.folder for run in done}) == 2


def test_several_samples_are_averaged_an_item(tmp_path: Path):
    study = prompt_study(tmp_path, sampling={"samples": 2, "temperature": 0.5})
    [done] = join_logs(study, logs_of(study, tmp_path), runs=tmp_path / "runs", say=quiet)
    stored = (done.folder / "evals" / "base" / "seed-none" / "decisions.jsonl").read_text().splitlines()
    assert [json.loads(line).get("sample", 0) for line in stored] == [0] * 12 + [1] * 12
    assert done.results["contrasts"][0]["items"] == 6


def test_an_arm_asked_through_inspect_gives_the_results_of_its_own_run(ran: Run, tmp_path: Path):
    """As told by its own runner, but for the last digits of log-probabilities."""
    run = tmp_path / "copy" / "runs" / "tiny" / ran.folder.name
    shutil.copytree(ran.folder, run)
    study = ran.folder.parents[2] / "study"
    names = ["base", "policy_in_prompt", "why:0"]
    logs = [examined("decisions", f"teachwhy/{run}:{name}", tmp_path, study=str(study)) for name in names]
    shutil.rmtree(run / "evals")
    [done] = join_logs(study, [Path(log.location) for log in logs], runs=tmp_path, say=quiet)
    assert done.folder == run
    assert [arm["state"] for arm in done.results["arms"]] == ["done"] * 3
    for mine, theirs in zip(done.results["rates"], ran.results["rates"], strict=True):
        assert mine["metric"] == theirs["metric"]
        assert mine["estimate"] == theirs["estimate"]
    assert done.results["canaries"][0]["merged"] != done.results["canaries"][0]["base"]


def test_every_exam_that_asks_on_gives_the_results_of_its_own_runner(tmp_path: Path):
    """A judge, questions that hang on answers to other items, pairs and wraps: all of it comes out as in the run."""
    model = tiny.build_tiny_model(tmp_path / "model", context=2048)
    exams = ["edge_cases", "framings", "explanations"]
    changes = {"exams": exams, "arms": ["base", "why"], "seeds": [0], "contrasts": [], "exploratory": []}
    study = tiny.build_tiny_study(tmp_path / "study", model, **changes, competence=None)
    tiny.write_jsonl(study.parent / "items.jsonl", explained_items())
    own = run_study_here(study, runs=tmp_path / "runs")
    assert own.failures == {}
    grader = {"grader": f"teachwhy/{own.folder}:base"}
    logs = [
        examined(exam, f"teachwhy/{own.folder}:{arm}", tmp_path, study=str(study), roles=roles)
        for arm in ("base", "why:0")
        for exam, roles in (("edge_cases", None), ("framings", None), ("explanations", grader))
    ]
    assert [log.status for log in logs] == ["success"] * 6
    paths = [Path(log.location) for log in logs]
    before = {path: path.read_text() for path in own.folder.rglob("*-*/*.jsonl")}
    shutil.rmtree(own.folder / "evals")
    [done] = join_logs(study, paths, runs=tmp_path / "runs", say=quiet)
    assert [arm["state"] for arm in done.results["arms"]] == ["done", "done"]
    for path, text in before.items():
        assert words_of(path.read_text()) == words_of(text), path
    unjudged = examined("edge_cases", f"teachwhy/{own.folder}:base", tmp_path, study=str(study), roles=grader)
    join_logs(study, [Path(unjudged.location)], runs=tmp_path / "runs", say=quiet)
    mine = examined(
        "explanations",
        f"teachwhy/{own.folder}:why:0",
        tmp_path,
        study=str(study),
        roles={"grader": f"teachwhy/{own.folder}:why:0"},
    )
    with pytest.raises(InputError, match="the judge was"):
        join_logs(study, [Path(mine.location)], runs=tmp_path / "runs", say=quiet)


def words_of(stored: str) -> list[tuple[str, str, str]]:
    """Answers without their log-probabilities, whose last digits hang on the batch; scores are not looked at."""
    records = [json.loads(line) for line in stored.splitlines()]
    return sorted((one["item"], one["format"], one["text"]) for one in records if "text" in one)


def test_what_is_not_as_the_study_asks_is_refused(tmp_path: Path):
    study = prompt_study(tmp_path)
    cases = {
        "the longest answer (max_tokens) was 50": {"max_tokens": 50},
        "the temperature was 1.0": {"temperature": 1.0},
        "epochs) was 2": {"epochs": 2},
    }
    for told, settings in cases.items():
        with pytest.raises(InputError, match="not asked as the study asks") as error:
            join_logs(study, logs_of(study, tmp_path, **settings), runs=tmp_path / "runs", say=quiet)
        assert told in str(error.value)


def test_a_part_of_an_exam_is_refused(tmp_path: Path):
    study = prompt_study(tmp_path)
    with pytest.raises(InputError, match="lacks 7 of the 12 cases"):
        join_logs(study, logs_of(study, tmp_path, limit=5), runs=tmp_path / "runs", say=quiet)


def test_other_items_other_arms_and_other_tasks_are_refused(tmp_path: Path):
    study = prompt_study(tmp_path)
    logs = logs_of(study, tmp_path)
    other = prompt_study(tmp_path / "other", arms=["base", "rules_in_prompt"], contrasts=[])
    with pytest.raises(InputError, match="The study has no arm 'policy_in_prompt'"):
        join_logs(other, logs, runs=tmp_path / "runs", say=quiet)
    items = (study.parent / "items.jsonl").read_text()
    (study.parent / "items.jsonl").write_text(items.replace("A lamp with", "Some lamp with"))
    with pytest.raises(InputError, match="none of the study's, or in other words"):
        join_logs(study, logs, runs=tmp_path / "runs", say=quiet)
    foreign = examined("decisions", scripted(follows), tmp_path, study=str(other.parent))
    foreign.eval.task = "xstest"
    write_eval_log(foreign)
    with pytest.raises(InputError, match="no exam of ours"):
        join_logs(study, [Path(foreign.location)], runs=tmp_path / "runs", say=quiet)
    with pytest.raises(InputError, match="not a log of Inspect"):
        join_logs(study, [study], runs=tmp_path / "runs", say=quiet)


def test_join_is_a_command(tmp_path: Path, teachwhy):
    study = prompt_study(tmp_path)
    done = teachwhy("join", study, *logs_of(study, tmp_path), "--runs", tmp_path / "runs")
    assert done.code == 0, done.err
    assert "report:" in done.out
    assert "base/seed-none: decisions from" in done.err
