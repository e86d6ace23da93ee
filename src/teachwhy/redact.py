"""Keys and passwords taken out of text, before it is shown or written down."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from urllib.parse import quote

STARS = "***"
SHORTEST = 8  # of a secret in a message: stars in the place of a harmless word hurt nobody there
SHORTEST_IN_AN_ANSWER = 16  # as every provider's keys are, and no word or weak password is
SECRET_NAME = re.compile(r"(KEY|KEY_ID|TOKEN|SECRET|PASSWORD|PASSWD)$", re.IGNORECASE)
# User and password, what stands where the port should, and what follows a `=`.
IN_AN_ADDRESS = re.compile(r"://([^/@]+)@|://[^/@:]+:([^/@:\d][^/@]*)|[?&][^=&]*=([^&#]+)")
LIKELY = r"(?=\S*(?:\d|\*|…|\.\.))"  # as keys are and words are not: a digit, or partly masked
FORMS = re.compile(
    r"\b(?:(?:sk|gsk|csk|xai|pplx|nvapi|gh[ops]|glpat)[-_]|hf_|r8_)" + LIKELY + r"[\w*.…-]{6,}"
    r"|\bAIza[\w-]{20,}|\bAKIA[A-Z0-9]{12,}|\beyJ[\w-]{8,}\.[\w.-]+"
    r"|(?i:(?<=\bbearer )|(?<=\bbasic ))" + LIKELY + r"[\w.~+/=*…-]{8,}"
    r"|(?<=://)[^\s/@:]+:[^\s/@]+(?=@)"
    r"|(?i:(?<=key=)|(?<=key: )|(?<=token=)|(?<=token: ))" + LIKELY + r"[\w.~+/*…-]{8,}"
    r"|[\w-]*\*{3,}[\w-]*"
)


def redacted(text: str) -> str:
    """A message without secrets: the values of environment variables that hold one, also masked, and all key-like."""
    for secret in secrets(SHORTEST):
        masked = re.escape(secret[:4]) + r"[\w-]*(?:\*|…|\.\.)[\w*.…-]*"
        text = re.sub(f"{re.escape(secret)}|{masked}", STARS, text)
    return FORMS.sub(STARS, text)


def redacted_answer(text: str) -> str:
    """An answer without the environment's secrets. What only looks like a key stays: a case may be about one."""
    for secret in secrets(SHORTEST_IN_AN_ANSWER):
        text = text.replace(secret, STARS)
    return text


def secrets(shortest: int) -> list[str]:
    """The secrets in the environment, as they may be written, the longest first."""
    forms = {form for value in held() for form in (value, quote(value, safe=""), repr(value)[1:-1])}
    return sorted((form for form in forms if len(form) >= shortest), key=len, reverse=True)


def held() -> Iterator[str]:
    for name, value in os.environ.items():
        if SECRET_NAME.search(name):
            yield value.strip()
        elif name.upper().endswith("URL"):
            for found in IN_AN_ADDRESS.finditer(value):
                yield from next(part for part in found.groups() if part).split(":")
