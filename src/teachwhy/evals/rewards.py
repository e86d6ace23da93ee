"""Rewards: what an exam's own score makes of one answer, turned so that more is better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from ..errors import CheckError, InputError, unknown_name
from ..models import Choice, LanguageModel, score_choices
from .exam import EXAMS, Answer, Exam, ExamFormat, Request, find_exam
from .items import Item
from .runner import before_action, written_options


@dataclass(frozen=True)
class Task:
    """A case that answers are rewarded on. request, prompt: as the exam asks it, up to where the answer begins."""

    case: Item
    request: Request
    prompt: str


@dataclass(frozen=True)
class Reward:
    """The scores of an exam in some of its metrics, as one number from 0 to 1.

    format: how the answers are written.
    """

    exam: str
    metrics: tuple[str, ...]
    format: ExamFormat

    def __call__(self, model: LanguageModel, tasks: Sequence[Task], texts: Sequence[str]) -> list[float | None]:
        """What each answer is worth; None for one that cannot be read.

        model: the one that wrote them. It is asked for log-probabilities where the metrics are of those.
        """
        said = [task.request.opening + text for task, text in zip(tasks, texts, strict=True)]
        scores: list[list[float]] = [[] for _ in tasks]
        if reads_options(find_exam(self.exam), self.metrics):
            scores = score_choices(
                model,
                [
                    Choice(task.prompt + before_action(text, self.format), written_options(task.request, self.format))
                    for task, text in zip(tasks, said, strict=True)
                ],
            )
        return [
            self.of(task.case, Answer(task.case.id, "own", text, dict(zip(task.request.options, found, strict=False))))
            for task, text, found in zip(tasks, said, scores, strict=True)
        ]

    def of(self, case: Item, answer: Answer) -> float | None:
        """The mean of those of the metrics that the answer is scored in; where lower is better, of one less the score.

        None where one of them cannot be read; and where options are scored behind words that never come to an action,
        or writing on and on would be worth as much as deciding.
        """
        exam = find_exam(self.exam)
        if reads_options(exam, self.metrics) and self.format.action_marker not in answer.text:
            return None
        scores = [score for score in exam.score(case, answer, self.format) if score.metric in self.metrics]
        values = [
            score.value if exam.metric(score.metric).higher_is_better else 1 - score.value
            for score in scores
            if score.value is not None
        ]
        return fmean(values) if values and len(values) == len(scores) else None


def reads_options(exam: Exam, metrics: Sequence[str]) -> bool:
    """Whether the metrics are of how likely the options are after the words of an answer, and not of its text."""
    return not all(exam.metric(name).generated for name in metrics)


def rewarding_exams() -> list[str]:
    """The exams that score an answer by itself: those that ask nothing on and need no judge."""
    return [name for name, exam in EXAMS.items() if not (exam.follow_up or exam.needs_judge)]


def check_rewarding(exam: str, where: str) -> None:
    """Refuse an exam that is not known or cannot reward one answer alone."""
    find_exam(exam, where=f"{where}, field 'exam'")
    if exam not in rewarding_exams():
        raise InputError(
            f"The exam {exam!r} asks on, or needs a judge, so one answer alone cannot be rewarded by it.",
            where=f"{where}, field 'exam'",
            remedy=f"Take one of these: {', '.join(rewarding_exams())}.",
        )


def check_reward(reward: Reward, cases: Sequence[Item], where: str) -> None:
    """Refuse metrics without a direction or of several answers together, and cases that none of them is of."""
    exam = find_exam(reward.exam)
    scored = {case.id: scored_metrics(exam, case, reward.format) for case in cases}
    of_one_answer = set().union(*scored.values())
    turned = [metric.name for metric in exam.metrics if metric.higher_is_better is not None]
    valid = [name for name in turned if name in of_one_answer]
    for name in reward.metrics:
        if name not in valid:
            raise unknown_name("metric to reward these cases by", name, valid, where=f"{where}, field 'metrics'")
    without = [case for case, names in scored.items() if not names & set(reward.metrics)]
    if without:
        raise CheckError(
            f"{len(without)} cases have no score in {', '.join(reward.metrics)}, such as {without[0]!r}.",
            where=f"{where}, field 'metrics'",
            remedy="Take them out, or name a metric that is of them too.",
        )
    if reads_options(exam, reward.metrics) and not reward.format.reason_first:
        raise CheckError(
            f"{', '.join(reward.metrics)} is read after the reason of an answer, and this arm writes its action first.",
            where=f"{where}, field 'metrics'",
            remedy="Every answer to a prompt would be worth the same. Name a metric of what is written.",
        )


def scored_metrics(exam: Exam, case: Item, format: ExamFormat) -> set[str]:
    """The metrics that an answer to a case is scored in, which hang on the case and not on the answer."""
    answer = Answer(case.id, "own", "", dict.fromkeys(case.answers, 0.0))
    return {score.metric for score in exam.score(case, answer, format)}
