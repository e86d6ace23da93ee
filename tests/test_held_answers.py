"""Answers of a local model that are held to a form: always whole, whatever the model would rather have written."""

from __future__ import annotations

import json

import pytest
import test_scoring

from teachwhy.generate.reading import LIST, TEXT, TRUTH, Form, read_answer
from teachwhy.models import LanguageModel, Reply, Sampling, generate
from teachwhy.text import words

model = test_scoring.model  # a fixture: random weights, which of themselves would write no JSON in a lifetime

SORTED = Form({"principle": TEXT}, one_of={"principle": ("privacy", "undo", "undone")})
JUDGED = Form({"fits": TRUTH, "bears": TRUTH, "because": TEXT}, words={"because": (1, 3)})
LISTED = Form({"all": LIST}, ("person", "wish"), 2, {"person": (1, 1), "wish": (5, 6)})
LONGEST = 2_000


def written(model: LanguageModel, schemas: list[str], longest: int = LONGEST) -> list[str]:
    sampling = Sampling(1.0, tuple(range(len(schemas))))
    prompts = [f"Question {number}" for number in range(len(schemas))]
    return generate(model, prompts, max_new_tokens=longest, sampling=sampling, schemas=schemas)


@pytest.mark.parametrize("form", [SORTED, JUDGED, LISTED], ids=["sorted", "judged", "listed"])
def test_every_answer_has_the_form(model, form):
    for text in written(model, [form.schema(LONGEST)] * 6):
        read = read_answer(Reply(text), form)
        assert read.values is not None, (read, text)
        assert list(json.loads(text)) == list(form.fields)


def test_a_text_has_the_length_that_is_wanted_and_ends_as_a_sentence(model):
    form = Form({"reason": TEXT}, words={"reason": (6, 9)})
    for text in written(model, [form.schema(LONGEST)] * 6):
        reason = json.loads(text)["reason"]
        assert 6 <= len(words(reason)) <= 9
        assert reason.rstrip("\"'”’)")[-1] in ".!?…。！？"


def test_who_is_held_to_nothing_beside_others_writes_what_it_would_alone(model):
    held = SORTED.schema(60)
    beside = written(model, [held, "", held, ""], longest=60)
    alone = written(model, ["", "", "", ""], longest=60)
    assert [beside[1], beside[3]] == [alone[1], alone[3]]
    assert beside[0] != alone[0]


def test_a_text_without_bounds_leaves_room_for_those_behind_it(model):
    form = Form({"action": TEXT, "reason": TEXT})
    schema = json.loads(form.schema(400))
    assert all("{0,99}" in field["pattern"] for field in schema["properties"].values())
