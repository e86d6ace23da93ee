"""Every answer behind the sample report: pairs of cases of a few rules, said by all its arms and really scored."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

from report_sample import ARMS, DISTANCES, FAILED, SEEDS

from teachwhy.data import find_arm
from teachwhy.evals import Answer, ExamFormat, Item, find_exam
from teachwhy.report import Sitting

FORMAT = ExamFormat(reasons=True, place="first", reason_marker="Reason:", action_marker="Action:")
OPTIONS = {"move": "Move them to another pitch.", "leave": "Leave them on their pitch."}
RULES = tuple(f"rule-{number:02}" for number in range(6))


def sample_items(rules: Sequence[str] = RULES, **changes: Any) -> list[Item]:
    """A conflict pair and an agreeing pair of each rule and distance."""
    return [
        item(rule, distance, kind, first, second, changes)
        for rule in rules
        for distance in DISTANCES
        for kind, pairs in (("conflict", ((1, 0), (0, 1))), ("agree", ((1, 1), (0, 0))))
        for first, second in pairs
    ]


def item(rule: str, distance: str, kind: str, first: int, second: int, changes: dict[str, Any]) -> Item:
    asks = ("leave", "move")
    where, guest = ("in the dip by the river", "on the hill")[first], ("camped for years", "never camped")[second]
    return Item(
        id=f"{rule}-{kind}-{distance}-{first}",
        family=rule,
        pair=f"{rule}-{kind}-{distance}",
        principle=rule,
        distance=distance,
        kind=kind,
        gold=asks[first] if kind == "agree" else None,
        facts={
            "water": {"states": where, "decision": asks[first]},
            "habit": {"states": guest, "decision": asks[second]},
        },
        answers=OPTIONS,
        **({"prompt": f"Our guest of {rule} has her tent {where}, and she has {guest}. What now?"} | changes),
    )


def sample_sittings(items: Sequence[Item] | None = None, says: Any = None) -> list[Sitting]:
    """says: (arm, seed, item, lot) -> the text of an answer; without it, a reason and an action by lot."""
    exam, cases = find_exam("decisions"), {one.id: one for one in items or sample_items()}
    found = []
    for arm, seed in units():
        lot = random.Random(f"{arm} {seed}")
        answers = [
            Answer(
                request.item,
                request.format,
                (says or written)(arm, seed, cases[request.item], lot),
                {"move": -0.2 - lot.random(), "leave": -0.7},
            )
            for request in exam.requests(list(cases.values()), FORMAT)
        ]
        found.append(Sitting(arm, seed, "decisions", cases, answers, exam.score_all(cases, answers, FORMAT)))
    return found


def units() -> Iterator[tuple[str, int | None]]:
    """Every (arm, seed) of the sample report that is done."""
    for arm in ARMS:
        for seed in SEEDS if find_arm(arm).trained else (None,):
            if f"{arm}/seed-{seed}" != FAILED:
                yield arm, seed


def written(arm: str, seed: int | None, item: Item, lot: random.Random) -> str:
    if arm == "base" and lot.random() < 0.4:
        return lot.choice(["\n\n\n", "I think the guest should be asked first, and then we will see."])
    reason = f"Reason: Her tent stands in the wrong place; the water can reach it in night {lot.randrange(9)}.\n"
    action = OPTIONS[lot.choice(["move", "move", "leave"])]
    return f"{reason if find_arm(arm).reasons else ''}Action: {action}"
