"""The machine copy of a run, results.json: its schema, and the sample of answers it carries."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from ..evals import Answer, Item, Score

SCHEMA_VERSION = 1
ANSWERS_AN_ARM = 10


def example_answers(
    items: Sequence[Item],
    arms: Sequence[str],
    answers: Mapping[tuple[str, int | None], Sequence[Answer]],
    read: Mapping[tuple[str, int | None, str], Score],
) -> list[dict[str, Any]]:
    """Ten answers of each arm, on the same items for all: drawn with a fixed seed, from each arm's lowest seed.

    answers: (arm, seed) -> answers. read: (arm, seed, item) -> how the answer in the arm's own format was read.
    """
    drawn = random.Random(0).sample(range(len(items)), min(ANSWERS_AN_ARM, len(items)))
    sample = [items[index] for index in sorted(drawn)]
    records = []
    for arm in arms:
        seeds = [seed for name, seed in answers if name == arm]
        if not seeds:
            continue
        seed = min(seeds, key=lambda value: -1 if value is None else value)
        said: dict[str, Answer] = {}
        for answer in answers[arm, seed]:
            if answer.format == "own":
                said.setdefault(answer.item, answer)  # of the first exam that asks it, as `read` is
        records += [
            answer_record(arm, seed, item, said[item.id], read[arm, seed, item.id])
            for item in sample
            if item.id in said
        ]
    return records


def answer_record(arm: str, seed: int | None, item: Item, answer: Answer, score: Score) -> dict[str, Any]:
    return {
        "arm": arm,
        "seed": seed,
        "item": item.id,
        "kind": item.kind,
        "distance": item.distance,
        "prompt": item.prompt,
        "answer": answer.text,
        "decision": score.decision,
        "cause": score.cause,
        "gold": item.gold,
        "facts": {name: fact.decision for name, fact in (item.facts or {}).items()},
        "answers": dict(item.answers),
    }
