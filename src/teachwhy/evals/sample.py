"""A fixed sample of the items for exams that ask many things of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from ..text import fingerprint
from .items import Item


def sample_items(items: Sequence[Item], most: int) -> list[Item]:
    """At most `most` items, pairs kept whole, spread evenly over principle, kind and statedness, in the items' order.

    Which pairs are taken hangs on their names alone, so it is the same for every arm, seed and machine.
    """
    cells: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for pair, item in {item.pair: item for item in items}.items():
        cells[item.principle, item.kind or "", item.statedness or ""].append(pair)
    queues = [sorted(pairs, key=lambda pair: fingerprint(["sample", pair])) for _, pairs in sorted(cells.items())]
    # One pair of each cell in turn; the cells in a fixed order that does not favour the first principles.
    queues.sort(key=lambda pairs: fingerprint(["cell", pairs[0]]))
    in_turn = [queue[turn] for turn in range(max(map(len, queues), default=0)) for queue in queues if turn < len(queue)]
    taken = set(in_turn[: most // 2])
    return [item for item in items if item.pair in taken]
