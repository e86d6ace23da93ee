"""The exam `decisions`: which action does the model take, read from what it generates and from choice scoring."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..data import sentences
from ..text import fingerprint, words
from .exam import Answer, Exam, ExamFormat, Metric, Request, Score, Section, register, scored
from .items import Item

FOLLOWS = "follows_first_fact"
CORRECT = "correct"


def requests(items: Sequence[Item], format: ExamFormat) -> list[Request]:
    """Every item in the arm's own format, and the items of some pairs in the other one."""
    both = pairs_in_both(items, format.off_share)
    return [own(item) for item in items] + [off(item, format) for item in items if item.pair in both]


def pairs_in_both(items: Sequence[Item], share: float) -> set[str]:
    """A share of the pairs, the same for all arms."""
    pairs = by_lot(items)
    return set(pairs[: round(share * len(pairs))])


def by_lot(items: Sequence[Item]) -> list[str]:
    """The pairs in the order in which they come to be asked in both formats: that of the hashes of their names."""
    return sorted({item.pair for item in items}, key=lambda pair: fingerprint(["off", pair]))


def own(item: Item) -> Request:
    return Request(item.id, "own", "", item.answers)


def off(item: Item, format: ExamFormat) -> Request:
    """An arm that writes its reason first is asked for the bare action; any other is asked for a reason first."""
    opening = format.action_marker if format.reason_first else format.reason_marker
    return Request(item.id, "off", opening, item.answers)


def score(item: Item, answer: Answer, format: ExamFormat) -> list[Score]:
    """The decision that was generated, and the one that choice scoring prefers, each under the item's metric."""
    metric, target = target_of(item)
    generated, cause = parse(answer.text, item, format)
    return [
        as_score(answer, metric, generated, target, cause),
        as_score(answer, f"{metric}_by_choice", answer.chosen, target, "no choice scores"),
    ]


def target_of(item: Item) -> tuple[str, str]:
    """The metric of an item and the decision that counts as 1."""
    if item.gold is not None:
        return CORRECT, item.gold
    first = next(iter((item.facts or {}).values()))
    return FOLLOWS, first.decision


def as_score(answer: Answer, metric: str, decision: str | None, target: str, cause: str | None) -> Score:
    return scored(answer, metric, None if decision is None else float(decision == target), decision, cause)


def parse(text: str, item: Item, format: ExamFormat) -> tuple[str | None, str | None]:
    """The decision whose full action stands in the action part of a text, or None and why.

    Case, punctuation and spacing are passed over. Only what follows the last action marker is read, where there is one.
    Of an arm that weaves, an action stands where its sentences do, in their order, whatever is said between them.
    """
    _, marker, after = text.rpartition(format.action_marker) if format.action_marker else ("", "", text)
    if not marker and format.action_marker:
        return None, "no action marker"
    said = f" {' '.join(words(after))} "
    found = [
        decision
        for decision, action in item.answers.items()
        if stand_in(said, sentences(action) if format.woven else [action])
    ]
    if len(found) == 1:
        return found[0], None
    return None, "two actions" if found else "no known action"


def stand_in(said: str, parts: Iterable[str]) -> bool:
    """Whether the words of all parts stand in a text, each behind the one before. said: words, a space on each side."""
    wanted = [found for part in parts if (found := words(part))]
    place = 0
    for found in wanted:
        if (place := said.find(f" {' '.join(found)} ", place)) < 0:
            return False
        place += len(" ".join(found)) + 1
    return bool(wanted)


register(
    Exam(
        name="decisions",
        version=1,
        by=(("kind", "distance"),),
        section=Section("Decisions", "The same cases for every arm; the decision is read from the action."),
        requests=requests,
        score=score,
        metrics=(
            Metric(
                FOLLOWS,
                "share of conflict cases decided as the first fact asks (a preference between facts)",
                None,
                generated=True,
            ),
            Metric(f"{FOLLOWS}_by_choice", "the same, by log-probability of the full action", None),
            Metric(CORRECT, "share of cases with a right decision that are decided rightly", True, generated=True),
            Metric(f"{CORRECT}_by_choice", "the same, by log-probability of the full action", True),
        ),
    )
)
