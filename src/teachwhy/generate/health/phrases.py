"""Habits of whoever wrote the corpus: how texts open, whom they name, and phrases that come back."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from ...text import content_words
from .check import CannotRun, Corpus, Found, check, share_of
from .lesson import Lesson
from .wording import said, without_calls

OPENING_WORDS = 3
# A tenth of all texts with one opening is seen by a model as the way to begin; careful writers stay below it.
OPENING_SHARE = 0.1
# Of people there are many: in one lesson of fifty with the same name, a habit shows.
NAME_SHARE = 0.02
# One lesson in thirty: sayings of the language itself stay below it, a teacher's own turns of phrase do not.
PHRASE_SHARE = 1 / 30
# Below so many lessons, a share says little: three of twenty may begin alike by chance.
FEWEST_LESSONS = 5
SHORTEST_PHRASE, LONGEST_PHRASE = 4, 8
# A phrase that mostly stands within a longer one is not told twice.
WITHIN_LONGER = 0.8
MOST_LISTED = 20
# Words that are written with a capital within a sentence and name nobody.
NOT_NAMES = frozenset(
    "i ok okay tv uk us usa eu un id pdf gp hr it's i'm i'd i've i'll mr mrs ms dr sir god ai monday tuesday wednesday "
    "thursday friday saturday sunday january february march april may june july august september october november "
    "december mondays tuesdays wednesdays thursdays fridays saturdays sundays mon tue wed thu fri sat sun christmas "
    "easter english french german spanish italian".split()
)
WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
ENDS_A_SENTENCE = re.compile(r"(?:^|[.!?…:;\n]|[\"“”'‘’(\[*#•>-])\s*$")


def many(lessons: int, share: float) -> int:
    """In how many of so many lessons something stands before it is called a habit."""
    return max(FEWEST_LESSONS, int(share * lessons) + 1)


@check(
    "openings",
    f"The first {OPENING_WORDS} words of actions and of reasons. Flagged where more than {OPENING_SHARE:.0%} of the "
    "texts begin alike: the opening is learnt before anything else.",
)
def openings(corpus: Corpus) -> Found:
    numbers: dict[str, Any] = {}
    flagged: list[tuple[str, str]] = []
    for name in ("action", "reason"):
        texts = [(lesson, opening) for lesson, text in corpus.written(name) if (opening := opening_of(text))]
        if not texts:
            continue
        counts = Counter(opening for _, opening in texts)
        least = many(len(texts), OPENING_SHARE)
        common = counts.most_common(MOST_LISTED)
        numbers[name] = {"texts": len(texts), "different": len(counts), "commonest": listed(common, len(texts))}
        for opening, count in common:
            if count >= least:
                first = next(lesson for lesson, one in texts if one == opening)
                flagged.append((first.id, f"“{opening} …” opens {count:,} of {len(texts):,} {name}s; here for one"))
    return Found(numbers, flagged)


def opening_of(text: str) -> str:
    return " ".join(said(without_calls(text)[: 50 * OPENING_WORDS])[:OPENING_WORDS])


def listed(counts: Iterable[tuple[str, int]], whole: int) -> list[dict[str, Any]]:
    """Those that stand more than once."""
    return [{"text": text, "lessons": count, "share": share_of(count, whole)} for text, count in counts if count > 1]


@check(
    "names",
    "People's names that come back over many lessons, as those of language models do. A word counts as a name if "
    "it stands within a sentence with a capital letter, and nowhere in the corpus without one: a simple heuristic, "
    "which takes places, brands and other proper names for people's, and sees nothing in scripts without capitals. "
    f"Flagged in more than {NAME_SHARE:.0%} of the lessons.",
)
def names(corpus: Corpus) -> Found:
    small: set[str] = set()
    where: Counter[str] = Counter()
    first: dict[str, str] = {}
    cased = False
    for lesson in corpus.lessons:
        text = "\n".join(lesson.written.values())
        capital, lower = within_sentences(text)
        cased = cased or text != text.swapcase()
        small |= lower
        where.update(capital)
        for name in capital:
            first.setdefault(name, lesson.id)
    if not cased:
        raise CannotRun("the texts are in a script without capital letters")
    found = Counter({name: count for name, count in where.items() if name.lower() not in small | NOT_NAMES})
    lessons = len(corpus.lessons)
    least = many(lessons, NAME_SHARE)
    common = sorted(found.items(), key=lambda one: (-one[1], one[0]))
    numbers = {"different": len(found), "commonest": listed(common[:MOST_LISTED], lessons)}
    flagged = [
        (first[name], f"{name} stands in {count:,} of {lessons:,} lessons; here for one")
        for name, count in common
        if count >= least
    ]
    return Found(numbers, flagged)


def within_sentences(text: str) -> tuple[set[str], set[str]]:
    """Words with one capital within a sentence, and all words that stand without one."""
    capital, lower = set(), set()
    for match in WORD.finditer(text):
        word = match[0].removesuffix("'s").removesuffix("’s")
        if word.islower():
            lower.add(word)
        elif (
            word.istitle()
            and len(word) > 1
            and not ENDS_A_SENTENCE.search(text[max(0, match.start() - 8) : match.start()])
        ):
            capital.add(word)
    return capital, lower


@check(
    "stock phrases",
    f"Runs of {SHORTEST_PHRASE} to {LONGEST_PHRASE} words that stand in more than one lesson of thirty, found from the "
    "corpus itself. Phrases that the policy has too are counted apart and not flagged; nor are those without a word "
    "that carries meaning.",
)
def stock_phrases(corpus: Corpus) -> Found:
    lessons = len(corpus.lessons)
    least = many(lessons, PHRASE_SHARE)
    found = recurring(corpus.lessons, least)
    of_policy = policy_text(corpus)
    common = sorted(found.items(), key=lambda one: (-one[1][0], one[0]))
    own = [(phrase, at) for phrase, at in common if f" {phrase} " not in of_policy]
    numbers = {
        "in_at_least": least,
        "phrases": len(own),
        "commonest": listed([(phrase, count) for phrase, (count, _) in own[:MOST_LISTED]], lessons),
        "of_the_policy": listed(
            [(phrase, count) for phrase, (count, _) in common if f" {phrase} " in of_policy][:MOST_LISTED], lessons
        ),
    }
    flagged = [
        (corpus.lessons[place].id, f"“{phrase}” stands in {count:,} of {lessons:,} lessons; here for one")
        for phrase, (count, place) in own
    ]
    return Found(numbers, flagged)


def policy_text(corpus: Corpus) -> str:
    principles = corpus.policy.principles if corpus.policy else ()
    return " | ".join(f" {' '.join(said(text))} " for one in principles for text in (one.rule, one.why, one.boundaries))


def recurring(lessons: Sequence[Lesson], least: int) -> dict[str, tuple[int, int]]:
    """Phrase -> (in how many lessons it stands, the first of them), for those in at least so many.

    A run of words can only be frequent if both runs within it are (Agrawal and Srikant, 1994): from length to length
    only those are looked at, so that the many runs that stand once are never kept. A phrase that nearly always stands
    in a longer one is left out.
    """
    vocabulary: Counter[str] = Counter()
    for lesson in lessons:
        vocabulary.update({word for text in phrases_of(lesson) for word in said(text)})
    named = [word for word, count in vocabulary.items() if count >= least]
    codes = {word: code for code, word in enumerate(named)}
    # Of each lesson its frequent words by number, and -1 for any other and between texts.
    coded = [
        array("i", [codes.get(word, -1) for text in phrases_of(lesson) for word in [*said(text), ""]])
        for lesson in lessons
    ]
    del vocabulary
    alive = [[place for place, code in enumerate(row) if code >= 0] for row in coded]
    found: dict[tuple[int, ...], tuple[int, int]] = {}
    for length in range(2, LONGEST_PHRASE + 1):
        counts, alive = longer(coded, alive, length, least)
        for run, (count, _) in counts.items():
            for within in (run[:-1], run[1:]):
                if within in found and count >= WITHIN_LONGER * found[within][0]:
                    del found[within]
        if length >= SHORTEST_PHRASE:
            found |= counts
    spelled = {" ".join(named[code] for code in run): at for run, at in found.items()}
    return {phrase: at for phrase, at in spelled.items() if content_words(phrase)}


def phrases_of(lesson: Lesson) -> list[str]:
    """Situation, action and reason: what else stands beside them is made to be like the reason."""
    return [lesson.situation, lesson.action, lesson.texts.get("reason", ""), lesson.texts.get("rejected", "")]


def longer(
    coded: Sequence[Sequence[int]], alive: Sequence[Sequence[int]], length: int, least: int
) -> tuple[dict[tuple[int, ...], tuple[int, int]], list[list[int]]]:
    """Frequent runs of a length -> (lessons, the first of them), and where in each lesson such runs begin.

    alive: where runs of one word less begin that are frequent.
    """
    counts: Counter[tuple[int, ...]] = Counter()
    first: dict[tuple[int, ...], int] = {}
    starts: list[list[int]] = []
    for number, (row, places) in enumerate(zip(coded, alive, strict=True)):
        after = set(places)
        here = [place for place in places if place + 1 in after]
        runs = {tuple(row[place : place + length]) for place in here}
        counts.update(runs)
        for run in runs:
            first.setdefault(run, number)
        starts.append(here)
    frequent = {run: (count, first[run]) for run, count in counts.items() if count >= least}
    kept = [
        [place for place in places if tuple(row[place : place + length]) in frequent]
        for row, places in zip(coded, starts, strict=True)
    ]
    return frequent, kept
