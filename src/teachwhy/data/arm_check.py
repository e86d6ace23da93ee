"""The arm check: what of each arm moved against `why`, and what should not have."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..text import STOP_WORDS, content_words, fingerprint, words
from .arms import find_arm
from .example import Example
from .rows import Row

TREATED = "why"
ARM_PROPERTIES = {
    "reason_words": "share of the reason's content words that stand beside the action",
    "fact_words": "share of the mention's content words that stand beside the action",
    "words": "words beside the action",
    "reading_ease": "Flesch reading ease of what stands beside the action",
    "opening": "share of the texts that begin with the two commonest words",
    "told_apart": "share of texts that a classifier tells from those of `why` by length, function words, punctuation",
    "trained_tokens": "tokens that the loss counts in an update",
}
FUNCTION_WORDS = sorted(STOP_WORDS)
MARKS = ".,;:!?'\"()-–—"
FOLDS = 5
PENALTY = 10.0


def check_arms_against_why(
    rows: Mapping[str, Sequence[Row]],
    kinds: Mapping[str, str],
    examples: Iterable[Example],
    trained_tokens: Mapping[str, float],
    marker: str,
) -> list[dict[str, Any]]:
    """One record for each arm and property: its value, that of `why`, whether it moved and whether it may.

    rows: arm -> rows. kinds: arm -> kind of arm, whose declaration counts. trained_tokens: arm -> mean of an update.
    marker: what opens the text beside an action; it is not counted.
    treated: the first arm of the kind `why`, which the others are held against. Without one there is nothing to compare
    with. "words", "reading_ease" and "opening" are means
    over rows; a property that an arm does not have is None.
    """
    treated = next((name for name in rows if kinds[name] == TREATED), None)
    if treated is None:
        return []
    by_id = {example.id: example for example in examples}
    texts = {
        name: {row.example: row.beside().strip().removeprefix(marker).strip() for row in arm_rows}
        for name, arm_rows in rows.items()
    }
    measured = {name: measure(texts[name], by_id) | {"trained_tokens": trained_tokens[name]} for name in rows}
    records = []
    for name in rows:
        if name == treated:
            continue
        values = measured[name] | {"told_apart": told_apart(texts[name], texts[treated])}
        for measure_name in ARM_PROPERTIES:
            value, of_why = values[measure_name], measured[treated].get(measure_name)
            has_moved = moved(measure_name, value, of_why, len(rows[name]))
            may = measure_name in find_arm(kinds[name]).may_change
            records.append(
                {
                    "arm": name,
                    "treated": treated,
                    "property": measure_name,
                    "value": value,
                    "of_why": of_why,
                    "moved": has_moved,
                    "may": may,
                }
            )
    return records


def measure(texts: Mapping[str, str], examples: Mapping[str, Example]) -> dict[str, float | None]:
    """The properties of the texts of one arm. texts: example id -> what stands beside its action."""
    said = [text for text in texts.values() if text]
    if not said:
        return dict.fromkeys(ARM_PROPERTIES) | {"words": 0.0}
    known = [(text, examples[identifier]) for identifier, text in texts.items() if identifier in examples]
    return {
        "reason_words": mean(held(text, example.reason) for text, example in known),
        "fact_words": mean(held(text, example.mention) for text, example in known),
        "words": mean(len(words(text)) for text in said),
        "reading_ease": mean(map(reading_ease, said)),
        "opening": Counter(tuple(words(text)[:2]) for text in said).most_common(1)[0][1] / len(said),
    }


def held(text: str, other: str | None) -> float | None:
    """The share of another text's content words that stand in a text."""
    wanted = content_words(other or "")
    return len(wanted & content_words(text)) / len(wanted) if wanted else None


def mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 3) if known else None


def reading_ease(text: str) -> float:
    """Flesch (1948): 206.835 - 1.015 words a sentence - 84.6 syllables a word; a group of vowels is a syllable."""
    said = words(text)
    sentences = max(1, len(re.findall(r"[.!?]+(?:\s|$)", text)))
    syllables = sum(max(1, len(re.findall(r"[aeiouy]+", re.sub(r"e$", "", word)))) for word in said)
    return 206.835 - 1.015 * len(said) / sentences - 84.6 * syllables / max(1, len(said))


def moved(name: str, value: float | None, of_why: float | None, rows: int) -> bool:
    """Whether a value is farther from that of `why` than may be called the same.

    Of a few texts a classifier that knows nothing tells more than .6 by luck: the bound is 1.6 standard errors off .5.
    """
    if name == "told_apart":
        return value is not None and value > 0.5 + max(0.1, 1.6 * math.sqrt(0.25 / (2 * rows)))
    if value is None or of_why is None:
        return value is not of_why
    if name in ("words", "trained_tokens"):
        return abs(value - of_why) > 0.1 * abs(of_why)
    return abs(value - of_why) > (10 if name == "reading_ease" else 0.1)


def faults(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """A line for each property that moved though its arm does not declare it."""
    return [
        f"{record['arm']}: {ARM_PROPERTIES[record['property']]}: {shown(record['value'])}"
        + ("" if record["property"] == "told_apart" else f", `{record['treated']}` {shown(record['of_why'])}")
        for record in records
        if record["moved"] and not record["may"]
    ]


def as_table(records: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[str, str]]]:
    """Arm -> (value, mark) of every property in the order of ARM_PROPERTIES, each treated arm before its others.

    mark: `declared` where it moved as the arm declares, `fault` where it should not have, empty where it stayed.
    """
    table: dict[str, list[tuple[str, str]]] = {}
    first: dict[str, str] = {}
    for record in records:
        if first.setdefault(record["treated"], record["arm"]) == record["arm"]:
            table.setdefault(record["treated"], []).append((shown(record["of_why"]), ""))
        mark = "" if not record["moved"] else "declared" if record["may"] else "fault"
        table.setdefault(record["arm"], []).append((shown(record["value"]), mark))
    return table


def shown(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"


def told_apart(texts: Mapping[str, str], others: Mapping[str, str]) -> float | None:
    """Share told rightly by a ridge classifier on form alone, in 5 folds that keep the texts of an example together.

    .5 is chance, and what texts are worth that both sides have. None where a side has nothing beside its actions.
    """
    import numpy as np

    if not (any(texts.values()) and any(others.values())):
        return None
    both = set(texts.values()) & set(others.values())
    labelled = [
        (id, text, side)
        for side, group in ((1.0, texts), (-1.0, others))
        for id, text in group.items()
        if text and text not in both
    ]
    if len({side for _, _, side in labelled}) < 2 or len(labelled) < 2 * FOLDS:
        return 0.5
    inputs = np.array([form(text) for _, text, _ in labelled])
    inputs = (inputs - inputs.mean(0)) / (inputs.std(0) + 1e-9)
    wanted = np.array([side for _, _, side in labelled])
    folds = np.array([int(fingerprint(["fold", id]), 16) % FOLDS for id, _, _ in labelled])
    right = 0
    for fold in range(FOLDS):
        known, asked = folds != fold, folds == fold
        square = inputs[known].T @ inputs[known] + PENALTY * np.eye(inputs.shape[1])
        weights = np.linalg.solve(square, inputs[known].T @ wanted[known])
        right += int(((inputs[asked] @ weights > 0) == (wanted[asked] > 0)).sum())
    return round(right / len(labelled), 3)


def form(text: str) -> list[float]:
    """Length, and how often a word each function word and mark stands: nothing of what is said."""
    said = words(text)
    counts, length = Counter(said), max(1, len(said))
    rates = [counts[word] / length for word in FUNCTION_WORDS] + [text.count(mark) / length for mark in MARKS]
    return [float(len(said)), float(len(text)), *rates]
