"""The comparisons: what is measured against what, and the ratio each is meant to reach."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import generation, scoring, training
from .work import Work

MakeSide = Callable[[Work], Any]


@dataclass(frozen=True)
class Comparison:
    """Two sides with the methods `warm_up()` and `run()`, in processes of their own.

    compare: what their outputs have in common. mark: the ratio (the peer's seconds over ours) to reach.
    rounds: timed runs of each side. A comparison without a mark is there for its outputs, not for its time.
    """

    name: str
    peer: str
    make_ours: MakeSide
    make_peer: MakeSide
    compare: Callable[[dict[str, Any], dict[str, Any]], dict[str, float]]
    mark: float | None
    rounds: int


def scoring_comparison(name: str, arm: str, prompts: int, mark: float | None, rounds: int, dtype: str) -> Comparison:
    return Comparison(
        name,
        "lm-eval",
        lambda work: scoring.OurScoring(work, arm, prompts, dtype),
        lambda work: scoring.LmEvalScoring(work, arm, prompts, dtype),
        scoring.compare,
        mark,
        rounds,
    )


COMPARISONS = {
    comparison.name: comparison
    for comparison in (
        Comparison("train_vs_trl", "trl", training.OurTraining, training.TrlTraining, training.compare, 2.5, 3),
        scoring_comparison("choice_vs_lm_eval", "base", 128, 2, 5, "bfloat16"),
        scoring_comparison("prefix_vs_lm_eval", "policy_in_prompt", 64, 5, 2, "bfloat16"),
        Comparison(
            "generate_vs_plain",
            "transformers",
            generation.OurGeneration,
            generation.PlainGeneration,
            generation.compare,
            8,
            2,
        ),
        scoring_comparison("choice_float32", "base", 32, None, 1, "float32"),
        scoring_comparison("prefix_float32", "policy_in_prompt", 4, None, 1, "float32"),
    )
}
