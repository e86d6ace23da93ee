"""What a corpus is made of: decisions by principle, lengths, reading ease."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from statistics import mean, median
from typing import Any

from ...data.arm_check import reading_ease
from ...policy import LENGTH_WORDS
from ...text import words
from .check import CannotRun, Corpus, Found, by_lesson, check
from .lesson import Lesson
from .wording import mostly_latin, said

# 19 of 20 the same way teach the decision as well as all do: whoever never looks at the case is right.
ONE_SIDED = 0.95
FEWEST_OF_A_PRINCIPLE = 5  # lessons of a principle, below which one decision alone says nothing
MEANS_APART = 0.1  # a tenth; the arm check calls texts of two arms of another length from here on
ONE_APART = 1 / 3  # of one lesson's two texts; written to one length they stay within a fifth, with few beyond
RUN_ON = 5  # times the median, or a fifth of it: cut off, run on, or not a text of this kind
HARD = 30.0  # Flesch (1948) calls texts below it very difficult, the style of scientific journals
HARD_SHARE = 0.05  # some texts are hard for good cause; in the bundled lessons, one in four hundred is
FEWEST_READ = 20  # words of a text, below which one long word decides its reading ease
WITH_MENTION = "the mention with the reason"
BARS = 12  # of a distribution, as it is drawn
PLACES = ("swapped", "neutral", "unrelated", "deliberation", "paraphrase", "mention", "rejected")


@check(
    "decisions by principle",
    f"How many lessons of each principle end in each decision. Flagged: a principle of {FEWEST_OF_A_PRINCIPLE} lessons "
    f"or more with one decision in {ONE_SIDED:.0%} or more of them; a model can then be right without looking.",
)
def decisions(corpus: Corpus) -> Found:
    decided = [lesson for lesson in corpus.lessons if lesson.decision]
    if not decided:
        raise CannotRun("no lesson names its decision")
    table: dict[str, Counter[str]] = defaultdict(Counter)
    for lesson in decided:
        table[lesson.principle][lesson.decision] += 1
    known = corpus.policy.ids if corpus.policy else []
    numbers = {
        "lessons": len(corpus.lessons),
        "without_decision": len(corpus.lessons) - len(decided),
        "by_principle": {principle: dict(sorted(counts.items())) for principle, counts in sorted(table.items())},
        "principles_without_lessons": [name for name in known if name not in table],
        "principles_not_in_the_policy": [name for name in sorted(table) if known and name not in known],
    }
    flagged = []
    for principle, counts in sorted(table.items()):
        (decision, most), whole = counts.most_common(1)[0], counts.total()
        if whole >= FEWEST_OF_A_PRINCIPLE and most >= ONE_SIDED * whole:
            flagged.append((principle or "no principle", f"“{decision}” in {most:,} of {whole:,} lessons"))
    return Found(numbers, flagged)


@check(
    "lengths",
    "Words of each text (characters, in scripts without spaces). Texts that are trained on in each other's place are "
    "to be of one length, since the loss would tell them apart by it: the controls and the reason, with its mention "
    "where that fits better; the versions of a document; the two responses of a pair. Flagged: means that differ by "
    "more than a tenth; the two texts of a lesson that differ by more than a third; texts of more than five times the "
    "median length, or less than a fifth of it.",
)
def lengths(corpus: Corpus) -> Found:
    counts = [{name: len(said(text)) for name, text in lesson.written.items() if text} for lesson in corpus.lessons]
    names = list(dict.fromkeys(name for of_lesson in counts for name in of_lesson))
    numbers: dict[str, Any] = {"words": {}, "in_place_of_others": {}}
    flagged: list[tuple[str, str]] = []
    for name in names:
        numbers["words"][name] = distribution([of_lesson[name] for of_lesson in counts if name in of_lesson])
    whole, stands = what_stands(counts)
    for name in PLACES:
        both = [
            (lesson, of_lesson[name], whole(of_lesson))
            for lesson, of_lesson in zip(corpus.lessons, counts, strict=True)
            if name in of_lesson and whole(of_lesson)
        ]
        if not both or (name == "mention" and stands == WITH_MENTION):
            continue
        of_text, of_other = mean(words for _, words, _ in both), mean(words for _, _, words in both)
        numbers["in_place_of_others"][name] = {
            "in_place_of": stands, "lessons": len(both), "mean": round(of_text, 1), "mean_of_that": round(of_other, 1)
        }  # fmt: skip
        if abs(of_text - of_other) > max(MEANS_APART * of_other, 1):
            flagged.append(("all lessons", f"{name} has {of_text:.1f} words in the mean, {stands} {of_other:.1f}"))
        flagged += [
            (lesson.id, f"{name} has {one} words, {stands} {other}")
            for lesson, one, other in both
            if abs(one - other) > max(LENGTH_WORDS, ONE_APART * other)
        ]
    return Found(numbers, by_lesson([*flagged, *run_on(corpus.lessons, counts, numbers["words"])]))


def what_stands(counts: Sequence[dict[str, int]]) -> tuple[Callable[[dict[str, int]], int], str]:
    """The words of what other texts stand in the place of, and its name; the texts themselves tell which it is."""

    def alone(of_lesson: dict[str, int]) -> int:
        return of_lesson.get("reason", 0)

    def together(of_lesson: dict[str, int]) -> int:
        return of_lesson.get("reason", 0) + of_lesson.get("mention", 0)

    reasoned = [of_lesson for of_lesson in counts if "reason" in of_lesson]
    if not reasoned:
        return (lambda of_lesson: of_lesson.get("action", 0)), "the text"
    others = [
        (of_lesson[name], of_lesson)
        for of_lesson in reasoned
        for name in PLACES
        if name in of_lesson and name != "mention"
    ]
    apart = [sum(abs(words - whole(of_lesson)) for words, of_lesson in others) for whole in (alone, together)]
    return (together, WITH_MENTION) if apart[1] < apart[0] else (alone, "the reason")


def run_on(
    lessons: Sequence[Lesson], counts: Sequence[dict[str, int]], found: dict[str, dict[str, Any]]
) -> list[tuple[str, str]]:
    """Texts far longer or shorter than others of their kind. Situations are left out: people write as they like."""
    return [
        (lesson.id, f"its {name} has {length:,} words; the median is {found[name]['median']:g}")
        for lesson, of_lesson in zip(lessons, counts, strict=True)
        for name, length in of_lesson.items()
        if name != "situation" and not found[name]["median"] / RUN_ON <= length <= found[name]["median"] * RUN_ON
    ]


def distribution(values: Sequence[float]) -> dict[str, Any]:
    """How values lie: `bars` counts them in equal steps between the 1st and the 99th of a hundred, ends included."""
    ordered = sorted(values)
    low, high = ordered[len(ordered) // 100], ordered[-1 - len(ordered) // 100]
    step = (high - low) / BARS or 1
    if all(isinstance(value, int) for value in ordered):  # each bar is to hold as many whole numbers as any other
        step = math.ceil((high - low + 1) / BARS)
    bars = [0] * min(BARS, math.floor((high - low) / step) + 1)
    for value in ordered:
        bars[min(len(bars) - 1, max(0, int((value - low) / step)))] += 1
    return {
        "texts": len(ordered),
        "mean": round(mean(ordered), 1),
        "median": round(median(ordered), 1),
        "least": round(ordered[0], 1),
        "most": round(ordered[-1], 1),
        "bars": {"from": round(low, 1), "step": round(step, 3), "counts": bars},
    }


@check(
    "reading ease",
    "Flesch reading ease of English texts: 60 to 70 is plain English, below 30 very difficult. Flagged: actions or "
    f"reasons below {HARD:.0f}, where they are more than {HARD_SHARE:.0%} of all that have at least {FEWEST_READ} "
    "words. It counts syllables and sentence lengths, and nothing of what is said.",
)
def ease(corpus: Corpus) -> Found:
    if not mostly_latin(lesson.action for lesson in corpus.lessons):
        raise CannotRun("most letters are not of the Latin alphabet, and the formula is made for English")
    numbers: dict[str, Any] = {}
    flagged: list[tuple[str, str]] = []
    for name in ("action", "reason"):
        read = [
            (lesson, reading_ease(text)) for lesson, text in corpus.written(name) if len(words(text)) >= FEWEST_READ
        ]
        hard = [(lesson.id, f"its {name} has {value:.0f}") for lesson, value in read if value < HARD]
        if read:
            numbers[name] = distribution([value for _, value in read]) | {"very_difficult": len(hard)}
        if len(hard) > HARD_SHARE * len(read):
            flagged += hard
    if not numbers:
        raise CannotRun(f"no action or reason has {FEWEST_READ} words")
    return Found(numbers, flagged)
