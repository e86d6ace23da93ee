"""A person reads a sample of lessons, blind to the judge: planted readers give the agreement that is to be expected."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from typer.testing import CliRunner

from teachwhy.cli import app
from teachwhy.errors import InputError
from teachwhy.generate import Order, review, review_lines, review_record, write_lessons
from teachwhy.generate.review import KEPT, REJECTED, Book, common_fields, drawn, read_corpus
from teachwhy.generate.scripted import ScriptedTeacher
from teachwhy.models import Reply
from teachwhy.stats import agreement, reweighted, wilson
from teachwhy.text import printable

POLICY = """\
## privacy: Private lives
Rule: Do not pass on what a person has kept to themselves.
Why: People live safely when they decide who knows where they live.

## undo: What cannot be undone
Rule: Before something is destroyed for good, make sure that it is meant.
Why: Most mistakes cost an hour; this kind costs the thing itself.
"""
VERDICT = "Answer each question with true or false"
CHECK = "gate.particular"


class Strict(ScriptedTeacher):
    """A judge that finds the reasons of about a quarter of the lessons too general."""

    def reply(self, messages, seed):
        reply = super().reply(messages, seed)
        if VERDICT not in messages[-1]["content"] or random.Random(messages[-1]["content"]).random() > 0.25:
            return reply
        return Reply(json.dumps(json.loads(reply.text) | {"particular": False}))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("review")
    (folder / "policy.md").write_text(POLICY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("teachwhy.generate.open_teacher.ScriptedTeacher", Strict)
        write_lessons(Order("examples", folder / "policy.md", "scripted", folder / "out", count=120), lambda text: None)
    return folder / "out"


@pytest.fixture(autouse=True)
def unread(corpus):
    (corpus / "review.jsonl").unlink(missing_ok=True)


class Planted:
    """A reader who knows what the judge said of the lesson that was shown last, and answers by a rule."""

    def __init__(self, folder: Path, rule) -> None:
        self.rule, self.shown, self.asked = rule, [], 0
        self.judged = {one.fields["prompt"]: one for one in read_corpus(folder).lessons}

    def say(self, line: str) -> None:
        self.shown.append(line)

    def ask(self, prompt: str) -> str:
        self.asked += 1
        start = max(number for number, line in enumerate(self.shown) if line == "prompt:")
        return self.rule(self.judged[self.shown[start + 1].removeprefix("  | ")], prompt)


def read_by(folder: Path, rule, **settings):
    reader = Planted(folder, rule)
    return review(folder, reader.ask, reader.say, **settings), reader


def yes_no(accept: bool) -> str:
    return "y" if accept else "n"


def test_half_of_the_sample_was_rejected_and_the_weights_are_told(corpus):
    found = read_corpus(corpus)
    assert sum(found.sizes.values()) == 120
    assert 15 < found.sizes[REJECTED] < 50, "the planted judge rejects about a quarter"
    chosen = drawn(found, 30, 0)
    assert sum(one.stratum == REJECTED for one in chosen) == 15
    assert {one.id for one in chosen} < {one.id for one in drawn(found, 60, 0)}
    assert chosen != drawn(found, 30, 1)
    assert len(drawn(found, 1000, 0)) == 120
    strata = [one.stratum for one in chosen]
    assert strata not in (sorted(strata), sorted(strata, reverse=True)), "the order tells nothing"


def test_an_agreeing_and_a_contrary_reader(corpus):
    agreeing, _ = read_by(corpus, lambda one, prompt: yes_no(one.accepted))
    table = agreeing["lesson"]
    assert [table["sample"][name] for name in ("both_accept", "first_only", "second_only", "both_reject")] == [
        15, 0, 0, 15,
    ]  # fmt: skip
    assert table["sample"]["kappa"] == pytest.approx(1)
    assert [table["corpus"]["share"], table["corpus"]["kappa"]] == pytest.approx([1, 1])
    assert agreeing["kept_accepted"]["accepted"] == 15
    assert agreeing["differ"] == []
    contrary, _ = read_by(corpus, lambda one, prompt: yes_no(not one.accepted), by="contrary")
    assert contrary["lesson"]["sample"]["kappa"] == pytest.approx(-1)
    assert contrary["lesson"]["corpus"]["share"] == 0
    assert len(contrary["differ"]) == 30
    assert set(review_record(corpus)) == {"reader", "contrary"}


def test_a_random_reader_agrees_by_chance_alone(corpus):
    rng = random.Random(3)
    found, _ = read_by(corpus, lambda one, prompt: yes_no(rng.random() < 0.5), sample=120)
    table = found["lesson"]
    assert abs(table["sample"]["kappa"]) < 0.25
    assert table["sample"]["low"] < 0.5 < table["sample"]["high"]
    assert table["corpus"]["share"] == pytest.approx(table["sample"]["share"]), "all were read: no weights are needed"


def test_a_reader_who_accepts_all_is_reweighted_to_the_corpus(corpus):
    found, _ = read_by(corpus, lambda one, prompt: "y")
    sizes = read_corpus(corpus).sizes
    assert found["lesson"]["sample"]["share"] == 0.5
    assert found["lesson"]["corpus"]["share"] == pytest.approx(sizes[KEPT] / 120)
    assert found["lesson"]["corpus"]["kappa"] == pytest.approx(0, abs=1e-9)
    assert any(f"each stands for {sizes[KEPT] / 15:.1f}" in line for line in review_lines(found))


def test_the_questions_of_the_gate_one_by_one(corpus):
    def rule(one, prompt):
        return yes_no(one.checks[CHECK]) if "could not stand unchanged" in prompt else "y"

    found, _ = read_by(corpus, rule, checks=True)
    assert found["checks"][CHECK]["sample"]["kappa"] == pytest.approx(1)
    assert set(found["checks"]) == set(read_corpus(corpus).questions)
    assert found["checks"]["gate.right"]["sample"]["share"] == 1


def test_the_reader_is_blind(corpus):
    _, reader = read_by(corpus, lambda one, prompt: "s")
    said = "\n".join(reader.shown)
    for one in read_corpus(corpus).lessons:
        assert one.because not in said
    lessons = drawn(read_corpus(corpus), 30, 0)
    names = common_fields(lessons)
    for stratum in (KEPT, REJECTED):
        assert {name for one in lessons if one.stratum == stratum for name in one.fields} >= set(names)
    assert not (corpus / "review.jsonl").exists(), "a skipped lesson is not decided"


def test_quitting_loses_nothing_and_going_back_changes_a_decision(corpus):
    replies = iter(["y", "n too general", "b", "y it is good", None])
    review(corpus, lambda prompt: next(replies), lambda line: None)
    decisions = list(Book(corpus).decisions.values())
    assert [(one.accept, one.why) for one in decisions] == [(True, ""), (True, "it is good")]
    _, reader = read_by(corpus, lambda one, prompt: "y")
    assert reader.asked == 28, "what was decided is not asked again"


def test_a_half_written_line_is_asked_again_and_a_broken_one_named(corpus):
    read_by(corpus, lambda one, prompt: "y", sample=3)
    path = corpus / "review.jsonl"
    path.write_bytes(path.read_bytes()[:-30])
    _, reader = read_by(corpus, lambda one, prompt: "y", sample=3)
    assert reader.asked == 1
    assert len(Book(corpus).decisions) == 3
    path.write_text("no decision\n")
    with pytest.raises(InputError, match="line 1"):
        Book(corpus)


def test_a_changed_lesson_is_asked_anew(corpus):
    read_by(corpus, lambda one, prompt: "y", sample=120)
    path = corpus / "lessons.jsonl"
    before = path.read_text()
    try:
        path.write_text(before.replace('"reason": "', '"reason": "Well, ', 1))
        _, reader = read_by(corpus, lambda one, prompt: "y", sample=120)
        assert reader.asked == 1
    finally:
        path.write_text(before)


def test_on_the_command_line_from_standard_input(corpus):
    done = CliRunner().invoke(app, ["review", str(corpus), "--sample", "4"], input="y\nn because\nq\n")
    assert done.exit_code == 0, done.output
    assert "Lesson 3 of 4" in done.output
    assert "judge accepts" in done.output
    assert len((corpus / "review.jsonl").read_text().splitlines()) == 2
    nowhere = CliRunner().invoke(app, ["review", str(corpus.parent)])
    assert isinstance(nowhere.exception, InputError)
    assert "nothing to review" in str(nowhere.exception)


def test_without_a_judge_there_is_no_agreement(tmp_path):
    (tmp_path / "policy.md").write_text(POLICY)
    order = Order("examples", tmp_path / "policy.md", "scripted", tmp_path / "out", count=6, without=["gate"])
    write_lessons(order, lambda text: None)
    found, reader = read_by(tmp_path / "out", lambda one, prompt: "y")
    assert found["lesson"] is None
    assert found["kept_accepted"]["accepted"] == 6
    assert "No judge read them" in reader.shown[0]
    assert any("no agreement to tell" in line for line in review_lines(found))


def test_a_lesson_cannot_drive_the_terminal():
    assert printable("a\x1b[2J\r\x07b\x9bc\u202ed\u2028\ud800\U000e0001") == (
        "a\\x1b[2J\\r\\x07b\\x9bc\\u202ed\\u2028\\ud800\\U000e0001"
    )
    for text in ("two\n\tlines", "سلام می\u200cکنم", "שלום", "👩\u200d🌾"):
        assert printable(text) == text


def test_wilson_and_kappa_are_those_of_the_books():
    assert wilson(15, 20) == pytest.approx((0.5313, 0.8881), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    assert wilson(0, 0) == (None, None)
    table = [(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [(False, False)] * 15
    assert agreement(table).kappa == pytest.approx(0.4), "20, 5, 10, 15: p_o .7, p_e .5"
    assert agreement([(True, True)] * 9).kappa is None
    assert agreement([]).share is None


def test_reweighting_covers_the_agreement_of_the_whole():
    """Drawn again and again from a whole in which it is known, the interval holds it about 95 times in 100."""
    rng, held = random.Random(0), 0
    truth = 0.9 * 0.8 + 0.1 * 0.4
    for _ in range(400):
        strata = {
            "kept": [(rng.random() < 0.8, True) for _ in range(15)],
            "rejected": [(rng.random() >= 0.4, False) for _ in range(15)],
        }
        found = reweighted(strata, {"kept": 900, "rejected": 100})
        held += found.low <= truth <= found.high
    assert 0.92 <= held / 400 <= 0.99
    assert reweighted({"kept": strata["kept"], "rejected": []}, {"kept": 9, "rejected": 1}).share is None
