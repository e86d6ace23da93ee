"""The page of all answers as it is written: everything in it, nothing that could run, every score told as it is."""

from __future__ import annotations

import base64
import copy
import hashlib
import html
import json
import re
from typing import Any

import pytest
from answers_sample import FORMAT, sample_items, sample_sittings
from markupsafe import Markup
from report_sample import ARMS, sample_results
from test_report import Tags

from teachwhy.evals import Answer, Item, Score, find_exam
from teachwhy.report import Sitting, render_answers
from teachwhy.report.answers import script_json, state_of
from teachwhy.report.unseen import visible

ATTACK = "</script><script>window.hacked = 1</script><img src=x onerror=window.hacked=1>"


@pytest.fixture(scope="module")
def sittings() -> list[Sitting]:
    return sample_sittings()


@pytest.fixture(scope="module")
def page(sittings: list[Sitting]) -> str:
    return render_answers(sample_results(), sittings)


def element(page: str, opening: str) -> str:
    """What stands inside the one element that opens so."""
    name = re.match(r"<(\w+)", opening)
    assert name
    assert page.count(opening) == 1
    return page.partition(opening)[2].partition(f"</{name[1]}>")[0]


def index_of(page: str) -> dict[str, Any]:
    return json.loads(element(page, '<script type="application/json" id="index">'))


def lines_of(page: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in element(page, '<script type="application/json" id="texts">').split("\n")]


def test_every_stored_answer_is_on_the_page_with_its_score(page: str, sittings: list[Sitting]) -> None:
    """Told again from the page's data alone, each answer has the words, decision, cause and scores stored for it."""
    index, lines = index_of(page), lines_of(page)
    place = {(arm, label): n for n, (arm, label) in enumerate(columns(index))}
    exam_format = next(field for field in index["fields"] if field["name"] == "format")
    entries = {
        (name, exam_format["values"][exam_format["of"][entry]]): entry for entry, name in enumerate(index["ids"])
    }
    seen = 0
    for sitting in sittings:
        column = place[sitting.arm, "untrained" if sitting.seed is None else f"seed {sitting.seed}"]
        for answer in sitting.answers:
            entry = entries[answer.item, {"own": "own format", "off": "off-format"}[answer.format]]
            line, outcome = lines[entry], index["outcomes"][index["cells"][entry][column]]
            written = " ".join(text for _, text in line["texts"][line["said"][column]])
            assert written.split() == re.sub("Reason:|Action:", " ", answer.text).split()
            own = [one for one in sitting.scores if (one.item, one.format) == (answer.item, answer.format)]
            assert (outcome["value"], outcome["decision"]) == (own[0].value, own[0].decision)
            assert outcome["choice"] == answer.chosen
            assert len(outcome["scores"]) == len(own) == 2
            if own[0].cause:
                assert outcome["label"] == f"unscored: {own[0].cause}"
            seen += 1
    assert seen == sum(len(sitting.answers) for sitting in sittings) > 1000
    assert f"{seen:,} stored answers to {len(lines):,} questions" in page


def columns(index: dict[str, Any]) -> list[tuple[str, str]]:
    return [(index["arms"][attempt["arm"]], attempt["label"]) for attempt in index["attempts"]]


def test_arms_stand_in_the_order_of_the_study_and_seeds_in_theirs(page: str) -> None:
    index = index_of(page)
    assert index["arms"] == list(ARMS)
    assert [label for arm, label in columns(index) if arm == "why"] == ["seed 0", "seed 1", "seed 2"]
    assert [label for arm, label in columns(index) if arm == "neutral"] == ["seed 0", "seed 1"]  # one seed failed


def test_an_item_says_what_is_asked_and_which_action_which_fact_asks_for(page: str) -> None:
    index, lines = index_of(page), lines_of(page)
    line = lines[index["ids"].index("rule-00-conflict-seen_wording-1")]
    assert line["messages"][0][0] == "user"
    assert line["messages"][0][1].startswith("Our guest of rule-00")
    assert index["systems"][line["system"]] == "Decide what to do."
    assert line["options"] == [
        ["move", "Move them to another pitch.", ["fact water"]],
        ["leave", "Leave them on their pitch.", ["fact habit"]],
    ]
    assert ["reason", "action"] in [[kind for kind, _ in text] for text in line["texts"]]


def test_filters_are_those_that_tell_items_apart(page: str) -> None:
    fields = {field["name"]: field["values"] for field in index_of(page)["fields"]}
    assert set(fields) == {"format", "principle", "kind", "distance"}
    assert fields["distance"] == ["seen wording", "new wording"]
    assert fields["kind"] == ["conflict", "agree"]


@pytest.mark.parametrize(
    ("value", "higher", "state"),
    [
        (1.0, True, "right"),
        (0.0, True, "wrong"),
        (0.5, True, "between"),
        (0.0, False, "right"),
        (1.0, False, "wrong"),
        (1.0, None, "neither right nor wrong"),
        (None, True, "unscored"),
    ],
)
def test_the_direction_of_a_metric_says_what_is_right(value: float | None, higher: bool | None, state: str) -> None:
    assert state_of(Score("x", "own", "m", value), higher) == state


def test_an_answer_without_a_score_is_neither_right_nor_wrong() -> None:
    assert state_of(None, None) == "not scored by itself"


def test_a_case_asked_in_other_words_of_another_model_carries_those_words() -> None:
    results = sample_results()
    found = []
    for arm in ("what", "why"):
        case = sample_items()[0].model_copy(
            update={"id": "x", "messages": sample_items(prompt=f"You, {arm}?")[0].messages}
        )
        answers = [Answer("x", "own", "Action: Move them to another pitch.")]
        found.append(Sitting(arm, 0, "decisions", {"x": case}, answers, []))
    line = lines_of(render_answers(results, found))[0]
    assert line["messages"] == [["user", "You, what?"]]
    assert line["asked"] == {"1": [["user", "You, why?"]]}
    assert len(line["texts"]) == 1  # both said the same, stored once


def test_the_policy_allows_the_pages_own_script_and_style_alone(page: str) -> None:
    (policy,) = [tag["content"] for tag in Tags(page).named("meta") if tag.get("http-equiv")]
    rules = dict(rule.strip().split(" ", 1) for rule in (policy or "").split(";"))
    assert rules["default-src"] == "'none'"
    for kind, opening in (("script", "<script>"), ("style", "<style>")):
        digest = hashlib.sha256(element(page, opening).encode()).digest()
        assert rules[f"{kind}-src"] == f"'sha256-{base64.b64encode(digest).decode()}'"


def test_nothing_is_loaded_from_outside(page: str) -> None:
    assert not re.search(r"https?:|//www|@import|url\(", page)
    for _, attributes in Tags(page).tags:
        assert not {name for name in attributes if name in ("src", "style") or name.startswith("on")}
        assert attributes.get("href") in (None, "report.html")


def test_markup_in_words_cannot_leave_the_data_or_the_header() -> None:
    results = copy.deepcopy(sample_results())
    results["study"] |= {"name": ATTACK, "question": ATTACK}
    page = render_answers(results, sample_sittings(sample_items(prompt=ATTACK), lambda *_: f"Reason: {ATTACK}"))
    assert page.count("<script") == 3
    assert page.count("</script") == 3
    assert "<img" not in page
    assert html.escape(ATTACK, quote=False) in page
    assert lines_of(page)[0]["messages"] == [["user", ATTACK]]
    assert lines_of(page)[0]["texts"][0] == [["reason", ATTACK]]


def test_script_json_escapes_what_a_page_could_trip_over_and_loses_nothing() -> None:
    value = {"<&>": ["a\u2028b\u2029\0c</script>", "\ud800 half", "😀 é", 0.25, None]}
    text = script_json(value)
    assert not re.search("[<>&\u2028\u2029\0]", text)
    assert json.loads(text) == value
    assert text.encode()


def test_same_input_gives_same_bytes(page: str) -> None:
    assert render_answers(copy.deepcopy(sample_results()), sample_sittings()) == page


def test_a_study_without_answers_has_a_page_too() -> None:
    page = render_answers(sample_results(), [])
    assert index_of(page)["cells"] == []
    assert "0 stored answers to 0 questions" in page


def test_without_script_the_page_says_where_the_answers_lie(page: str) -> None:
    assert "evals/" in element(page, "<noscript>")


@pytest.mark.parametrize("name", ["edge_cases", "side_effects", "refusals", "framings"])
def test_the_first_score_of_an_answer_is_that_of_what_was_written(name: str) -> None:
    """What the page calls right or wrong is read from the answer itself, where the exam reads it at all."""
    exam = find_exam(name)
    generated = {metric.name for metric in exam.metrics if metric.generated}
    case = Item.model_construct(
        id="a",
        family="f",
        pair="p",
        distance="plain",
        kind="harmless" if name == "refusals" else "unrelated",
        gold="help",
        answers={},
        messages=[],
        facts=None,
    )
    answer = Answer("a", "own", "Sure, here it is: three steps and you are done.")
    if name != "side_effects":
        case = case.model_copy(update={"answers": {"help": "x", "decline": "y"}})
    assert exam.score(case, answer, FORMAT)[0].metric in generated


def test_unseen_characters_are_named_and_joiners_stay() -> None:
    assert visible("a\0\u202eb") == "a⟨U+0000 U+202E⟩b"
    assert visible("tab\tline\r\nend") == "tab\tline\r\nend"
    assert visible("👩\u200d💻 می\u200cخواهم") == "👩\u200d💻 می\u200cخواهم"
    assert visible("\U000e0041") == "⟨U+E0041⟩"
    assert visible(Markup("\0")) == "\0"
    assert visible(3) == 3
