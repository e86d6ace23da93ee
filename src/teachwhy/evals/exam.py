"""What an exam is: two pure functions, requests and score, and the records that pass between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ..errors import InputError, unknown_name
from .honeypots.scenario import Scenarios
from .items import Item


@dataclass(frozen=True)
class ExamFormat:
    """How an arm writes: whether it gives reasons and where, and the words that open each part.

    place: of the reason: first, last or woven between the sentences of the action.
    off_share: the share of the pairs that are asked in the other format too. judged: whether the study names a judge.
    """

    reasons: bool
    place: str
    reason_marker: str
    action_marker: str
    off_share: float = 1.0
    judged: bool = False

    @property
    def reason_first(self) -> bool:
        return self.reasons and self.place == "first"

    @property
    def woven(self) -> bool:
        return self.reasons and self.place == "woven"


@dataclass(frozen=True)
class Request:
    """One thing to ask of a model.

    format: own (as the arm was taught) or off (the other way, labelled off-format). opening: text put into the
    model's mouth. options: decision -> full action text; scored after the model's own words up to the action.
    write: whether the model is to go on from the opening, or the options alone are scored behind it. by: who is asked,
    the model under test or the judge.
    """

    item: str
    format: str
    opening: str
    options: Mapping[str, str]
    write: bool = True
    by: Literal["subject", "judge"] = "subject"


@dataclass(frozen=True)
class Answer:
    """What a model said to a request, stored once.

    text: everything it generated, the opening included. choice: decision -> mean log-probability (nats a token) of
    the full action after the model's own words before it. cause: why there is nothing to score, such as a request that
    was never answered; None for an answer.
    """

    item: str
    format: str
    text: str
    choice: Mapping[str, float] = field(default_factory=dict)
    sample: int = 0
    cause: str | None = None

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
    """A measure with its direction.

    higher_is_better None: a preference, neither good nor bad. chance: what guessing gives, where that is one number.
    generated: whether it is read from what the model wrote, so that what is unscored is an answer that cannot be read.
    cost: whether a gain elsewhere may be paid with it, so that every page compares the arms on it.
    of_pairs: whether both items of a pair get one value, so that pairs and not items are what is counted.
    """

    name: str
    meaning: str
    higher_is_better: bool | None
    chance: float | None = None
    generated: bool = False
    cost: bool = False
    of_pairs: bool = False


@dataclass(frozen=True)
class Section:
    """How an exam is shown: a plain record that the report draws.

    title: its heading. about: what a reader must know to read it, in a sentence or two. shown: metrics drawn for every
    arm. planes: pairs of metrics, across and up, drawn as one plane with every arm. place: where it stands on the page.
    """

    title: str
    about: str = ""
    shown: tuple[str, ...] = ()
    planes: tuple[tuple[str, str], ...] = ()
    place: Literal["decisions", "explanations", "agents", "costs"] = "decisions"


@dataclass(frozen=True)
class Material:
    """What a study has to ask. prompts: of refusal sets, without twins or answers. questions: of general knowledge.
    sample: items where many are asked of each. scenarios: of agents under temptation.
    """

    items: Sequence[Item]
    prompts: Sequence[Item] = ()
    sample: int = 96
    questions: Sequence[Item] = ()
    scenarios: Scenarios | None = None


@dataclass(frozen=True)
class Exam:
    """requests: what to ask of one arm. score: the scores of an answer. version: rises when a question or a score
    changes meaning, since stored answers are then to be made again.

    score_together: scores that need more than one answer of a model, such as those of a pair; None where there are
    none. cases: from what the study has to ask to what is asked; each case has an id of its own. follow_up: from all
    cases and answers so far to the cases that these allow and that are new; asked until there are none. It is a pure
    function, so that stored answers give the same cases again. asks_across: whether what follows hangs on answers to
    other cases, so that no case can be gone through alone. needs_judge: whether it cannot do without. needs_reasons:
    whether it reads the reason of an answer apart from its action. reads_causes: whether `follow_up` and
    `score_together` are told of requests that were never answered. by: the groups of items for which rates are given,
    each by some fields of the cases; none for all items together. The floor of competence is held against the first.
    asked_a_case: how many questions come of a case, with those that follow; for estimates of time. needs: what a study
    must have for it, said where it would have nothing to ask. section: how the page shows it.
    """

    name: str
    version: int
    requests: Callable[[Sequence[Item], ExamFormat], list[Request]]
    score: Callable[[Item, Answer, ExamFormat], list[Score]]
    metrics: tuple[Metric, ...]
    section: Section
    score_together: Callable[[Mapping[str, Item], Sequence[Answer], ExamFormat], list[Score]] | None = None
    by: tuple[tuple[str, ...], ...] = ((), ("kind",))
    asked_a_case: float = 1.0
    needs: str = ""
    cases: Callable[[Material], list[Item]] = lambda material: list(material.items)
    follow_up: Callable[[Mapping[str, Item], Sequence[Answer], ExamFormat], list[Item]] | None = None
    asks_across: bool = False
    needs_judge: bool = False
    needs_reasons: bool = False
    reads_causes: bool = False

    def metric(self, name: str) -> Metric:
        """One of its metrics; a study file that names another is refused when it is read."""
        return next(metric for metric in self.metrics if metric.name == name)

    def sit(
        self, cases: Sequence[Item], format: ExamFormat, put: Callable[[Sequence[Item]], list[Answer]]
    ) -> list[Answer]:
        """The answers to all cases, and to those that follow from them. put: asks cases of whoever they are for."""
        known: dict[str, Item] = {}
        answers: list[Answer] = []
        new = list(cases)
        while new:
            known |= {case.id: case for case in new}
            answers += put(new)
            new = self.follow_up(known, self.heard(answers), format) if self.follow_up else []
        return answers

    def heard(self, answers: Sequence[Answer]) -> Sequence[Answer]:
        """Those that are answers; all, for an exam that itself makes something of what was never answered."""
        return answers if self.reads_causes else given(answers)

    def score_all(self, cases: Mapping[str, Item], answers: Sequence[Answer], format: ExamFormat) -> list[Score]:
        """The scores of each answer, then those that need several. What was never answered is unscored."""
        each = [
            without_value(score, answer.cause) if answer.cause else score
            for answer in answers
            for score in self.score(cases[answer.item], answer, format)
        ]
        return each + (self.score_together(cases, self.heard(answers), format) if self.score_together else [])

    def asked(self, cases: Mapping[str, Item], answers: Sequence[Answer], format: ExamFormat) -> dict[str, Item]:
        """Case id -> case: those given and all that followed from the answers."""
        known, answers = dict(cases), self.heard(answers)
        while self.follow_up and (new := self.follow_up(known, answers, format)):
            known |= {case.id: case for case in new}
        return known


def check_apart(exam: Exam, format: ExamFormat, arm: str, where: str) -> None:
    """Refuse an exam that reads reasons apart from actions for an arm that weaves the two."""
    if exam.needs_reasons and format.woven:
        raise InputError(
            f"The exam {exam.name!r} reads a reason apart from the action, and the arm {arm!r} weaves the two.",
            where=where,
            remedy="Give the arm `reason: first` or `reason: last`, or take the exam out.",
        )


def given(answers: Sequence[Answer]) -> list[Answer]:
    """Those that are answers."""
    return [answer for answer in answers if answer.cause is None]


def without_value(score: Score, cause: str) -> Score:
    return replace(score, value=None, decision=None, cause=cause)


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
