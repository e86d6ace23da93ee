"""Whole results of studies whose truth is planted: scores drawn from it, then the study's own lines to the page."""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from report_sample import sample_results

from teachwhy.data import find_arm
from teachwhy.evals import Item, Score
from teachwhy.policy import Policy
from teachwhy.study.contrasts import Scores, all_comparisons, all_contrasts, all_shares
from teachwhy.study.results import all_rates, metric_table, section_table, unscored
from teachwhy.study.study_file import Study
from teachwhy.study.study_settings import ContrastSetting, StudySettings

ARMS = ("what", "neutral", "mention", "why")
SEEDS = (0, 1, 2)
DISTANCES = ("near", "far_principle")
MEASURE = "pair_accuracy"


@dataclass(frozen=True)
class World:
    """rates: arm -> true pair accuracy near and far. declines: arm -> true over-application, .20 where not named."""

    rates: Mapping[str, tuple[float, float]]
    declines: Mapping[str, float] | None = None
    families: int = 14
    margin: float | None = None


def planted_results(world: World, *, items_a_family: int = 12) -> dict[str, Any]:
    """results.json of a study in this world, but for its checks and trainings, which are those of the sample."""
    cases = {item.id: item for item in items(world.families, items_a_family)}
    study = planted_study(world, list(cases.values()))
    scores = drawn_scores(world, list(cases.values()))
    results = copy.deepcopy(sample_results())
    results["study"]["stamp"]["settings"] |= {"competence": None, "exams": ["edge_cases"]}
    return results | {
        "arms": [arm_record(name) for name in ARMS],
        "contrasts": all_contrasts(study, scores, cases),
        "comparisons": all_comparisons(study, scores, cases),
        "shares": all_shares(study, scores, cases),
        "rates": all_rates(study, scores, cases),
        "competence": [],
        "unscored": unscored(scores),
        "training": [record for record in results["training"] if record["arm"] in ARMS],
        "canaries": [record for record in results["canaries"] if record["arm"] in ARMS],
        "checks": results["checks"] | {"against_why": []},
        "metrics": metric_table(study),
        "sections": section_table(study),
        "answers": [],
    }


def items(families: int, a_family: int) -> list[Item]:
    """Half near, half far; each with a twin."""
    return [
        Item(
            id=f"family-{family:02}-{number:02}",
            family=f"family-{family:02}",
            pair=f"family-{family:02}-pair-{number // 2:02}",
            distance=DISTANCES[number // 2 % 2],
            prompt="May I?",
            gold=("help", "decline")[number % 2],
            answers={"help": "Yes, here it is.", "decline": "No, I leave that alone."},
        )
        for family in range(families)
        for number in range(a_family)
    ]


def planted_study(world: World, cases: Sequence[Item]) -> Study:
    declared = [
        ContrastSetting(arm="why", versus=other, exam="edge_cases", metric=MEASURE) for other in ARMS if other != "why"
    ]
    settings = StudySettings(
        name="planted",
        examples=["examples.jsonl"],
        items=["items.jsonl"],
        arms=list(ARMS),
        seeds=list(SEEDS),
        exams=["edge_cases"],
        contrasts=declared,
        margin=world.margin,
    )
    return Study(Path("study.yaml"), settings, Policy(()), (), tuple(cases))


def drawn_scores(world: World, cases: Sequence[Item]) -> Scores:
    """Right or wrong, all arms on the same luck, so that what is planted shows in a study of this size."""
    found: dict[tuple[str, str], list[tuple[int | None, Score]]] = {(arm, "edge_cases"): [] for arm in ARMS}
    rng = random.Random(1)
    for seed in SEEDS:
        for case in cases:
            luck, again = rng.random(), rng.random()
            for arm in ARMS:
                rate = world.rates[arm][DISTANCES.index(case.distance)]
                # A tenth of an arm's answers are its own luck.
                own = rng.random() if rng.random() < 0.1 else luck
                scores = {MEASURE: float(own < rate)}
                if case.gold == "help":
                    scores["over_application"] = float(again < (world.declines or {}).get(arm, 0.2))
                else:
                    scores["under_application"] = float(again < 0.2)
                found[arm, "edge_cases"] += [(seed, Score(case.id, "own", *score)) for score in scores.items()]
    return found


def arm_record(name: str) -> dict[str, Any]:
    kind = find_arm(name)
    return {
        "name": name,
        "kind": name,
        "summary": kind.summary,
        "trained": True,
        "reason": "first" if kind.reasons else None,
        "seed_offset": 0,
        "state": "done",
        "seeds": list(SEEDS),
        "failures": {},
    }
