"""Words of a text in any script, and whether a text is in one that a check can read."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Scripts written without spaces between words: each of their characters stands for a word.
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
WORDS = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+(?:['’][^\W{UNSPACED}]+)?")
CALLS = re.compile(r"<tool_call>.*?(?:</tool_call>|\Z)", re.DOTALL)
READ_OF_EACH = 400  # characters of a text from which its script is told
# Sentences are read with many patterns, some of which take long on an endless line; what a lesson does is said early.
READ_AT_MOST = 4_000


def said(text: str) -> list[str]:
    """Lower-case words, without punctuation; in scripts without spaces, characters. Calls of tools are no words."""
    return WORDS.findall(without_calls(text).lower())


def without_calls(text: str) -> str:
    return CALLS.sub(" ", text)


def mostly_latin(texts: Iterable[str]) -> bool:
    """Whether at least half of the letters are of the Latin alphabet."""
    latin = letters = 0
    for text in texts:
        found = [one for one in text[:READ_OF_EACH] if one.isalpha()]
        letters += len(found)
        latin += sum(one < "\u0250" or "\u1e00" <= one < "\u1f00" for one in found)
    return letters == 0 or 2 * latin >= letters
