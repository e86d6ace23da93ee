"""Examples, chat files, rows and arms: what is read, and what holds for any text by construction."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest
import tiny
from hypothesis import assume, given
from hypothesis import strategies as st

from teachwhy.data import ARMS, Example, Message, Writing, check_twins, find_arm, nested_part, read_examples
from teachwhy.data.arms import derangement, full_reason
from teachwhy.errors import InputError

TRAINED = [arm.name for arm in ARMS.values() if arm.trained and arm.reads == "twins"]


def example(number: int = 0, **fields: object) -> Example:
    texts = {
        "mention": "It rains.",
        "reason": "Rain is wet.",
        "swapped": "It is dark. Dark hides.",
        "neutral": "A day.",
        "unrelated": "Doors are dear.",
        "deliberation": "Look, then say.",
        "paraphrase": "Do not go.",
    }
    basic = {"id": f"e{number}", "principle": f"p{number}", "prompt": "Rain?", "action": "Stay."}
    return Example.model_validate(basic | texts | fields)


def writing(**changes: object) -> Writing:
    settings = {"prompt": lambda case: f"<{case.messages[-1].content}>", "end": "<end>"}
    return Writing(**settings | changes)


def write(path, *lines: object):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


# ---- reading


def test_examples_are_read_in_order_with_their_short_forms(tmp_path):
    path = write(tmp_path / "a.jsonl", {"id": "1", "rule": "door", "prompt": "Hello?", "action": "Hi."})
    more = write(tmp_path / "b.jsonl", {"id": "2", "messages": [{"role": "user", "content": "So?"}], "action": "No."})
    first, second = read_examples([path, more])
    assert (first.id, first.principle) == ("1", "door")
    assert first.messages == [Message(role="user", content="Hello?")]
    assert (second.id, second.principle) == ("2", "")


def test_ids_are_unique_over_all_files_and_the_first_is_named(tmp_path):
    line = {"id": "1", "prompt": "a", "action": "b"}
    first, second = write(tmp_path / "a.jsonl", line), write(tmp_path / "b.jsonl", {**line, "id": "0"}, line)
    with pytest.raises(InputError, match="used twice") as caught:
        read_examples([first, second])
    assert f"{second}, line 2" in caught.value.where
    assert f"{first}, line 1" in caught.value.remedy


def test_blank_lines_are_passed_over_and_counted(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('\n{"id": "1", "prompt": "a", "action": "b"}\n\n{"id": "2"}\n')
    with pytest.raises(InputError) as caught:
        read_examples([path])
    assert f"{path}, line 4" in caught.value.where


def test_openai_chat_lines_become_examples(tmp_path):
    said = (("system", "Be brief."), ("user", "2+2?"), ("assistant", "4"))
    system, user, answer = ({"role": role, "content": text} for role, text in said)
    tool = {"type": "function", "function": {"name": "add"}}
    path = write(
        tmp_path / "chat.jsonl",
        {"messages": [system, user, answer]},
        {"messages": [user, answer, user, answer], "tools": [tool]},
    )
    first, second = read_examples([path])
    assert (first.id, first.system, first.action) == ("chat-1", "Be brief.", "4")
    assert [message.role for message in first.messages] == ["user"]
    assert (second.id, second.system, second.tools) == ("chat-2", None, [tool])
    assert [message.role for message in second.messages] == ["user", "assistant", "user"]
    assert first.reason is None


def test_a_chat_of_one_answer_is_refused(tmp_path):
    path = write(tmp_path / "chat.jsonl", {"messages": [{"role": "assistant", "content": "4"}]})
    with pytest.raises(InputError, match="does not end with an assistant message after at least one other"):
        read_examples([path])


def test_a_chat_of_nothing_but_a_system_prompt_and_an_answer_is_refused(tmp_path):
    messages = [{"role": "system", "content": "Hm."}, {"role": "assistant", "content": "4"}]
    with pytest.raises(InputError, match="at least 1 item"):
        read_examples([write(tmp_path / "chat.jsonl", {"messages": messages})])


# ---- rows


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("first", "<Rain?>Reason: It rains. Rain is wet.\nAction: Stay.<end>"),
        ("last", "<Rain?>Action: Stay.\nReason: It rains. Rain is wet.<end>"),
    ],
)
def test_a_row_is_written_down_as_the_study_says(place, expected):
    [row] = find_arm("why").rows([example()], writing(place=place))
    assert row.text == expected
    assert [segment.train for segment in row.segments] == [False, True, True, True]


def test_markers_can_be_changed_or_left_out():
    [row] = find_arm("why").rows([example()], writing(reason_marker="", action_marker="So:"))
    assert row.text == "<Rain?>It rains. Rain is wet.\nSo: Stay.<end>"


@pytest.mark.parametrize(
    ("arm", "beside"),
    [
        ("what", ""),
        ("mention", "It rains."),
        ("reason_only", "Rain is wet."),
        ("why", "It rains. Rain is wet."),
        ("swapped", "It is dark. Dark hides."),
        ("neutral", "A day."),
        ("unrelated", "Doors are dear."),
        ("deliberation", "Look, then say."),
        ("paraphrase", "Do not go."),
        ("circular", "Because that is what the rule on p0 says."),
        ("masked_why", "It rains. Rain is wet."),
    ],
)
def test_what_stands_beside_the_action_in_each_arm(arm, beside):
    [row] = find_arm(arm).rows([example()], writing())
    assert row.beside() == (f"Reason: {beside}\n" if beside else "")


def test_without_a_mention_the_reason_stands_alone():
    assert full_reason(example(mention=None), writing()) == "Rain is wet."


def test_a_reason_that_names_the_fact_needs_no_mention_before_it():
    how = writing(reason_names_fact=True)
    for arm in ("why", "masked_why"):
        [row] = find_arm(arm).rows([example()], how)
        assert row.beside() == "Reason: Rain is wet.\n"


@pytest.mark.parametrize("place", ["first", "last"])
def test_masked_why_reads_what_why_reads_and_trains_what_what_trains(place):
    how = writing(place=place)
    [why], [what], [masked] = (find_arm(name).rows([example()], how) for name in ("why", "what", "masked_why"))
    assert masked.text == why.text
    trained = [segment for segment in masked.segments if segment.train]
    assert trained == [segment for segment in what.segments if segment.train]


def test_circular_names_the_principle_of_each_example():
    rows = find_arm("circular").rows([example(1, principle="open_doors"), example(2)], writing())
    assert "the rule on open doors says" in rows[0].text
    assert "the rule on p2 says" in rows[1].text


def test_untrained_arms_have_no_rows():
    for name in ("base", "policy_in_prompt"):
        assert find_arm(name).rows([example()], writing()) == []


def test_an_arm_names_the_field_and_example_it_lacks():
    with pytest.raises(InputError, match="'neutral' needs the field 'neutral', which example 'e3'"):
        find_arm("neutral").rows([example(1), example(3, neutral=None)], writing())


def test_every_arm_has_a_summary_of_one_line():
    for arm in ARMS.values():
        assert arm.summary.endswith(".")
        assert "\n" not in arm.summary


# ---- properties


texts = st.text(min_size=1, max_size=30).filter(str.strip)
BESIDE = ("mention", "reason", "swapped", "neutral", "unrelated", "deliberation", "paraphrase", "action", "prompt")
beside = st.fixed_dictionaries(dict.fromkeys(BESIDE, texts))
markers = st.text(max_size=8)


@given(
    st.lists(beside, min_size=2, max_size=6), markers, markers, st.sampled_from(["first", "last"]), st.integers(0, 1000)
)
def test_arms_are_twins_by_construction_for_any_texts(fields, reason_marker, action_marker, place, seed):
    examples = [example(number, **given_texts) for number, given_texts in enumerate(fields)]
    how = writing(reason_marker=reason_marker, action_marker=action_marker, place=place, seed=seed)
    rows = {name: find_arm(name).rows(examples, how) for name in TRAINED}
    assert check_twins(rows) == {"arms": TRAINED, "rows": len(examples), "held": True}
    for arm_rows in rows.values():
        for row, case in zip(arm_rows, examples, strict=True):
            assert row.example == case.id
            untrained = [segment.text for segment in row.segments if not segment.train and segment.kind != "reason"]
            assert untrained == [how.prompt(case)]
            assert case.action.lstrip() in row.text


@given(st.lists(st.sampled_from("abcde"), min_size=1, max_size=40), st.integers(0, 10_000))
def test_a_derangement_never_gives_a_label_to_itself(labels, seed):
    assume(2 * max(Counter(labels).values()) <= len(labels))
    found = derangement(labels, seed)
    assert sorted(found) == list(range(len(labels)))
    assert all(labels[source] != label for source, label in zip(found, labels, strict=True))
    assert found == derangement(labels, seed)


@given(st.lists(st.sampled_from("ab"), min_size=1, max_size=20))
def test_where_no_derangement_exists_it_says_so(labels):
    assume(2 * max(Counter(labels).values()) > len(labels))
    with pytest.raises(InputError, match="at least two principles"):
        derangement(labels, 0)


def test_shuffled_gives_another_principles_reason_and_seeds_differ():
    examples = [Example.model_validate(fields) for fields in tiny.tiny_examples()]
    own = {full_reason(case, writing()): case.principle for case in examples}
    orders = set()
    for seed in range(20):
        rows = find_arm("shuffled").rows(examples, writing(seed=seed))
        given_reasons = [row.beside().removeprefix("Reason: ").rstrip("\n") for row in rows]
        assert all(own[text] != case.principle for text, case in zip(given_reasons, examples, strict=True))
        assert sorted(given_reasons) == sorted(own)
        orders.add(tuple(given_reasons))
    assert len(orders) > 5


def test_a_derangement_does_not_touch_the_worlds_randomness():
    random.seed(7)
    expected = random.random()
    random.seed(7)
    derangement(["a", "b", "c"], 3)
    assert random.random() == expected


# ---- a part of the examples


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=40), st.integers(0, 40), st.integers(0, 40))
def test_a_smaller_part_lies_inside_a_larger_and_both_are_even_over_principles(labels, one, other):
    examples = [example(number, principle=label) for number, label in enumerate(labels)]
    small, large = (nested_part(examples, count) for count in sorted((one, other)))
    assert {case.id for case in small} <= {case.id for case in large}
    assert len(small) == min(one, other, len(examples))
    assert small == [case for case in examples if case in small]
    counts, available = Counter(case.principle for case in small), Counter(labels)
    for label in available:
        assert counts[label] == available[label] or counts[label] >= max(counts.values(), default=0) - 1


def test_arms_that_are_no_twins_write_what_what_writes():
    for name in ("what_more", "generic"):
        assert find_arm(name).reads != "twins"
        assert find_arm(name).rows([example()], writing()) == find_arm("what").rows([example()], writing())
