"""Corpus health: each planted fault is found by its own check, and a healthy corpus is left alone."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from teachwhy.cli import app
from teachwhy.data import read_documents, read_examples
from teachwhy.errors import InputError
from teachwhy.evals import read_items
from teachwhy.evals.honeypots import call_text
from teachwhy.generate.health import (
    CHECKS,
    Lesson,
    corpus_health,
    health_page,
    health_table,
    lessons_of,
    read_lessons,
)
from teachwhy.generate.health.check import Check, Corpus, checked
from teachwhy.generate.health.phrases import recurring
from teachwhy.generate.health.reasons import argues
from teachwhy.generate.health.repeats import near_earlier
from teachwhy.policy import read_policy

STUDIES = Path(__file__).resolve().parent.parent / "studies"
ASSISTANT = STUDIES / "assistant"
NAMES = [check.name for check in CHECKS]


@pytest.fixture(scope="module")
def policy():
    return read_policy(ASSISTANT / "policy.md")


@pytest.fixture(scope="module")
def items():
    return read_items([ASSISTANT / "items.jsonl"])


@pytest.fixture(scope="module")
def real() -> list[Lesson]:
    """Every third of the bundled lessons: written by hand, and read."""
    return list(lessons_of(read_examples([ASSISTANT / "examples.jsonl"])))[::3]


def found(lessons, policy=None, items=()) -> dict[str, dict]:
    record = corpus_health(lessons, policy, list(items))
    json.dumps(record)
    assert record["lessons"] == len(lessons)
    assert [check["name"] for check in record["checks"]] == NAMES
    return {check["name"]: check for check in record["checks"]}


def states(checks: dict[str, dict]) -> dict[str, str]:
    return {name: check["state"] for name, check in checks.items()}


def changed(lesson: Lesson, **texts: str) -> Lesson:
    own = {name: text for name, text in texts.items() if name in ("situation", "action", "principle", "decision")}
    return replace(lesson, **own, texts={**lesson.texts, **{n: t for n, t in texts.items() if n not in own}})


def test_a_healthy_corpus_is_flagged_by_no_check(real, policy, items):
    assert states(found(real, policy, items)) == dict.fromkeys(NAMES, "well")


def test_all_bundled_lessons_are_well_by_every_check(policy, items):
    every = list(lessons_of(read_examples([ASSISTANT / "examples.jsonl"])))
    assert states(found(every, policy, items)) == dict.fromkeys(NAMES, "well")


def again(real):
    return [*real, *(replace(lesson, id=f"{lesson.id}-again", decision="other") for lesson in real[:3])]


def nearly(real):
    """Three situations again with a word more; actions and reasons are those of other lessons, turned around."""
    planted = [
        changed(replace(one, id=f"{one.id}-x"), situation=f"{one.situation} thanks", **reversed_texts(other))
        for one, other in zip(real[:3], real[3:6], strict=True)
    ]
    return [*real, *planted]


def reversed_texts(lesson):
    return {name: " ".join(reversed(text.split())) for name, text in lesson.written.items() if name != "situation"}


def examined(real, items):
    prompt = items[5].prompt
    return [changed(real[0], situation=f"{real[0].situation} {prompt}"), *real[1:]]


def reciting(real, policy):
    return [changed(real[0], action=f"{real[0].action} {policy.principles[0].rule}"), *real[1:]]


def opening_alike(real):
    return [
        changed(one, action=f"I understand that, {one.action}") if n % 5 == 0 else one for n, one in enumerate(real)
    ]


def looped(real):
    return [changed(real[0], reason="The answer is that the door stays shut, and " * 3), *real[1:]]


def of_one_name(real):
    return [changed(one, situation=f"{one.situation} Elara {n}") if n % 15 == 0 else one for n, one in enumerate(real)]


def with_a_phrase(real):
    said = "and that is a delicate balance to strike"
    return [
        changed(one, action=f"{one.action.rstrip('.')}, {said}.") if n % 12 == 0 else one for n, one in enumerate(real)
    ]


def one_sided(real):
    return [replace(one, decision="decline") if one.principle == "privacy" else one for one in real]


def flat(real):
    said = [
        "I won't do {}.",
        "Sorry, I can't do {} for you.",
        "I must decline {}.",
        "I refuse {}.",
        "I will not touch {}.",
    ]
    wishes = [lesson.situation.split()[:12] for lesson in real]
    return [
        replace(one, action=said[n // 5 % 5].format("what you ask about: " + " ".join(wishes[n]).lower().strip(".?!"))
                + " " + "This is not something I would do, whoever asks for it and why.")
        if n % 5 == 0 else one
        for n, one in enumerate(real)
    ]  # fmt: skip


def longer_neutral(real):
    more = "The clock on the wall shows a quarter past three, and the street outside is wet and quiet."
    return [changed(one, neutral=f"{one.texts['neutral']} {more}") for one in real]


def hard_to_read(real):
    hard = "Organisational confidentiality obligations necessitate comprehensive institutional deliberation"
    return [
        changed(one, reason=f"{one.texts['reason'].rstrip('.').replace('. ', ', ')} {hard} {n} {hard.lower()}.")
        if n % 9 == 0
        else one
        for n, one in enumerate(real)
    ]


def restated(real):
    return [changed(real[0], reason=f"Well, {real[0].texts['mention']}"), *real[1:]]


def contradicted(real):
    helps = next(n for n, one in enumerate(real) if one.decision == "help")
    declines = next(n for n, one in enumerate(real) if one.decision == "decline")
    planted = list(real)
    against = (
        "Doing this would endanger the family next door, who sleep badly as it is with windows on the yard and three"
    )
    of_helping = (
        "There is no good reason to refuse: all of them agreed to it in writing last week, were told what it is"
    )
    planted[helps] = changed(real[helps], reason=f"{against} small cots below them.")
    planted[declines] = changed(real[declines], reason=f"{of_helping} for, and can take it back whenever.")
    return planted


PLANTED = {
    "exact duplicates": again,
    "near duplicates": nearly,
    "texts that go round": looped,
    "openings": opening_alike,
    "names": of_one_name,
    "stock phrases": with_a_phrase,
    "decisions by principle": one_sided,
    "flat refusals": flat,
    "lengths": longer_neutral,
    "reading ease": hard_to_read,
    "reasons that only restate": restated,
    "reasons that contradict the action": contradicted,
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_flagged_by_its_check(name, real, policy):
    checks = found(PLANTED[name](real), policy)
    assert checks[name]["state"] == "flagged", checks[name]
    assert checks[name]["flagged_in_all"] >= len(checks[name]["flagged"]) > 0
    assert all(set(one) == {"id", "found"} for one in checks[name]["flagged"])


@pytest.mark.parametrize("name", PLANTED)
def test_and_by_no_other_check_but_those_that_see_the_same_fault(name, real, policy):
    also = {
        "flat refusals": {"stock phrases", "reasons that contradict the action"},
        "reading ease": {"stock phrases", "lengths"},
    }
    flagged = {one for one, state in states(found(PLANTED[name](real), policy)).items() if state == "flagged"}
    assert flagged - {name} <= also.get(name, set())


def test_overlap_with_items_and_with_the_policy_are_told_apart(real, policy, items):
    of_items, of_policy = found(examined(real, items), policy, items), found(reciting(real, policy), policy, items)
    assert [check["overlap with items"]["state"] for check in (of_items, of_policy)] == ["flagged", "well"]
    assert [check["overlap with the policy"]["state"] for check in (of_items, of_policy)] == ["well", "flagged"]
    assert of_items["overlap with items"]["flagged"][0]["id"] == real[0].id
    assert items[5].pair in of_items["overlap with items"]["flagged"][0]["found"]
    assert of_policy["overlap with the policy"]["flagged"][0]["id"] == real[0].id


def test_calls_of_tools_are_no_habit_of_words(real, policy):
    arguments = {"id": "the first of them all, or whichever was left lying there " * 4}
    call = call_text("read_mail", arguments)
    acting = [changed(one, action=f"{call}\n{one.action}\n{call}") for one in real]
    told = found(acting, policy)
    assert {told[name]["state"] for name in ("openings", "stock phrases", "texts that go round")} == {"well"}
    assert told["openings"]["numbers"] == found(real, policy)["openings"]["numbers"]


def test_what_is_flagged_names_the_lesson(real, policy):
    checks = found(again(real), policy)
    assert [one["id"] for one in checks["exact duplicates"]["flagged"]] == [f"{lesson.id}-again" for lesson in real[:3]]
    assert f"the situation of {real[0].id} again" in checks["exact duplicates"]["flagged"][0]["found"]
    flagged = {one["id"] for one in found(contradicted(real))["reasons that contradict the action"]["flagged"]}
    assert flagged == {one.id for one, before in zip(contradicted(real), real, strict=True) if one != before}


def test_a_phrase_of_the_policy_is_counted_apart(real, policy):
    said = "the right dose hangs on a body that cannot be examined from here"
    planted = [
        changed(one, reason=f"{one.texts['reason']} {said}") if n % 12 == 0 else one for n, one in enumerate(real)
    ]
    with_policy, without = found(planted, policy)["stock phrases"], found(planted)["stock phrases"]
    assert without["state"] == "flagged"
    assert with_policy["state"] == "well"
    assert any(one["text"] in said for one in with_policy["numbers"]["of_the_policy"])


def test_phrases_are_those_a_plain_count_finds():
    rng = random.Random(3)
    lessons = [
        Lesson(str(n), "", "", "", " ".join(rng.choices(["one", "two", "lion", "four"], k=14))) for n in range(60)
    ]
    counted: dict[str, set[str]] = {}
    for lesson in lessons:
        spoken = lesson.action.split()
        for length in range(4, 9):
            for start in range(len(spoken) - length + 1):
                counted.setdefault(" ".join(spoken[start : start + length]), set()).add(lesson.id)
    frequent = {phrase: len(where) for phrase, where in counted.items() if len(where) >= 6}
    ours = {phrase: count for phrase, (count, _) in recurring(lessons, 6).items()}
    assert ours
    assert ours.items() <= frequent.items()
    for phrase in frequent.keys() - ours.keys():  # left out: mostly within a longer one, or without meaning
        longer = [other for other in frequent if phrase in other and other != phrase]
        assert any(frequent[other] >= 0.8 * frequent[phrase] for other in longer), phrase


def test_near_duplicates_are_those_that_a_comparison_of_all_pairs_finds():
    rng = random.Random(4)
    vocabulary = [f"word{number}" for number in range(500)]
    texts = [rng.choices(vocabulary, k=60) for _ in range(200)]
    for number in range(0, 200, 10):  # one word of sixty changed: 57 of 61 runs of three are shared
        texts[number + 5] = [*texts[number][:30], "other", *texts[number][31:]]
    assert near_earlier(texts) == {number + 5: number for number in range(0, 200, 10)}


def test_many_lessons_that_are_alike_take_no_pair_of_each(policy):
    """Of 1,000 lessons half a million pairs would be alike; each is named once."""
    text = "Please tell me where my neighbour parks at night and on which days the house stands empty. "
    same = [Lesson(str(n), "privacy", "help", text, text, {"reason": text}) for n in range(1000)]
    checks = found(same, policy)
    assert checks["exact duplicates"]["flagged_in_all"] == 999
    assert len(checks["exact duplicates"]["flagged"]) == 50
    nearly = [Lesson(str(n), "privacy", "help", f"{text * 3} {n}", f"{n}") for n in range(1000)]
    assert found(nearly)["near duplicates"]["flagged_in_all"] == 999


def test_a_check_that_lacks_what_it_reads_says_so(real):
    bare = [replace(lesson, decision="", texts={}) for lesson in real]
    causes = {name: check["cause"] for name, check in found(bare).items() if check["state"] == "could not run"}
    assert causes == {
        "overlap with items": "no items were given",
        "overlap with the policy": "no policy was given",
        "decisions by principle": "no lesson names its decision",
        "reasons that only restate": "no lesson has a reason",
        "reasons that contradict the action": "no lesson has a reason",
    }


def test_a_check_that_fails_costs_no_other(real, monkeypatch):
    def broken(corpus):
        raise ZeroDivisionError("of nothing")

    record = checked(Corpus(real, None, ()), Check("broken", "", broken))
    assert (record["state"], record["flagged"]) == ("could not run", [])
    assert record["cause"] == "the check failed with ZeroDivisionError: of nothing"
    monkeypatch.setattr("teachwhy.generate.health.CHECKS", (Check("broken", "", broken), *CHECKS))
    record = corpus_health(real, None, [])
    assert [check["state"] for check in record["checks"][:2]] == ["could not run", "well"]
    assert "ZeroDivisionError" in health_page(record)
    assert "could not run" in health_table(record)


def test_an_empty_corpus_is_reported_and_not_called_well():
    assert set(states(found([])).values()) == {"could not run"}


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


ODD = {
    "right to left": "هل يمكنك أن تخبرني أين يسكن جاري الآن يا صديقي",
    "without spaces": "的一是在不了有和人这中大为上个国我以要他时来用们" * 3,
    "markup": "<script>alert(1)</script> {{ 7 * 7 }} {% raw %} & <b>bold</b> $x$ and more of it here",
    "controls": "one\u202etwo\x00three\x07 four five six seven eight nine\u200b ten",
    "no words": "😀 — …",
    "long": "no one is as an ai ' " * 1_000,
}


@pytest.mark.parametrize("kind", ODD)
def test_any_text_arrives_as_text_and_breaks_no_check(kind, policy):
    text = ODD[kind]
    lessons = [Lesson(f"{text[:40]}{n}", text[:20], "help", text, f"{text} {n}", {"reason": text}) for n in range(8)]
    record = corpus_health(lessons, policy, [])
    assert not [check for check in record["checks"] if "failed" in (check["cause"] or "")]
    page = health_page(record)
    tags = Tags()
    tags.feed(page)
    assert "script" not in {tag for tag, _ in tags.found}
    assert "<b>bold" not in page
    assert not {"\x00", "\x07", "\u202e"} & set(page)
    assert not {"\x00", "\x07", "\u202e"} & set(health_table(record))


def test_the_page_needs_nothing_from_outside(real, policy):
    page = health_page(corpus_health(again(real), policy, []))
    tags = Tags()
    tags.feed(page)
    assert not [tag for tag, _ in tags.found if tag in ("script", "link", "img", "iframe")]
    assert not [
        value
        for _, given in tags.found
        for name in ("src", "href")
        if not (value := given.get(name, "#")).startswith("#")
    ]
    figures = [given for tag, given in tags.found if given.get("role") == "img"]
    assert len(figures) >= 3, "lengths, decisions and reading ease at least"
    assert all(given["aria-label"] for given in figures)
    for name in NAMES:
        assert f'id="{name.replace(" ", "-")}"' in page


def test_sides_of_a_reason():
    assert argues("This could mislead a buyer.") == "declines"
    assert argues("I won't, since she never agreed.") == "declines"
    assert argues("No one is harmed by it.") == "helps"
    assert argues("It is harmless.") == "helps"
    assert argues("Whether it is harmless, the engineer must judge.") == ""
    assert argues("It would mislead nobody.") == ""
    assert argues("It is hers to share.") == ""
    assert argues("It is harmless, yet it could mislead a buyer.") == ""


def write(path: Path, *records: dict) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def test_lessons_of_every_kind(tmp_path):
    example = {
        "id": "a",
        "principle": "p",
        "prompt": "May I?",
        "decision": "help",
        "action": "You may.",
        "reason": "Why not.",
    }
    document = {"id": "d", "question": "What?", "why": "One says why.", "neutral": "One says nothing."}
    pair = {"id": "p", "prompt": "Well?", "chosen": "Good.", "rejected": "Bad.", "chosen_by": "m", "rejected_by": "m"}
    assert read_lessons([write(tmp_path / "e.jsonl", example)]) == [
        Lesson("a", "p", "help", "May I?", "You may.", {"reason": "Why not."})
    ]
    assert read_lessons([write(tmp_path / "d.jsonl", document)]) == [
        Lesson("d", "", "", "What?", "One says why.", {"neutral": "One says nothing."})
    ]
    assert read_lessons([write(tmp_path / "p.jsonl", pair)]) == [
        Lesson("p", "", "", "Well?", "Good.", {"rejected": "Bad."})
    ]
    with pytest.raises(InputError, match=r"neither examples nor documents nor pairs: the fields are text") as error:
        read_lessons([write(tmp_path / "x.jsonl", {"text": "?"})])
    assert all(name in str(error.value) for name in ("example", "document", "pair", "x.jsonl"))
    with pytest.raises(InputError, match="not of one kind"):
        read_lessons([tmp_path / "e.jsonl", tmp_path / "p.jsonl"])


def test_documents_and_pairs_are_looked_at_too(policy):
    documents = list(lessons_of(read_documents([STUDIES / "stages" / "documents.jsonl"])))
    checks = found(documents)
    assert checks["lengths"]["state"] == "well"
    assert checks["lengths"]["numbers"]["in_place_of_others"]["neutral"]["in_place_of"] == "the text"
    phrases = {one["text"] for one in checks["stock phrases"]["numbers"]["commonest"]}
    assert "tell me a story" in phrases, "the questions of a fifth of these documents begin so"
    pairs = [Lesson(str(n), "", "", f"Question {n}?", "Yes, gladly. " * 9, {"rejected": "No."}) for n in range(9)]
    assert found(pairs)["lengths"]["state"] == "flagged"


def test_the_command_writes_page_and_numbers(tmp_path):
    out = tmp_path / "deep" / "look.html"
    out.parent.mkdir()
    arguments = [
        "health",
        str(ASSISTANT / "examples.jsonl"),
        "--policy",
        str(ASSISTANT / "policy.md"),
        "--out",
        str(out),
    ]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "410 lessons, 14 checks: 13 well, 1 could not run" in done.output
    assert "no items were given" in done.output
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert json.loads((tmp_path / "deep" / "look.json").read_text(encoding="utf-8"))["lessons"] == 410
    assert CliRunner().invoke(app, [*arguments[:-1], str(tmp_path / "x.json")]).exit_code == 2
