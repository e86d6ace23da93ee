"""Which settings of the knobs are asked: a small balanced part of all, the same on every machine."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import product
from math import prod

TRIES = 1_000


def settings_of(knobs: Mapping[str, Sequence[str]], most: int) -> list[dict[str, str]]:
    """At most `most` settings, each one value for every knob; the first is the first value of each."""
    rows = rows_of(tuple(map(len, knobs.values())), most)
    return [{knob: knobs[knob][value] for knob, value in zip(knobs, row, strict=True)} for row in rows]


@cache
def rows_of(sizes: tuple[int, ...], most: int) -> tuple[tuple[int, ...], ...]:
    """The places of the values, a row a setting. sizes: how many values each knob has.

    All of them where there are no more than `most`. Else a nearly orthogonal array, made column by column: every value
    of a knob as often as any other (one more where their number does not divide `most`), and of TRIES such columns,
    drawn by a fixed lot, the one in which every pair of values with each knob before comes nearest to being equally
    frequent. A row that comes again is left out. Of six knobs with two values each, 8 settings make an orthogonal
    array of strength 2 (Plackett and Burman 1946): main effects are free of each other, and not of what two knobs do
    together.
    """
    if prod(sizes) <= most:
        return tuple(product(*map(range, sizes)))
    columns: list[list[int]] = []
    for place, size in enumerate(sizes):
        drawn = [balanced(size, most, f"{place} {most} {turn}") for turn in range(TRIES)]
        ranked = [(unevenness(columns, column), repeats([*columns, column]), column) for column in drawn]
        columns.append(min(ranked)[2])
    return tuple(dict.fromkeys(zip(*columns, strict=True)))


def balanced(size: int, length: int, lot: str) -> list[int]:
    """A column in which each of the values 0 to size - 1 is as frequent as any other; it begins with 0."""
    column = [place % size for place in range(length)]
    random.Random(lot).shuffle(column)
    first = column[0]
    return [0 if value == first else first if value == 0 else value for value in column]


def unevenness(columns: Sequence[Sequence[int]], column: Sequence[int]) -> int:
    """Summed over the columns before: squares of how often each pair of values comes. Least where all are alike."""
    return sum(count * count for other in columns for count in Counter(zip(other, column, strict=True)).values())


def repeats(columns: Sequence[Sequence[int]]) -> int:
    """How many rows stand there before."""
    rows = list(zip(*columns, strict=True))
    return len(rows) - len(set(rows))
