"""The stage of preferences in a study: where it begins, what its stamp hangs on, and what a kill leaves."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
from in_process import SILENT
from test_several import FSDP, LORA, OWN, assert_the_same, by_one, by_two

from teachwhy.errors import CheckError, InputError, RunError
from teachwhy.study import plan_units, prepare_job, read_study, run_study, several
from teachwhy.study.executors.ray import fit_to_machine
from teachwhy.study.prepare import Prepared
from teachwhy.study.run import Run
from teachwhy.study.shared import Shared
from teachwhy.train.supervised import Report

EXAMPLES = {"name": "examples", "kind": "supervised"}
PREFERENCE = {"kind": "preference", "files": ["pairs.jsonl"], "train": {"epochs": 4}, "beta": 0.5}


def pairs() -> list[dict[str, object]]:
    return [
        {
            "id": f"{rule}-p",
            "principle": rule,
            "prompt": f"What about the {rule}?",
            "chosen": f"The {rule} is kept, since somebody sleeps.",
            "rejected": f"Nobody minds the {rule}.",
            "chosen_by": "writer",
            "rejected_by": "writer",
        }
        for rule in tiny.RULES
    ]


def build(folder: Path, model: Path | str, *, stage: dict[str, object] = PREFERENCE, **changes: object) -> Path:
    """A study of two arms that end with the same pairs, and one that sees its examples alone."""
    arms = ["what", "why", {"name": "plain", "arm": "what", "stages": ["examples"]}]
    contrast = {"arm": "why", "versus": "what", "metric": "follows_first_fact", "subset": {"kind": "conflict"}}
    settings = {"arms": arms, "stages": [EXAMPLES, stage], "seeds": [0], "exploratory": [], "contrasts": [contrast]}
    path = tiny.build_tiny_study(folder, model, **settings | changes)
    tiny.write_jsonl(folder / "pairs.jsonl", pairs())
    return path


def prepared(path: Path) -> Prepared:
    return prepare_job(read_study(path), path.parent / "runs", SILENT).prepared


def stamp(path: Path, arm: str) -> str:
    job = prepare_job(read_study(path), path.parent / "runs", SILENT)
    return job.train_stamp(next(unit for unit in plan_units(job.study) if unit.arm.name == arm))


def run(path: Path) -> Run:
    return run_study(path, runs=path.parent / "runs", say=SILENT)


def train_folder(run: Run, name: str) -> Path:
    return run.folder / "train" / name / "seed-0"


def weights(run: Run, name: str) -> bytes:
    return (train_folder(run, name) / "adapter_model.safetensors").read_bytes()


def losses(run: Run, name: str) -> Any:
    return json.loads((train_folder(run, name) / "train.json").read_text())["losses"]


def test_all_arms_have_the_same_pairs_in_the_same_order(tmp_path: Path, tiny_model: Path) -> None:
    lessons = prepared(build(tmp_path, tiny_model)).lessons
    what, why = lessons["what"][1], lessons["why"][1]
    assert what.rows == why.rows
    assert what.batches(0) == why.batches(0) != what.batches(1)
    assert (what.updates, len(what.rows), len(lessons["plain"])) == (4, 3, 1)
    assert what.written[0] == {
        "pair": "door-p",
        "prompt": "<|im_start|>system\nDecide.<|im_end|>\n<|im_start|>user\nWhat about the door?<|im_end|>\n"
        "<|im_start|>assistant\n",
        "chosen": "The door is kept, since somebody sleeps.",
        "rejected": "Nobody minds the door.",
        "by": "writer",
    }


def test_a_stamp_hangs_on_beta_and_on_every_word_of_a_pair(tmp_path: Path, tiny_model: Path) -> None:
    plain = build(tmp_path / "a", tiny_model)
    other_beta = build(tmp_path / "b", tiny_model, stage=PREFERENCE | {"beta": 0.4})
    other_word = build(tmp_path / "c", tiny_model)
    renamed = build(tmp_path / "d", tiny_model, stage=PREFERENCE | {"name": "wishes"})
    tiny.write_jsonl(tmp_path / "c" / "pairs.jsonl", [*pairs()[:2], pairs()[2] | {"rejected": "Nobody."}])
    assert len({stamp(path, "why") for path in (plain, other_beta, other_word)}) == 3
    assert len({stamp(path, "plain") for path in (plain, other_beta, other_word)}) == 1
    assert stamp(renamed, "why") == stamp(plain, "why")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rejected_by": "another"}, "'another' `rejected`"),
        ({"prompt": "x " * 600}, "holds 512"),
        ({"rejected": "It is told that a door with A, without B, was left open."}, "share"),
    ],
)
def test_pairs_that_cannot_be_taught_are_refused(
    tmp_path: Path, tiny_model: Path, changes: dict[str, object], said: str
) -> None:
    path = build(tmp_path, tiny_model)
    items = tiny.tiny_items()
    seen = "It is told that a door with A, without B, was there."
    tiny.write_jsonl(tmp_path / "items.jsonl", [items[0] | {"prompt": seen}, *items[1:]])
    tiny.write_jsonl(tmp_path / "pairs.jsonl", [pairs()[0] | changes])
    with pytest.raises((InputError, CheckError), match=said):
        prepared(path)


def test_it_begins_where_the_examples_ended(tmp_path: Path, tiny_model: Path, here: None) -> None:
    done = run(build(tmp_path, tiny_model))
    assert not done.failures
    for arm in ("what", "why"):
        found = losses(done, arm)
        assert len(found) == 4
        assert found[0] == pytest.approx(math.log(2), abs=1e-6)
        assert found[-1] < found[0] - 0.05
    assert len({weights(done, name) for name in ("what", "why", "plain")}) == 3
    files = [sorted(file.name for file in train_folder(done, name).iterdir()) for name in ("what", "plain")]
    assert files[0] == files[1]


def test_the_version_of_trl_is_in_the_stamp_of_what_it_teaches_and_in_no_other(
    tmp_path: Path, tiny_model: Path
) -> None:
    job = prepare_job(read_study(build(tmp_path, tiny_model)), tmp_path / "runs", SILENT)
    other = replace(job, environment=dict(job.environment) | {"trl": "another"})
    taught, plain = (next(unit for unit in plan_units(job.study) if unit.arm.name == name) for name in ("why", "plain"))
    stamps = zip(job.stage_stamps(taught), other.stage_stamps(taught), strict=True)
    assert [before == after for before, after in stamps] == [True, False]
    assert job.train_stamp(plain) == other.train_stamp(plain)
    assert job.evals_stamp(plain, "decisions") == other.evals_stamp(plain, "decisions")
    assert job.evals_stamp(taught, "decisions") != other.evals_stamp(taught, "decisions")
    with pytest.raises(RunError, match=r"has trl \S+, and the run is of another"):
        fit_to_machine(replace(other, shared=Shared("memory://nowhere")))


def test_a_run_killed_within_the_stage_ends_in_the_same_bytes(
    tmp_path: Path, tiny_model: Path, here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = PREFERENCE | {"checkpoints": 2}
    whole = run(build(tmp_path / "whole", tiny_model, stage=stage))
    assert not whole.failures
    path = build(tmp_path / "killed", tiny_model, stage=stage)
    with monkeypatch.context() as once:
        before = Report.on_step_end

        def dying(self: Report, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            before(self, args, state, control, **kwargs)
            if self.losses[0] == pytest.approx(math.log(2), abs=1e-5) and state.global_step == 3:
                raise KeyboardInterrupt

        once.setattr(Report, "on_step_end", dying)
        with pytest.raises(KeyboardInterrupt):
            run(path)
    again = run(path)
    assert not again.failures
    assert (again.folder / "results.json").read_bytes() == (whole.folder / "results.json").read_bytes()
    points = ["what", "why", "plain", "what@preference.50", "why@preference.50"]
    for name in points:
        assert weights(again, name) == weights(whole, name), name
    assert len({weights(whole, name) for name in points}) == len(points)
    shutil.rmtree(again.folder / "train" / "why")
    assert weights(run(path), "why") == weights(whole, "why")


@pytest.mark.slow
@pytest.mark.parametrize("program", [["-m", "teachwhy.study.several"], [FSDP]], ids=["data parallel", "sharded"])
@pytest.mark.parametrize("recipe", [LORA, OWN], ids=["adapter", "own weights in micro batches"])
def test_two_processes_teach_what_one_does(
    tmp_path: Path, tiny_model: Path, program: list[str], recipe: dict[str, object]
) -> None:
    """An adapter after the examples too; own weights and sharded ones cannot go on from saved ones."""
    stages = {"stages": ["preference"]} if program == [FSDP] or recipe == OWN else {}
    study = build(tmp_path / "study", tiny_model, train=recipe, arms=["what", {"name": "why", "arm": "why", **stages}])
    by_two(study, tmp_path / "two", *program)
    assert_the_same(by_one(study, tmp_path / "one"), tmp_path / "two", 2)


def test_several_processes_teach_own_weights_one_stage(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = build(tmp_path / "study", tiny_model, train=OWN)
    with pytest.raises(SystemExit):
        several.main([str(study), "--arm", "why", "--seed", "0", "--runs", str(tmp_path / "runs")])
    told = capsys.readouterr().err
    assert "own weights one stage" in told
    assert "name an arm of one stage" in told
