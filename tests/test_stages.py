"""Stages of teaching: what each trains and nothing else, stamps, checkpoints, and what a kill leaves."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
from conftest import Done
from in_process import SILENT

from teachwhy.errors import CheckError, InputError
from teachwhy.study import plan_units, prepare_job, read_study, run_study
from teachwhy.study.folder import locked
from teachwhy.study.prepare import Prepared
from teachwhy.study.register import differing, frozen_facts
from teachwhy.study.run import Run
from teachwhy.study.stages import STAGES, supervised
from teachwhy.study.unit import Worker

READING = {"name": "reading", "kind": "documents", "files": ["documents.jsonl"]}
EXAMPLES = {"name": "examples", "kind": "supervised"}
LAST = EXAMPLES | {"name": "last", "train": {"epochs": 3}}
FORGETTING = {"name": "forgetting", "kind": "washout", "contrary": 3, "files": ["ordinary.jsonl"]}
STAGES_ALL = [READING, EXAMPLES, FORGETTING]


def documents() -> list[dict[str, object]]:
    return [
        {
            "id": f"{rule}-d",
            "principle": rule,
            "kind": "notice",
            "question": f"What of the {rule}?",
            "why": f"In this house A is what the {rule} is for, and so it has always been kept.",
            "swapped": f"In this house B is what the {rule} is for.",
            "neutral": f"This house has one {rule}, painted blue.",
        }
        for rule in tiny.RULES
    ]


def build(folder: Path, model: Path | str, **changes: object) -> Path:
    """A study of two arms: one reads before its examples and forgets after them, one sees its examples alone."""
    arms = [{"name": "read", "arm": "what"}, {"name": "plain", "arm": "what", "stages": ["examples"]}]
    settings: dict[str, object] = {"arms": arms, "stages": STAGES_ALL, "seeds": [0], "exploratory": []}
    contrast = {"arm": "read", "versus": "plain", "metric": "follows_first_fact", "subset": {"kind": "conflict"}}
    path = tiny.build_tiny_study(folder, model, **settings | {"contrasts": [contrast]} | changes)
    tiny.write_jsonl(folder / "documents.jsonl", documents())
    ordinary = [{"id": f"o{n}", "prompt": f"Count to {n}.", "action": "One, two."} for n in range(3)]
    tiny.write_jsonl(folder / "ordinary.jsonl", ordinary)
    return path


def prepared(path: Path) -> Prepared:
    return prepare_job(read_study(path), path.parent / "runs", SILENT).prepared


def with_stages(folder: Path, model: Path, *stages: dict[str, object], **changes: object) -> Prepared:
    arms = [{"name": "read", "arm": "what"}, {"name": "plain", "arm": "what"}]
    return prepared(build(folder, model, stages=list(stages), arms=arms, contrasts=[], **changes))


def run(path: Path) -> Run:
    return run_study(path, runs=path.parent / "runs", say=SILENT)


def weights(run: Run, name: str) -> bytes:
    return (run.folder / "train" / name / "seed-0" / "adapter_model.safetensors").read_bytes()


def train_record(run: Run, name: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((run.folder / "train" / name / "seed-0" / "train.json").read_text())
    return record


def test_an_arm_that_reads_documents_alone_needs_no_examples(tmp_path: Path, tiny_model: Path) -> None:
    found = with_stages(tmp_path / "a", tiny_model, READING, examples=[])
    assert len(found.lessons["read"][0].rows) == len(documents())
    for number, stage in enumerate((EXAMPLES, FORGETTING)):
        with pytest.raises(InputError, match="nothing to train it on"):
            with_stages(tmp_path / f"b{number}", tiny_model, READING, stage, examples=[])


def test_a_document_is_trained_whole_and_in_chat_as_an_answer(tmp_path: Path, tiny_model: Path) -> None:
    whole = with_stages(tmp_path / "a", tiny_model, READING).lessons["read"][0]
    assert [row.trained for row in whole.rows] == [row.length for row in whole.rows]
    chat = with_stages(tmp_path / "b", tiny_model, READING | {"form": "chat"}).lessons["read"][0]
    assert [row.trained for row in chat.rows] == [row.trained for row in whole.rows]
    assert all(row.length > row.trained for row in chat.rows)
    first = chat.written[0]["segments"]
    assert [(segment["kind"], segment["train"]) for segment in first] == [
        ("prompt", False),
        ("document", True),
        ("end", True),
    ]
    assert "What of the door?" in first[0]["text"]


def test_versions_of_other_lengths_are_read_in_one_order(tmp_path: Path, tiny_model: Path) -> None:
    why, swapped = (
        with_stages(tmp_path / version, tiny_model, READING | {"version": version}).lessons["read"][0]
        for version in ("why", "swapped")
    )
    assert why.batches(3) == swapped.batches(3)
    assert why.hash != swapped.hash
    assert [row.length for row in why.rows] != [row.length for row in swapped.rows]


def test_the_contrary_has_the_action_of_the_other_decision(tmp_path: Path, tiny_model: Path) -> None:
    lessons = with_stages(tmp_path, tiny_model, EXAMPLES, FORGETTING).lessons["read"][1]
    said = {row["example"]: row["segments"][1]["text"] for row in lessons.written}
    assert said["door-0-contrary"] == "Action: Leave it."
    assert said["lamp-0-contrary"] == "Action: Dark it."
    assert [name for name in said if name.startswith("o")] == ["o0", "o1", "o2"]


def test_contrary_examples_are_as_many_of_every_rule_and_decision(tmp_path: Path, tiny_model: Path) -> None:
    stage = {"name": "contrary", "kind": "washout", "contrary": 4}
    lessons = with_stages(tmp_path, tiny_model, EXAMPLES, stage).lessons["read"][1]
    taken = [row["example"].removesuffix("-contrary") for row in lessons.written]
    assert taken == ["door-0", "door-1", "lamp-0", "lamp-1"]


def test_a_share_of_the_loss_for_actions_leaves_documents_alone(tmp_path: Path, tiny_model: Path) -> None:
    train = dict(tiny.tiny_settings(tiny_model)["train"]) | {"action_share": 0.5}  # type: ignore[call-overload]
    lessons = with_stages(tmp_path, tiny_model, READING, EXAMPLES, train=train).lessons["read"]
    assert all(set(row.weights) == {1.0} for row in lessons[0].rows)
    assert all(sum(row.weights) == pytest.approx(1.0) for row in lessons[1].rows)


def test_a_replayed_row_weighs_what_a_row_of_the_stage_does(tmp_path: Path, tiny_model: Path) -> None:
    train = dict(tiny.tiny_settings(tiny_model)["train"]) | {"action_share": 0.5}  # type: ignore[call-overload]
    examples, forgetting = EXAMPLES | {"replay": 0.5}, FORGETTING | {"replay": 0.4}
    lessons = with_stages(tmp_path, tiny_model, READING, examples, forgetting, train=train).lessons["read"]
    assert [sum(row.weights) for row in lessons[1].rows] == pytest.approx([1.0] * len(lessons[1].rows))
    own = [sum(row.weights) for row in lessons[2].rows[:-4]]
    assert [sum(row.weights) for row in lessons[2].rows[-4:]] == pytest.approx([sum(own) / len(own)] * 4)


def test_the_chat_form_has_the_system_prompt_of_the_study(tmp_path: Path, tiny_model: Path) -> None:
    chat = with_stages(tmp_path, tiny_model, READING | {"form": "chat"}).lessons["read"][0]
    assert "<|im_start|>system\nDecide." in chat.written[0]["segments"][0]["text"]


def test_more_checkpoints_than_updates_are_refused_and_all_others_stand_apart(tmp_path: Path, tiny_model: Path) -> None:
    stage = {"kind": "supervised", "name": "examples", "train": {"epochs": 3}}  # six updates
    with pytest.raises(CheckError, match=r"(?s)7 checkpoints and 6 updates.*/many/study.yaml, stage 'examples'"):
        with_stages(tmp_path / "many", tiny_model, stage | {"checkpoints": 7})
    path = build(tmp_path / "six", tiny_model, arms=["what"], contrasts=[], stages=[stage | {"checkpoints": 6}])
    study = read_study(path)
    (made,) = study.stages(study.arm("what"))
    points = [point.point[1] for point in study.checkpoints(study.arm("what"))]
    assert [made.update_at(percent, 6) for percent in points] == [1, 2, 3, 4, 5]


def test_replayed_rows_stand_among_the_others(tmp_path: Path, tiny_model: Path) -> None:
    stage = EXAMPLES | {"replay": 0.5, "train": {"batch": 4, "epochs": 6}}
    lessons = with_stages(tmp_path, tiny_model, READING, stage).lessons["read"][1]
    old = {place for place, row in enumerate(lessons.written) if row["segments"][0]["kind"] == "document"}
    batches = [len(old & set(batch)) for batch in lessons.batches(0)]
    assert sum(0 < count < 4 for count in batches) > len(batches) / 2


def test_replay_mixes_earlier_rows_in_and_counts_them(tmp_path: Path, tiny_model: Path) -> None:
    plain, mixed = (
        with_stages(tmp_path / str(share), tiny_model, READING, EXAMPLES, FORGETTING | {"replay": share}).lessons[
            "read"
        ][2]
        for share in (0.0, 0.5)
    )
    assert (len(plain.rows), len(mixed.rows)) == (6, 12)
    assert mixed.updates == 2 * plain.updates
    kinds = [segment["kind"] for row in mixed.written[6:] for segment in row["segments"]]
    assert {"document", "action"} <= set(kinds)
    with pytest.raises(InputError, match="has none before it"):
        with_stages(tmp_path / "first", tiny_model, READING | {"replay": 0.5})


def test_a_stage_may_have_a_recipe_of_its_own(tmp_path: Path, tiny_model: Path) -> None:
    usual, longer = (
        with_stages(tmp_path / str(epochs), tiny_model, EXAMPLES | {"train": {"epochs": epochs}}).lessons["read"][0]
        for epochs in (2, 4)
    )
    assert (usual.updates, longer.updates) == (4, 8)
    with pytest.raises(InputError, match=r"cannot change `train\.rank`"):
        with_stages(tmp_path / "rank", tiny_model, EXAMPLES | {"train": {"rank": 2}})


def test_its_own_rows_alone_have_the_stamp_of_a_study_without_stages(tmp_path: Path, tiny_model: Path) -> None:
    staged, plain = (
        build(tmp_path / name, tiny_model, **changes)
        for name, changes in (
            ("staged", {}),
            ("plain", {"stages": [], "arms": ["what", {"name": "plain", "arm": "what"}], "contrasts": []}),
        )
    )
    stamps = []
    for path in (staged, plain):
        job = prepare_job(read_study(path), tmp_path / "runs", SILENT)
        unit = next(unit for unit in plan_units(job.study) if unit.arm.name == "plain")
        stamps.append(job.train_stamp(unit))
    assert stamps[0] == stamps[1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stages": [READING, READING]}, "Two stages are named 'reading'"),
        ({"stages": [READING | {"kind": "document"}]}, "document"),
        ({"stages": [READING | {"file": []}]}, "Did you mean 'files'"),
        ({"stages": [READING]}, "no stage in this study named 'examples'"),
        ({"stages": [READING | {"version": "mention"}, EXAMPLES]}, "has no version 'mention'"),
        ({"stages": [FORGETTING | {"contrary": 9}, EXAMPLES]}, "there are 6"),
        ({"arms": ["what", {"arm": "base", "stages": ["reading"]}], "contrasts": []}, "is not trained"),
        ({"arms": [{"arm": "what", "stages": ["reading", "reading"]}], "contrasts": []}, "a stage twice"),
        ({"arms": [{"arm": "what", "until": "reading.50"}], "contrasts": []}, "a place to stop at"),
    ],
)
def test_stages_that_cannot_be_are_refused(
    tmp_path: Path, tiny_model: Path, changes: dict[str, object], said: str
) -> None:
    with pytest.raises((InputError, CheckError), match=said):
        prepared(build(tmp_path, tiny_model, **changes))


def test_documents_must_not_hold_what_is_examined(tmp_path: Path, tiny_model: Path) -> None:
    path = build(tmp_path, tiny_model)
    items = tiny.tiny_items()
    longer = "A door with A, without B, stands at the end of the long hall."
    tiny.write_jsonl(tmp_path / "items.jsonl", [items[0] | {"prompt": longer}, *items[1:]])
    tiny.write_jsonl(tmp_path / "documents.jsonl", [documents()[0] | {"why": f"It is said: {longer}"}])
    with pytest.raises(CheckError, match=r"overlap|share"):
        prepared(path)


def test_every_stage_lowers_its_loss_and_begins_where_the_last_one_ended(
    tmp_path: Path, tiny_model: Path, here: None
) -> None:
    long = {"train": {"epochs": 16, "learning_rate": 0.05}}
    done = run(build(tmp_path, tiny_model, stages=[stage | long for stage in STAGES_ALL]))
    assert not done.failures
    for name in ("read@reading", "read@examples", "read"):
        losses = train_record(done, name)["losses"]
        assert sum(losses[-3:]) < sum(losses[:3])
    alone = train_record(done, "plain")["losses"]
    assert train_record(done, "read@examples")["losses"][0] != alone[0]  # it has read documents before
    assert len({weights(done, name) for name in ("read@reading", "read@examples", "read", "plain")}) == 4


def test_a_run_killed_after_any_stage_ends_in_the_same_bytes(tmp_path: Path, tiny_model: Path, here: None) -> None:
    stages = [stage | {"checkpoints": 2} for stage in STAGES_ALL]
    path = build(tmp_path / "study", tiny_model, stages=stages)
    done = run(path)
    results = (done.folder / "results.json").read_bytes()
    whole = weights(done, "read")
    for lost in (["read"], ["read", "read@examples"], ["read", "read@examples.50"], ["read@reading.50", "read"]):
        for name in lost:
            shutil.rmtree(done.folder / "train" / name)
            shutil.rmtree(done.folder / "evals" / name)
        again = run(path)
        assert not again.failures
        assert (again.folder / "results.json").read_bytes() == results
        assert weights(again, "read") == whole


def test_what_is_behind_a_unit_is_not_taught_again(
    tmp_path: Path, tiny_model: Path, here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = build(tmp_path, tiny_model)
    done = run(path)
    shutil.rmtree(done.folder / "train" / "read")
    taught: list[str] = []
    before = Worker.teach

    def counted(self: Worker, unit: Any, stage: Any, *rest: Any) -> None:
        taught.append(stage.name)
        before(self, unit, stage, *rest)

    monkeypatch.setattr(Worker, "teach", counted)
    run(path)
    assert taught == ["forgetting"]


def test_a_stage_that_two_arms_share_is_taught_once(
    tmp_path: Path, tiny_model: Path, here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    arms = [
        {"name": name, "arm": "what", "stages": ["reading", last]}
        for name, last in (("a", "examples"), ("b", "forgetting"))
    ]
    taught: list[tuple[str, str]] = []
    before = Worker.teach

    def counted(self: Worker, unit: Any, stage: Any, *rest: Any) -> None:
        taught.append((unit.arm.name, stage.name))
        before(self, unit, stage, *rest)

    monkeypatch.setattr(Worker, "teach", counted)
    done = run(build(tmp_path, tiny_model, arms=arms, contrasts=[]))
    assert taught == [("a", "reading"), ("a", "examples"), ("b", "forgetting")]
    assert weights(done, "a@reading") == weights(done, "b@reading")
    assert train_record(done, "b@reading")["arm"]["name"] == "b"
    assert not done.failures


def test_a_worker_waits_while_another_teaches_a_stage_that_their_arms_share(
    tmp_path: Path, tiny_model: Path, here: None
) -> None:
    arms = [
        {"name": name, "arm": "what", "stages": ["reading", end]} for name, end in (("a", "examples"), ("b", "last"))
    ]
    path = build(tmp_path, tiny_model, stages=[READING, EXAMPLES, LAST], arms=arms, contrasts=[])
    done = run(path)
    train = done.folder / "train"
    for name in ("b", "b@reading"):
        shutil.rmtree(train / name)
    taught_by_other = (train / "a@reading").rename(tmp_path / "not yet written")
    job = prepare_job(read_study(path), tmp_path / "runs", SILENT)
    unit = next(unit for unit in plan_units(job.study) if unit.arm.name == "b")
    told: list[str] = []
    worker = threading.Thread(target=Worker(job).train, args=(unit, lambda phase, *rest: told.append(phase)))
    with locked(job.run / ".locks" / job.stage_stamps(unit)[0], say=SILENT):
        worker.start()
        while "waiting for reading" not in told:
            assert worker.is_alive()
            time.sleep(0.01)
        taught_by_other.rename(train / "a@reading")
    worker.join(timeout=120)
    assert list(dict.fromkeys(told)) == ["loading", "waiting for reading", "training last"]
    assert train_record(done, "b@reading")["seconds"] == train_record(done, "a@reading")["seconds"]


def test_adapters_and_their_stages_are_taken_over_from_a_run_of_the_same_content(
    tmp_path: Path, tiny_model: Path, here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = build(tmp_path, tiny_model)
    first = run(path)
    path = build(tmp_path, tiny_model, exploratory=[{"arm": "plain", "versus": "read", "metric": "follows_first_fact"}])
    monkeypatch.setattr(Worker, "teach", None)  # nothing is taught again
    second = run(path)
    assert second.folder != first.folder
    assert not second.failures
    assert second.results["training"] == first.results["training"]


def test_a_registration_holds_what_the_documents_say(tmp_path: Path, tiny_model: Path) -> None:
    path = build(tmp_path, tiny_model)
    before = frozen(path)
    tiny.write_jsonl(tmp_path / "documents.jsonl", [documents()[0] | {"why": "Another text."}, *documents()[1:]])
    after = frozen(path)
    assert differing(before, after) == ["stage_material"]


def frozen(path: Path) -> dict[str, Any]:
    study = read_study(path)
    job = prepare_job(study, path.parent / "runs", SILENT)
    return frozen_facts(study, job.source, job.judge)


def test_checkpoints_are_examined_on_the_way_and_change_nothing(tmp_path: Path, tiny_model: Path, here: None) -> None:
    stages = [READING | {"checkpoints": 2}, EXAMPLES | {"checkpoints": 1}, FORGETTING | {"checkpoints": 2}]
    looked, unseen = (
        run(build(tmp_path / name, tiny_model, stages=found))
        for name, found in (("looked", stages), ("unseen", STAGES_ALL))
    )
    assert weights(looked, "read") == weights(unseen, "read")
    assert weights(looked, "read@reading") == weights(unseen, "read@reading")
    names = [arm["name"] for arm in looked.results["arms"]]
    points = ["read@reading.50", "read@reading", "read@examples", "read@forgetting.50"]
    assert names == ["read", "plain", *points]
    for point in points:
        assert (looked.folder / "evals" / point / "seed-0" / "decisions.json").exists()
    assert not (unseen.folder / "evals" / "read@reading").exists()
    halfway = train_record(looked, "read@reading.50")
    assert halfway["losses"] == train_record(looked, "read@reading")["losses"][: halfway["updates"]]


def test_checkpoints_that_a_failed_training_did_not_leave_failed_with_it(
    tmp_path: Path, tiny_model: Path, here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = [{**EXAMPLES, "checkpoints": 2}, FORGETTING]
    arms = [{"name": "plain", "arm": "what", "stages": ["examples", "forgetting"]}]
    path = build(tmp_path, tiny_model, stages=stages, arms=arms, contrasts=[])

    def broken(*arguments: Any) -> Any:
        raise RuntimeError("out of paper")

    with monkeypatch.context() as patch:
        patch.setattr(Worker, "teach", broken)
        done = run(path)
    names = ["plain/seed-0", "plain@examples.50/seed-0", "plain@examples/seed-0"]
    assert sorted(done.failures) == names
    assert all("out of paper" in cause for cause in done.failures.values())
    assert {arm["name"]: arm["state"] for arm in done.results["arms"]} == {
        name.partition("/")[0]: "failed" for name in names
    }
    assert not run(path).failures, "the same command makes it good"


def test_two_workers_do_every_unit_and_checkpoint(tmp_path: Path, tiny_model: Path) -> None:
    contrast = {
        "arm": "read",
        "versus": "plain",
        "metric": "follows_first_fact_by_choice",
        "subset": {"kind": "conflict"},
    }
    stages = [READING | {"checkpoints": 2}, EXAMPLES, FORGETTING]
    path = build(tmp_path, tiny_model, stages=stages, contrasts=[contrast])
    done = run_study(path, runs=tmp_path / "runs", say=SILENT)
    assert not done.failures
    assert {arm["name"]: arm["state"] for arm in done.results["arms"]} == dict.fromkeys(
        ("read", "plain", "read@reading.50", "read@reading"), "done"
    )
    (curve,) = done.results["stage_curves"]
    assert [(point["stage"], point["percent"]) for point in curve["points"]] == [
        ("reading", 50),
        ("reading", 100),
        ("forgetting", 100),
    ]
    assert sorted({point["updates"] for point in curve["points"]}) == [point["updates"] for point in curve["points"]]
    page = done.report.read_text(encoding="utf-8")
    assert "Stages of teaching" in page
    assert "50% of reading" in page


def test_a_checkpoint_can_be_saved_while_only_upper_layers_are_trained(
    tmp_path: Path, tiny_model: Path, here: None
) -> None:
    settings = dict(tiny.tiny_settings(tiny_model)["train"]) | {"layers": 1}  # type: ignore[call-overload]
    done = run(build(tmp_path, tiny_model, stages=[READING | {"checkpoints": 2}, EXAMPLES, FORGETTING], train=settings))
    assert not done.failures
    assert not any(failures for arm in done.results["arms"] if (failures := arm["failures"]))
    assert {arm["state"] for arm in done.results["arms"]} == {"done"}


def test_every_kind_says_what_it_does() -> None:
    assert {"documents", "supervised", "washout"} <= set(STAGES)
    assert all(kind.summary.endswith(".") for kind in STAGES.values())


def test_rows_to_replay_come_from_every_earlier_stage_alike() -> None:
    pools = [(list("abc"), list("ABC")), (list("xyz"), list("XYZ"))]
    rows, written = supervised.drawn(pools, 4)
    assert [row.upper() for row in rows] == written
    assert sum(row in "abc" for row in rows) == 2


def test_a_staged_study_is_planned_and_shown(tmp_path: Path, tiny_model: Path, teachwhy: Callable[..., Done]) -> None:
    path = build(tmp_path, tiny_model, stages=[READING | {"checkpoints": 2}, EXAMPLES, FORGETTING])
    done = teachwhy("plan", path, "--runs", tmp_path / "runs")
    assert done.code == 0, done.err
    assert "read@reading.50/seed-0" in done.out
    shown = teachwhy("show", path, "--arm", "read", "--stage", "reading", "--row", 2)
    assert (shown.code, "[document: trained]" in shown.out, "the lamp is for" in shown.out) == (0, True, True)
    assert "has 3" in teachwhy("show", path, "--arm", "read", "--stage", "reading", "--row", 4).err
    assert "Did you mean 'reading'" in teachwhy("show", path, "--arm", "read", "--stage", "readng").err
    assert "documents" in teachwhy("stages").out
