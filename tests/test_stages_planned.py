"""What a plan says of stages: what each takes, what arms share, and arms that see no examples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import test_preference_stage as preference
import test_reinforce_stage as reinforce
from conftest import Done
from in_process import SILENT
from test_stages import EXAMPLES, FORGETTING, LAST, READING, build, run

from teachwhy.errors import CheckError
from teachwhy.models import load_chat
from teachwhy.study import Job, plan_units, prepare_job, read_study
from teachwhy.study.cost import Work, works_of
from teachwhy.study.speed import stages_to_teach
from teachwhy.train.settings import plan_batches


def job_of(path: Path) -> Job:
    return prepare_job(read_study(path), path.parent / "runs", SILENT)


def works(path: Path) -> dict[str, Work]:
    job = job_of(path)
    units = plan_units(job.study)
    return dict(zip([unit.arm.name for unit in units], works_of(job, units, load_chat(job.source)), strict=True))


def test_the_reference_reads_every_pair_once(tmp_path: Path, tiny_model: Path) -> None:
    found = works(preference.build(tmp_path, tiny_model))
    pairs = job_of(tmp_path / "study.yaml").prepared.lessons["what"][1]
    assert found["what"].beside == sum(row.length for row in pairs.rows)
    assert found["plain"].beside == found["plain"].steps == 0
    assert found["what"].training > sum(row.length for row in pairs.rows) * pairs.settings.epochs


def test_rewarded_answers_are_written_and_trained_as_often_as_they_are_drawn(tmp_path: Path, tiny_model: Path) -> None:
    stage = reinforce.TREES | {"max_new_tokens": 20}
    plain, with_reference = (
        works(reinforce.build(tmp_path / str(kl), tiny_model, EXAMPLES, stage | {"kl": kl})) for kl in (0.0, 0.1)
    )
    examples, tasks = job_of(tmp_path / "0.0" / "study.yaml").prepared.lessons["acted"]
    prompts = sum(map(len, tasks.batches(0)))
    assert plain["acted"].steps == 20 * tasks.updates
    own = plain["acted"].training - examples.tokens(0)
    assert own == stage["group"] * (tasks.tokens(0) + prompts * 20)
    assert (plain["acted"].beside, with_reference["acted"].beside) == (0, own)


def test_what_arms_share_is_counted_once_and_what_is_done_not_at_all(
    tmp_path: Path, tiny_model: Path, here: None
) -> None:
    arms = [
        {"name": name, "arm": "what", "stages": ["reading", end]} for name, end in (("a", "examples"), ("b", "last"))
    ]
    path = build(tmp_path, tiny_model, stages=[READING, EXAMPLES, LAST], arms=arms, contrasts=[])

    def left(**options: bool) -> dict[str, list[str]]:
        job = job_of(path)
        found = stages_to_teach(job, plan_units(job.study), **options)
        return {unit: [stage.name for stage, _ in stages] for unit, stages in found.items()}

    all_of_it = {"a/seed-0": ["reading", "examples"], "b/seed-0": ["last"]}
    assert left() == all_of_it
    run(path)
    assert left() == {"a/seed-0": [], "b/seed-0": []}
    assert left(anew=True) == all_of_it


def test_a_study_of_documents_alone_is_planned(tmp_path: Path, tiny_model: Path, teachwhy: Callable[..., Done]) -> None:
    arms = [{"name": name, "arm": name} for name in ("why", "what", "what_more")]
    path = build(tmp_path, tiny_model, arms=arms, stages=[READING], examples=[], contrasts=[])
    done = teachwhy("plan", path, "--runs", tmp_path / "runs")
    assert done.code == 0, done.err
    assert "training tokens/s" in done.out


def test_a_plan_says_that_what_is_written_in_training_is_not_measured(
    tmp_path: Path, tiny_model: Path, teachwhy: Callable[..., Done]
) -> None:
    done = teachwhy("plan", reinforce.build(tmp_path, tiny_model), "--runs", tmp_path / "runs")
    assert done.code == 0, done.err
    assert "without what the stage 'trees' writes" in done.out


def test_no_rows_are_no_batches() -> None:
    with pytest.raises(ValueError, match="no rows"):
        plan_batches([], batch=2, updates=3, seed=0)


@pytest.mark.parametrize("train", [{"epochs": -1}, {"schedule": "linnear"}, {"batch": "four"}])
def test_a_bad_recipe_of_a_stage_is_said_with_its_place(
    tmp_path: Path, tiny_model: Path, train: dict[str, object], teachwhy: Callable[..., Done]
) -> None:
    done = teachwhy("check", build(tmp_path, tiny_model, stages=[READING, EXAMPLES, FORGETTING | {"train": train}]))
    assert done.code == 2
    assert f"`train.{next(iter(train))}`" in done.err
    assert "stages.2" in done.err


def test_a_contrast_of_arms_that_are_taught_the_same_is_refused(tmp_path: Path, tiny_model: Path) -> None:
    arms = [{"name": "one", "arm": "what"}, {"name": "other", "arm": "swapped"}]
    contrast = {"arm": "one", "versus": "other", "metric": "follows_first_fact"}
    stages = [READING, EXAMPLES]
    job_of(build(tmp_path / "a", tiny_model, arms=arms, contrasts=[contrast], stages=stages))
    arms[1]["arm"] = "what"
    with pytest.raises(CheckError, match="taught the very same"):
        job_of(build(tmp_path / "b", tiny_model, arms=arms, contrasts=[contrast], stages=stages))
    arms[1]["seed_offset"] = 100  # type: ignore[assignment]
    job_of(build(tmp_path / "c", tiny_model, arms=arms, contrasts=[contrast], stages=stages))


@pytest.mark.parametrize(
    ("stage", "told"),
    [
        ({"kind": "wash-out"}, ["no kind named 'wash-out'", "stages.0.kind'", "Did you mean 'washout'?"]),
        ({"name": "reads"}, ["The field 'stages.0.kind' is missing."]),
        ("supervised", ["it should be a mapping of fields", "stages.0'"]),
        ({"kind": "documents"}, ["The field 'stages.0.files' is missing."]),
    ],
)
def test_a_stage_that_is_written_wrongly_is_said_in_plain_words(
    tmp_path: Path, tiny_model: Path, stage: object, told: list[str], teachwhy: Callable[..., Done]
) -> None:
    done = teachwhy("check", build(tmp_path, tiny_model, stages=[stage]))
    assert done.code == 2
    assert all(text in done.err for text in told), done.err


def test_a_checkpoint_before_anything_is_learnt_is_refused(tmp_path: Path, tiny_model: Path) -> None:
    stage = EXAMPLES | {"checkpoints": 2, "train": {"epochs": 2, "warmup": 0.5}}
    lessons = job_of(build(tmp_path / "a", tiny_model, stages=[EXAMPLES, stage | {"name": "more"}])).prepared.lessons
    updates = lessons["read"][1].updates
    assert updates >= 4
    with pytest.raises(CheckError, match="after its first update, which the warm-up"):
        job_of(build(tmp_path / "b", tiny_model, stages=[stage | {"checkpoints": updates}]))


def test_a_question_of_a_document_must_not_be_one_that_is_examined(tmp_path: Path, tiny_model: Path) -> None:
    path = build(tmp_path, tiny_model, stages=[READING | {"form": "chat"}, EXAMPLES, FORGETTING])
    documents = (tmp_path / "documents.jsonl").read_text()
    asked = "Somebody stands before it and wonders, late at night: what of the door?"
    (tmp_path / "documents.jsonl").write_text(documents.replace("What of the door?", asked))
    items = (tmp_path / "items.jsonl").read_text()
    (tmp_path / "items.jsonl").write_text(items.replace("A door", f"{asked} A door", 1))
    with pytest.raises(CheckError, match="share 8-word runs"):
        job_of(path)
