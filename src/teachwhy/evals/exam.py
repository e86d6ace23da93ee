"""What an exam is: two pure functions, requests and score, and the records that pass between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import unknown_name
from .items import Item


@dataclass(frozen=True)
class ExamFormat:
    """How an arm writes: whether it gives reasons and where, and the words that open each part.

    off_share: the share of the pairs that are asked in the other format too.
    """

    reasons: bool
    place: str
    reason_marker: str
    action_marker: str
    off_share: float = 1.0

    @property
    def reason_first(self) -> bool:
        return self.reasons and self.place == "first"


@dataclass(frozen=True)
class Request:
    """One thing to ask of a model.

    format: own (as the arm was taught) or off (the other way, labelled off-format). opening: text put into the
    model's mouth. options: decision -> full action text; scored after the model's own words up to the action.
    write: whether the model is to go on from the opening, or the options alone are scored behind it.
    """

    item: str
    format: str
    opening: str
    options: Mapping[str, str]
    write: bool = True


@dataclass(frozen=True)
class Answer:
    """What a model said to a request, stored once.

    text: everything it generated, the opening included. choice: decision -> mean log-probability (nats a token) of
    the full action after the model's own words before it.
    """

    item: str
    format: str
    text: str
    choice: Mapping[str, float] = field(default_factory=dict)
    sample: int = 0

    @property
    def chosen(self) -> str | None:
        """The option with the highest mean log-probability; None where none was scored."""
        return max(self.choice, key=lambda option: self.choice[option]) if self.choice else None


@dataclass(frozen=True)
class Score:
    """One metric of one answer. value in [0, 1] but for counts; None where it could not be scored, with the cause."""

    item: str
    format: str
    metric: str
    value: float | None
    decision: str | None = None
    cause: str | None = None
    sample: int = 0


@dataclass(frozen=True)
class Metric:
    """A measure with its direction. higher_is_better None: a preference, neither good nor bad."""

    name: str
    meaning: str
    higher_is_better: bool | None


@dataclass(frozen=True)
class Exam:
    """requests: what to ask of one arm. score: the scores of an answer. version: rises when a score changes meaning.

    score_together: scores that need more than one answer of a model, such as those of a pair; None where there are
    none. cases: from the study's items to those that are asked, where these differ; each has an id of its own.
    """

    name: str
    version: int
    requests: Callable[[Sequence[Item], ExamFormat], list[Request]]
    score: Callable[[Item, Answer, ExamFormat], list[Score]]
    metrics: tuple[Metric, ...]
    score_together: Callable[[Mapping[str, Item], Sequence[Answer]], list[Score]] | None = None
    cases: Callable[[Sequence[Item]], list[Item]] = list


def action_part(text: str, action_marker: str) -> str:
    """What follows the last action marker; the whole text where there is none."""
    return text.rpartition(action_marker)[2] if action_marker else text


def scored(
    answer: Answer, metric: str, value: float | None, decision: str | None = None, cause: str | None = None
) -> Score:
    """A score of one answer; the cause is kept only where there is no value."""
    return Score(answer.item, answer.format, metric, value, decision, cause if value is None else None, answer.sample)


EXAMS: dict[str, Exam] = {}


def register(exam: Exam) -> Exam:
    EXAMS[exam.name] = exam
    return exam


def find_exam(name: str, *, where: str = "") -> Exam:
    if name not in EXAMS:
        raise unknown_name("exam", name, EXAMS, where=where)
    return EXAMS[name]


def as_record(value: Any) -> dict[str, Any]:
    """A record of this file as a plain dictionary, empty and default fields left out."""
    return {name: found for name, found in vars(value).items() if found not in (None, {}, 0) or name == "value"}
