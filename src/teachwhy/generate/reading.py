"""What a teacher wrote, read into fields: JSON as it was asked for, or the cause why there is none."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
A_FEW = 4  # words
# Words as `text.words` counts them, in classes that llguidance has, whose \w is ASCII. A longer word, or more
# marks between two, would let an answer go on without end.
PART = r"[\p{L}\p{N}_]{1,30}"
WORD = rf"{PART}(['’]{PART})?"
BETWEEN = r"([^\p{L}\p{N}_'’][^\p{L}\p{N}_]{0,11}|['’][^\p{L}\p{N}_]{1,11})"
BEFORE = r"[^\p{L}\p{N}_.…]{0,6}"  # no dots: weak models take up those of the form that is shown
END_OF_SENTENCE = r"""[)\]"'”’*]{0,3}[.!?…。！？।][)\]"'”’*]{0,3}"""
WORDS_A_TOKEN = 0.5  # in an answer whose fields and marks are tokens too
STARTS = 50  # braces at which an object is looked for
TEXT, TRUTH, LIST = "text", "truth", "list"
PLACE = "..."  # where a text goes, in the form that is shown: weak models take up a word that stands there
TRUTHS = {"true": True, "yes": True, "false": False, "no": False}
Fits = Callable[[dict[str, Any]], str | None]


@dataclass(frozen=True)
class Form:
    """What an answer is to look like.

    fields: name -> TEXT, TRUTH or LIST. entry: the text fields of each entry of a list. count: how many entries.
    words: text field, also of an entry -> fewest and most words. one_of: text field -> the values it may have.
    """

    fields: Mapping[str, str]
    entry: tuple[str, ...] = ()
    count: int = 0
    words: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    one_of: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def asked_for(self) -> str:
        """In words, for the end of a prompt: one JSON object as an example of itself."""
        entry = dict.fromkeys(self.entry, PLACE)
        shown = {name: {TEXT: PLACE, TRUTH: True, LIST: [entry]}[kind] for name, kind in self.fields.items()}
        said = "Answer with one JSON object and nothing else, in this form"
        if self.count:
            said += f", with exactly {self.count} {'entry' if self.count == 1 else 'entries'} in the list"
        if TRUTH in self.fields.values():
            said += ", true or false as it is"
        return f"{said}:\n{json.dumps(shown)}"

    def schema(self, max_tokens: int) -> str:
        """As a JSON schema, for a model that can be held to it. A text without bounds leaves room for the others."""
        names = [name for name, kind in self.fields.items() if kind == TEXT] + [*self.entry] * self.count
        bounded = [self.words[name][1] for name in names if name in self.words]
        left = max_tokens * WORDS_A_TOKEN - sum(bounded)
        room = max(A_FEW, int(left / max(1, len(names) - len(bounded))))
        return json.dumps(
            schema_of({name: self.schema_of_field(name, kind, room) for name, kind in self.fields.items()})
        )

    def schema_of_field(self, name: str, kind: str, room: int) -> dict[str, Any]:
        if kind == TRUTH:
            return {"type": "boolean"}
        if kind == LIST:
            entry = schema_of({part: text_of(*self.words.get(part, (1, room))) for part in self.entry})
            return {"type": "array", "items": entry, "minItems": self.count, "maxItems": self.count}
        if name in self.one_of:
            return {"enum": list(self.one_of[name])}
        return text_of(*self.words.get(name, (1, room)))


def schema_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Of an object with these fields and no other."""
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


def text_of(fewest: int, most: int) -> dict[str, Any]:
    """Of a text of so many words, which ends as a sentence does if it cannot be a few words alone."""
    end = END_OF_SENTENCE if fewest > A_FEW else f"({END_OF_SENTENCE})?"
    words = rf"({WORD}{BETWEEN}){{{max(1, fewest) - 1},{most - 1}}}{WORD}"
    return {"type": "string", "pattern": rf"^{BEFORE}{words}\p{{M}}{{0,3}}{end}$"}


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
    if value.strip() == PLACE:
        raise ValueError("a field is as empty as in the form that was shown")
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
