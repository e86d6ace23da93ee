"""Woven reasons: how sentences are cut, what a woven row holds, how it is read and where it cannot be asked."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from in_process import run_study_here

from teachwhy.data import ARMS, Example, Row, Segment, Writing, check_twins, find_arm, length_table, sentences
from teachwhy.data.checks import check_trained
from teachwhy.data.woven import weave
from teachwhy.errors import CheckError, InputError
from teachwhy.evals import ExamFormat, Item, find_exam
from teachwhy.evals.decisions import off, parse
from teachwhy.inspect.solving import format_of
from teachwhy.report.methods import methods
from teachwhy.study import read_study
from teachwhy.train.settings import plan_batches
from teachwhy.train.tokens import tokenize_rows

TRAINED = [arm.name for arm in ARMS.values() if arm.trained and arm.reads == "twins"]
TWO = {"action": "Stay. Shut the door.", "mention": "It rains.", "reason": "Rain is wet. Wet is cold."}


def example(number: int = 0, **fields: object) -> Example:
    others = ("swapped", "neutral", "unrelated", "deliberation", "paraphrase")
    basic = {"id": f"e{number}", "principle": f"p{number}", "prompt": "Rain?", **TWO}
    return Example.model_validate(basic | {name: f"A {name}. And more." for name in others} | fields)


def writing(**changes: Any) -> Writing:
    return Writing(prompt=lambda case: f"<{case.messages[-1].content}>", end="<end>", place="woven", **changes)


def row_of(arm: str, case: Example, **changes: Any) -> Row:
    [row] = find_arm(arm).rows([case], writing(**changes))
    return row


def action_of(row: Row) -> str:
    return "".join(segment.text for segment in row.segments if segment.kind == "action")


# ---- sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Stay. Shut the door!", ["Stay.", " Shut the door!"]),
        ("No sentence ends here", ["No sentence ends here"]),
        ("No. The key stays.", ["No.", " The key stays."]),
        ("It is in No. 5. Look there.", ["It is in No. 5.", " Look there."]),
        ("Ask Dr. Roy, e.g. at 5 p.m. on J. Lee's day. Go.", ["Ask Dr. Roy, e.g. at 5 p.m. on J. Lee's day.", " Go."]),
        ("Well... perhaps. Wait… No.", ["Well... perhaps.", " Wait…", " No."]),
        ('Write: "Hi Tom. I am late." Send it.', ['Write: "Hi Tom. I am late."', " Send it."]),
        ("It holds (see there. Or here). Go.", ["It holds (see there. Or here).", " Go."]),
        ("Do:\n1. Call.\n2. Wait\n- rest\nThen go. Bye", ["Do:\n1. Call.", "\n2. Wait", "\n- rest\nThen go.", " Bye"]),
        ("A line that is\nwrapped. Next.", ["A line that is\nwrapped.", " Next."]),
        ("One part\n\ntwo parts\r\n\r\nThree.\n", ["One part", "\n\ntwo parts", "\r\n\r\nThree.\n"]),
        ("Run:\n\n```\na. B.\nc. D\n```\n\nDone.", ["Run:\n\n```\na. B.\nc. D\n```", "\n\nDone."]),
        ('<tool_call>{"text": "Hi. Bye."}</tool_call>', ['<tool_call>{"text": "Hi. Bye."}</tool_call>']),
        ("我不能。请问她！好。", ["我不能。", "请问她！", "好。"]),
        ("彼は「行く。すぐ。」と言った。終わり。", ["彼は「行く。すぐ。」と言った。", "終わり。"]),
        ("लिखो। रुको।", ["लिखो।", " रुको।"]),
        ("هل تأتي؟ نعم.", ["هل تأتي؟", " نعم."]),
        ("Стой. Иди.", ["Стой.", " Иди."]),
    ],
)  # fmt: skip
def test_sentences_are_cut_where_no_doubt_is(text, expected):
    assert sentences(text) == expected


PIECES = (
    *(". ", "! ", "? ", "… ", "。", "！", "؟ ", "।", ".", "...", '."', ".) "),
    *(" ", "\n", "\n\n", "\r\n", "\t", "\u2028", "\u00a0"),
    *("\n- ", "\n1. ", "\n* ", "2) ", ": ", "Dr. ", "e.g. ", "No. ", "p.m. ", "J. "),
    *('"', "“", "”", "(", ")", "「", "」", "```", "<tool_call>", "</tool_call>", "{", "}", "*", "Action:", "Reason:"),
    *("Stay", "the door", "Ärger", "не", "我不能", "نعم", "🙂", "e\u0301", "\u200f", "x", "I", "7"),
)
odd = st.lists(st.sampled_from(PIECES) | st.text(max_size=4), min_size=1, max_size=25).map("".join)
texts = odd.filter(str.strip)


@given(texts)
def test_sentences_joined_are_the_text_and_none_is_blank(text):
    found = sentences(text)
    assert "".join(found) == text
    assert all(one.strip() for one in found)


@given(texts, texts)
def test_weaving_keeps_the_action_to_the_letter_and_the_order_of_both(action, beside):
    turns = weave(action, beside)
    own, other = sentences(action), sentences(beside)
    assert turns[0][0]
    assert all(one[0] != two[0] for one, two in pairwise(turns)), "by turns"
    assert "".join(text for is_own, text in turns if is_own) == action
    laid = ["".join(text.split()) for is_own, text in turns if not is_own]
    assert "".join(laid) == "".join(beside.split()), "no word of what is laid between is lost"
    both = min(len(own), len(other))
    assert [text for is_own, text in turns if is_own][: both - 1] == own[: both - 1]
    assert len(turns) == 2 * both + (len(own) > both)


def test_a_sentence_of_each_by_turns_and_what_is_left_at_the_end():
    assert weave("A one. A two. A three.", "R one. R two.") == [
        *((True, "A one."), (False, " R one."), (True, " A two."), (False, " R two."), (True, " A three.")),
    ]
    assert weave("A one.", "R one. R two.\n\nR three.") == [(True, "A one."), (False, " R one. R two.\n\nR three.")]
    assert weave("no mark", "R one.") == [(True, "no mark"), (False, "\nR one.")]
    assert weave("我不能。请问她。", "她不愿意。") == [(True, "我不能。"), (False, "她不愿意。"), (True, "请问她。")]


# ---- rows


def test_a_woven_row_opens_with_the_action_and_has_no_marker_of_a_reason():
    row = row_of("why", example())
    assert row.text == "<Rain?>Action: Stay. It rains. Shut the door. Rain is wet. Wet is cold.<end>"
    assert [(segment.kind, segment.train) for segment in row.segments] == [
        *(("prompt", False), ("action", True), ("reason", True), ("action", True), ("reason", True), ("end", True)),
    ]
    assert row.beside() == " It rains. Rain is wet. Wet is cold."
    assert row_of("what", example()).text == "<Rain?>Action: Stay. Shut the door.<end>"


def test_masked_why_woven_trains_what_what_trains():
    why, masked, what = (row_of(name, example()) for name in ("why", "masked_why", "what"))
    assert masked.text == why.text
    untrained = [one.text for one in masked.segments if not one.train]
    assert untrained == ["<Rain?>", " It rains.", " Rain is wet. Wet is cold."]
    assert masked.shared() == what.shared()
    assert not any(one.train for one in masked.segments if one.kind == "reason")


BESIDE = ("mention", "reason", "swapped", "neutral", "unrelated", "deliberation", "paraphrase", "action", "prompt")


@given(st.lists(st.fixed_dictionaries(dict.fromkeys(BESIDE, texts)), min_size=2, max_size=4), st.text(max_size=8))
def test_woven_arms_are_twins_by_construction_for_any_texts(fields, marker):
    examples = [example(number, **given_texts) for number, given_texts in enumerate(fields)]
    rows = {name: find_arm(name).rows(examples, writing(action_marker=marker)) for name in TRAINED}
    assert check_twins(rows) == {"arms": TRAINED, "rows": len(examples), "held": True}
    check_trained(rows)
    for found in rows.values():
        for row, case in zip(found, examples, strict=True):
            assert action_of(row) == f"{marker} {case.action}".lstrip()
    unwoven = find_arm("what").rows(examples, replace(writing(action_marker=marker), place="first"))
    check_twins({"what": unwoven, "why": rows["why"]})


@pytest.mark.parametrize(
    ("was", "now"), [(" Shut the door.", " Shut the door"), (" Shut", "  Shut"), ("Stay.", "Stay.\u200b")]
)
def test_the_twin_check_sees_one_letter_of_a_woven_action(was, now):
    what, why = row_of("what", example()), row_of("why", example())
    changed = tuple(
        replace(one, text=one.text.replace(was, now)) if one.kind == "action" else one for one in why.segments
    )
    assert check_twins({"what": [what], "why": [why]})["held"]
    with pytest.raises(CheckError, match="'what' and 'why' are not twins"):
        check_twins({"what": [what], "why": [replace(why, segments=changed)]})


def test_an_action_segment_that_is_not_trained_is_no_twin():
    what, why = row_of("what", example()), row_of("why", example())
    changed = tuple(replace(one, train=one.kind != "action" and one.train) for one in why.segments)
    with pytest.raises(CheckError):
        check_twins({"what": [what], "why": [replace(why, segments=changed)]})


class Pairs:
    """Tokens that hang on where a text is cut, as those of a real tokenizer do: two characters each."""

    def tokens(self, text: str) -> list[int]:
        return [hash(text[start : start + 2]) for start in range(0, len(text), 2)]


def test_woven_twins_are_in_the_same_updates_as_those_of_one_piece():
    actions = ["A. B. C. D. E.", "Stay.", "Go on, now.", "No. No more."]
    examples = [example(number, action=action) for number, action in enumerate(actions * 3)]
    tokens = {
        name: tokenize_rows(find_arm(name).rows(examples, writing()), Pairs(), 10_000, name)  # type: ignore[arg-type]
        for name in ("what", "why", "neutral")
    }
    shared = {name: [row.shared for row in rows] for name, rows in tokens.items()}
    assert shared["what"] == shared["why"] == shared["neutral"] == [row.length for row in tokens["what"]]
    batches = {name: plan_batches(lengths, batch=2, updates=9, seed=0) for name, lengths in shared.items()}
    assert batches["what"] == batches["why"]


def test_lengths_count_the_words_of_an_action_once():
    rows = {name: [row_of(name, example())] for name in ("what", "why")}
    assert length_table(rows) == {
        "what": {"words_beside": 0.0, "words_action": 5.0},
        "why": {"words_beside": 8.0, "words_action": 5.0},
    }


# ---- reading answers

WOVEN = ExamFormat(True, "woven", "Reason:", "Action:")
ITEM = Item.model_validate(
    {
        **{"id": "i", "family": "f", "pair": "p", "distance": "near", "prompt": "So?", "gold": "yes"},
        "answers": {"yes": "Stay. Shut the door.", "no": "Stay. Leave it open."},
    }
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Action: Stay. It rains. Shut the door. Rain is wet.", "yes"),
        ("Action: Stay. Shut the door.", "yes"),
        ("Action: stay -- it rains; LEAVE it open, I said", "no"),
        ("Reason: it rains\nAction: Stay. It rains. Leave it open.", "no"),
        ("Action: Stay. It rains.", None),
        ("Action: Shut the door. It rains. Stay.", None),
        ("Stay. It rains. Shut the door.", None),
        ("Action: Stay. Shut the door. Or: leave it open.", None),
    ],
)
def test_a_decision_is_read_from_the_sentences_of_its_action_in_their_order(text, expected):
    assert parse(text, ITEM, WOVEN)[0] == expected


def test_only_who_weaves_is_read_so():
    text = "Action: Stay. It rains. Shut the door."
    assert parse(text, ITEM, replace(WOVEN, place="last")) == (None, "no known action")
    assert parse(text, ITEM, replace(WOVEN, reasons=False)) == (None, "no known action")


def test_a_woven_row_is_read_as_the_decision_that_it_teaches():
    row = row_of("why", example(action=ITEM.answers["yes"]))
    assert parse(row.text, ITEM, WOVEN) == ("yes", None)


def test_a_woven_arm_is_asked_as_one_that_gives_its_reason_last():
    last = replace(WOVEN, place="last")
    assert not WOVEN.reason_first
    assert off(ITEM, WOVEN) == off(ITEM, last)
    assert off(ITEM, WOVEN).opening == "Reason:"
    for exam in ("decisions", "edge_cases"):
        assert find_exam(exam).requests([ITEM], WOVEN) == find_exam(exam).requests([ITEM], last)


# ---- studies


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"format": {"reason": "woven"}, "arms": ["what", "why", "swapped"]}, "format.reason"),
        ({"arms": ["what", "why", {"arm": "swapped", "reason": "woven"}]}, "arms.2.reason"),
    ],
)
def test_an_exam_that_reads_reasons_apart_is_refused_before_anything_is_trained(tmp_path, changes, field):
    path = tiny.build_tiny_study(tmp_path, "bundled:smollm2-135m", exams=["decisions", "explanations"], **changes)
    with pytest.raises(InputError, match="'explanations' reads a reason apart from the action") as caught:
        read_study(path)
    assert caught.value.where == f"{path}, field '{field}'"
    assert "`reason: first`" in (caught.value.remedy or "")
    assert "take the exam out" in (caught.value.remedy or "")


def test_such_an_arm_cannot_sit_that_exam_in_inspect_either():
    arm = SimpleNamespace(name="runs/x:why:0", api=SimpleNamespace(exam_format=WOVEN))
    with pytest.raises(InputError, match="the arm 'runs/x:why:0' weaves the two"):
        format_of(arm, find_exam("explanations"), ("Reason:", "Action:"), judged=True)  # type: ignore[arg-type]
    assert format_of(arm, find_exam("decisions"), ("", ""), judged=False) == WOVEN  # type: ignore[arg-type]


def test_arms_without_reasons_have_nothing_to_weave(tmp_path):
    settings = {"format": {"reason": "woven"}, "arms": ["base", "what", {"arm": "why", "reason": "first"}]}
    path = tiny.build_tiny_study(
        tmp_path, "bundled:smollm2-135m", exams=["decisions", "explanations"], contrasts=[], exploratory=[], **settings
    )
    study = read_study(path)
    assert [study.exam_format(setting).woven for setting in study.settings.arms] == [False] * 3


def test_a_study_with_woven_arms_runs_from_end_to_end(tmp_path, tiny_model):
    arms = ["what", {"name": "why", "arm": "why", "reason": "woven"}, {"arm": "neutral", "reason": "woven"}]
    contrast = {"arm": "why", "versus": "neutral", "metric": "follows_first_fact", "subset": {"kind": "conflict"}}
    changes = {"arms": arms, "seeds": [0], "contrasts": [contrast], "exploratory": []}
    path = tiny.build_tiny_study(tmp_path, tiny_model, **changes)
    for name, field in (("examples", "action"), ("items", "answers")):
        rows = [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
        for row in rows:
            said = row[field]
            row[field] = f"{said} Now." if isinstance(said, str) else {key: f"{one} Now." for key, one in said.items()}
        tiny.write_jsonl(tmp_path / f"{name}.jsonl", rows)

    done = run_study_here(path, runs=tmp_path / "runs")

    assert done.failures == {}
    results = done.results
    assert {arm["name"]: (arm["state"], arm["reason"]) for arm in results["arms"]} == {
        **{"what": ("done", None), "why": ("done", "woven"), "neutral": ("done", "woven")},
    }
    assert results["checks"]["twins"]["arms"] == ["what", "why", "neutral"]
    first = json.loads((done.folder / "data" / "neutral.jsonl").read_text().splitlines()[0])
    written = [Segment(**segment) for segment in first["segments"]][1:-1]
    assert "".join(one.text for one in written) == "Action: Lock it. It is a door. Now. We have one door here."
    records = [json.loads(file.read_text()) for file in sorted((done.folder / "train").glob("*/seed-0/train.json"))]
    assert len(records) == 3
    assert len({record["batches"] for record in records}) == 1
    assert "It stands between its sentences in `why` and `neutral`." in methods(results)
    asked = [json.loads(line) for line in (done.folder / "evals/why/seed-0/decisions.jsonl").read_text().splitlines()]
    assert {one["text"].startswith("Reason:") for one in asked if one["format"] == "off"} == {True}
    assert not any(one["text"].startswith("Reason:") for one in asked if one["format"] == "own")
    assert "between its sentences" in done.report.read_text()
