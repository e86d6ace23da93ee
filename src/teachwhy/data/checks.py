"""The checks that run before any training: twins, overlap, near-duplicates, masks. A check never mends."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import CheckError
from ..text import words
from .example import Example
from .rows import Row

RUN_OF_WORDS = 8
NEAR_DUPLICATE = 0.8
PERMUTATIONS = 128
HASHED_AT_ONCE = 4096
MOST_NAMED = 10


@dataclass(frozen=True)
class Overlap:
    """A run of words that stands both in what is taught and in what is examined."""

    taught: str
    examined: str
    run: str


def check_twins(rows_by_arm: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    """Prove that all arms have the same examples in the same order, with prompt, action and end alike to the letter.

    Returns a record for checks.json. Errors (CheckError): names the arm and the rows at fault.
    """
    names = list(rows_by_arm)
    if not names:
        return {"arms": [], "rows": 0, "held": True}
    first = rows_by_arm[names[0]]
    for name in names[1:]:
        rows = rows_by_arm[name]
        if [row.example for row in rows] != [row.example for row in first]:
            raise twin_error(names[0], name, ["the examples or their order"])
        differing = [a.example for a, b in zip(first, rows, strict=True) if a.shared() != b.shared()]
        if differing:
            raise twin_error(names[0], name, differing)
    return {"arms": names, "rows": len(first), "held": True}


def twin_error(first: str, second: str, differing: Sequence[str]) -> CheckError:
    return CheckError(
        f"The arms {first!r} and {second!r} are not twins: prompt or action differs.",
        where=f"rows: {', '.join(differing[:MOST_NAMED])}",
        remedy="An arm may change only what stands beside the action.",
    )


def check_surroundings(
    plain: Sequence[Row], varied: Sequence[Row], examples: Iterable[Example], system: str | None
) -> None:
    """Prove that two arms of one kind and shape differ in the system prompts alone.

    system: the study's own, for examples without one. Errors (CheckError): names the rows at fault.
    """
    by_id = {example.id: example for example in examples}
    differing = [
        one.example
        for one, other in zip(plain, varied, strict=True)
        if not only_system_differs(one, other, by_id[one.example], system)
    ]
    if differing:
        raise CheckError(
            "Varied surroundings change more than the system prompt, or this model's template does not show one.",
            where=f"rows: {', '.join(differing[:MOST_NAMED])}",
            remedy="Take the arms with varied surroundings out, or use a model whose template has a system prompt.",
        )


def only_system_differs(plain: Row, varied: Row, example: Example, system: str | None) -> bool:
    """Whether two rows of an example are the same text but for one stretch, which is the two system prompts."""
    first, second = plain.segments[0].text, varied.segments[0].text
    if (plain.example, plain.segments[1:]) != (varied.example, varied.segments[1:]):
        return False
    own, other = (example.system or system or "").strip(), str(example.varied_system).strip()
    before, found, after = second.partition(other)
    if own:
        return bool(found) and first == before + own + after
    # Without a system prompt a template writes none, or one of its own: only what follows can be the same.
    _, opening, turns = after.partition(example.messages[0].content.strip())
    return bool(opening) and first.endswith(opening + turns)


def check_trained(rows_by_arm: Mapping[str, Sequence[Row]]) -> None:
    """Refuse a row whose trained segments hold no text beside markers and turn ends."""
    for name, rows in rows_by_arm.items():
        for row in rows:
            if not any(segment.train and segment.kind != "end" and segment.text.strip() for segment in row.segments):
                raise CheckError(
                    f"A row of the arm {name!r} has nothing to train on.",
                    where=f"example {row.example!r}",
                    remedy="Give the example an action with text in it.",
                )


def overlaps(taught: Mapping[str, str], examined: Mapping[str, str], run: int = RUN_OF_WORDS) -> list[Overlap]:
    """Every pair (taught text, examined text) that shares a run of `run` words, with the first such run.

    taught, examined: name of a text -> the text.
    """
    where: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name, text in taught.items():
        for piece in set(runs_of_words(text, run)):
            where[piece].append(name)
    found: dict[tuple[str, str], str] = {}
    for name, text in examined.items():
        for piece in runs_of_words(text, run):
            for source in where.get(piece, ()):
                found.setdefault((source, name), " ".join(piece))
    return [Overlap(source, name, piece) for (source, name), piece in sorted(found.items())]


def runs_of_words(text: str, run: int) -> Iterable[tuple[str, ...]]:
    all_words = words(text)
    return (tuple(all_words[start : start + run]) for start in range(len(all_words) - run + 1))


def check_overlap(taught: Mapping[str, str], examined: Mapping[str, str]) -> dict[str, Any]:
    """Stop where taught and examined texts share an 8-word run; list near-duplicates. Returns a record."""
    found = overlaps(taught, examined)
    if found:
        lines = [f"{hit.taught} / {hit.examined}: “{hit.run}”" for hit in found[:MOST_NAMED]]
        more = f"\n         and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
        raise CheckError(
            f"What is taught and what is examined share {RUN_OF_WORDS}-word runs ({len(found)} pairs of texts).",
            where="\n         ".join(lines) + more,
            remedy="Rewrite one text of each pair, or name what is shared on purpose under `shared:` in the study.",
        )
    near = near_duplicates(taught, examined)
    return {
        "run_of_words": RUN_OF_WORDS,
        "taught_texts": len(taught),
        "examined_texts": len(examined),
        "hits": 0,
        "near_duplicates": [asdict(hit) for hit in near],
    }


def near_duplicates(taught: Mapping[str, str], examined: Mapping[str, str]) -> list[Overlap]:
    """Pairs whose 3-word shingles have a Jaccard similarity of about 0.8 or more (MinHash with 128 permutations)."""
    from datasketch import MinHashLSH

    index = MinHashLSH(threshold=NEAR_DUPLICATE, num_perm=PERMUTATIONS)
    for name, text in taught.items():
        index.insert(name, sketch(words(text)))
    return [
        Overlap(source, name, "near-duplicate")
        for name, text in examined.items()
        for source in sorted(index.query(sketch(words(text))))
    ]


def sketch(said: Sequence[str]) -> Any:
    """The MinHash of a text's 3-word shingles (Broder, 1997). said: its words; all texts of under 3 are alike."""
    from datasketch import MinHash

    hashed = MinHash(num_perm=PERMUTATIONS, seed=1)
    pieces = list({" ".join(said[start : start + 3]).encode() for start in range(len(said) - 2)}) or [b""]
    for start in range(0, len(pieces), HASHED_AT_ONCE):  # a row of numbers each: a very long text would fill memory
        hashed.update_batch(pieces[start : start + HASHED_AT_ONCE])
    return hashed


def length_table(rows_by_arm: Mapping[str, Sequence[Row]]) -> dict[str, dict[str, float]]:
    """Mean words beside the action, and in the action, for each arm: what is matched and what is not."""
    table = {}
    for name, rows in rows_by_arm.items():
        beside = [len(words(row.beside())) for row in rows]
        action = [sum(len(words(segment.text)) for segment in row.segments if segment.kind == "action") for row in rows]
        count = max(1, len(rows))
        table[name] = {"words_beside": round(sum(beside) / count, 2), "words_action": round(sum(action) / count, 2)}
    return table
