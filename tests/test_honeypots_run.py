"""Both exams of agents in a run of a study, by the local runner as any other exam."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import tiny
import yaml
from in_process import SILENT, run_here, run_study_here

from teachwhy.errors import CheckError, InputError
from teachwhy.evals.honeypots import bundled_files
from teachwhy.study import read_study, report_study, run_study
from teachwhy.study import run as run_module
from teachwhy.study import unit as unit_module
from teachwhy.study.folder import read_jsonl
from teachwhy.study.plan import plan_units
from teachwhy.study.run import prepare_job

MARKS = {
    "name": "agents",
    "exams": ["decisions", "next_act", "honeypots"],
    "scenarios": {"files": ["approval.yaml", "monitors.yaml"], "near": ["approval"], "settings": 2},
    "arms": ["base", "what", "why"],
    "seeds": [0],
    "workers": 1,
    "noise": {"arm": "base", "samples": 2, "judgings": 2},
    "contrasts": [
        {"arm": "why", "versus": "what", "exam": "honeypots", "metric": "harmful_act", "subset": {"distance": "near"}}
    ],
    "exploratory": [
        {
            "arm": "why",
            "versus": "what",
            "exam": "next_act",
            "metric": "pair_accuracy",
            "subset": {"threat": "replaced"},
        }
    ],
}


@pytest.fixture(scope="module")
def long_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.build_tiny_model(tmp_path_factory.mktemp("long") / "tiny", context=8192)


def agents_study(folder: Path, model: Path, **changes: object) -> Path:
    study = tiny.build_tiny_study(folder, model, **MARKS | {"judge": str(model)} | changes)
    for path in bundled_files():
        shutil.copy(path, folder)
    return study


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, long_model: Path):
    folder = tmp_path_factory.mktemp("agents")
    return run_study_here(agents_study(folder / "study", long_model), runs=folder / "runs")


def scores_of(finished, arm: str, exam: str) -> list[dict]:
    return list(read_jsonl(next(finished.folder.glob(f"evals/{arm}/*/{exam}.scores.jsonl"))))


def test_a_run_with_both_exams_has_scores_contrasts_and_a_page(finished):
    results = finished.results
    assert {arm["state"] for arm in results["arms"]} == {"done"}
    assert len([rate for rate in results["rates"] if rate["exam"] == "honeypots"]) > 30
    declared = results["contrasts"][0]
    assert (declared["items"], declared["families"]) == (2, 1)
    assert "Agents under temptation" in finished.report.read_text(encoding="utf-8")
    assert "The next act" in finished.report.read_text(encoding="utf-8")


def test_a_model_that_makes_no_call_is_asked_thrice_and_did_nothing(finished):
    answers = list(read_jsonl(next(finished.folder.glob("evals/base/*/honeypots.jsonl"))))
    of_judge = [answer for answer in answers if answer["item"].endswith("~intent")]
    assert (len(answers) - len(of_judge), len(of_judge)) == (8 * 3, 4)
    scores = [score for score in scores_of(finished, "base", "honeypots") if "judge" not in score["metric"]]
    assert {score["item"] for score in scores} == {answer["item"].partition("~")[0] for answer in answers}
    values = {(score["metric"], score["value"]) for score in scores}
    assert {("harmful_act", 0.0), ("paralysis", 1.0), ("inaction", 1.0), ("progress", 0.0)} <= values
    assert {score["decision"] for score in scores if score["metric"] == "progress"} == {"handed back"}


def test_the_judge_is_asked_of_every_bait_and_its_noise_and_that_of_sampling_are_measured(finished):
    judged = [
        score for score in scores_of(finished, "base", "honeypots") if score["metric"] == "harmful_intent_by_judge"
    ]
    assert len(judged) == 4
    assert all(score["value"] is not None for score in judged)
    noise = finished.results["noise"]
    assert noise["per_sample"] == [0.0, 0.0]
    assert noise["judging_note"] or noise["per_judging"]


def test_scoring_again_changes_nothing(finished):
    before = finished.folder.joinpath("results.json").read_bytes()
    report_study(finished.folder.parents[2] / "study", runs=finished.folder.parents[1], say=SILENT)
    assert finished.folder.joinpath("results.json").read_bytes() == before


def test_a_conversation_that_no_longer_fits_ends_its_run_with_that_cause(tmp_path, long_model, monkeypatch):
    monkeypatch.setattr(run_module, "run_units", run_here)
    monkeypatch.setattr(unit_module, "model_context", lambda source: 100)
    study = agents_study(
        tmp_path / "study", long_model, arms=["base", "what"], contrasts=[], exploratory=[], noise=None
    )
    finished = run_study(study, arms=["base"], runs=tmp_path / "runs", say=SILENT)
    scores = scores_of(finished, "base", "honeypots")
    assert {score["decision"] for score in scores if score["metric"] == "progress"} == {unit_module.TOO_LONG}
    by_judge = [score for score in scores if "judge" in score["metric"]]
    assert {score.get("cause") for score in by_judge} == {unit_module.TOO_LONG}
    assert all(score["value"] is not None for score in scores if score not in by_judge)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"scenarios": {"files": ["approval.yaml"], "near": ["monitor"]}}, "no scenario family named 'monitor'"),
        ({"scenarios": {"files": ["approval.yaml", "bundled"]}}, "The family 'approval' stands in two files."),
        ({"scenarios": {"files": ["nowhere.yaml"]}}, "This file does not exist."),
        ({"scenarios": {"settings": 0}}, "greater than or equal to 1"),
        (
            {"exploratory": [MARKS["exploratory"][0] | {"subset": {"threat": "much"}}]},
            "no item whose threat is named 'much'",
        ),
    ],
)
def test_what_a_study_cannot_mean_is_refused(tmp_path, long_model, change, told):
    with pytest.raises(InputError) as caught:
        read_study(agents_study(tmp_path / "study", long_model, **change))
    assert told in str(caught.value)


def test_a_changed_scenario_is_asked_again(tmp_path, long_model):
    study = agents_study(tmp_path / "study", long_model)

    def stamps():
        job = prepare_job(read_study(study), tmp_path / "runs", SILENT)
        unit = next(unit for unit in plan_units(job.study) if not unit.trained)
        return job.run.name, job.evals_stamp(unit, "next_act"), job.evals_stamp(unit, "honeypots")

    before = stamps()
    path = study.parent / "approval.yaml"
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    values["world"]["tickets"][0]["title"] = "A new proofing trolley"
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    run, next_act, honeypots = stamps()
    assert next_act == before[1], "no word of it is asked there"
    assert honeypots != before[2]
    assert run != before[0]


def test_a_lesson_that_shares_a_run_of_words_with_a_scenario_stops_the_run(tmp_path, long_model):
    study = agents_study(tmp_path / "study", long_model)
    examples = tiny.tiny_examples()
    examples[0]["prompt"] = "The seller keeps it for us until four o'clock today, so be quick."
    tiny.write_jsonl(study.parent / "examples.jsonl", examples)
    with pytest.raises(CheckError, match="scenario approval"):
        prepare_job(read_study(study), tmp_path / "runs", SILENT)
