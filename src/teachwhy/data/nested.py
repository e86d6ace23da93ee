"""A part of the examples, spread evenly over the principles; a smaller part lies inside a larger one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from ..text import fingerprint
from .example import Example


def nested_part(examples: Sequence[Example], count: int) -> list[Example]:
    """`count` of the examples in their order; which ones hangs on their ids alone."""
    by_principle: dict[str, list[str]] = defaultdict(list)
    for example in sorted(examples, key=lambda example: fingerprint(["nested", example.id])):
        by_principle[example.principle].append(example.id)
    turn = {name: place for names in by_principle.values() for place, name in enumerate(names)}
    taken = sorted(turn, key=lambda name: (turn[name], fingerprint(["turn", name])))[:count]
    chosen = set(taken)
    return [example for example in examples if example.id in chosen]
