"""What a teacher wrote, read into fields: JSON as it was asked for, or the cause why there is none."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from ..models import Reply

HALF = "half a character"
REFUSED, CUT_OFF, MALFORMED = "refused", "cut off", "not as it was asked for"
REFUSAL = re.compile(
    r"^\W*(?:i(?:['’]?m| am) (?:very |really |so )?sorry\b|sorry, (?:but )?i\b|as an ai\b"
    r"|(?:unfortunately,? )?i(?:['’]?m| am)? (?:can(?:no|['’])t|will not|won['’]t|unable to|not able to) "
    r"(?:\w+ ){0,2}(?:help|assist|comply|fulfil|do (?:that|this)|write (?:that|this|such)|provide|create|continue))",
    re.IGNORECASE,
)
LONGEST = 200_000  # characters that are looked at: more than any answer that was asked for can have
STARTS = 50  # braces at which an object is looked for
TEXT, TRUTH, LIST = "text", "truth", "list"
TRUTHS = {"true": True, "yes": True, "false": False, "no": False}
Fits = Callable[[dict[str, Any]], str | None]


@dataclass(frozen=True)
class Form:
    """What an answer is to look like.

    fields: name -> TEXT, TRUTH or LIST. entry: the text fields of each entry of a list. count: how many entries.
    """

    fields: Mapping[str, str]
    entry: tuple[str, ...] = ()
    count: int = 0

    def asked_for(self) -> str:
        """In words, for the end of a prompt: one JSON object as an example of itself."""
        entry = dict.fromkeys(self.entry, TEXT)
        shown = {name: {TEXT: TEXT, TRUTH: True, LIST: [entry]}[kind] for name, kind in self.fields.items()}
        said = "Answer with one JSON object and nothing else, in this form"
        if self.count:
            said += f", with exactly {self.count} {'entry' if self.count == 1 else 'entries'} in the list"
        if TRUTH in self.fields.values():
            said += ", true or false as it is"
        return f"{said}:\n{json.dumps(shown)}"


@dataclass(frozen=True)
class Read:
    """What was read of an answer. cause: why there is nothing; detail: more of that, for people."""

    values: dict[str, Any] | None
    cause: str | None = None
    detail: str = ""


def read_answer(reply: Reply, form: Form) -> Read:
    """The fields of an answer that came. A single text may also be the whole answer, as weak models write it."""
    if reply.cause:
        return Read(None, reply.cause)
    text = reply.text[:LONGEST]
    try:
        text.encode()
    except UnicodeEncodeError:
        return Read(None, MALFORMED, HALF)
    found = list(objects(text))
    if not found:
        return read_plain(text.strip(), form, cut=reply.cut or len(reply.text) > LONGEST)
    # A quoted object, such as a lesson may hold to pass for a verdict, must not be taken for the answer.
    fitting = [one for one in found if set(form.fields) <= set(one)] or found[:1]
    if any(one != fitting[0] for one in fitting):
        return Read(None, MALFORMED, "several objects that differ")
    value = fitting[0]
    if reply.cut and not set(form.fields) <= set(value):
        return Read(None, CUT_OFF)
    texts = [value.get(name) for name, kind in form.fields.items() if kind == TEXT]
    if texts and all(isinstance(text, str) and REFUSAL.match(text.strip()[:200]) for text in texts):
        return Read(None, REFUSED, str(texts[0])[:200])
    try:
        values = {name: read_field(value[name], kind, form) for name, kind in form.fields.items()}
        json.dumps(values, ensure_ascii=False).encode()
    except KeyError as error:
        return Read(None, MALFORMED, f"the field {error.args[0]!r} is not there")
    except UnicodeEncodeError:
        return Read(None, MALFORMED, HALF)
    except ValueError as error:
        return Read(None, MALFORMED, str(error))
    return Read(values)


def read_whole(reply: Reply) -> Read:
    """The text of an answer as it is, where no form was asked for."""
    cause = reply.cause or (CUT_OFF if reply.cut else None)
    return Read(None, cause) if cause else Read({"text": reply.text})


def read_plain(text: str, form: Form, *, cut: bool) -> Read:
    """An answer without an object in it."""
    if REFUSAL.match(text[:200]):
        return Read(None, REFUSED, text[:200])
    if cut:
        return Read(None, CUT_OFF)
    if list(form.fields.values()) == [TEXT] and text and not text.startswith(("{", "```")):
        return Read(dict.fromkeys(form.fields, text))
    return Read(None, MALFORMED, "no JSON object")


def objects(text: str) -> Iterator[dict[str, Any]]:
    """The whole JSON objects of a text, whatever stands around them; one inside another is not told apart."""
    decoder, end = json.JSONDecoder(strict=False), 0
    for found in islice(re.finditer(r"\{", text), STARTS):
        if found.start() < end:
            continue
        try:
            value, end = decoder.raw_decode(text, found.start())
        except (ValueError, RecursionError):
            continue
        yield value


def read_field(value: Any, kind: str, form: Form) -> Any:
    if kind == TRUTH:
        return read_truth(value)
    if kind == LIST:
        return read_list(value, form)
    return read_text(value)


def read_text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a field holds no text")
    if value.strip().lower() == TEXT:
        raise ValueError("a field holds the word of the form itself")  # as weak models copy it
    return value.strip()


def read_truth(value: Any) -> bool:
    truth = TRUTHS.get(value.strip().lower()) if isinstance(value, str) else value
    if not isinstance(truth, bool):
        raise ValueError("neither true nor false")
    return truth


def read_list(value: Any, form: Form) -> list[dict[str, str]]:
    """Entries with the fields of the form; a bare text will do where there is one field. More than asked for is cut."""
    if not isinstance(value, list):
        raise ValueError("no list")
    single = form.entry[0]
    entries = [{single: entry} if isinstance(entry, str) and len(form.entry) == 1 else entry for entry in value]
    if not all(isinstance(entry, dict) and set(form.entry) <= set(entry) for entry in entries):
        raise ValueError("an entry of the list lacks a field")
    if len(entries) < form.count:
        raise ValueError(f"{len(entries)} entries where {form.count} were asked for")
    return [{name: read_text(entry[name]) for name in form.entry} for entry in entries[: form.count]]
