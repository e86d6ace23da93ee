"""What a study makes of its examples before training: twins, further examples, arms matched in updates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import tiny

from teachwhy.errors import CheckError, InputError
from teachwhy.study.prepare import Prepared
from teachwhy.study.run import prepare_job
from teachwhy.study.study_file import read_study

ORDINARY = [
    {"id": f"o{number}", "prompt": f"Name {number} fruits.", "action": "Apples and pears."} for number in range(4)
]


def prepared(folder: Path, model: Path, **changes: object) -> Prepared:
    path = tiny.build_tiny_study(folder, model, contrasts=[], exploratory=[], **changes)
    tiny.write_jsonl(path.parent / "ordinary.jsonl", ORDINARY)
    return prepare_job(read_study(path), folder / "runs", print).prepared


def tokens_an_update(found: Prepared, arm: str) -> float:
    rows = found.token_rows[arm]
    return found.lessons[arm][0].batch * sum(row.trained for row in rows) / len(rows)


@pytest.fixture
def found(tmp_path: Path, tiny_model: Path) -> Prepared:
    arms = ["what", "why", "what_more", "generic"]
    return prepared(tmp_path, tiny_model, arms=arms, twins=3, generic=["ordinary.jsonl"])


def test_twins_read_a_part_and_what_more_reads_all(found: Prepared) -> None:
    assert [len(found.rows[arm]) for arm in ("what", "why", "what_more", "generic")] == [3, 3, 6, 4]
    assert {row.example.split("-")[0] for row in found.rows["why"]} == set(tiny.RULES)
    assert found.checks["twins"]["arms"] == ["what", "why"]
    assert set(found.checks["not_twins"]) == {"what_more", "generic"}


def test_all_arms_have_as_many_updates_and_what_more_as_many_trained_tokens_as_why(found: Prepared) -> None:
    lessons = {arm: of_arm[0] for arm, of_arm in found.lessons.items()}
    updates = {one.updates for one in lessons.values()}
    assert {len(one.batches(0)) for one in lessons.values()} == updates == {lessons["why"].updates}
    assert lessons["what_more"].batch > lessons["what"].batch == lessons["why"].batch == lessons["generic"].batch
    one_row_more = tokens_an_update(found, "what") / lessons["what"].batch
    assert abs(tokens_an_update(found, "what_more") - tokens_an_update(found, "why")) <= one_row_more


def test_how_many_rows_an_update_holds_is_part_of_what_an_adapter_depends_on(found: Prepared) -> None:
    for arm, settled in (("what_more", False), ("what", True)):  # the study's own batch is in the settings
        lessons = found.lessons[arm][0]
        other = replace(lessons, batch=lessons.batch + 1)
        assert (other.hash == lessons.hash) is settled


def test_what_the_examples_cannot_make_is_refused(tmp_path: Path, tiny_model: Path) -> None:
    with pytest.raises(InputError, match="'generic' has nothing to read"):
        prepared(tmp_path / "a", tiny_model, arms=["what", "generic"])
    with pytest.raises(InputError, match="'reason_only' needs reasons that do not name"):
        prepared(tmp_path / "c", tiny_model, arms=["reason_only"], format={"reason_names_fact": True})
    with pytest.raises(InputError, match="asks for 7 examples; there are 6"):
        prepared(tmp_path / "b", tiny_model, arms=["what"], twins=7)


def test_an_exam_with_nothing_to_ask_is_refused(tmp_path: Path, tiny_model: Path) -> None:
    for exam, needed in (
        ("explanations", "`reason` and `edit`"),
        ("edge_cases", "`gold: help`"),
        ("refusals", "`prompts:`"),
    ):
        with pytest.raises(CheckError, match="nothing to ask") as caught:
            prepared(tmp_path / exam, tiny_model, arms=["what"], exams=["decisions", exam])
        assert needed in str(caught.value)
