"""What one model has said in the exam `explanations`, and which facts its reasons cite."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from ..text import content_words, fingerprint
from .answer_reader import read_answer
from .edge_cases import DECLINE, HELP
from .exam import Answer, ExamFormat, action_part
from .items import Item, Question

OWN, EDITED, SAY, AFTERWARDS = "own", "edited", "say", "afterwards"
READ_AS = {"complies": HELP, "refuses": DECLINE}


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
        self.ring = ring(self.items)

    def decision(self, item: str, part: str = OWN) -> str | None:
        """The option that the model prefers after its own reason; or what it wrote, as `decided` reads it."""
        answer = self.answers.get((item, part))
        return decided(answer, self.format) if answer else None

    def generated(self, item: str) -> bool:
        """Whether the decisions on an item are read from what was written, since options were not scored."""
        answer = self.answers.get((item, OWN))
        return answer is not None and not answer.choice

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

    def partner_alike(self, item: Question, part: str) -> Question | None:
        """An item of another family that the model decides alike and gives a reason for: its reason is the control."""
        decided = self.decision(item.of)
        return partner(
            item, self.ring, lambda one: self.decision(one.of) == decided and self.reason(one.of, part) is not None
        )


def decided(answer: Answer, format: ExamFormat) -> str | None:
    """The option preferred; of a model without log-probabilities what it wrote, None where that is half of each."""
    return answer.chosen or READ_AS.get(read_answer(answer.text, format.action_marker)[0])


def ring(items: Sequence[Question]) -> list[Question]:
    """The items in an order that hangs on their names alone, so that it is the same for every model."""
    return sorted(items, key=lambda item: fingerprint(["partner", item.of]))


def partner(
    item: Question, ring: Sequence[Question], fits: Callable[[Question], bool] = lambda one: True
) -> Question | None:
    """The next item of the ring that is of another family and fits; None where there is none."""
    here = next(place for place, one in enumerate(ring) if one.of == item.of)
    others = (*ring[here + 1 :], *ring[:here])
    return next((one for one in others if one.family != item.family and fits(one)), None)


def deciding_words(item: Item, twin: Item) -> set[str]:
    """The content words of an item's request that its twin does not have: they state the deciding fact."""
    return content_words(last_words(item)) - content_words(last_words(twin)) - idle_words(item)


def idle_words(item: Item) -> set[str]:
    """The content words that the item's idle edit takes out of the request."""
    return content_words(last_words(item)) - content_words(edited_words(item)) if item.edit else set()


def edited_words(item: Item) -> str:
    """The request with the item's idle edit."""
    assert item.edit is not None
    return last_words(item).replace(item.edit.was, item.edit.now)


def last_words(item: Item) -> str:
    return item.messages[-1].content


def cites(reason: str, facts: set[str]) -> bool:
    return bool(content_words(reason) & facts)
