"""What one model has said in the exam `explanations`, and which facts its reasons cite."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from ..text import content_words, fingerprint, words
from .exam import Answer, ExamFormat, action_part
from .items import Item

OWN, EDITED, SAY, AFTERWARDS = "own", "edited", "say", "afterwards"


class Question(Item):
    """One thing that is asked about an item.

    of: the item's id. part: what is asked. by: who is to answer. mouth: the reason put in the model's mouth before its
    action, empty for the action at once; None where it writes a reason of its own.
    """

    of: str
    part: str
    by: Literal["subject", "judge"] = "subject"
    mouth: str | None = None


class Said:
    """The questions and answers of one model, by item and part."""

    def __init__(self, cases: Mapping[str, Item], answers: Iterable[Answer], format: ExamFormat) -> None:
        self.format = format
        questions = [case for case in cases.values() if isinstance(case, Question)]
        self.items = [question for question in questions if question.part == OWN]
        self.questions = {(question.of, question.part): question for question in questions}
        asked = {question.id: (question.of, question.part) for question in questions}
        self.answers = {asked[answer.item]: answer for answer in answers if answer.item in asked}
        first = {item.pair: item for item in reversed(self.items)}
        last = {item.pair: item for item in self.items}
        self.twins = {item.of: last[item.pair] if item is first[item.pair] else first[item.pair] for item in self.items}
        self.first_of_pairs = {item.of for item in first.values()}

    def decision(self, item: str, part: str = OWN) -> str | None:
        """The option that the model prefers after its own reason."""
        answer = self.answers.get((item, part))
        return answer.chosen if answer else None

    def reason(self, item: str, part: str = OWN) -> str | None:
        """What it wrote before its action, without the markers; None where that is nothing."""
        answer = self.answers.get((item, part))
        if answer is None:
            return None
        marker = self.format.action_marker
        before = answer.text.partition(marker)[0] if marker else answer.text
        reason = action_part(before, self.format.reason_marker).strip()
        return reason or None

    def changed(self, item: Question) -> tuple[Question, str | None]:
        """A changed case and the decision on it: the twin for the first of a pair, the idle edit for the other."""
        if item.of in self.first_of_pairs:
            twin = self.twins[item.of]
            return twin, self.decision(twin.of)
        return self.questions[item.of, EDITED], self.decision(item.of, EDITED)

    def partner(self, item: Question, part: str = OWN) -> Question | None:
        """An item of another family that the model decides alike and gives a reason for: its reason is the control."""
        decided = self.decision(item.of)
        alike = [one for one in self.items if self.decision(one.of) == decided and self.reason(one.of, part)]
        return partner(item, alike)


def partner(item: Question, others: Sequence[Question]) -> Question | None:
    """The next item of another family, in an order that hangs on names alone; None where there is none."""
    ring = sorted((one for one in others if one.family != item.family), key=place)
    return next((one for one in ring if place(one) > place(item)), ring[0] if ring else None)


def place(item: Question) -> str:
    return fingerprint(["partner", item.of])


def deciding_words(item: Item, twin: Item) -> set[str]:
    """The content words of the clauses in which an item differs from its twin, those of the idle edit left out."""
    known = set(clauses(twin))
    said = set().union(*(content_words(" ".join(clause)) for clause in clauses(item) if clause not in known), set())
    return said - idle_words(item)


def idle_words(item: Item) -> set[str]:
    """The content words that the item's edit takes away."""
    return content_words(item.edit.was) - content_words(item.edit.now) if item.edit else set()


def clauses(item: Item) -> list[tuple[str, ...]]:
    """The clauses of the request, as words."""
    parts = re.split(r"[.,;:!?()\n]|\s[-–—]\s", item.messages[-1].content)
    return [clause for part in parts if (clause := tuple(words(part)))]


def cites(reason: str, facts: set[str]) -> bool:
    return bool(content_words(reason) & facts)
