"""Items: what is read, which pairs hold, and what must be there to be scored."""

from __future__ import annotations

import json

import pytest
import tiny

from teachwhy.errors import InputError
from teachwhy.evals import read_items

ITEM = {
    "id": "a",
    "family": "f",
    "pair": "p",
    "distance": "plain",
    "prompt": "Rain?",
    "gold": "stay",
    "answers": {"stay": "Stay at home.", "go": "Go out."},
}
TWIN = ITEM | {"id": "b", "prompt": "Sun?", "gold": "go"}


def read(path, *lines: dict):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return read_items([path])


def test_items_are_read_with_all_their_fields(tmp_path):
    first, second = read(tmp_path / "items.jsonl", ITEM | {"rule": "weather", "kind": "agree"}, TWIN)
    assert (first.prompt, first.gold, first.principle, first.kind) == ("Rain?", "stay", "weather", "agree")
    assert list(first.answers) == ["stay", "go"]
    assert second.facts is None


def test_facts_keep_their_order_and_need_no_gold(tmp_path):
    facts = {"B": {"states": "wet", "decision": "stay"}, "A": {"states": "bright", "decision": "go"}}
    first, _ = read(tmp_path / "items.jsonl", {**ITEM, "gold": None, "facts": facts}, TWIN)
    assert list(first.facts) == ["B", "A"]
    assert first.facts["B"].decision == "stay"


@pytest.mark.parametrize("count", [1, 3])
def test_a_pair_is_two(tmp_path, count):
    lines = [ITEM | {"id": str(number)} for number in range(count)]
    with pytest.raises(InputError, match="not shared by exactly two items: p"):
        read(tmp_path / "items.jsonl", *lines)


def test_a_pair_may_span_files(tmp_path):
    for name, item in (("a.jsonl", ITEM), ("b.jsonl", TWIN)):
        (tmp_path / name).write_text(json.dumps(item))
    assert len(read_items([tmp_path / "a.jsonl", tmp_path / "b.jsonl"])) == 2


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"gold": "sleep"}, "'sleep' has no text in `answers`"),
        ({"gold": None}, "give `gold`, or `facts`"),
        ({"gold": None, "facts": {}}, "give `gold`, or `facts`"),
        ({"facts": {"A": {"states": "wet", "decision": "sleep"}}}, "'sleep' has no text"),
        ({"distance": "far"}, "valid: plain, near"),
        ({"answers": {"stay": "Stay.", "go": "Do not stay."}}, "'stay' stands inside that of 'go'"),
        ({"answers": {"stay": "Stay.", "go": "stay"}}, "stands inside"),
        ({"answers": {"stay": "Stay.", "go": " "}}, "'go' stands inside"),
    ],
)
def test_items_that_could_not_be_scored_are_refused(tmp_path, fields, said):
    with pytest.raises(InputError) as caught:
        read(tmp_path / "items.jsonl", ITEM | fields, TWIN)
    assert said in str(caught.value)
    assert "line 1" in caught.value.where


def test_answers_that_only_share_letters_are_told_apart(tmp_path):
    assert read(tmp_path / "items.jsonl", ITEM | {"answers": {"stay": "Go on.", "go": "Go once."}}, TWIN)


def test_the_tiny_items_are_whole():
    assert len({item["pair"] for item in tiny.tiny_items()}) == 6
