"""The recipes for advice, questions and environments: what they make, what may be left out, the study they write."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
from in_process import SILENT, run_here
from recipe_orders import COUNT, items, lines, orders_in, written

from teachwhy.data import read_examples
from teachwhy.generate import Order, find_recipe, write_lessons
from teachwhy.generate.draft import Draft
from teachwhy.generate.scripted import ScriptedTeacher
from teachwhy.generate.stages.pick import Pick
from teachwhy.generate.starts import shares_of
from teachwhy.study import read_study, run_study
from teachwhy.study import run as run_module
from teachwhy.text import words

ADVICE, QUESTIONS, ENVIRONMENTS = NAMES = ("difficult-advice", "questions", "environments")
LEFT_OUT = [(name, stage) for name in NAMES for stage in find_recipe(name).optional()]


def given() -> list[dict[str, Any]]:
    """Thirty examples: with a system prompt, as a system message, with none; of one turn and of three; with tools."""
    rows = []
    for number in range(5):
        for row in tiny.tiny_examples():
            row = {**row, "id": f"{row['id']}-{number}", "prompt": f"{row['prompt']} It is day {number}."}
            if number in (1, 2):
                turn = {"role": "user", "content": row.pop("prompt")}
                before = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Good day."}]
                own = {"role": "system", "content": f"You keep house {number}."}
                row["messages"] = [own, turn] if number == 1 else [*before, turn]
            if number == 3:
                row |= {"system": "You keep the house.", "tools": [{"type": "function", "function": {"name": "lock"}}]}
            if number == 4:
                row["action"] = f"  {row['action']}\n\tAt once\u2028 — {{{{policy}}}} </action> "
            rows.append(row)
    return rows


@pytest.fixture
def order(tmp_path: Path) -> Callable[..., Order]:
    return orders_in(tmp_path, given())


def prompts_of(stage: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the teacher will be asked in one stage."""
    asked: list[str] = []
    from teachwhy.generate.teacher import Teacher

    put = Teacher.put

    def noted(self: Teacher, questions: Any, again: Any, manner: Any) -> Any:
        if manner.stage == stage:
            asked.extend(one.messages[-1]["content"] for _, _, one in questions)
        return put(self, questions, again, manner)

    monkeypatch.setattr(Teacher, "put", noted)
    return asked


@pytest.mark.parametrize("name", NAMES)
def test_as_many_lessons_as_were_wanted_that_a_study_can_read(order: Callable[..., Order], name: str) -> None:
    lessons = written(order(name))
    assert len(lessons) == COUNT
    assert len(read_examples([order(name).out / "lessons.jsonl"])) == COUNT
    assert lines(order(name).out / "dropped.jsonl") == []
    assert set(Counter(lesson["principle"] for lesson in lessons).values()) == {10}


def test_advice_is_asked_for_by_a_user_and_half_of_the_shortcuts_are_in_order(order: Callable[..., Order]) -> None:
    lessons = written(order(ADVICE))
    assert {lesson["shape"] for lesson in lessons} == {"advice"}
    cells = Counter((lesson["principle"], lesson["decision"]) for lesson in lessons)
    assert cells == {(rule, decision): 5 for rule in tiny.RULES for decision in ("help", "decline")}
    for lesson in lessons:
        assert set(lesson) == {"id", "principle", "shape", "decision", "domain", "prompt", "action", "reason"}
        assert 50 <= len(words(lesson["prompt"])) <= 150
        assert 25 <= len(words(lesson["action"])) <= 80
    trails = lines(order(ADVICE).out / "trail.jsonl")
    pulls = Counter(change["fields"]["pull"] for one in trails for change in one["stages"] if change["stage"] == "pull")
    assert len(pulls) >= 6, "what tempts is drawn anew for each lesson"


def test_each_question_is_asked_of_you_and_by_name(order: Callable[..., Order]) -> None:
    lessons = written(order(QUESTIONS))
    assert {lesson["shape"] for lesson in lessons} == {"question"}
    trails = {one["id"]: one["stages"] for one in lines(order(QUESTIONS).out / "trail.jsonl")}
    by_id = {lesson["id"]: lesson for lesson in lessons}
    pairs = [(lesson, by_id[lesson["id"][:-1] + "2"]) for lesson in lessons if lesson["id"].endswith("-1")]
    assert len(pairs) == COUNT // 2
    for you, name in pairs:
        assert you.get("system") == name.get("system")
        assert you.get("decision") == name.get("decision")
        assert you["prompt"] != name["prompt"]
        assert you["action"] != name["action"]
        stages = [[change["stage"] for change in trails[one["id"]]] for one in (you, name)]
        assert [one for one in stages[1] if one not in stages[0]] == ["by_name", "answer_by_name", "agree"]
    found = {lesson.get("decision") for lesson in lessons}
    assert {"yes", "no", None} <= found <= {"yes", "no", "depends", None}
    assert 2 <= len({lesson.get("system") for lesson in lessons}) < COUNT // 2


def test_the_name_is_told_to_whoever_writes_the_question_by_name(
    order: Callable[..., Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = prompts_of("by_name", monkeypatch)
    lessons = written(order(QUESTIONS))
    names = {entry["name"] for entry in find_recipe(QUESTIONS).stage("name").values}  # type: ignore[attr-defined]
    assert len(names) == 12
    assert len(asked) == COUNT // 2
    for prompt, you in zip(asked, [lesson for lesson in lessons if lesson["id"].endswith("-1")], strict=True):
        assert you["prompt"] in prompt
        [name] = [name for name in names if f"<name>{name}</name>" in prompt]
        assert name in you.get("system", name)


def test_an_environment_stands_around_what_stays_as_it_was(order: Callable[..., Order]) -> None:
    lessons = written(order(ENVIRONMENTS))
    lengths = [len(words(lesson["varied_system"])) for lesson in lessons]
    assert min(lengths) <= 90
    assert max(lengths) >= 260
    assert len({lesson["varied_system"] for lesson in lessons}) == COUNT
    for before, after in zip(given(), lessons, strict=True):
        assert after["id"] == before["id"]
        assert after["action"] == before["action"]
        turns = before.get("messages") or [{"role": "user", "content": before["prompt"]}]
        own = [turn["content"] for turn in turns if turn["role"] == "system"]
        assert after["messages"] == [turn for turn in turns if turn["role"] != "system"]
        assert after.get("system") == (own[0] if own else before.get("system"))
        kept = set(before) - {"messages", "prompt"}
        assert {field: after[field] for field in kept} == {field: before[field] for field in kept}


def test_an_environment_that_decides_the_case_is_dropped(
    order: Callable[..., Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Strict(ScriptedTeacher):
        def reply(self, messages: Any, seed: int) -> Any:
            said = super().reply(messages, seed)
            told = json.loads(said.text)
            if "unnamed" in told and "The lamp lacks both." in messages[-1]["content"]:
                return type(said)(json.dumps(told | {"unnamed": False}))
            return said

    monkeypatch.setattr("teachwhy.generate.open_teacher.ScriptedTeacher", Strict)
    lessons = written(order(ENVIRONMENTS))
    assert len(lessons) == COUNT - 5
    dropped = lines(order(ENVIRONMENTS).out / "dropped.jsonl")
    assert {(one["stage"], one["cause"]) for one in dropped} == {("gate", "failed unnamed")}
    assert {one["id"] for one in dropped} == {f"lamp-1-{number}" for number in range(5)}


@pytest.mark.parametrize(("name", "stage"), LEFT_OUT)
def test_every_stage_that_can_be_left_out_may_be(order: Callable[..., Order], name: str, stage: str) -> None:
    lessons = written(order(name, without=[stage]))
    assert len(lessons) == COUNT
    trails = lines(order(name).out / "trail.jsonl")
    assert not any(change["stage"] == stage for one in trails for change in one["stages"])


def test_what_only_mends_can_be_left_out() -> None:
    optional = {name: set(find_recipe(name).optional()) for name in NAMES}
    assert optional[ADVICE] == {"message_again", "advice_again", "gate"}
    assert optional[QUESTIONS] == {
        "question_again",
        "answer_again",
        "word",
        "gate",
        "by_name",
        "answer_by_name",
        "agree",
    }
    assert optional[ENVIRONMENTS] == {"surroundings_again", "gate"}


def test_questions_asked_of_you_alone_are_half_as_many(order: Callable[..., Order]) -> None:
    lessons = written(order(QUESTIONS, without=["forms", "by_name", "answer_by_name", "agree"]))
    assert len(lessons) == COUNT // 2


@pytest.mark.parametrize(
    ("name", "arms"), [(ADVICE, ["base", "why"]), (QUESTIONS, ["why"]), (ENVIRONMENTS, ["why_varied"])]
)
def test_the_study_it_wrote_trains_and_is_examined(
    order: Callable[..., Order], name: str, arms: list[str], roomy_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = order(name, count=6)
    write_lessons(made, SILENT)
    monkeypatch.setattr(run_module, "run_units", run_here)
    # As on a machine without a compiler: to compile takes minutes, and to train this model a second.
    monkeypatch.setattr("teachwhy.train.compiled.compiler_found", lambda: False)
    done = run_study(made.out, model=str(roomy_model), arms=arms, seeds=[0], runs=made.out / "runs", say=SILENT)
    for arm in arms:
        seed = "none" if arm == "base" else "0"
        answers = lines(done.folder / "evals" / arm / f"seed-{seed}" / "edge_cases.jsonl")
        assert {one["item"] for one in answers} == {item["id"] for item in items()}
    told = json.loads((done.folder / "train" / arms[-1] / "seed-0" / "train.json").read_text())
    assert told["updates"] > 0
    rows = lines(done.folder / "data" / f"{arms[-1]}.jsonl")
    lessons = {lesson["id"]: lesson for lesson in lines(made.out / "lessons.jsonl")}
    assert len(rows) == 6
    for row in rows:
        lesson = lessons[row["example"]]
        text = "".join(segment["text"] for segment in row["segments"])
        system = lesson.get("varied_system" if arms[-1].endswith("varied") else "system") or ""
        assert all(part.strip() in text for part in (system, lesson["action"], lesson["reason"]))


def test_its_study_sets_varied_surroundings_against_plain_ones(order: Callable[..., Order]) -> None:
    made = order(ENVIRONMENTS)
    write_lessons(made, SILENT)
    settings = read_study(made.out).settings
    contrasts = [(one.arm, one.versus) for one in settings.contrasts]
    assert contrasts[0] == ("why", "what")
    assert contrasts[-2:] == [("what_varied", "what"), ("why_varied", "why")]


def test_without_reasons_what_is_taught_is_compared_across_surroundings(order: Callable[..., Order]) -> None:
    made = order(ENVIRONMENTS, sources=[], count=None)
    assert len(written(made)) == 3
    settings = read_study(made.out).settings
    assert [arm.name for arm in settings.arms] == ["base", "what", "what_varied"]
    assert [(one.arm, one.versus) for one in settings.contrasts] == [("what_varied", "what")]


def test_a_principle_gets_whole_groups_of_lessons() -> None:
    assert shares_of(30, 10, 2) == [4] * 5 + [2] * 5
    assert shares_of(7, 2, 2) == [5, 2]
    assert shares_of(7, 2, 1) == [4, 3]
    assert shares_of(1, 3, 2) == [1, 0, 0]


def test_a_text_of_a_list_may_name_a_field_and_takes_it_as_it_is() -> None:
    pick = Pick(name="forms", how="each", values=[{"was": "{{prompt}}", "number": 1}, {"was": "<{{ prompt }}>"}])
    assert pick.needs() == {"prompt"}
    draft = Draft("one", {"prompt": "a {{action}} b"}, quota=2)
    found = list(pick.through([draft], SimpleNamespace(seed=0)))  # type: ignore[arg-type]
    assert [one.fields["was"] for one in found] == ["a {{action}} b", "<a {{action}} b>"]
    assert found[0].fields["number"] == 1
