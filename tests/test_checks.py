"""The checks before training: each catches the fault it is there for, and passes what is sound."""

from __future__ import annotations

from dataclasses import replace

import pytest

from teachwhy.data import (
    ARM_PROPERTIES,
    ARMS,
    Example,
    Row,
    Segment,
    check_arms_against_why,
    check_overlap,
    check_trained,
    check_twins,
    faults,
    length_table,
)
from teachwhy.data.arm_check import reading_ease
from teachwhy.data.checks import overlaps
from teachwhy.errors import CheckError


def row(name: str, *, prompt: str = "Q", beside: str = "", action: str = "Go.", end: str = "<end>") -> Row:
    middle = (Segment("reason", beside, True),) if beside else ()
    ending = (Segment("action", action, True), Segment("end", end, True))
    return Row(name, (Segment("prompt", prompt, False), *middle, *ending))


TWINS = {"what": [row("a"), row("b")], "why": [row("a", beside="So. "), row("b", beside="Thus. ")]}


def test_twins_hold():
    assert check_twins(TWINS) == {"arms": ["what", "why"], "rows": 2, "held": True}
    assert check_twins({}) == {"arms": [], "rows": 0, "held": True}


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (row("b", beside="Thus. ", prompt="Q?"), "rows: b"),
        (row("b", beside="Thus. ", prompt="Q "), "rows: b"),
        (row("b", beside="Thus. ", action="Go!"), "rows: b"),
        (row("b", beside="Thus. ", end=""), "rows: b"),
        (row("c", beside="Thus. "), "examples or their order"),
    ],
    ids=["prompt", "space", "action", "end", "example"],
)
def test_one_changed_letter_ends_the_run(changed, named):
    with pytest.raises(CheckError, match="'what' and 'why' are not twins") as caught:
        check_twins(TWINS | {"why": [TWINS["why"][0], changed]})
    assert named in caught.value.where


def test_another_order_or_number_of_rows_ends_the_run():
    for rows in (TWINS["why"][::-1], TWINS["why"][:1], [*TWINS["why"], row("c")]):
        with pytest.raises(CheckError, match="not twins") as caught:
            check_twins(TWINS | {"why": rows})
        assert "order" in caught.value.where


def test_the_loss_must_count_the_same_shared_parts():
    first, second = TWINS["why"]
    silent = Row("b", tuple(replace(part, train=False) if part.kind == "action" else part for part in second.segments))
    with pytest.raises(CheckError, match="not twins"):
        check_twins(TWINS | {"why": [first, silent]})


def test_a_row_with_nothing_to_train_on_is_named():
    check_trained(TWINS)
    nothing = [
        row("b", action=" "),
        Row("b", (Segment("prompt", "Q", False), Segment("action", "Go.", False), Segment("end", "<end>", True))),
    ]
    for empty in nothing:
        with pytest.raises(CheckError, match="'why' has nothing to train on") as caught:
            check_trained({"why": [row("a"), empty]})
        assert caught.value.where == "example 'b'"


EIGHT = "the old man came down to the river"


def test_eight_words_in_a_row_are_found_and_seven_are_not():
    taught = {"example a": f"Then {EIGHT} alone.", "example b": "Nothing of the kind."}
    [hit] = overlaps(taught, {"item 1": f"Here, {EIGHT.upper()}!", "item 2": "Nothing."})
    assert (hit.taught, hit.examined, hit.run) == ("example a", "item 1", EIGHT)
    seven = EIGHT.rsplit(" ", 1)[0]
    assert overlaps(taught, {"item 1": f"And {seven} bank"}) == []
    assert overlaps({"a": "one two"}, {"b": "one two"}) == []


def test_an_overlap_ends_the_run_and_lists_every_pair():
    taught = {"example a": EIGHT, "policy p": f"Rule: {EIGHT}"}
    with pytest.raises(CheckError, match=r"\(2 pairs of texts\)") as caught:
        check_overlap(taught, {"item 1": EIGHT})
    for name in ("example a / item 1", "policy p / item 1", EIGHT):
        assert name in caught.value.where


def test_many_overlaps_are_cut_with_their_number():
    with pytest.raises(CheckError) as caught:
        check_overlap({"a": EIGHT}, {f"item {number}": EIGHT for number in range(25)})
    assert "and 15 more" in caught.value.where


def test_near_duplicates_are_listed_and_do_not_stop():
    taught = {"example a": "the lamp is lit for guests", "example b": "quite another thing is said here"}
    record = check_overlap(taught, {"item 1": "The lamp is lit for guests.", "item 2": "nothing like it at all"})
    assert record["hits"] == 0
    assert record["near_duplicates"] == [{"taught": "example a", "examined": "item 1", "run": "near-duplicate"}]
    assert (record["taught_texts"], record["examined_texts"]) == (2, 2)


def test_texts_of_fewer_words_than_a_run_do_no_harm():
    assert check_overlap({"a": "", "b": "x"}, {"c": "?", "d": "y"})["hits"] == 0


def test_lengths_are_words_beside_and_in_the_action():
    table = length_table({"what": [row("a")], "why": [row("a", beside="One two. "), row("b", beside="One. ")]})
    assert table["what"] == {"words_beside": 0.0, "words_action": 1.0}
    assert table["why"] == {"words_beside": 1.5, "words_action": 1.0}


# ---- the arm check

REASONS = [f"Since rain number {n} came, the bread was wet." for n in range(20)]
LIKE_THEM = [f"Since snow number {n} went, the grass was dry." for n in range(20)]
SHOUTED = [f"No! Never! Cloud {n}! I and you and they all know it." for n in range(20)]


def rows_of(texts):
    return [row(str(number), beside=text) for number, text in enumerate(texts)]


def found_of(texts, kind, tokens=100.0):
    """The arm check of one arm of that kind against `why`: property -> record."""
    examples = [
        Example.model_validate({"id": str(n), "prompt": "Q", "action": "Go.", "reason": text, "mention": f"Rain {n}."})
        for n, text in enumerate(REASONS)
    ]
    records = check_arms_against_why(
        {"why": rows_of(REASONS), "other": rows_of(texts)},
        {"why": "why", "other": kind},
        examples,
        {"why": 100.0, "other": tokens},
        "",
    )
    return {record["property"]: record for record in records}, faults(records)


def test_an_arm_that_only_gives_no_reason_has_moved_in_that_alone():
    found, wrong = found_of(LIKE_THEM, "neutral")
    assert found["reason_words"]["of_why"] == 1
    assert found["reason_words"]["moved"]
    assert found["reason_words"]["may"]
    assert not wrong


def test_form_that_gives_an_arm_away_is_a_fault_that_is_named():
    found, wrong = found_of(SHOUTED, "neutral", tokens=150.0)
    assert found["told_apart"]["value"] > 0.9
    assert {name for name, record in found.items() if record["moved"] and not record["may"]} >= {
        "told_apart",
        "trained_tokens",
    }
    assert any("neutral" not in line and line.startswith("other: ") and "150" in line for line in wrong)


def test_the_same_texts_in_other_places_are_not_told_apart():
    found, wrong = found_of(REASONS[1:] + REASONS[:1], "shuffled")
    assert found["told_apart"]["value"] == 0.5
    assert not wrong


def test_an_arm_with_nothing_beside_its_actions_is_declared_so():
    found, wrong = found_of([""] * 20, "what")
    assert found["words"]["value"] == 0
    assert found["told_apart"]["value"] is None
    assert found["reading_ease"]["moved"]
    assert not wrong


def test_without_why_there_is_nothing_to_compare_with():
    assert check_arms_against_why({"what": rows_of(REASONS)}, {"what": "what"}, [], {"what": 1.0}, "") == []


def test_every_property_that_an_arm_declares_is_one_that_is_measured():
    declared = {name for found in ARMS.values() for name in found.may_change}
    assert declared <= set(ARM_PROPERTIES)


def test_long_words_in_long_sentences_are_harder_to_read():
    assert reading_ease("The cat sat. It ran.") > reading_ease("Institutional deliberation necessitates documentation.")
