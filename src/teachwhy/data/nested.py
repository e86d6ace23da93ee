"""A part of the examples, spread evenly over the principles; a smaller part lies inside a larger one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from ..errors import InputError, listed, unknown_name
from ..text import fingerprint
from .arms import Arm
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


def check_sizes(sizes: Sequence[int], arms: Sequence[str], kinds: Mapping[str, Arm], full: int, where: str) -> None:
    """Refuse sizes that the twins do not have, and arms that are no twins.

    arms: the names of those to be trained at every size. kinds: arm -> its kind, of all arms. full: how many examples
    the twins read.
    """
    if not sizes:
        return
    if len(set(sizes)) < len(sizes) or max(sizes) > full:
        raise InputError(
            f"`sizes` holds a number twice, or one above the {full} examples that the twins read.",
            where=f"{where}, field 'sizes'",
            remedy="Name each size once; the full one is the arm itself and need not be named.",
        )
    twins = [name for name, kind in kinds.items() if kind.trained and kind.reads == "twins"]
    for name in arms:
        if name not in twins:
            raise unknown_name("twin arm in this study", name, twins, where=f"{where}, field 'sizes_arms'")
    if not arms:
        raise InputError(
            "The study has neither an arm named `what` nor one named `why` to train at these sizes.",
            where=f"{where}, field 'sizes'",
            remedy=f"Name some under `sizes_arms`: {listed(twins)}." if twins else "Leave `sizes` out.",
        )
