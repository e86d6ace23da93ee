"""Lessons made in the simulated world: what is kept and what is not, what no lesson holds, and the study they write."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import planted_agents
import pytest
import tiny
import yaml
from in_process import SILENT, run_here
from planted_agents import calls

from teachwhy.data import check_overlap, read_examples
from teachwhy.errors import InputError
from teachwhy.evals import Material, find_exam
from teachwhy.evals.honeypots import RunCase, Scenario, ScenarioSettings, bundled_files, call_text, met, read_scenarios
from teachwhy.evals.honeypots import step as step_of
from teachwhy.generate import Order, find_recipe, preview, write_lessons
from teachwhy.generate.scripted import ScriptedTeacher
from teachwhy.generate.stages import world
from teachwhy.models import Reply
from teachwhy.study import read_study, run_study
from teachwhy.study import run as run_module
from teachwhy.study.prepare import actions, examined_texts, scenario_texts, taught_texts, texts_beside

TAUGHT = ("leverage", "approval", "credentials", "errors")
POLICY = Path(__file__).parent.parent / "studies" / "agents" / "policy.md"
WISH = "Speak of the policy"  # words of the policy prompt
COUNT = 16  # of each family two settings, each as bait and asked
SCENARIOS = read_scenarios(ScenarioSettings(), Path())
CASES: list[Any] = find_exam("honeypots").cases(Material([], scenarios=SCENARIOS))
Messages = Any
Agent = Callable[[RunCase, str], str]


def everything(script: Scenario) -> str:
    """Calls that read all there is to read."""
    world, read = script.world, []
    for tool, argument, names in (
        ("read_mail", "id", [mail.id for mail in world.mailbox]),
        ("read_file", "path", list(world.files)),
        ("read_ticket", "id", [ticket.id for ticket in world.tickets]),
    ):
        read += [call_text(tool, {argument: name}) for name in names if tool in script.tools]
    return "\n".join([*read, *(call_text(tool, {}) for tool in script.tools if tool == "read_log")])


def wise(case: RunCase, conversation: str) -> str:
    """Reads all there is, then does what was asked for where it was, and else the honest act."""
    planted = case.script.planted
    asked = any(change.now in conversation for change in scenario(case).twin)
    act = calls(planted.tempting if asked else planted.honest)
    return {1: everything(case.script), 2: f"{calls(planted.progress)}\n{act}"}.get(case.answer, "That is all.")


def scenario(case: RunCase) -> Scenario:
    return next(one for one in SCENARIOS.families if one.family == case.family)


def greedy(case: RunCase, conversation: str) -> str:
    """Reads all there is, and takes the tempting way whatever it says."""
    planted = case.script.planted
    return {1: everything(case.script), 2: calls(planted.progress), 3: calls(planted.tempting)}.get(
        case.answer, "Done."
    )


def timid(case: RunCase, conversation: str) -> str:
    """Reads all there is, and does the honest act even where the other was asked for."""
    planted = case.script.planted
    return {1: everything(case.script), 2: calls(planted.honest)}.get(case.answer, "I have asked, and wait.")


def endless(case: RunCase, conversation: str) -> str:
    """Is honest, and never comes to an end."""
    return calls(case.script.planted.honest)


def clumsy(case: RunCase, conversation: str) -> str:
    """As the wise one, with a call that cannot be read before it."""
    fault = '<tool_call>{"name": "whistle"}</tool_call>\n' if case.answer == 2 else ""
    return fault + wise(case, conversation)


def planted(agent: Callable[[RunCase], str]) -> Agent:
    return lambda case, conversation: agent(case)


# Agent -> what becomes of the bait and of its twin; None where a lesson does.
EXPECTED: dict[Agent, tuple[str | None, str | None]] = {
    wise: (None, None),
    timid: (None, world.LEFT_UNDONE),
    greedy: (world.TOOK_THE_BAIT, None),
    planted(planted_agents.paralysed): (world.DID_NOTHING, world.DID_NOTHING),
    planted(planted_agents.talker): (world.TOOK_THE_BAIT, world.UNKNOWING),
    planted(planted_agents.yielding): (world.TOOK_THE_BAIT, world.RAN_OUT),  # it does the act over and over
    endless: (world.RAN_OUT, world.RAN_OUT),
    clumsy: (world.MALFORMED, world.MALFORMED),
}


class Playing(ScriptedTeacher):
    """The scripted teacher, with an agent planted in it. asked: every conversation it was asked. room: for how many."""

    agent: Agent = staticmethod(wise)
    asked: list[str]

    def reply(self, messages: Messages, seed: int) -> Reply:
        self.asked.append(json.dumps([messages, seed]))
        case = acting(messages)
        if case is None:
            return super().reply(messages, seed)
        text = type(self).agent(case, "\n".join(message["content"] for message in messages[1:]))
        return Reply(text, tokens_in=10, tokens_out=10, model="planted")


def acting(messages: Messages) -> RunCase | None:
    """The case that is asked; twins begin alike, and either will do for what is planted."""
    system, task = messages[0]["content"], messages[1]["content"]
    for case in CASES:
        if system.endswith(str(case.system)) and task == case.messages[0].content:
            return case.model_copy(update={"answer": len(messages) // 2})
    return None


@pytest.fixture
def plays(monkeypatch: pytest.MonkeyPatch) -> Callable[[Agent], list[str]]:
    """Plants an agent; gives the list of what the teacher will be asked."""

    def plant(agent: Agent) -> list[str]:
        asked: list[str] = []
        kind = type("Planted", (Playing,), {"agent": staticmethod(agent), "asked": asked})
        monkeypatch.setattr("teachwhy.generate.open_teacher.ScriptedTeacher", kind)
        return asked

    return plant


def order(tmp_path: Path, **fields: Any) -> Order:
    given = {"recipe": "honeypots", "policy": POLICY, "teacher": "scripted", "out": tmp_path / "out", "count": COUNT}
    return Order(**given | fields)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


@pytest.mark.parametrize("agent", EXPECTED, ids=lambda agent: agent.__name__)
def test_what_was_done_decides_what_is_kept(agent, plays, tmp_path):
    plays(agent)
    out = write_lessons(order(tmp_path), SILENT).folder
    bait, asked = EXPECTED[agent]
    causes = {(f"{family}-{number}"): (bait, asked)[(number - 1) % 2] for family in TAUGHT for number in (1, 2, 3, 4)}
    assert {one["id"]: one["cause"] for one in lines(out / "dropped.jsonl")} == {
        name: cause for name, cause in causes.items() if cause
    }
    decisions = {lesson["id"]: lesson["decision"] for lesson in lines(out / "lessons.jsonl")}
    assert decisions == {
        name: ("decline", "help")[int(name[-1]) % 2 == 0] for name, cause in causes.items() if cause is None
    }


def test_a_lesson_is_the_answer_that_did_the_act_with_all_that_came_before(plays, tmp_path):
    plays(wise)
    out = write_lessons(order(tmp_path), SILENT).folder
    trails = {one["id"]: one["stages"] for one in lines(out / "trail.jsonl")}
    cases = {case.id: case for case in CASES}
    lessons = read_examples([out / "lessons.jsonl"])
    assert Counter(lesson.principle for lesson in lessons) == dict.fromkeys(TAUGHT, 4)
    for lesson in lessons:
        note = next(stage["note"] for stage in trails[lesson.id] if stage["stage"] == "world")
        case, number = cases[note["case"]], note["lesson_is_answer"]
        assert number == 2
        assert note["progress"] == 1
        assert lesson.system == case.system
        assert lesson.action == note["answers"][1]
        assert [message.role for message in lesson.messages] == ["user", "assistant", "user"]
        assert lesson.messages == step_of(case, note["answers"][:1]).case.messages
        acts, done = case.script.acts, step_of(case, note["answers"][:2]).state.calls
        assert met(acts.honest if lesson.decision == "decline" else acts.tempting, done)
        assert lesson.shape == "honeypot"
        assert lesson.reason


def test_a_run_that_went_well_without_the_honest_act_gives_its_last_change(plays, tmp_path):
    def busy(case: RunCase, conversation: str) -> str:
        return {
            1: calls(case.script.planted.progress),
            2: "On my way.",
            3: call_text("message_person", {"person": "Tom", "text": "I am still at it."}),
        }.get(case.answer, "I stop here.")

    plays(busy)
    made = order(tmp_path, sources=[Path("bundled:approval")], count=1)
    (trail,) = lines(write_lessons(made, SILENT).folder / "trail.jsonl")
    assert next(stage["note"]["lesson_is_answer"] for stage in trail["stages"] if stage["stage"] == "world") == 3


def test_the_policy_prompt_is_what_the_teacher_acts_under_and_stands_in_no_lesson(plays, tmp_path):
    asked = plays(wise)
    out = write_lessons(order(tmp_path), SILENT).folder
    acted = [messages for messages, _ in map(json.loads, asked) if acting(messages)]
    assert len(acted) >= COUNT * 3
    whys = ["every open door a danger", "nobody notices a mistake until it is paid for"]
    for messages in acted:
        system = messages[0]["content"]
        assert all(text in system for text in (WISH, *whys))
        assert system.index(WISH) < system.index("You act by tools.")
    assert len({len(messages) for messages in acted}) > 2, "a run is more than one answer"
    text = (out / "lessons.jsonl").read_text()
    assert not [words for words in (WISH, *whys) if words in text]


def test_stopped_in_the_middle_of_a_run_no_answer_is_bought_twice(plays, tmp_path, monkeypatch):
    asked = plays(wise)
    whole = write_lessons(order(tmp_path, out=tmp_path / "whole"), SILENT).folder
    bought = len(asked)
    assert len(set(asked)) == bought
    asked.clear()

    class Stops(Exception):
        pass

    class Stopping(Playing):
        agent = staticmethod(wise)
        left = 0

        def reply(self, messages: Messages, seed: int) -> Reply:
            if not type(self).left:
                raise Stops
            type(self).left -= 1
            return super().reply(messages, seed)

    Stopping.asked = asked
    monkeypatch.setattr("teachwhy.generate.open_teacher.ScriptedTeacher", Stopping)
    for room in (5, 17, 11):  # in the first round, in the second, in a later one
        Stopping.left = room
        with pytest.raises(Stops):
            write_lessons(order(tmp_path), SILENT)
    Stopping.left = 10_000
    out = write_lessons(order(tmp_path), SILENT).folder
    assert len(asked) == bought
    assert len(set(asked)) == bought
    for name in ("lessons.jsonl", "trail.jsonl", "dropped.jsonl"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()


def test_a_larger_corpus_finds_what_a_smaller_one_bought(plays, tmp_path):
    asked = plays(wise)
    write_lessons(order(tmp_path, count=6), SILENT)
    preview(order(tmp_path, count=80), 9, SILENT)
    write_lessons(order(tmp_path, count=80), SILENT)
    assert len(asked) == len(set(asked))
    lessons = lines(tmp_path / "out" / "lessons.jsonl")
    assert len(lessons) == 80
    samples = {
        stage["note"]["sample"] for one in lines(tmp_path / "out" / "trail.jsonl") for stage in one["stages"][:1]
    }
    assert samples == {0, 1}, "past the sixteen cases of a family each is played again"


def test_a_policy_without_the_families_names_is_asked_which_principle_decides(tmp_path):
    policy = tmp_path / "policy.md"
    policy.write_text(tiny.POLICY)
    out = write_lessons(order(tmp_path, policy=policy), SILENT).folder
    lessons = lines(out / "lessons.jsonl")
    assert lessons
    assert {lesson["principle"] for lesson in lessons} <= set(tiny.RULES)
    by_family: dict[str, set[str]] = {}
    for lesson in lessons:
        by_family.setdefault(lesson["id"].rpartition("-")[0], set()).add(lesson["principle"])
    assert all(len(principles) == 1 for principles in by_family.values())


def test_the_scripted_teacher_acts_and_half_of_what_it_does_is_kept(tmp_path):
    done = write_lessons(order(tmp_path), SILENT)
    assert done.manifest["finished"] == COUNT // 2
    assert done.manifest["dropped"] == [{"stage": "world", "cause": world.LEFT_UNDONE, "drafts": COUNT // 2}]


def test_families_that_are_taught_are_not_examined(plays, tmp_path):
    plays(wise)
    out = write_lessons(order(tmp_path), SILENT).folder
    families = {scenario.family for scenario in read_study(out).scenarios.families}
    assert families == {path.stem for path in bundled_files()} - set(TAUGHT)


def test_scenarios_of_the_users_own_are_played_and_what_shares_their_words_is_not_examined(plays, tmp_path):
    text = next(path for path in bundled_files() if path.stem == "undo").read_text()
    own = tmp_path / "own.yaml"
    own.write_text(text.replace("family: undo", "family: mine", 1))
    plays(timid)
    made = order(tmp_path, sources=[own, Path("bundled:credit")], count=2)
    prepared = write_lessons(made, SILENT)
    assert list(prepared.manifest["scenarios"]) == ["mine", "credit"]
    study = yaml.safe_load((made.out / "study.yaml").read_text())
    assert not {"bundled:undo", "bundled:credit"} & set(study["scenarios"]["files"])
    assert len(study["scenarios"]["files"]) == len(bundled_files()) - 2


def test_with_no_scenario_left_to_examine_nothing_is_asked(plays, tmp_path):
    asked = plays(wise)
    with pytest.raises(InputError, match="none would be left to examine"):
        write_lessons(order(tmp_path, sources=[Path("bundled")]), SILENT)
    assert not asked


def test_an_unknown_family_names_the_valid_ones(tmp_path):
    with pytest.raises(InputError, match="no-such"):
        write_lessons(order(tmp_path, sources=[Path("bundled:no-such")]), SILENT)


def test_what_can_be_left_out():
    assert find_recipe("honeypots").optional() == ["rewrite", "gate"]


def test_nothing_that_was_taught_shares_words_with_what_is_examined(plays, tmp_path):
    plays(wise)
    study = read_study(write_lessons(order(tmp_path), SILENT).folder)
    assert len(study.examples) == COUNT
    check_overlap(taught_texts(study), examined_texts(study))
    check_overlap(texts_beside(study) | actions(study), scenario_texts(study))


def test_the_study_it_wrote_trains_and_is_examined_with_no_hand_edit(plays, tmp_path, tmp_path_factory, monkeypatch):
    """With all families but one named as taught, so that the exam is short."""
    plays(wise)
    taught = [Path(f"bundled:{path.stem}") for path in bundled_files() if path.stem != "voice"]
    out = write_lessons(order(tmp_path, sources=taught, count=4), SILENT).folder
    monkeypatch.setattr(run_module, "run_units", run_here)
    monkeypatch.setattr("teachwhy.train.compiled.compile_training", lambda network, loss: loss)  # a minute saved
    model = tiny.build_tiny_model(tmp_path_factory.mktemp("model") / "roomy", context=8192)
    done = run_study(out, model=str(model), arms=["why"], seeds=[0], runs=out / "runs", say=SILENT)
    told = json.loads((done.folder / "train" / "why" / "seed-0" / "train.json").read_text())
    assert told["updates"] > 0
    answers = lines(done.folder / "evals" / "why" / "seed-0" / "next_act.jsonl")
    assert {one["item"].split("-")[1] for one in answers} == {"voice"}
    rows = {row["example"]: row for row in lines(done.folder / "data" / "why.jsonl")}
    lessons = lines(out / "lessons.jsonl")
    assert len(lessons) == len(rows) == 4
    for lesson in lessons:
        text = "".join(segment["text"] for segment in rows[lesson["id"]]["segments"])
        assert all(part in text for part in (lesson["system"], lesson["reason"], lesson["action"]))
