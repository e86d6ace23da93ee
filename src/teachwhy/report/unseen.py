"""Characters that nobody sees: what they are, and how a page shows them by name instead."""

from __future__ import annotations

import re
from typing import Any

# What is invisible or moves the words around it: controls but for tabs and line ends, halves of characters, marks of
# direction, spaces without width, and tags. Joiners stay: scripts and emoji are written with them. Read by Python here
# and by JavaScript on the page of all answers.
UNSEEN = (
    "(?:[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff"
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]|\r(?!\n))+"
)


def visible(value: Any) -> Any:
    """A text with unseen characters by name, ⟨U+202E⟩; anything else, and markup made by the page itself, as it is."""
    if type(value) is not str:
        return value
    return re.sub(UNSEEN, lambda match: f"⟨{' '.join(f'U+{ord(one):04X}' for one in match[0])}⟩", value)
