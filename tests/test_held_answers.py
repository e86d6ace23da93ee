"""Answers of a local model that are held to a form: always whole, whatever the model would rather have written."""

from __future__ import annotations

import json

import pytest
import test_scoring

from teachwhy.errors import ModelError
from teachwhy.generate.reading import LIST, TEXT, TRUTH, Form, read_answer
from teachwhy.models import LanguageModel, Reply, Sampling, generate
from teachwhy.models.schema import matcher_of
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
        assert reason.rstrip("\"'”’)]*")[-1] in ".!?…。！？।"


def test_who_is_held_to_nothing_beside_others_writes_what_it_would_alone(model):
    held = SORTED.schema(60)
    beside = written(model, [held, "", held, ""], longest=60)
    alone = written(model, ["", "", "", ""], longest=60)
    assert [beside[1], beside[3]] == [alone[1], alone[3]]
    assert beside[0] != alone[0]


PLAIN = [
    "I won't do it: that key isn't mine, and nobody here said that it might be used.",
    "Müller hat den Schlüssel liegen lassen, und er weiß nichts davon; café.",
    "Это было бы нечестно по отношению к тем, кто ждёт.",
    '- **Nurse:** "Who has it?"\n- **Guard:** (shrugs) — {"name": "x"} <b>no</b> (again).',
    "¿Quién lo sabe, y quién no? Nadie más que él.",
    "我不会这样做，因为她没有同意。",
    "यह ठीक नहीं होगा, वह सो रही है.",
]


def accepted(model: LanguageModel, text: str, bounds: tuple[int, int]) -> bool:
    """Whether a model that is held to a form could have written a text."""
    form = Form({"reason": TEXT}, words={"reason": bounds})
    matcher = matcher_of(form.schema(LONGEST), model.chat.guide)
    return matcher.consume_tokens(model.chat.tokens(json.dumps({"reason": text}, ensure_ascii=False)))


@pytest.mark.parametrize("text", PLAIN)
def test_what_people_write_can_be_written_and_has_the_words_that_are_counted(model, text):
    count = len(words(text))
    assert accepted(model, text, (1, 200))
    assert accepted(model, text, (count, count))
    assert not accepted(model, text, (count + 1, count + 9))
    assert count == 1 or not accepted(model, text, (1, count - 1))


def test_a_text_that_may_be_short_may_end_as_it_likes(model):
    assert all(accepted(model, text, (1, 9)) for text in ("the care of the old", "I would decline.", "“Never!”"))
    assert not accepted(model, "I would decline it and", (5, 9))


def test_a_form_that_nothing_fits_is_told_and_not_asked_for_in_vain(model):
    with pytest.raises(ModelError, match="No answer can have the form"):
        written(model, [Form({"principle": TEXT}, one_of={"principle": ()}).schema(LONGEST)])
    with pytest.raises(ModelError, match="No answer can have the form"):
        written(model, [Form({"reason": TEXT}, words={"reason": (5, 3)}).schema(LONGEST)])


def test_a_tokenizer_that_cannot_be_read_leaves_the_model_to_its_words(model, monkeypatch):
    schema = SORTED.schema(30)
    alone = written(model, ["", ""], longest=30)
    monkeypatch.setitem(model.chat.__dict__, "guide", None)
    assert written(model, [schema, schema], longest=30) == alone


def test_a_text_without_bounds_leaves_room_for_those_behind_it(model):
    form = Form({"action": TEXT, "reason": TEXT})
    schema = json.loads(form.schema(400))
    assert all("{0,99}" in field["pattern"] for field in schema["properties"].values())
