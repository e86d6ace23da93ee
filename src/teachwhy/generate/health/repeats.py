"""Texts that stand twice, or nearly, and runs of words shared with what examines or with the policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...data.checks import NEAR_DUPLICATE, PERMUTATIONS, RUN_OF_WORDS, runs_of_words, sketch
from ...text import words
from .check import CannotRun, Corpus, Found, by_lesson, check, cut, share_of
from .lesson import Lesson
from .wording import said

# Of fewer words, the same text twice is no sign of anything: short acts are like each other by nature.
FEWEST_WORDS = RUN_OF_WORDS
# 16 bands of 8 rows: a pair at the threshold meets in some band 95 times in 100, one at half of it 6 in 100.
BANDS = 16
ROUND_RUN = 4  # words
ROUND_SHARE = 0.2
COMPARED = ("situation", "action", "reason", "rejected")


@check(
    "exact duplicates",
    "Situations, actions and reasons that are word for word those of an earlier lesson; capitals and punctuation do "
    f"not count. Texts of fewer than {FEWEST_WORDS} words are counted and not flagged, unless situation and action "
    "are both the same.",
)
def exact_duplicates(corpus: Corpus) -> Found:
    numbers: dict[str, Any] = {}
    flagged: list[tuple[str, str]] = []
    for name in COMPARED:
        first: dict[str, str] = {}
        texts = corpus.written(name)
        repeated = 0
        for lesson, text in texts:
            earlier = first.setdefault(key_of(text), lesson.id)
            if earlier == lesson.id:
                continue
            repeated += 1
            if len(words(text)) >= FEWEST_WORDS:
                flagged.append((lesson.id, f"the {name} of {earlier} again"))
        if texts:
            numbers[name] = {"texts": len(texts), "repeated": repeated, "share": share_of(repeated, len(texts))}
    return Found(numbers, by_lesson([*twice_whole(corpus), *flagged]))


def twice_whole(corpus: Corpus) -> list[tuple[str, str]]:
    """Lessons of few words that are earlier ones, situation and action."""
    first: dict[tuple[str, str], str] = {}
    flagged = []
    for lesson in corpus.lessons:
        if max(len(words(lesson.situation)), len(words(lesson.action))) >= FEWEST_WORDS:
            continue
        earlier = first.setdefault((key_of(lesson.situation), key_of(lesson.action)), lesson.id)
        if earlier != lesson.id:
            flagged.append((lesson.id, f"the whole of {earlier} again"))
    return flagged


def key_of(text: str) -> str:
    """What two texts share that differ in capitals and punctuation alone; of a text without words, the text."""
    return " ".join(words(text)) or text.strip()


@check(
    "near duplicates",
    "Situations and actions that share about four in five of their runs of three words with those of an earlier "
    "lesson (MinHash). Twins, whose situations differ in one fact by design, are flagged too: the note says whether "
    "the decision is another. Of very many that are alike, each is named with one that it is like.",
)
def near_duplicates(corpus: Corpus) -> Found:
    numbers: dict[str, Any] = {}
    flagged: list[tuple[str, str]] = []
    for name in ("situation", "action"):
        once: dict[str, tuple[Lesson, str]] = {}
        for lesson, text in corpus.written(name):
            once.setdefault(key_of(text), (lesson, text))
        texts = [(lesson, spoken) for lesson, text in once.values() if len(spoken := said(text)) >= 3]
        alike = near_earlier([spoken for _, spoken in texts])
        for later, earlier in alike.items():
            lesson, other = texts[later][0], texts[earlier][0]
            twin = ", with another decision" if lesson.decision != other.decision else ""
            flagged.append((lesson.id, f"its {name} is nearly that of {other.id}{twin}"))
        if texts:
            numbers[name] = {"texts": len(texts), "near": len(alike), "share": share_of(len(alike), len(texts))}
    if not numbers:
        raise CannotRun("no situation or action has three words")
    return Found(numbers, by_lesson(flagged))


def near_earlier(texts: Sequence[Sequence[str]]) -> dict[int, int]:
    """Place of a text -> place of an earlier one that it is nearly the same as. texts: the words of each.

    Locality-sensitive hashing (Indyk and Motwani, 1998) over MinHash sketches. Within a band a text is held against
    the first and the last before it that fell together with it, so that time grows with the number of texts alone.
    """
    import numpy as np

    if len(texts) < 2:
        return {}
    sketches = np.empty((len(texts), PERMUTATIONS), dtype=np.uint32)
    for place, spoken in enumerate(texts):
        sketches[place] = sketch(spoken).hashvalues
    places = np.arange(len(texts))
    nearest = places.copy()
    rows = PERMUTATIONS // BANDS
    for band in range(BANDS):
        part = np.ascontiguousarray(sketches[:, band * rows : (band + 1) * rows])
        keys = part.view(np.dtype((np.void, part.dtype.itemsize * rows))).ravel()
        order = np.argsort(keys, kind="stable")
        opens = np.concatenate([[True], keys[order][1:] != keys[order][:-1]])
        first = order[np.maximum.accumulate(np.where(opens, places, 0))]
        before = np.where(opens, order, np.roll(order, 1))
        for other in (first, before):
            met = np.flatnonzero((other < order) & (nearest[order] == order))
            like = (sketches[order[met]] == sketches[other[met]]).mean(axis=1) >= NEAR_DUPLICATE
            nearest[order[met][like]] = other[met][like]
    return {int(place): int(nearest[place]) for place in np.flatnonzero(nearest != places)}


@check(
    "texts that go round",
    f"Runs of {ROUND_RUN} words that stood in the same text before, as a share of all its runs: weak models fall into "
    f"a loop. Flagged above {ROUND_SHARE:.0%}; texts that people would keep have less than a tenth.",
)
def going_round(corpus: Corpus) -> Found:
    shares = [
        (lesson, name, round_share(said(text))) for lesson in corpus.lessons for name, text in lesson.written.items()
    ]
    flagged = [
        (lesson.id, f"{share:.0%} of its {name} stood there before: “{cut(lesson.written[name], 60)}”")
        for lesson, name, share in shares
        if share > ROUND_SHARE
    ]
    numbers = {"texts": len(shares), "highest": round(max((share for *_, share in shares), default=0.0), 4)}
    return Found(numbers, by_lesson(flagged))


def round_share(text: Sequence[str]) -> float:
    """Of all runs of words in a text, given word by word, the share that stood in it before."""
    runs = [tuple(text[start : start + ROUND_RUN]) for start in range(len(text) - ROUND_RUN + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


@check(
    "overlap with items",
    f"Runs of {RUN_OF_WORDS} words that stand both in a lesson and in an item that is to examine it. A study with this "
    "corpus would stop at its own check of overlap.",
)
def overlap_with_items(corpus: Corpus) -> Found:
    if not corpus.items:
        raise CannotRun("no items were given")
    examined = {item.id: "\n".join([item.prompt, *item.answers.values()]) for item in corpus.items}
    return shared_runs(corpus, examined)


@check(
    "overlap with the policy",
    f"Runs of {RUN_OF_WORDS} words that stand both in a lesson and in the policy's rules, whys and boundaries: the "
    "lesson recites what it should apply.",
)
def overlap_with_policy(corpus: Corpus) -> Found:
    if corpus.policy is None:
        raise CannotRun("no policy was given")
    said_by = {one.id: f"{one.rule}\n{one.why}\n{one.boundaries}" for one in corpus.policy.principles}
    return shared_runs(corpus, said_by)


def shared_runs(corpus: Corpus, others: Mapping[str, str]) -> Found:
    """The first shared run of each lesson: where one sentence stands in all, all pairs would be too many."""
    where: dict[tuple[str, ...], str] = {}
    for name, text in others.items():
        for run in runs_of_words(text, RUN_OF_WORDS):
            where.setdefault(run, name)
    flagged = []
    for lesson in corpus.lessons:
        for part, text in lesson.written.items():
            shared = next((run for run in runs_of_words(text, RUN_OF_WORDS) if run in where), None)
            if shared is not None:
                flagged.append((lesson.id, f"its {part} and {where[shared]}: “{cut(' '.join(shared))}”"))
                break
    count = len(corpus.lessons)
    return Found(
        {"lessons": count, "texts": len(others), "sharing": len(flagged), "share": share_of(len(flagged), count)},
        flagged,
    )
