"""The page of all answers: what was asked, said and scored, as one self-contained HTML string to search and filter."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..evals import Answer, Item, Score, honeypots
from .page import TEMPLATES, marks, page_environment, parts
from .unseen import UNSEEN
from .wording import Record, format_label, metric_of, seed_label, share, spaced

# What the page filters by; a field that does not tell two cases apart is left out.
FIELDS = ("exam", "format", "principle", "domain", "kind", "distance", "statedness", "wrap", "part", *honeypots.KNOBS)
NEVER_ASKED = -1
# `<`, `>` and `&` cannot end or open anything in a script element; U+2028 and U+2029 were line ends to older scripts.
UNSAFE = re.compile("[<>&\u2028\u2029\ud800-\udfff]")
BEST, WORST = {True: 1.0, False: 0.0}, {True: 0.0, False: 1.0}  # by whether higher is better


@dataclass(frozen=True)
class Sitting:
    """One exam as one unit sat it. cases: case id -> case, as this unit was asked it."""

    arm: str
    seed: int | None
    exam: str
    cases: Mapping[str, Item]
    answers: Sequence[Answer]
    scores: Sequence[Score]


@dataclass(frozen=True)
class Attempt:
    """A column of the page: what one arm says at one seed, and which time it is asked."""

    arm: str
    seed: int | None
    sample: int

    @property
    def label(self) -> str:
        return seed_label(self.seed) + (f", sample {self.sample}" if self.sample else "")


@dataclass(frozen=True)
class ScoredAnswer:
    """An answer with its scores, and the case as its model was asked it."""

    case: Item
    answer: Answer
    scores: Sequence[Score]


@dataclass
class Table:
    """Different values in the order of their first use; a value is named by its place."""

    values: list[Any] = field(default_factory=list)
    places: dict[Hashable, int] = field(default_factory=dict)

    def place(self, value: Any) -> int:
        key = value if isinstance(value, str) else json.dumps(value)
        if key not in self.places:
            self.places[key] = len(self.values)
            self.values.append(value)
        return self.places[key]


Entries = dict[tuple[str, str, str], dict[Attempt, ScoredAnswer]]  # (exam, case id, format) -> attempt -> what was said


def render_answers(results: Record, sittings: Sequence[Sitting]) -> str:
    """The page of all answers as HTML that needs no other file and asks nothing of anyone.

    results: as results.json holds them. Two JSON blocks hold the data: a small one to filter and order by, and the
    texts, one line an entry, so that only what is shown needs to be read.
    """
    from markupsafe import Markup

    style, script = read("page.css", "answers.css"), read("answers.js")
    entries = entries_of(sittings)
    attempts = attempts_of(results, entries.values())
    systems = Table()
    lines = [entry_line(results, said, attempts, systems) for said in entries.values()]
    index = index_of(results, entries, attempts) | {"systems": systems.values, "unseen": UNSEEN}
    return (
        page_environment()
        .get_template("answers.html.j2")
        .render(
            results=results,
            answers=sum(map(len, entries.values())),
            entries=len(entries),
            style=Markup(style),
            style_hash=content_hash(style),
            script=Markup(script),
            script_hash=content_hash(script),
            index=Markup(script_json(index)),
            texts=Markup("\n".join(map(script_json, lines))),
        )
    )


def read(*names: str) -> str:
    return "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in names)


def content_hash(text: str) -> str:
    """As a content security policy names the one inline script, or style, that it allows."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def script_json(value: Any) -> str:
    """JSON that may stand in a script element: nothing in it can close the element or be read as markup."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


# What was said, by case


def entries_of(sittings: Iterable[Sitting]) -> Entries:
    """Every case in each format, in the order asked, with the answers of all who were asked it."""
    found: Entries = {}
    for sitting in sittings:
        scores: dict[tuple[str, str, int], list[Score]] = {}
        for score in sitting.scores:
            scores.setdefault((score.item, score.format, score.sample), []).append(score)
        for answer in sitting.answers:
            own = scores.get((answer.item, answer.format, answer.sample), ())
            said = found.setdefault((sitting.exam, answer.item, answer.format), {})
            attempt = Attempt(sitting.arm, sitting.seed, answer.sample)
            said[attempt] = ScoredAnswer(sitting.cases[answer.item], answer, own)
    return found


def attempts_of(results: Record, entries: Iterable[Mapping[Attempt, ScoredAnswer]]) -> list[Attempt]:
    """All attempts there are: the arms as the study orders them, then seeds and samples."""
    order = [arm["name"] for arm in results["arms"]]
    found = {attempt for said in entries for attempt in said}
    return sorted(found, key=lambda one: (order.index(one.arm), -1 if one.seed is None else one.seed, one.sample))


# The block to filter and order by


def index_of(results: Record, entries: Entries, attempts: Sequence[Attempt]) -> dict[str, Any]:
    """Columns over the entries, and for each entry and attempt the place of its outcome among the different ones."""
    outcomes = Table()
    cells = []
    for (exam, _, _), said in entries.items():
        found = {attempt: outcomes.place(outcome(results, exam, one)) for attempt, one in said.items()}
        cells.append([found.get(attempt, NEVER_ASKED) for attempt in attempts])
    arms = list(dict.fromkeys(attempt.arm for attempt in attempts))
    return {
        "arms": arms,
        "attempts": [{"arm": arms.index(attempt.arm), "label": attempt.label} for attempt in attempts],
        "ids": [case for _, case, _ in entries],
        "fields": [column for name in FIELDS if len((column := column_of(name, entries))["values"]) > 1],
        "outcomes": outcomes.values,
        "cells": cells,
    }


def column_of(name: str, entries: Entries) -> dict[str, Any]:
    """A field of all entries: its different values as they are shown, and for each entry the place of its own."""
    values = Table()
    of = []
    for (exam, _, format), said in entries.items():
        case = next(iter(said.values())).case
        own = {"exam": exam, "format": format_label(format)}.get(name) or getattr(case, name, None) or "none"
        of.append(values.place(own if name in ("exam", "principle") else spaced(own)))
    return {"name": name, "values": values.values, "of": of}


def outcome(results: Record, exam: str, said: ScoredAnswer) -> dict[str, Any]:
    """How an answer was scored: by its first score, which is that of what was written, with all others beside it."""
    first = said.scores[0] if said.scores else None
    higher = metric_of(results, exam, first.metric)["higher_is_better"] if first else None
    state = state_of(first, higher)
    label = {"unscored": f"unscored: {first.cause if first else ''}", "between": f"scored {share(value_of(first))}"}
    return {
        "state": state,
        "label": label.get(state, state),
        "value": value_of(first),
        "decision": first.decision if first else None,
        "choice": said.answer.chosen,
        "scores": [
            f"{score.metric} {share(score.value) if score.value is not None else f'unscored: {score.cause}'}"
            for score in said.scores
        ],
    }


def value_of(score: Score | None) -> float | None:
    return score.value if score else None


def state_of(score: Score | None, higher_is_better: bool | None) -> str:
    """right, wrong, between, a preference (neither right nor wrong), unscored, or not scored by itself."""
    if score is None:
        return "not scored by itself"
    if score.value is None:
        return "unscored"
    if higher_is_better is None:
        return "neither right nor wrong"
    if score.value == BEST[higher_is_better]:
        return "right"
    return "wrong" if score.value == WORST[higher_is_better] else "between"


# The texts


def entry_line(
    results: Record, said: Mapping[Attempt, ScoredAnswer], attempts: Sequence[Attempt], systems: Table
) -> dict[str, Any]:
    """What one entry shows: the case, the actions it knows, each different text once and who said it.

    asked: attempt -> the request, where a model was asked in other words than the first one.
    """
    settings = results["study"]["stamp"]["settings"]
    texts = Table()
    case = next(iter(said.values())).case
    record = {"gold": case.gold, "facts": {name: fact.decision for name, fact in (case.facts or {}).items()}}
    spoken = {attempt: texts.place(one.answer.text) for attempt, one in said.items()}
    asked = {
        place: conversation(said[attempt].case)
        for place, attempt in enumerate(attempts)
        if attempt in said and said[attempt].case is not case and said[attempt].case.messages != case.messages
    }
    line = {
        "system": systems.place(case.system or settings.get("system") or ""),
        "messages": conversation(case),
        "options": [[decision, text, marks(record, decision)] for decision, text in case.answers.items()],
        "texts": [parts(text, settings["format"]) for text in texts.values],
        "said": [spoken.get(attempt, NEVER_ASKED) for attempt in attempts],
    }
    return line | ({"asked": asked} if asked else {})


def conversation(case: Item) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in case.messages]
