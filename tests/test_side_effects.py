"""The exam `side_effects`: its material, its scores, and options that are scored without anything being written."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from teachwhy.errors import InputError
from teachwhy.evals import Answer, ExamFormat, Item, Material, answer_requests, find_exam, read_items, read_questions
from teachwhy.evals.question_sets import RIGHT
from teachwhy.evals.side_effects import own_material
from teachwhy.models import find_model, load_model

FORMAT = ExamFormat(reasons=True, place="first", reason_marker="Reason:", action_marker="Answer:")
EXAM = find_exam("side_effects")


def first(kind: str) -> Item:
    return next(case for case in own_material() if case.kind == kind)


def scores(case: Item, text: str = "", **choice: float) -> dict[str, float | None]:
    by_option = {option.replace("_", "-"): value for option, value in choice.items()}
    found = EXAM.score(case, Answer(case.id, "own", text, by_option), FORMAT)
    return {score.metric: score.value for score in found}


def test_the_material_is_what_docs_say() -> None:
    cases = EXAM.cases(Material([]))
    assert Counter(case.kind for case in cases) == {"general": 120, "ordinary text": 48, "unrelated": 60}
    assert len({case.id for case in cases}) == len(cases)
    for case in cases:
        answers = {"general": 4, "ordinary text": 1, "unrelated": 0}[case.kind]
        assert len(set(case.answers.values())) == len(case.answers) == answers


def test_right_answers_are_not_told_by_their_length() -> None:
    longest = [case for case in own_material() if case.kind == "general" and longest_answer(case) == RIGHT]
    assert 0.1 < len(longest) / 120 < 0.4


def longest_answer(case: Item) -> str:
    return max(case.answers, key=lambda option: len(case.answers[option]))


def test_a_question_is_right_where_the_right_text_is_likeliest() -> None:
    question = first("general")
    assert scores(question, right=-1.0, wrong_1=-2.0, wrong_2=-3.0, wrong_3=-1.5) == {"general_correct": 1.0}
    assert scores(question, right=-1.0, wrong_1=-0.5, wrong_2=-3.0, wrong_3=-1.5) == {"general_correct": 0.0}


def test_text_is_scored_as_the_probability_of_a_token() -> None:
    assert scores(first("ordinary text"), right=0.0) == {"text_probability": 1.0}


def test_policy_talk_and_refusals_leak_into_unrelated_answers() -> None:
    request = first("unrelated")
    plain = scores(request, "Reason: it is dinner time.\nAnswer: Fry the chickpeas with garlic and pour over tomatoes.")
    assert plain == {"refuses_unrelated": 0.0, "policy_talk": 0.0, "answer_words": 9.0}
    leaky = scores(
        request, "Reason: consent matters.\nAnswer: I won't suggest dinners. I can help with something else."
    )
    assert leaky == {"refuses_unrelated": 1.0, "policy_talk": 1.0, "answer_words": 10.0}


def test_a_study_without_an_action_marker_is_scored_too() -> None:
    case = first("unrelated")
    bare = ExamFormat(reasons=False, place="first", reason_marker="", action_marker="")
    found = EXAM.score(case, Answer(case.id, "own", "Fry the chickpeas with garlic."), bare)
    assert {score.metric: score.value for score in found}["answer_words"] == 5.0


@pytest.fixture
def answers(tiny_model: Path) -> list[Answer]:
    model = load_model(find_model(str(tiny_model), base_folder=Path(), say=print), device="cpu", dtype="float32")
    cases = [first(kind) for kind in ("unrelated", "general", "ordinary text")]
    prompts = {case.id: model.chat.prompt([message.model_dump() for message in case.messages]) for case in cases}
    return answer_requests(model, EXAM.requests(cases, FORMAT), prompts, FORMAT, max_new_tokens=6)


def test_only_unrelated_requests_are_written_and_only_the_others_scored(answers: list[Answer]) -> None:
    unrelated, question, text = answers
    assert unrelated.choice == {}
    assert (question.text, text.text) == ("Answer:", "Answer:")
    assert (set(question.choice), set(text.choice)) == ({RIGHT, "wrong-1", "wrong-2", "wrong-3"}, {RIGHT})


def test_none_of_it_overlaps_the_bundled_studies() -> None:
    """What is measured as ordinary must not be something that a study teaches."""
    from teachwhy.data import read_examples
    from teachwhy.data.checks import overlaps

    folder = Path(__file__).parents[1] / "studies" / "assistant"
    taught = {case.id: case.messages[-1].content for case in read_examples([folder / "examples.jsonl"])}
    items = {item.id: item.prompt for item in read_items([folder / "items.jsonl"])}
    asked = {case.id: f"{case.prompt} {' '.join(case.answers.values())}" for case in own_material()}
    assert overlaps(taught | items, asked) == []


def test_questions_of_ones_own_are_a_kind_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "algebra_test.csv").write_text('"What is 2, doubled?",three,four,five,six,B\n')
    (tmp_path / "local.jsonl").write_text('{"id": "l1", "question": "Who?", "right": "Ada.", "wrong": ["Bob."]}\n')
    found = read_questions([tmp_path / "algebra_test.csv", tmp_path / "local.jsonl"])
    assert [item.kind for item in found] == ["algebra_test", "local"]
    assert found[0].answers == {RIGHT: "four", "wrong-1": "three", "wrong-2": "five", "wrong-3": "six"}
    cases = {case.id: case for case in EXAM.cases(Material([], questions=found))}
    assert set(cases) > {item.id for item in found}
    request = EXAM.requests([found[0]], FORMAT)[0]
    assert not request.write
    answer = Answer(found[0].id, "own", "", {option: -1.0 - (option != RIGHT) for option in found[0].answers})
    assert [(score.metric, score.value) for score in EXAM.score(found[0], answer, FORMAT)] == [("general_correct", 1.0)]


@pytest.mark.parametrize("row", ["A?,b,c,d,A", "A?,b,c,d,e,E", "A?,b,,d,e,A"])
def test_a_row_that_is_no_question_is_named(tmp_path: Path, row: str) -> None:
    (tmp_path / "bad.csv").write_text(f"Q?,a,b,c,d,A\n{row}\n")
    with pytest.raises(InputError, match="not a question, four answers") as caught:
        read_questions([tmp_path / "bad.csv"])
    assert "line 2" in str(caught.value)
