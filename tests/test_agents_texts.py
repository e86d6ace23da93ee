"""The lessons of the study `agents` hold what its data card claims."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from statistics import mean

import pytest
import yaml

from teachwhy.data import Example, read_examples
from teachwhy.data.checks import overlaps
from teachwhy.evals.honeypots import bundled_files, read_scenario
from teachwhy.models import find_model, load_chat
from teachwhy.policy import check_policy, read_policy
from teachwhy.study import read_study
from teachwhy.study.prepare import conversation
from teachwhy.text import words

FOLDER = Path(__file__).parents[1] / "studies" / "agents"
NEAR = ("leverage", "approval", "credentials", "errors")
SHAPES = ("honeypot", "advice")
BESIDE = ("reason", "mention", "neutral")
FAMILIES = [read_scenario(path) for path in bundled_files()]


@pytest.fixture(scope="module")
def lessons() -> list[Example]:
    return read_examples([FOLDER / "examples.jsonl"])


@pytest.fixture(scope="module")
def settings() -> dict[str, object]:
    return yaml.safe_load((FOLDER / "study.yaml").read_text(encoding="utf-8"))


def prompt(lesson: Example) -> str:
    [message] = lesson.messages
    return message.content


def pair_of(lesson: Example) -> str:
    return lesson.id[:-1]


def texts(lesson: Example) -> str:
    """Everything of a lesson that a model may be taught."""
    beside = (lesson.action, lesson.reason, lesson.mention, lesson.neutral, lesson.paraphrase)
    return "\n".join([prompt(lesson), *map(str, beside)])


def test_the_policy_is_whole_and_four_of_its_principles_are_taught(
    lessons: list[Example], settings: dict[str, object]
) -> None:
    principles = read_policy(FOLDER / "policy.md").ids
    assert not check_policy(FOLDER / "policy.md")
    assert len(principles) == 14
    assert {lesson.principle for lesson in lessons} == set(NEAR) == set(settings["scenarios"]["near"])  # type: ignore[index]
    assert {scenario.family for scenario in FAMILIES} <= set(principles)


def test_there_are_sixteen_lessons_a_principle_and_shape_half_of_them_to_help(lessons: list[Example]) -> None:
    cells = Counter((lesson.shape, lesson.principle, lesson.decision) for lesson in lessons)
    assert cells == {
        (shape, principle, decision): 8 for shape in SHAPES for principle in NEAR for decision in ("decline", "help")
    }


def test_shapes_and_principles_are_mixed_in_their_order(lessons: list[Example]) -> None:
    for start in range(0, len(lessons), 32):
        part = lessons[start : start + 32]
        assert {lesson.shape for lesson in part} == set(SHAPES)
        assert {lesson.principle for lesson in part} == set(NEAR)


def test_twins_differ_in_a_sentence_and_share_what_stands_around_them(lessons: list[Example]) -> None:
    pairs = defaultdict(list)
    for lesson in lessons:
        pairs[pair_of(lesson)].append(lesson)
    for name, twins in pairs.items():
        assert {lesson.decision for lesson in twins} == {"decline", "help"}, name
        one, other = twins
        for field in ("system", "varied_system", "shape", "principle", "domain"):
            assert getattr(one, field) == getattr(other, field), (name, field)
        own, others = (Counter(words(prompt(lesson))) for lesson in twins)
        shared = (own & others).total()
        assert shared >= 0.65 * max(own.total(), others.total()), (name, shared)
        assert prompt(one) != prompt(other), name
        assert one.action != other.action, name


@pytest.mark.parametrize("shape", SHAPES)
def test_the_length_of_a_prompt_does_not_tell_its_label(lessons: list[Example], shape: str) -> None:
    """Of a prompt to help and one to decline, either is the longer one about equally often."""
    lengths: dict[str, list[int]] = {"help": [], "decline": []}
    for lesson in lessons:
        if lesson.shape == shape:
            lengths[str(lesson.decision)].append(len(words(prompt(lesson))))
    longer = [(one > other) + 0.5 * (one == other) for one in lengths["help"] for other in lengths["decline"]]
    assert abs(mean(longer) - 0.5) <= 0.06


def test_what_may_stand_beside_an_action_is_of_one_length(lessons: list[Example]) -> None:
    for lesson in lessons:
        lengths = [len(words(str(getattr(lesson, field)))) for field in BESIDE]
        assert min(lengths) >= 28, (lesson.id, lengths)
        assert max(lengths) - min(lengths) <= 6, (lesson.id, lengths)


def test_every_lesson_has_surroundings_of_its_own_pair(lessons: list[Example]) -> None:
    for field, least in (("system", 6), ("varied_system", 55)):
        own = defaultdict(set)
        for lesson in lessons:
            text = str(getattr(lesson, field))
            assert len(words(text)) >= least, (lesson.id, field)
            own[text].add(pair_of(lesson))
        assert all(len(pairs) == 1 for pairs in own.values()), field


def test_no_lesson_shares_a_run_of_words_with_the_policy_or_with_another_pair(lessons: list[Example]) -> None:
    policy = {
        principle.id: f"{principle.rule} {principle.why} {principle.boundaries}"
        for principle in read_policy(FOLDER / "policy.md").principles
    }
    told = {lesson.id: "\n".join([texts(lesson), str(lesson.system), str(lesson.varied_system)]) for lesson in lessons}
    assert overlaps(policy, told) == []
    pairs = {lesson.id: pair_of(lesson) for lesson in lessons}
    assert [hit for hit in overlaps(told, told) if pairs[hit.taught] != pairs[hit.examined]] == []


def test_no_lesson_shares_a_run_of_words_with_a_scenario(lessons: list[Example]) -> None:
    told = {lesson.id: "\n".join([texts(lesson), str(lesson.system), str(lesson.varied_system)]) for lesson in lessons}
    assert overlaps(told, {scenario.family: "\n".join(scenario.texts()) for scenario in FAMILIES}) == []


@pytest.mark.skipif(len(FAMILIES) < 14, reason="not all scenario families are there yet")
def test_the_study_is_read_and_its_far_families_have_no_lesson(lessons: list[Example]) -> None:
    study = read_study(FOLDER)
    assert study.scenarios
    far = {scenario.family for scenario in study.scenarios.families} - set(study.scenarios.near)
    assert len(far) == 10
    assert not far & {lesson.principle for lesson in lessons}
    assert set(read_policy(FOLDER / "policy.md").ids) == far | set(NEAR)


def test_arms_are_shapes_times_texts_times_surroundings(settings: dict[str, object]) -> None:
    arms = [arm for arm in settings["arms"] if isinstance(arm, dict)]  # type: ignore[attr-defined]
    assert "base" in settings["arms"]  # type: ignore[operator]
    found = {(arm["shape"], arm["arm"], arm.get("surroundings", "plain")) for arm in arms}
    plain = {(shape, arm, "plain") for shape in SHAPES for arm in ("what", "why", "mention", "neutral")}
    assert found == plain | {(shape, arm, "varied") for shape in SHAPES for arm in ("what", "why")}
    assert len(arms) == len(found)
    for arm in arms:
        assert arm["name"] == f"{arm['shape']}_{arm['arm']}" + ("_varied" if arm.get("surroundings") else "")


def apart(found: dict[str, float]) -> float:
    return abs(found["advice"] / found["honeypot"] - 1)


@pytest.mark.parametrize("field", ["prompt", "varied_system", "action", "reason", "mention", "neutral"])
def test_the_two_shapes_are_of_one_length_in_words(lessons: list[Example], field: str) -> None:
    """Each field for itself within a tenth; what counts, tokens of whole rows, within a twentieth (the test below)."""
    found = {
        shape: mean(
            len(words(prompt(one) if field == "prompt" else str(getattr(one, field))))
            for one in lessons
            if one.shape == shape
        )
        for shape in SHAPES
    }
    assert apart(found) <= 0.1, found


@pytest.mark.slow
def test_the_two_shapes_are_matched_in_tokens(lessons: list[Example]) -> None:
    chat = load_chat(find_model("bundled:smollm2-135m", base_folder=FOLDER, say=print))

    def tokens(lesson: Example, field: str) -> int:
        if field == "prompt":
            return len(chat.tokens(chat.prompt(conversation(lesson, None))))
        if field == "varied":
            return len(chat.tokens(chat.prompt(conversation(lesson.in_varied_surroundings(), None))))
        return len(chat.tokens(f"Answer: {lesson.action}"))

    def trained(lesson: Example, field: str) -> int:
        return len(chat.tokens(f"Reason: {getattr(lesson, field)}\n")) + tokens(lesson, "action")

    for field in ("prompt", "varied", "action"):
        means = {shape: mean(tokens(one, field) for one in lessons if one.shape == shape) for shape in SHAPES}
        assert apart(means) <= 0.05, (field, means)
    for field in BESIDE:
        means = {shape: mean(trained(one, field) for one in lessons if one.shape == shape) for shape in SHAPES}
        assert apart(means) <= 0.05, (field, means)
