"""The machine copy of a run, results.json: its schema, and the sample of answers it carries."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from ..evals import Answer, Item

SCHEMA_VERSION = 1
ANSWERS_AN_ARM = 10


def example_answers(
    items: Sequence[Item], arms: Sequence[str], answers: Mapping[tuple[str, int | None], Sequence[Answer]]
) -> list[dict[str, Any]]:
    """Ten answers of each arm, on the same items for all: drawn with a fixed seed, from each arm's lowest seed."""
    drawn = random.Random(0).sample(range(len(items)), min(ANSWERS_AN_ARM, len(items)))
    sample = [items[index] for index in sorted(drawn)]
    records = []
    for arm in arms:
        seeds = [seed for name, seed in answers if name == arm]
        if not seeds:
            continue
        seed = min(seeds, key=lambda value: -1 if value is None else value)
        said = {answer.item: answer for answer in answers[arm, seed] if answer.format == "own"}
        records += [answer_record(arm, seed, item, said[item.id]) for item in sample if item.id in said]
    return records


def answer_record(arm: str, seed: int | None, item: Item, answer: Answer) -> dict[str, Any]:
    return {
        "arm": arm,
        "seed": seed,
        "item": item.id,
        "kind": item.kind,
        "distance": item.distance,
        "prompt": item.prompt,
        "answer": answer.text,
        "gold": item.gold,
        "facts": {name: fact.decision for name, fact in (item.facts or {}).items()},
        "answers": dict(item.answers),
    }
