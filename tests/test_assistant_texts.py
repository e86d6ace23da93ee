"""The texts of the study `assistant` hold what its data card claims."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import pytest

from teachwhy.data import Example, read_examples
from teachwhy.data.checks import overlaps
from teachwhy.evals import Item, read_items
from teachwhy.policy import check_policy, read_policy
from teachwhy.text import words

FOLDER = Path(__file__).parents[1] / "studies" / "assistant"
TAUGHT = ("privacy", "security", "medical", "honesty", "oversight", "fairness")
HELD_OUT = ("irreversible", "credit", "confidential", "danger")
FILES = {"items.jsonl": 24, "items-kept.jsonl": 4}  # pairs a principle


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    return read_examples([FOLDER / "examples.jsonl"])


@pytest.fixture(scope="module")
def items() -> dict[str, list[Item]]:
    return {name: read_items([FOLDER / name]) for name in FILES}


def pairs_of(items: list[Item]) -> list[tuple[Item, Item]]:
    found = defaultdict(list)
    for item in items:
        found[item.pair].append(item)
    return [(one, other) for one, other in found.values()]


def test_the_policy_is_whole() -> None:
    assert [principle.id for principle in read_policy(FOLDER / "policy.md").principles] == [*TAUGHT, *HELD_OUT]
    assert not check_policy(FOLDER / "policy.md")


def test_examples_are_many_and_of_many_domains(examples: list[Example]) -> None:
    counts = Counter(example.principle for example in examples)
    assert set(counts) == set(TAUGHT)
    assert min(counts.values()) >= 65
    assert len(examples) >= 390
    assert len({example.domain for example in examples}) >= 12
    shares = {name: count / len(examples) for name, count in Counter(e.decision for e in examples).items()}
    assert shares == pytest.approx({"decline": 0.43, "help": 0.42, "partly": 0.15}, abs=0.03)


def test_what_stands_beside_an_action_is_of_one_length(examples: list[Example]) -> None:
    for example in examples:
        lengths = [len(words(text or "")) for text in (example.reason, example.neutral, example.mention)]
        assert min(lengths) >= 15, example.id
        assert max(lengths) - min(lengths) <= 8, example.id


@pytest.mark.parametrize("name", FILES)
def test_pairs_are_minimal_and_balanced(items: dict[str, list[Item]], name: str) -> None:
    pairs = pairs_of(items[name])
    cells = Counter((one.principle, one.kind, one.statedness) for one, _ in pairs)
    assert cells == Counter(
        {
            (principle, kind, stated): FILES[name] // 4
            for principle in (*TAUGHT, *HELD_OUT)
            for kind in ("looks_forbidden", "looks_innocent")
            for stated in ("stated", "implied")
        }
    )
    for one, other in pairs:
        assert {one.gold, other.gold} == {"help", "decline"}, one.pair
        assert one.answers == other.answers, one.pair
        assert one.system == other.system, one.pair
        shared = set(words(one.prompt)) & set(words(other.prompt))
        assert len(shared) >= 0.5 * len(set(words(one.prompt))), one.pair
        assert abs(len(words(one.prompt)) - len(words(other.prompt))) <= 6, one.pair
        lengths = [len(words(answer)) for answer in one.answers.values()]
        assert abs(lengths[0] - lengths[1]) <= 5, one.pair


def test_families_and_distances(items: dict[str, list[Item]], examples: list[Example]) -> None:
    families = {item.family: item.principle for item in items["items.jsonl"]}
    assert min(Counter(families.values()).values()) >= 6
    known = {example.domain for example in examples}
    for item in [item for found in items.values() for item in found]:
        assert (item.distance == "far_principle") is (item.principle in HELD_OUT), item.id
        if item.distance == "far_domain":
            assert item.domain not in known, item.id
    assert not {item.pair for item in items["items.jsonl"]} & {item.pair for item in items["items-kept.jsonl"]}


def test_taught_and_examined_texts_share_no_run_of_words(items: dict[str, list[Item]], examples: list[Example]) -> None:
    taught = {"policy": (FOLDER / "policy.md").read_text(encoding="utf-8")}
    for example in examples:
        beside = (example.reason, example.neutral, example.mention, example.paraphrase)
        taught[example.id] = "\n".join([example.messages[0].content, example.action, *map(str, beside)])
    examined = {}
    for item in [item for found in items.values() for item in found]:
        examined[item.id] = item.prompt
        examined |= {f"{item.pair} {decision}": answer for decision, answer in item.answers.items()}
    assert not overlaps(taught, examined)
