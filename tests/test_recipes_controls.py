"""The recipes for controls, documents and pairs: what they make, what may be left out, and the study they write."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
from in_process import SILENT, run_here
from recipe_orders import COUNT, items, lines, orders_in, written

from teachwhy.data import read_documents, read_examples, read_pairs
from teachwhy.errors import InputError
from teachwhy.generate import Order, find_recipe, write_lessons
from teachwhy.generate.scripted import ScriptedTeacher
from teachwhy.generate.study_of import OF_REASONS
from teachwhy.models import Reply
from teachwhy.study import read_study, run_study
from teachwhy.study import run as run_module
from teachwhy.text import words

CONTROLS, DOCUMENTS, PAIRS = NAMES = ("controls", "documents", "pairs")
BESIDE = ("neutral", "mention", "paraphrase", "unrelated", "deliberation")
VERSIONS = ("why", "mention", "neutral")
READ: dict[str, Callable[..., Any]] = {CONTROLS: read_examples, DOCUMENTS: read_documents, PAIRS: read_pairs}
LEFT_OUT = [(name, stage) for name in NAMES for stage in find_recipe(name).optional()]


def given() -> list[dict[str, Any]]:
    """Thirty examples with a reason, and nothing else beside their action."""
    return [
        {
            "id": f"{row['id']}-{number}",
            "principle": row["principle"],
            "prompt": f"{row['prompt']} It is day {number}, and somebody wants to know what to do about it.",
            "decision": row["decision"],
            "action": row["action"],
            "reason": f"Whoever sleeps here on day {number} would lose what the {row['principle']} keeps safe, and "
            "knows nothing of it before the morning comes.",
        }
        for number in range(5)
        for row in tiny.tiny_examples()
    ]


@pytest.fixture
def order(tmp_path: Path) -> Callable[..., Order]:
    return orders_in(tmp_path, given())


def taught_by(monkeypatch: pytest.MonkeyPatch, change: Callable[[list[dict[str, str]], Reply], Reply]) -> list[Any]:
    """Let a changed scripted teacher answer; all that it is asked comes into the list, in order."""
    asked: list[Any] = []

    class Changed(ScriptedTeacher):
        def reply(self, messages: Any, seed: int) -> Reply:
            asked.append(messages)
            return change(list(messages), super().reply(messages, seed))

    monkeypatch.setattr("teachwhy.generate.open_teacher.ScriptedTeacher", Changed)
    return asked


@pytest.mark.parametrize("name", NAMES)
def test_as_many_lessons_as_were_wanted_that_a_study_can_read(order: Callable[..., Order], name: str) -> None:
    lessons = written(order(name))
    assert len(lessons) == COUNT
    assert len(READ[name]([order(name).out / "lessons.jsonl"])) == COUNT
    assert lines(order(name).out / "dropped.jsonl") == []
    assert set(Counter(lesson["principle"] for lesson in lessons).values()) == {10}


def test_controls_stand_beside_what_stays_as_it_was_and_are_as_long_as_the_reason(order: Callable[..., Order]) -> None:
    lessons = written(order(CONTROLS))
    for before, after in zip(given(), lessons, strict=True):
        assert set(after) == {*before, *BESIDE} - {"prompt"} | {"messages"}
        kept = set(before) - {"prompt"}
        assert {field: after[field] for field in kept} == {field: before[field] for field in kept}
        for name in BESIDE:
            assert abs(len(words(after[name])) - len(words(after["reason"]))) <= 4
    assert len({lesson[name] for lesson in lessons for name in BESIDE}) == COUNT * len(BESIDE)


def test_an_unrelated_reason_is_of_another_principle_the_same_one_each_time(
    order: Callable[..., Order], tmp_path: Path
) -> None:
    drawn = []
    for out in (tmp_path / "first", tmp_path / "second"):
        made = order(CONTROLS, out=out)
        principles = {lesson["id"]: lesson["principle"] for lesson in written(made)}
        others = {
            one["id"]: change["fields"]["other_principle"]
            for one in lines(out / "trail.jsonl")
            for change in one["stages"]
            if change["stage"] == "other_principle"
        }
        assert all(others[id] != principle for id, principle in principles.items())
        assert len({(principles[id], other) for id, other in others.items()}) == 6, "every other one is drawn"
        drawn.append(others)
    assert drawn[0] == drawn[1]


def test_a_policy_of_one_principle_has_no_other(order: Callable[..., Order]) -> None:
    made = order(CONTROLS)
    made.policy.write_text(
        "## door: The door\nRule: Lock the door at night.\nWhy: People asleep cannot watch over it.\n"
    )
    tiny.write_jsonl(made.sources[0], [row for row in given() if row["principle"] == "door"])
    with pytest.raises(InputError, match="needs a second principle") as caught:
        write_lessons(made, SILENT)
    assert "--without" in str(caught.value)
    unrelated = ["other_principle", *(name for name in stage_names(CONTROLS) if name.startswith("unrelated"))]
    assert len(written(order(CONTROLS, without=unrelated))) == 10


def stage_names(recipe: str) -> list[str]:
    return [stage.name for stage in find_recipe(recipe).stages]


def test_a_judge_is_not_told_by_a_tag_which_control_it_reads(
    order: Callable[..., Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = taught_by(monkeypatch, lambda messages, reply: reply)
    lessons = written(order(CONTROLS, count=1))
    judged = [messages[-1]["content"] for messages in asked if '"because"' in messages[-1]["content"]]
    assert len(judged) == 1 + len(BESIDE)
    for prompt, name in zip(judged, ("reason", *BESIDE), strict=True):
        assert f"<text>{lessons[0][name]}</text>" in prompt
        assert f"<{name}>" not in prompt


@pytest.mark.parametrize(
    ("gate", "fails"), [("neutral_gate", "justifies"), ("mention_gate", "names_fact"), ("unrelated_gate", "first")]
)
def test_a_control_that_is_none_is_dropped_with_its_lesson(
    order: Callable[..., Order], monkeypatch: pytest.MonkeyPatch, gate: str, fails: str
) -> None:
    questions = find_recipe(CONTROLS).stage(gate).asked_about()  # type: ignore[attr-defined]

    def against(messages: list[dict[str, str]], reply: Reply) -> Reply:
        if questions in messages[-1]["content"] and "It is day 3" in messages[-1]["content"]:
            told = json.loads(reply.text)
            return Reply(json.dumps(told | {fails: not told[fails]}))
        return reply

    taught_by(monkeypatch, against)
    lessons = written(order(CONTROLS))
    dropped = lines(order(CONTROLS).out / "dropped.jsonl")
    assert {(one["stage"], one["cause"]) for one in dropped} == {(gate, f"failed {fails}")}
    assert {one["id"] for one in dropped} == {row["id"] for row in given() if row["id"].endswith("-3")}
    assert len(lessons) == COUNT - 6


def test_documents_are_of_many_kinds_and_their_versions_of_one_length(order: Callable[..., Order]) -> None:
    lessons = written(order(DOCUMENTS))
    for lesson in lessons:
        assert set(lesson) == {"id", "principle", "kind", "question", *VERSIONS}
        lengths = [len(words(lesson[version])) for version in VERSIONS]
        assert 110 <= lengths[0] <= 170
        assert all(abs(length - lengths[0]) <= 0.1 * lengths[0] + 1 for length in lengths)
    trails = lines(order(DOCUMENTS).out / "trail.jsonl")
    kinds = [trail["stages"][0]["fields"]["kind"] for trail in trails]
    assert len(set(kinds)) > 10, "ten are wanted of a principle, and each takes others of the sixteen"
    assert any("story" in kind for kind in kinds)


def test_a_larger_corpus_of_documents_finds_what_a_smaller_one_bought(
    order: Callable[..., Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = taught_by(monkeypatch, lambda messages, reply: reply)
    few = written(order(DOCUMENTS, count=6))
    more = written(order(DOCUMENTS, count=12))
    in_two_steps = len(asked)
    assert written(order(DOCUMENTS, count=12, out=order(DOCUMENTS).out.parent / "at once")) == more
    assert {lesson["id"] for lesson in few} <= {lesson["id"] for lesson in more}
    assert [lesson for lesson in more if lesson["id"] in {one["id"] for one in few}] == few
    assert len(asked) == 2 * in_two_steps


def sides_of(messages: list[dict[str, str]]) -> str:
    """Which side of a pair is asked for; nothing where it is something else."""
    system = messages[0]["content"]
    if not system.startswith("You are a helpful assistant."):
        return ""
    return "held" if "People asleep cannot watch over what they own." in system else "free"


def marked(better: Callable[[str, str], str]) -> Callable[[list[dict[str, str]], Reply], Reply]:
    """A teacher whose sides open with their name, and whose judge prefers by that. better: first, second -> which."""

    def change(messages: list[dict[str, str]], reply: Reply) -> Reply:
        if side := sides_of(messages):
            return Reply(f"{side} {reply.text}".rsplit(" ", 1)[0])
        asked = messages[-1]["content"]
        if "<first>" in asked:
            sides = [asked.split(f"<{name}>")[1].split()[0] for name in ("first", "second")]
            return Reply(json.dumps(json.loads(reply.text) | {"better": better(*sides)}))
        return reply

    return change


def test_the_better_side_is_chosen_wherever_it_was_shown(
    order: Callable[..., Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = taught_by(monkeypatch, marked(lambda first, second: "first" if first == "held" else "second"))
    pairs = written(order(PAIRS))
    assert len(pairs) == COUNT
    for pair in pairs:
        assert set(pair) == {"id", "principle", "domain", "prompt", "chosen", "rejected", "chosen_by", "rejected_by"}
        assert pair["chosen"].startswith("held ")
        assert pair["rejected"].startswith("free ")
        assert pair["chosen_by"] == pair["rejected_by"] == "scripted"
        assert "policy" not in json.dumps(pair)
        lengths = [len(words(pair[side])) for side in ("chosen", "rejected")]
        assert 40 <= lengths[0] <= 110
        assert abs(lengths[1] - lengths[0]) <= 0.15 * lengths[0] + 1
    notes = [trail["stages"][-1]["note"] for trail in lines(order(PAIRS).out / "trail.jsonl")]
    assert {note["preferred"] for note in notes} == {"held"}
    assert 5 <= Counter(note["shown_as"] for note in notes)["first"] <= 25
    for note, pair in zip(notes, pairs, strict=True):
        assert note["words"] == {side: len(words(pair[side])) for side in ("chosen", "rejected")}
    answered = [messages for messages in asked if sides_of(messages)]
    assert all([one["role"] for one in messages] == ["system", "user"] for messages in answered)
    assert {messages[1]["content"] for messages in answered} == {pair["prompt"] for pair in pairs}


def test_a_judge_who_always_takes_the_first_prefers_neither_side(
    order: Callable[..., Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    taught_by(monkeypatch, marked(lambda first, second: "first"))
    preferred = Counter(pair["chosen"].split()[0] for pair in written(order(PAIRS)))
    assert set(preferred) == {"held", "free"}
    assert 5 <= preferred["held"] <= 25


def test_a_side_that_is_cut_or_too_short_makes_no_pair(
    order: Callable[..., Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(messages: list[dict[str, str]], reply: Reply) -> Reply:
        side = sides_of(messages)
        return Reply(reply.text, cut=True) if side == "free" else Reply("No.") if side == "held" else reply

    taught_by(monkeypatch, change)
    done = write_lessons(order(PAIRS, count=3), SILENT)
    assert done.manifest["finished"] == 0
    assert {(one["stage"], one["cause"]) for one in done.manifest["dropped"]} == {("sides", "does not serve")}
    taught_by(monkeypatch, lambda messages, reply: Reply(reply.text, cut=sides_of(messages) == "free"))
    done = write_lessons(order(PAIRS, count=3, out=order(PAIRS).out.parent / "cut"), SILENT)
    assert {(one["stage"], one["cause"]) for one in done.manifest["dropped"]} == {("sides", "cut off")}


@pytest.mark.parametrize("fails", ["clearly", "fluent"])
def test_a_pair_that_is_close_or_not_fluent_is_dropped(
    order: Callable[..., Order], monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    def change(messages: list[dict[str, str]], reply: Reply) -> Reply:
        if "<first>" in messages[-1]["content"]:
            return Reply(json.dumps(json.loads(reply.text) | {fails: False}))
        return reply

    taught_by(monkeypatch, change)
    done = write_lessons(order(PAIRS, count=3), SILENT)
    assert done.manifest["dropped"] == [{"stage": "better", "cause": f"not {fails}", "drafts": 3}]


def test_pairs_are_made_of_conversations_that_somebody_has(
    order: Callable[..., Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = taught_by(monkeypatch, lambda messages, reply: reply)
    made = order(PAIRS)
    stages = {stage.name: stage.model_dump(mode="json") for stage in find_recipe(PAIRS).stages}
    own = {"name": "own", "about": "From examples.", "starts": "examples", "output": "pairs"}
    recipe = made.policy.parent / "own.yaml"
    recipe.write_text(json.dumps(own | {"reads": ["principle"], "stages": [stages["sides"], stages["better"]]}))
    turns = [
        {"role": "system", "content": "You keep the house."},
        {"role": "user", "content": "Hello."},
        {"role": "assistant", "content": "Good day."},
        {"role": "user", "content": "The door lacks both."},
    ]
    source = made.policy.parent / "turns.jsonl"
    tiny.write_jsonl(source, [{"id": "one", "principle": "door", "messages": turns, "action": "Lock it."}])
    [pair] = written(replace(made, recipe=str(recipe), count=None, sources=[source]))
    assert [pair["system"], pair["messages"]] == [turns[0]["content"], turns[1:]]
    for messages in [one for one in asked if "You are a helpful assistant" in one[0]["content"]]:
        assert messages[0]["content"].startswith("You keep the house.\n\nYou are a helpful assistant")
        assert list(messages[1:]) == turns[1:]


@pytest.mark.parametrize(("name", "stage"), LEFT_OUT)
def test_every_stage_that_can_be_left_out_may_be(order: Callable[..., Order], name: str, stage: str) -> None:
    lessons = written(order(name, without=[stage], count=6))
    assert len(lessons) == 6
    trails = lines(order(name).out / "trail.jsonl")
    assert not any(change["stage"] == stage for one in trails for change in one["stages"])


def test_what_mends_and_what_judges_can_be_left_out() -> None:
    optional = {name: set(find_recipe(name).optional()) for name in NAMES}
    gates = {f"{name}_{what}" for name in BESIDE for what in ("again", "gate")}
    assert optional[CONTROLS] == {"reason_gate", *gates}
    again = {f"{name}_{what}" for name in ("mention", "neutral") for what in ("again", "gate")}
    assert optional[DOCUMENTS] == {"subkinds", "question", "why_again", "score", *again}
    assert optional[PAIRS] == {"message_again"}


@pytest.mark.parametrize(
    ("name", "arms", "rows"),
    [
        (CONTROLS, ["why", "unrelated", "deliberation"], "examples"),
        (DOCUMENTS, ["read_why", "chat_neutral"], "documents"),
        (PAIRS, ["preferred"], "pairs"),
    ],
)
def test_the_study_it_wrote_trains_and_is_examined(
    order: Callable[..., Order],
    name: str,
    arms: list[str],
    rows: str,
    roomy_model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = order(name, count=6)
    lessons = written(made)
    monkeypatch.setattr(run_module, "run_units", run_here)
    # As on a machine without a compiler: to compile takes minutes, and to train this model a second.
    monkeypatch.setattr("teachwhy.train.compiled.compiler_found", lambda: False)
    done = run_study(
        made.out, model=str(roomy_model), arms=["base", *arms], seeds=[0], runs=made.out / "runs", say=SILENT
    )
    for arm in arms:
        told = json.loads((done.folder / "train" / arm / "seed-0" / "train.json").read_text())
        assert told["updates"] > 0
        answers = lines(done.folder / "evals" / arm / "seed-0" / "edge_cases.jsonl")
        assert {one["item"] for one in answers} == {item["id"] for item in items()}
    assert (done.folder / "report.html").exists()
    assert len(lessons) == 6


def test_in_its_study_a_reason_that_names_the_fact_stands_alone(order: Callable[..., Order]) -> None:
    made = order(CONTROLS)
    write_lessons(made, SILENT)
    settings = read_study(made.out).settings
    assert settings.format.reason_names_fact
    assert [arm.name for arm in settings.arms] == [
        "base",
        "what",
        "why",
        "mention",
        "neutral",
        "paraphrase",
        *BESIDE[3:],
        *OF_REASONS,
    ]
    near = ["what", "mention", "neutral"]
    assert [(one.arm, one.versus) for one in settings.contrasts] == [("why", name) for name in near]
    others = {*BESIDE, *OF_REASONS} - {*near}
    assert {(one.arm, one.versus) for one in settings.exploratory} == {("why", name) for name in others}


def test_documents_are_read_and_taught_as_chat_each_version_an_arm(order: Callable[..., Order]) -> None:
    made = order(DOCUMENTS)
    write_lessons(made, SILENT)
    settings = read_study(made.out).settings
    read, chat = ([f"{form}_{version}" for version in VERSIONS] for form in ("read", "chat"))
    assert [arm.name for arm in settings.arms] == ["base", *read, *chat]
    assert [(one.arm, one.versus) for one in settings.contrasts] == [("read_why", "read_neutral")]
    assert settings.quick.arms == ["read_neutral", "read_why"]
    write_lessons(order(DOCUMENTS, without=["question"]), SILENT)
    assert [arm.name for arm in read_study(made.out).settings.arms] == ["base", *read]
