"""The study `swap`: its texts hold what its data card claims."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import pytest

from teachwhy.data import Example, read_examples
from teachwhy.data.checks import overlaps
from teachwhy.evals import Item, read_items
from teachwhy.policy import check_policy, read_policy
from teachwhy.study import read_study
from teachwhy.text import words

SWAP = Path(__file__).parents[1] / "studies" / "swap"
RULES = {SWAP: 20, SWAP / "dev": 4}
EXAMPLES_A_RULE = 48
WORDINGS = 8


@dataclass(frozen=True)
class Texts:
    folder: Path
    examples: list[Example]
    items: list[Item]

    def of(self, rule: str) -> tuple[list[Example], list[Item]]:
        return (
            [example for example in self.examples if example.principle == rule],
            [item for item in self.items if item.principle == rule],
        )

    @property
    def rules(self) -> list[str]:
        return sorted({example.principle for example in self.examples})

    def each(self):
        return ((rule, *self.of(rule)) for rule in self.rules)


@pytest.fixture(scope="module", params=list(RULES), ids=lambda folder: folder.name)
def texts(request) -> Texts:
    folder = request.param
    return Texts(folder, read_examples([folder / "examples.jsonl"]), read_items([folder / "items.jsonl"]))


def facts(example: Example) -> tuple[str, str]:
    """The words of an example's prompt that state fact A and fact B."""
    found = re.fullmatch(r"A: (.+) \| B: (.+)", example.note or "")
    assert found, example.id
    return found[1], found[2]


def plain(text: str) -> str:
    return " ".join(words(text))


def yes(items: list[Item]) -> str:
    """The decision that fact A calls for when it holds: the first item of a conflict pair has A without B."""
    return next(item for item in items if item.kind == "conflict").facts["A"].decision


def a_first(prompt: str, a: str, b: str) -> bool:
    low = prompt.lower()
    assert a.lower() in low, (prompt, a)
    assert b.lower() in low, (prompt, b)
    return low.index(a.lower()) < low.index(b.lower())


def prompt(case: Example | Item) -> str:
    [message] = case.messages
    return message.content


def test_the_study_is_read_and_its_policy_is_sound(texts):
    study = read_study(texts.folder)
    assert len(texts.rules) == RULES[texts.folder]
    assert set(texts.rules) <= set(read_policy(texts.folder / study.settings.policy).ids)
    assert {item.principle for item in study.items} == set(texts.rules)
    assert check_policy(texts.folder / study.settings.policy) == []


def test_development_rules_are_others_than_the_studys():
    swap, dev = ({item.family for item in read_items([folder / "items.jsonl"])} for folder in RULES)
    assert not swap & dev


def test_examples_are_half_and_half(texts):
    for rule, examples, _ in texts.each():
        assert len(examples) == EXAMPLES_A_RULE, rule
        assert sorted(Counter(example.decision for example in examples).values()) == [EXAMPLES_A_RULE // 2] * 2, rule
        assert len({example.action for example in examples}) == 2, rule


def test_each_state_of_each_fact_has_eight_wordings_equally_often(texts):
    for rule, examples, _ in texts.each():
        for decision in {example.decision for example in examples}:
            stated = [facts(example) for example in examples if example.decision == decision]
            for side in (0, 1):
                counts = Counter(plain(pair[side]) for pair in stated)
                assert len(counts) == WORDINGS, (rule, decision, "AB"[side], counts)
                assert set(counts.values()) == {len(stated) // WORDINGS}, (rule, decision, "AB"[side], counts)


def test_no_combination_of_wordings_occurs_twice(texts):
    for rule, examples, _ in texts.each():
        pairs = Counter((plain(a), plain(b)) for a, b in map(facts, examples))
        assert max(pairs.values()) == 1, (rule, pairs.most_common(2))


def test_facts_stand_in_the_prompt_and_each_comes_first_in_half(texts):
    for rule, examples, _ in texts.each():
        for decision in {example.decision for example in examples}:
            first = [a_first(prompt(case), *facts(case)) for case in examples if case.decision == decision]
            assert sum(first) == len(first) // 2, (rule, decision, sum(first))


def test_texts_beside_the_action_are_of_one_length(texts):
    """Neutral and swapped within 4 words of mention and reason; on average all within 2."""
    lengths = [
        [len(words(text)) for text in (f"{case.mention} {case.reason}", case.swapped, case.neutral)]
        for case in texts.examples
    ]
    for example, (why, swapped, neutral) in zip(texts.examples, lengths, strict=True):
        assert abs(neutral - why) <= 4, (example.id, why, neutral)
        assert abs(swapped - why) <= 4, (example.id, why, swapped)
    means = [mean(column) for column in zip(*lengths, strict=True)]
    assert max(means) - min(means) <= 2, means


def test_the_two_actions_of_a_rule_are_of_one_length(texts):
    for rule, examples, items in texts.each():
        lengths = {len(words(example.action)) for example in examples}
        assert max(lengths) - min(lengths) <= 1, rule
        for item in items:
            assert set(item.answers.values()) == {example.action for example in examples}, item.id


def test_items_are_twelve_conflicts_and_eight_agreements_in_twins(texts):
    for rule, _, items in texts.each():
        assert Counter((item.kind, item.distance) for item in items) == {
            ("conflict", "seen_wording"): 6,
            ("conflict", "new_wording"): 6,
            ("agree", "seen_wording"): 4,
            ("agree", "new_wording"): 4,
        }, rule
        assert {item.family for item in items} == {rule}


def test_conflicts_set_the_facts_apart_and_agreements_do_not(texts):
    for item in texts.items:
        a, b = item.facts["A"].decision, item.facts["B"].decision
        assert list(item.facts) == ["A", "B"], "fact A is the one that the policy means"
        assert (a != b) == (item.kind == "conflict"), item.id
        assert item.gold == (None if item.kind == "conflict" else a), item.id


def test_a_constant_answer_scores_half(texts):
    for rule, _, items in texts.each():
        for kind, count in (("conflict", 6), ("agree", 4)):
            decided = Counter(item.facts["A"].decision for item in items if item.kind == kind)
            assert sorted(decided.values()) == [count, count], (rule, kind)


def test_pairs_are_minimal_twins(texts):
    pairs = defaultdict(list)
    for item in texts.items:
        pairs[item.pair].append(item)
    for name, (first, second) in pairs.items():
        assert (first.kind, first.distance, first.principle) == (second.kind, second.distance, second.principle), name
        assert first.facts["A"].decision != second.facts["A"].decision, name
        assert first.facts["B"].decision != second.facts["B"].decision, name
        here, there = Counter(words(frame(first))), Counter(words(frame(second)))
        assert sum(((here - there) + (there - here)).values()) <= 2, (name, frame(first), frame(second))


def frame(item: Item) -> str:
    """What is left of a prompt without the words that state its facts."""
    text = prompt(item)
    for fact in item.facts.values():
        start = text.lower().index(fact.states.lower())
        text = text[:start] + "~" + text[start + len(fact.states) :]
    return text


def test_each_fact_comes_first_in_half_of_the_conflict_pairs(texts):
    for rule, _, items in texts.each():
        conflicts = [item for item in items if item.kind == "conflict"]
        first = [a_first(prompt(item), item.facts["A"].states, item.facts["B"].states) for item in conflicts]
        assert sum(first) == len(first) // 2, rule


def test_seen_wordings_occur_in_examples_of_that_state_and_new_ones_in_none(texts):
    for _, examples, items in texts.each():
        holds = yes(items)
        taught = {
            (side, example.decision == holds, plain(facts(example)["AB".index(side)]))
            for example in examples
            for side in "AB"
        }
        everywhere = {(side, wording) for side, _, wording in taught}
        for item in items:
            for side, fact in item.facts.items():
                wording = plain(fact.states)
                if item.distance == "seen_wording":
                    assert (side, fact.decision == holds, wording) in taught, (item.id, side, wording)
                else:
                    assert (side, wording) not in everywhere, (item.id, side, wording)


def test_no_eight_words_in_a_row_are_shared(texts):
    policy = read_policy(texts.folder / "policy.md")
    taught = {example.id: prompt(example) for example in texts.examples}
    taught |= {principle.id: f"{principle.rule} {principle.why}" for principle in policy.principles}
    assert overlaps(taught, {item.id: prompt(item) for item in texts.items}) == []


def test_no_text_is_empty_padded_or_of_two_lines(texts):
    for name in ("examples.jsonl", "items.jsonl"):
        for line in (texts.folder / name).read_text(encoding="utf-8").splitlines():
            for field, value in json.loads(line).items():
                if isinstance(value, str):
                    assert value == " ".join(value.split(" ")).strip() != "", (line, field)
                    assert "\n" not in value, (line, field)


def test_no_prompt_occurs_twice(texts):
    assert max(Counter(map(prompt, [*texts.examples, *texts.items])).values()) == 1


@pytest.mark.parametrize("other", ["dev/study.yaml", "again.yaml"])
def test_the_recipe_is_the_same_everywhere(other: str) -> None:
    ours, theirs = (read_study(SWAP / name).settings for name in ("study.yaml", other))
    assert ours.train == theirs.train
    assert (ours.format, ours.max_new_tokens, ours.model) == (theirs.format, theirs.max_new_tokens, theirs.model)
