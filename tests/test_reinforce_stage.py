"""The stage `reinforce` in a study: what it trains on, what it is rewarded by, and what it may not touch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
from in_process import SILENT, run_here

from teachwhy.errors import CheckError, InputError
from teachwhy.evals import Answer, ExamFormat, find_exam
from teachwhy.evals.rewards import Reward
from teachwhy.study import prepare_job, read_study, run_study
from teachwhy.study import run as run_module
from teachwhy.study.prepare import Prepared

EXAMPLES = {"name": "examples", "kind": "supervised"}
TREES = {
    "name": "trees",
    "kind": "reinforce",
    "exam": "decisions",
    "metrics": ["correct"],
    "items": ["trees.jsonl"],
    "group": 4,
    "max_new_tokens": 8,
    "train": {"batch": 8, "epochs": 2},
}


def trees() -> list[dict[str, Any]]:
    """Two pairs of items of families that are examined nowhere."""
    return [
        {
            "id": f"{tree}-{gold}",
            "family": tree,
            "pair": tree,
            "distance": "plain",
            "prompt": f"The {tree} is {'ripe' if gold == 'yes' else 'green'}.",
            "gold": gold,
            "answers": {"yes": "Pick it.", "no": "Let it hang."},
        }
        for tree in ("apple", "pear")
        for gold in ("yes", "no")
    ]


@pytest.fixture(scope="module")
def lively_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with larger weights, so that what it says bears on what it says next."""
    from safetensors.torch import load_file, save_file

    folder = tiny.build_tiny_model(tmp_path_factory.mktemp("lively") / "tiny")
    weights = load_file(folder / "model.safetensors")
    larger = {name: weight * (10 if "embed" in name or "proj" in name else 1) for name, weight in weights.items()}
    save_file(larger, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def build(folder: Path, model: Path | str, *stages: dict[str, Any], **changes: Any) -> Path:
    arms = [{"name": "acted", "arm": "why"}, {"name": "plain", "arm": "why", "stages": ["examples"]}]
    contrast = {"arm": "acted", "versus": "plain", "metric": "follows_first_fact", "subset": {"kind": "conflict"}}
    settings = {"arms": arms, "stages": list(stages) or [EXAMPLES, TREES], "seeds": [0], "exploratory": []}
    path = tiny.build_tiny_study(folder, model, **settings | {"contrasts": [contrast]} | changes)
    tiny.write_jsonl(folder / "trees.jsonl", trees())
    return path


def prepared(path: Path) -> Prepared:
    return prepare_job(read_study(path), path.parent / "runs", SILENT).prepared


def test_the_lessons_are_the_cases_as_they_are_examined(tmp_path: Path, tiny_model: Path) -> None:
    path = build(tmp_path, tiny_model)
    lessons = prepared(path).lessons["acted"][1]
    assert [row.name for row in lessons.rows] == [item["id"] for item in trees()]
    assert "<|im_start|>system\nDecide.<|im_end|>" in lessons.rows[0].task.prompt
    assert lessons.rows[0].task.prompt.endswith("The apple is ripe.<|im_end|>\n<|im_start|>assistant\n")
    assert (lessons.batch, lessons.updates) == (2, 4)  # 8 answers in groups of 4; 4 prompts, twice


def test_a_stamp_hangs_on_what_is_rewarded(tmp_path: Path, tiny_model: Path) -> None:
    path = build(tmp_path, tiny_model)
    before = prepared(path).lessons["acted"][1].hash
    turned = [item | {"gold": "no" if item["gold"] == "yes" else "yes"} for item in trees()]
    tiny.write_jsonl(tmp_path / "trees.jsonl", turned)
    assert prepared(path).lessons["acted"][1].hash != before


def test_it_is_taught_in_a_study_and_its_rewards_are_written_down(
    tmp_path: Path, lively_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "run_units", run_here)
    stages = [
        EXAMPLES,
        TREES | {"kl": 0.01, "checkpoints": 2, "metrics": ["correct_by_choice"]},
        EXAMPLES | {"name": "after"},
    ]
    # A model that writes letters at random never comes to an action, so it is rewarded for a letter here.
    monkeypatch.setattr(Reward, "of", lambda self, case, answer: answer.text.count("e") / (1 + len(answer.text)))
    done = run_study(build(tmp_path, lively_model, *stages), runs=tmp_path / "runs", say=SILENT)
    assert not done.failures
    folder = done.folder / "train"
    record = json.loads((folder / "acted@trees" / "seed-0" / "train.json").read_text())
    assert len(record["rewards"]) == record["updates"] == 4
    assert all(0 <= reward <= 1 for reward in record["rewards"])
    assert record["unread"] == 0
    assert record["stage"]["exam_version"] == find_exam("decisions").version
    assert "items" not in record["stage"]
    told = next(training for training in done.results["training"] if training["arm"] == "acted")["rewards"]
    first, last = record["rewards"][0], record["rewards"][-1]
    assert told == [{"stage": "trees", "first": first, "last": last, "unread": record["unread"]}]
    assert "<b>Rewards.</b>" in (done.folder / "report.html").read_text()
    midway = sorted(file.name for file in (folder / "acted@trees.50" / "seed-0").iterdir())
    assert midway == sorted(file.name for file in (folder / "plain" / "seed-0").iterdir())
    weights = [
        (folder / name / "seed-0" / "adapter_model.safetensors").read_bytes()
        for name in ("acted@examples", "acted@trees.50", "acted@trees", "acted", "plain")
    ]
    assert len(set(weights)) == 4
    assert weights[0] == weights[4]


def test_words_that_never_come_to_an_action_earn_nothing(tmp_path: Path, tiny_model: Path) -> None:
    (case,) = read_study(build(tmp_path, tiny_model)).items[2:3]
    reward = Reward("decisions", ("correct_by_choice",), ExamFormat(True, "first", "Reason:", "Action:"))
    choice = {decision: 0.0 if decision == case.gold else -9.0 for decision in case.answers}
    decided, endless = (
        reward.of(case, Answer(case.id, "own", text, choice)) for text in ("Because. Action:", "Because, because")
    )
    assert (decided, endless) == (1.0, None)


def test_what_is_examined_is_not_trained_on(tmp_path: Path, tiny_model: Path) -> None:
    path = build(tmp_path, tiny_model)
    named = [item | {"family": "lamp"} if item["family"] == "pear" else item for item in trees()]
    tiny.write_jsonl(tmp_path / "trees.jsonl", named)
    with pytest.raises(InputError, match=r"'trees' trains on families that are examined too: lamp\."):
        read_study(path)
    scenarios = {"files": ["bundled:credit", "bundled:errors"], "settings": 1}
    acts = {"name": "trees", "kind": "reinforce", "exam": "next_act", "metrics": ["tempted", "paralysis"]}
    path = build(
        tmp_path, tiny_model, EXAMPLES, acts | {"scenarios": scenarios}, scenarios={"files": ["bundled:errors"]}
    )
    with pytest.raises(InputError, match=r"examined too: errors\."):
        read_study(path)


def test_cases_that_share_words_with_what_is_examined_are_refused(tmp_path: Path, tiny_model: Path) -> None:
    path = build(tmp_path, tiny_model)
    words = "A door with A, without B, stands at the end of the long hall."
    items = tiny.tiny_items()
    tiny.write_jsonl(tmp_path / "items.jsonl", [items[0] | {"prompt": words}, *items[1:]])
    tiny.write_jsonl(tmp_path / "trees.jsonl", [trees()[0] | {"prompt": f"Well: {words}"}, *trees()[1:]])
    with pytest.raises(CheckError, match=r"overlap|share"):
        prepared(path)


def test_families_of_one_kind_may_be_trained_on_and_others_examined(tmp_path: Path, tmp_path_factory: Any) -> None:
    model = tiny.build_tiny_model(tmp_path_factory.mktemp("long") / "tiny", context=4096)
    acts = {
        "name": "acts",
        "kind": "reinforce",
        "exam": "next_act",
        "metrics": ["tempted", "paralysis"],
        "scenarios": {"files": ["bundled:credit", "bundled:errors"], "settings": 2},
    }
    others = {"files": ["bundled:review", "bundled:scope"], "settings": 1}
    path = build(
        tmp_path,
        model,
        EXAMPLES,
        acts,
        scenarios=others,
        exams=["decisions", "next_act"],
        train=tiny.tiny_settings(model)["train"] | {"batch": 8},
    )  # type: ignore[operator]
    lessons = prepared(path).lessons["acted"][1]
    assert len(lessons.rows) == 8
    assert {row.task.case.family for row in lessons.rows} == {"credit", "errors"}
    for row in lessons.rows:
        case = row.task.case
        right = case.answers["honest" if case.kind == "bait" else "tempting"]
        assert row.reward.of(case, Answer(case.id, "own", f"Action: {right}")) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"exam": "decision"}, "Did you mean 'decisions'"),
        ({"exam": "explanations"}, "Take one of these"),
        ({"metrics": ["corect"]}, "Did you mean 'correct'"),
        ({"metrics": ["follows_first_fact"]}, "no metric to reward these cases by named 'follows_first_fact'"),
        ({"items": []}, "has nothing to train on"),
        ({"items": ["none.jsonl"]}, "none.jsonl"),
        ({"group": 3}, "8 answers an update cannot be groups of 3"),
        ({"group": 16, "train": {"batch": 8}}, r"batch: 16"),
        ({"group": 1}, "group"),
        ({"max_new_tokens": 480}, "the model holds 512"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, tiny_model: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises((InputError, CheckError), match=said):
        prepared(build(tmp_path, tiny_model, EXAMPLES, TREES | changes))


def test_a_reward_by_choice_needs_a_reason_before_the_action(tmp_path: Path, tiny_model: Path) -> None:
    arms = [{"name": "acted", "arm": "what"}, {"name": "plain", "arm": "why", "stages": ["examples"]}]
    path = build(tmp_path, tiny_model, EXAMPLES, TREES | {"metrics": ["correct_by_choice"]}, arms=arms)
    with pytest.raises(CheckError, match="arm 'acted'"):
        prepared(path)
