"""Where a curve of scores over training tokens reaches a score: what one arm needs to be as good as another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """What an arm scored after a training. tokens: above 0."""

    tokens: float
    score: float


@dataclass(frozen=True)
class Reached:
    """tokens: at which a curve has a score; None where that cannot be said, and then `note` says why."""

    tokens: float | None
    note: str = ""


def tokens_at(score: float, points: Sequence[Point], *, rising: bool | None = None) -> Reached:
    """The training tokens at which a curve passes a score, linear between its points in the logarithm of tokens.

    Only between the smallest and the largest training, and only where the curve passes the score once: a curve that
    turns back is at that score several times. rising: which way it must pass; None: either.
    """
    ordered = sorted(points, key=lambda point: point.tokens)
    if len(ordered) < 2:
        return Reached(None, "fewer than two sizes were measured")
    signs = [(point.score > score) - (point.score < score) for point in ordered]
    if all(signs) and len(set(signs)) == 1:
        return Reached(None, f"its curve lies {'above' if signs[0] > 0 else 'below'} that score at every size")
    upwards = signs == sorted(signs)
    if signs.count(0) > 1 or not (upwards or signs == sorted(signs, reverse=True)):
        return Reached(None, "its curve is at that score more than once, so it does not tell how many tokens it takes")
    if rising is not None and rising != upwards:
        return Reached(
            None, f"its curve goes {'up' if upwards else 'down'} through that score: more training makes it worse"
        )
    if 0 in signs:
        return Reached(ordered[signs.index(0)].tokens)
    after = next(place for place, sign in enumerate(signs) if sign != signs[0])
    return Reached(between(score, ordered[after - 1], ordered[after]))


def between(score: float, low: Point, high: Point) -> float:
    """The tokens at which the line through two points, in the logarithm of tokens, has a score."""
    share = (score - low.score) / (high.score - low.score)
    return math.exp(math.log(low.tokens) + share * (math.log(high.tokens) - math.log(low.tokens)))
