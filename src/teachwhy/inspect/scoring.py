"""The scorer and its metrics: an exam's own scores of what a sample's answers say, alone and together."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from inspect_ai._util.registry import RegistryInfo, registry_add, registry_info, set_registry_info
from inspect_ai.scorer import Metric, SampleScore, Score, Scorer, Target, Value, metric, scorer
from inspect_ai.solver import TaskState

from .. import evals
from ..evals import Answer, Exam, ExamFormat, Item, as_record, find_exam
from ..stats import Observation, interval
from .arms import PLAIN
from .asking import OURS
from .cases import restored

NAME = "teachwhy/exam"
BY_CHOICE = "_by_choice"  # what measures that need log-probabilities end in


@dataclass(frozen=True)
class Sat:
    """What one sample, or all samples of one epoch, said in an exam."""

    exam: Exam
    format: ExamFormat
    cases: Mapping[str, Item]
    answers: Sequence[Answer]
    by_choice: bool

    def scores(self, *, alone: bool = False) -> list[evals.Score]:
        """All scores; those by choice are left out of a model that gives no log-probabilities.

        alone: of each answer by itself.
        """
        exam = replace(self.exam, score_together=None) if alone else self.exam
        found = exam.score_all(self.cases, self.answers, self.format)
        return [one for one in found if self.by_choice or not one.metric.endswith(BY_CHOICE)]


@metric
def rates() -> Metric:
    """Of every measure of the exam the mean over families; what needs several answers is scored here."""

    def compute(scores: list[SampleScore]) -> Value:
        return {name: value for name, found in measured(scores).items() if (value := estimate(found)) is not None}

    return compute


@metric
def unscored() -> Metric:
    """Of every measure, how many answers could not be scored, where there are any."""

    def compute(scores: list[SampleScore]) -> Value:
        counts = {name: sum(one.value is None for one in found) for name, found in measured(scores).items()}
        return {f"unscored_{name}": count for name, count in counts.items() if count}

    return compute


@scorer(metrics=[rates(), unscored()], name=NAME)
def exam(name: str) -> Scorer:
    """The scores that an exam gives the answers of a sample; of what compares samples, nothing yet."""
    found = find_exam(name)

    async def score(state: TaskState, target: Target) -> Score | None:
        sat = sat_by(found, state)
        scores = sat.scores(alone=found.follow_up is None)  # what asks on is whole in its sample
        return Score(
            value=values(scores),
            answer=", ".join(dict.fromkeys(one.decision for one in scores if one.decision)) or None,
            explanation="\n".join(lines(scores)),
            metadata={
                "exam": name,
                "sample": state.epoch - 1,
                "format": vars(sat.format),
                "by_choice": sat.by_choice,
                "answers": [as_record(answer) for answer in sat.answers],
            },
        )

    return score


def found_by_its_name_in_logs() -> None:
    """A log has a scorer's name without its package, and `inspect score` looks for just that: so it has two names."""
    own = registry_info(exam)
    registry_add(exam, RegistryInfo(type="scorer", name=NAME, metadata=own.metadata))
    set_registry_info(exam, own)


found_by_its_name_in_logs()


def sat_by(exam: Exam, state: TaskState) -> Sat:
    """A sample's answers; where another solver was used, its last words are the answer to the sample's one request."""
    first = {case.id: case for case in map(restored, state.metadata["cases"])}
    kept: dict[str, Any] | None = state.store.get(OURS)
    format = ExamFormat(**kept["format"]) if kept else PLAIN
    if kept:
        answers = [Answer(**record) for record in kept["answers"]]
    else:
        only = exam.requests(list(first.values()), format)[0]
        answers = [Answer(only.item, only.format, state.output.completion, sample=state.epoch - 1)]
    return Sat(exam, format, exam.asked(first, answers, format), answers, bool(kept and kept["by_choice"]))


def values(scores: Iterable[evals.Score]) -> dict[str, float]:
    """Measure -> its mean; not a number where nothing could be scored."""
    found: dict[str, list[float]] = defaultdict(list)
    for one in scores:
        found[name_of(one)] += [] if one.value is None else [one.value]
    return {name: math.fsum(known) / len(known) if known else math.nan for name, known in found.items()}


def name_of(score: evals.Score) -> str:
    return score.metric if score.format == "own" else f"{score.metric}_{score.format}_format"


def lines(scores: Sequence[evals.Score]) -> Iterator[str]:
    """Each score in words, with its case where there are several."""
    several = len({one.item for one in scores}) > 1
    for one in scores:
        value = "unscored" if one.value is None else f"{one.value:g}"
        beside = one.cause or one.decision
        case = f"{one.item}: " if several else ""
        yield f"{case}{name_of(one)} {value}" + (f" ({beside})" if beside else "")


def measured(scores: Sequence[SampleScore]) -> dict[str, list[Observation]]:
    """Measure -> what was observed, in the exam's order; with several distances, also of the items of each.

    Epochs are scored apart and an item's values of all epochs averaged.
    """
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    families: dict[str, str] = {}
    order: list[str] = []
    for sat in sittings(scores):
        order = [one.name for one in sat.exam.metrics]
        distances = {case.distance for case in sat.cases.values()}
        for one in sat.scores():
            case = sat.cases[one.item]
            families[one.item] = case.family
            names = [name_of(one)]
            if ("distance",) in sat.exam.by and len(distances) > 1:
                names.append(f"{name_of(one)}_{case.distance}")
            for name in names:
                values[name][one.item] += [] if one.value is None else [one.value]
    return {
        name: [
            Observation(item, families[item], None, math.fsum(known) / len(known) if known else None)
            for item, known in of_items.items()
        ]
        for name, of_items in sorted(values.items(), key=lambda pair: place_of(pair[0], order))
    }


def place_of(name: str, order: Sequence[str]) -> tuple[bool, int]:
    """Measures as the exam has them, then those of parts of the items."""
    return name not in order, max((place for place, one in enumerate(order) if name.startswith(one)), default=0)


def sittings(scores: Sequence[SampleScore]) -> list[Sat]:
    """All samples of each epoch as one sitting."""
    epochs: dict[int, list[SampleScore]] = defaultdict(list)
    for one in scores:
        epochs[(one.score.metadata or {}).get("sample", 0)].append(one)
    found = []
    for _, of_epoch in sorted(epochs.items()):
        first = of_epoch[0].score.metadata or {}
        exam, format = find_exam(first["exam"]), ExamFormat(**first["format"])
        asked = [restored(case) for one in of_epoch for case in (one.sample_metadata or {})["cases"]]
        answers = [Answer(**record) for one in of_epoch for record in (one.score.metadata or {})["answers"]]
        cases = exam.asked({case.id: case for case in asked}, answers, format)
        found.append(Sat(exam, format, cases, answers, first["by_choice"]))
    return found


def estimate(found: Sequence[Observation]) -> float | None:
    return interval(found).estimate
