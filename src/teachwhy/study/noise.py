"""The noise of sampling and of judging: what is asked and judged again of one model, and what came of it."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeGuard

from ..data import find_arm
from ..evals import Answer, ExamFormat, Item, Question, Score, as_record, find_exam, reworded, sample_items
from ..stats import Observation, interval
from .folder import read_jsonl, write_jsonl
from .plan import Unit
from .study_checks import in_subset
from .study_file import Study
from .study_settings import ContrastSetting, NoiseSettings

BY_RULE = "these answers are read by rule: reading them again gives the same"
NOTHING_TO_READ = "no answer could be put to the judge"


class Ask(Protocol):
    """Puts cases to whoever they are for; sample is the number of the asking."""

    def __call__(self, cases: Sequence[Item], *, sample: int) -> list[Answer]: ...


@dataclass(frozen=True)
class Again:
    """What a study wants asked again of one unit.

    measure: the first declared contrast, whose metric is looked at. cases: of its exam, a fixed sample of the pairs
    that it compares arms on.
    """

    settings: NoiseSettings
    unit: Unit
    measure: ContrastSetting
    cases: tuple[Item, ...]

    @property
    def samples(self) -> str:
        """The name of the files that hold the samples."""
        return f"{self.measure.exam}.samples"

    @property
    def judgings(self) -> str:
        return f"{self.measure.exam}.judgings"

    @property
    def pairs(self) -> set[str]:
        return {case.pair for case in self.cases}

    def format(self, study: Study) -> ExamFormat:
        """The arm's, with every item asked in the format that is looked at alone."""
        return replace(study.exam_format(self.unit.arm), off_share=float(self.measure.format == "off"))


def asked_again(study: Study, cases: Mapping[str, Sequence[Item]]) -> Again | None:
    """None where the study wants nothing asked again. cases: exam -> what it asks."""
    settings = study.settings.noise
    if settings is None:
        return None
    arm, measure = study.arm(settings.arm), study.settings.contrasts[0]
    seed = study.settings.seeds[0] if settings.seed is None else settings.seed
    of_exam = cases[measure.exam]
    pairs = {case.pair for case in of_exam if in_subset(case, measure.subset)}
    drawn = sample_items([case for case in of_exam if case.pair in pairs], study.settings.sample)
    return Again(settings, Unit(arm, seed if find_arm(arm.arm).trained else None), measure, tuple(drawn))


def sample_again(again: Again, format: ExamFormat, ask: Ask) -> list[Answer]:
    """The exam sat once for each sample, counted from 1: the answers that count are no sample."""
    exam = find_exam(again.measure.exam)
    numbers = range(1, again.settings.samples + 1)
    return [answer for number in numbers for answer in exam.sit(again.cases, format, partial(ask, sample=number))]


def judge_again(again: Again, asked: Mapping[str, Item], ask: Ask) -> list[Answer]:
    """The judge's answers to its questions in other words, counted from 1. asked: case id -> all that was asked."""
    questions = [case for case in asked.values() if by_judge(case) and case.pair in again.pairs]
    if not questions:
        return []
    numbers = range(1, again.settings.judgings + 1)
    return [answer for number in numbers for answer in ask([reworded(one, number) for one in questions], sample=number)]


def by_judge(case: Item) -> TypeGuard[Question]:
    return isinstance(case, Question) and case.by == "judge"


def noise_record(
    study: Study,
    again: Again,
    run: Path,
    own: Sequence[Item],
    cases: Mapping[str, Item],
    counted: Iterable[tuple[int | None, Score]],
) -> dict[str, Any]:
    """What results.json holds of it. The scores of every sample and judging are written beside their answers.

    own: what the exam asks of everybody. cases: case id -> all that any model was asked. counted: (seed, score) of the
    answers that count, of every seed of the arm.
    """
    folder = again.unit.evals_folder(run)
    seeds: dict[int | None, list[Score]] = {}
    for seed, score in counted:
        seeds.setdefault(seed, []).append(score)
    per_seed = {str(seed): rate(again, cases, scores) for seed, scores in seeds.items()}
    per_sample = [rate(again, asked, scores) for asked, scores in sample_scores(study, again, folder)]
    per_judging, judging_note = judging_rates(study, again, folder, own)
    return {
        "arm": again.unit.arm.name,
        "seed": again.unit.seed,
        **{field: getattr(again.measure, field) for field in ("exam", "metric", "format")},
        "subset": dict(again.measure.subset),
        "items": sum(in_subset(case, again.measure.subset) for case in again.cases),
        "samples": again.settings.samples,
        "temperature": again.settings.temperature,
        "per_sample": per_sample,
        "sd_sampling": spread(per_sample),
        "per_seed": per_seed,
        "sd_seeds": spread(list(per_seed.values())),
        "judgings": len(per_judging) or None,
        "per_judging": per_judging or None,
        "sd_judging": spread(per_judging),
        "judging_note": judging_note,
    }


def sample_scores(study: Study, again: Again, folder: Path) -> list[tuple[dict[str, Item], list[Score]]]:
    """Of each sample what was asked and its scores, which are written beside the answers."""
    exam, format = find_exam(again.measure.exam), again.format(study)
    stored = read_answers(folder / f"{again.samples}.jsonl")
    found = []
    for number in range(1, again.settings.samples + 1):
        answers = [answer for answer in stored if answer.sample == number]
        asked = exam.asked({case.id: case for case in again.cases}, answers, format)
        found.append((asked, numbered(exam.score_all(asked, answers, format), number)))
    write_scores(folder / f"{again.samples}.scores.jsonl", [scores for _, scores in found])
    return found


def judging_rates(study: Study, again: Again, folder: Path, own: Sequence[Item]) -> tuple[list[float | None], str]:
    """The rate by each judging of the answers that count; none where no judge has a part in it, and why."""
    exam, format = find_exam(again.measure.exam), study.exam_format(again.unit.arm)
    if exam.follow_up is None:
        return [], BY_RULE
    stored, judged = (read_answers(folder / f"{name}.jsonl") for name in (again.measure.exam, again.judgings))
    asked = exam.asked({case.id: case for case in own}, stored, format)
    of_model = [answer for answer in stored if not by_judge(asked[answer.item])]

    def scores(number: int) -> list[Score]:
        answers = [*of_model, *(answer for answer in judged if answer.sample == number)]
        found = numbered(exam.score_all(asked, answers, format), number)
        return [score for score in found if asked[score.item].pair in again.pairs]

    if observed(again, asked, scores(number=0)) == observed(again, asked, scores(number=1)):  # no judging has number 0
        return [], BY_RULE if judged or not format.judged else NOTHING_TO_READ
    found = [scores(number) for number in range(1, again.settings.judgings + 1)]
    write_scores(folder / f"{again.judgings}.scores.jsonl", found)
    return [rate(again, asked, one) for one in found], ""


def read_answers(path: Path) -> list[Answer]:
    """The answers of a file; none of one that is empty, as where a judge has nothing to read."""
    return [Answer(**record) for record in read_jsonl(path)] if path.stat().st_size else []


def numbered(scores: Iterable[Score], number: int) -> list[Score]:
    """Also those that need several answers, which know of no number."""
    return [replace(score, sample=number) for score in scores]


def write_scores(path: Path, found: Iterable[Sequence[Score]]) -> None:
    write_jsonl(path, [as_record(score) for scores in found for score in scores])


def observed(again: Again, cases: Mapping[str, Item], scores: Iterable[Score]) -> list[Observation]:
    """The scores of one asking that are looked at."""
    return [
        Observation(score.item, cases[score.item].family, None, score.value)
        for score in scores
        if (score.metric, score.format) == (again.measure.metric, again.measure.format)
        and cases[score.item].pair in again.pairs
        and in_subset(cases[score.item], again.measure.subset)
    ]


def rate(again: Again, cases: Mapping[str, Item], scores: Iterable[Score]) -> float | None:
    """As every rate of an arm: the mean over families."""
    return interval(observed(again, cases, scores)).estimate


def spread(values: Sequence[float | None]) -> float | None:
    """The standard deviation (n - 1); None of fewer than two."""
    known = [value for value in values if value is not None]
    return statistics.stdev(known) if len(known) > 1 else None
