"""Text as Markdown that shows it as it stands, whatever is in it: inline, in tables, and fenced."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Characters that are not seen but change what is: controls, and those that turn the direction of a text.
UNSEEN = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
MARKUP = re.compile(r"[\\`*_\[\]|~$]")
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
AT_START = re.compile(r"^(\d{1,9})?(?=(?(1)[.)]|[-+#]+)(?:\s|$)|[-=]{2,})")
NAME = re.compile(r"[\w./:+−-]+(?: [\w./:+−-]+)*", re.ASCII)


def plain(text: object) -> str:
    """One line on which nothing is markup: no tag, no link, no emphasis, no second cell of a table."""
    return no_block(no_markup(one_line(str(text))))


def one_line(text: str) -> str:
    return " ".join(seen(text).split())


def seen(text: str) -> str:
    return UNSEEN.sub("\N{REPLACEMENT CHARACTER}", text)


def no_markup(text: str) -> str:
    return re.sub("[&<>]", lambda found: ENTITIES[found[0]], MARKUP.sub(r"\\\g<0>", text))


def no_block(line: str) -> str:
    """What would make a line a heading, a list or a rule counts as text."""
    return AT_START.sub(r"\g<1>\\", line)


def code(name: object) -> str:
    """A name as code; one with characters that a name should not have as plain text."""
    text = str(name)
    return f"`{text}`" if NAME.fullmatch(text) else plain(text)


def inline(text: str) -> str:
    """A sentence in which `x` is a name."""
    pieces = re.split("`([^`]*)`", one_line(text))
    return no_block("".join(code(piece) if place % 2 else no_markup(piece) for place, piece in enumerate(pieces)))


def lines(text: str) -> str:
    """A text of several lines, each on its own."""
    return "\\\n".join(inline(line) for line in text.splitlines() if line.strip())


def bullets(texts: Sequence[str]) -> str:
    return "\n".join(f"- {inline(text)}" for text in texts)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, text: int = 1) -> str:
    """Cells are Markdown already. text: so many columns from the left are set left, the others right."""
    rule = [":---" if place < text else "---:" for place in range(len(heads))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows))


def fenced(text: str, language: str = "") -> str:
    """A block of code, with a fence longer than any in it."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}{language}", seen(text).rstrip("\n"), fence])
