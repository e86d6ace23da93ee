"""Woven texts: the sentences of a text, cut without losing a letter, and those of another laid between them."""

from __future__ import annotations

import re
from bisect import bisect_left
from itertools import groupby, zip_longest

# Marks that end a sentence: with white space behind them, or without in scripts that have none.
SPACED, UNSPACED = ".!?…։؟۔।॥።", "。！？｡"
CLOSERS = "\"'”’»)]*_」』）"
CLOSING = re.escape(CLOSERS)
END = re.compile(rf"(?<![{SPACED}])[{SPACED}]+[{CLOSING}]*(?=\s)|[{UNSPACED}]+(?![{UNSPACED}{CLOSING}])")
# A blank line, or a list item on the next line, ends a sentence without a mark; a colon leads on to what follows.
BREAK = re.compile(r"[^\s:：](?=[^\S\n]*\n(?:[^\S\n]*\n|[^\S\n]*(?:[-*•–·]|\d{1,3}[.)])\s))")
# No sentence ends within code, a call, quotation marks or brackets.
WHOLE = re.compile(
    r"```.*?(?:```|\Z)|<tool_call>.*?(?:</tool_call>|\Z)|\"[^\"\n]*\"|“[^“”\n]*”|„[^„“”\n]*[“”]|«[^«»\n]*»"
    r"|「[^「」\n]*」|『[^『』\n]*』|\([^()\n]*\)|（[^（）\n]*）|\[[^\[\]\n]*\]",
    re.DOTALL,
)
# What stands right before a full stop that ends no sentence: the number of a list item, a title, initials.
NO_END = re.compile(
    r"\n\s*\d{1,3}\.$|(?<!\w)(?:mr|mrs|ms|dr|prof|st|rev|vs|approx|cf|ca|(?:[^\W\d_]\.)*[^\W\d_])\.$", re.IGNORECASE
)
BEFORE_NUMBER = re.compile(r"(?<!\w)(?:no|nos|fig|art|sec|ch|vol|p|pp)\.$", re.IGNORECASE)
OPENING = re.compile(r"\s*[\"'“‘„«(\[*_]*")
LOOK_BACK = 12  # characters; no abbreviation is longer


def sentences(text: str) -> list[str]:
    """The sentences of a text, each with the white space before it; joined they are the text, byte for byte.

    White space at the very end stays with the last. Where it is doubtful whether a sentence ends, it does not: what
    is laid between two sentences must not cut one.
    """
    whole = [found.span() for found in WHOLE.finditer(text)]
    starts = [start for start, _ in whole]
    marked = {found.end() for found in END.finditer(text) if not goes_on(text, found.end())}
    ends = sorted(marked | {found.end() for found in BREAK.finditer(text)})
    cuts = [end for end in ends if not ((place := bisect_left(starts, end)) and end < whole[place - 1][1])]
    if cuts and not text[cuts[-1] :].strip():
        cuts.pop()
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def goes_on(text: str, end: int) -> bool:
    """Whether a sentence goes on behind a mark that stands up to `end`."""
    before = text[max(0, end - LOOK_BACK) : end] if end > LOOK_BACK else f"\n{text[:end]}"
    opened = OPENING.match(text, end)
    following = text[opened.end() : opened.end() + 1] if opened else ""
    numbered = following.isdigit() and BEFORE_NUMBER.search(before)
    return following.islower() or bool(numbered or NO_END.search(before))


def weave(said: str, beside: str) -> list[tuple[bool, str]]:
    """A sentence of `said`, one of `beside`, and so on by turns; what is left of either comes at the end, in order.

    Returns (whether it is of `said`, text). The texts of `said` joined are `said`, byte for byte: what parts a
    sentence of `beside` from the one before it belongs to `beside`.
    """
    turns: list[tuple[bool, str]] = []
    for own, other in zip_longest(sentences(said), sentences(beside)):
        if own is not None:
            turns.append((True, own))
        if other is not None:
            turns.append((False, other if not turns[-1][0] else gap_after(turns[-1][1]) + other.lstrip()))
    return [(own, "".join(text for _, text in found)) for own, found in groupby(turns, key=lambda turn: turn[0])]


def gap_after(text: str) -> str:
    """What parts a text from the sentence behind it: a line break where no mark ends it."""
    last = text.rstrip(CLOSERS)[-1:] or " "
    if text[-1:].isspace() or last in UNSPACED:
        return ""
    return " " if last in SPACED else "\n"
