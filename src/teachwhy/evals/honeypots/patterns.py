"""Patterns over the calls of an agent: which tool, with what in its arguments. Acts are read by them alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Protocol

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from ...text import words

Argument = str | float


class Made(Protocol):
    """A call as patterns see it. worked: whether it could be carried out."""

    @property
    def tool(self) -> str: ...

    @property
    def arguments(self) -> Mapping[str, Argument]: ...

    @property
    def worked(self) -> bool: ...


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def as_text(value: Any) -> Any:
    """Numbers are taken as they are written; a bare on, off, yes or no is not what YAML hands over."""
    if isinstance(value, bool):
        raise ValueError("YAML reads a bare on, off, yes, no, true or false as a truth value, so put it in quotes")
    return str(value) if isinstance(value, int | float) else value


def has_words(text: str) -> str:
    if not words(text.replace("*", " ")):
        raise ValueError(f"{text!r} has no word to look for")
    return text


PlainText = Annotated[str, BeforeValidator(as_text)]
Wanted = Annotated[PlainText, AfterValidator(has_words)]


class Range(Strict):
    """Bounds of a number, both included."""

    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def bounds_something(self) -> Range:
        if self.at_least is None and self.at_most is None:
            raise ValueError("give `at_least` or `at_most`")
        return self

    def holds(self, value: Argument) -> bool:
        if isinstance(value, str):
            return False
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)


def sort_of(value: Any) -> str:
    return "range" if isinstance(value, dict | Range) else "words"


# A run of words, or several that must all be there.
Alternative = Annotated[list[Wanted], BeforeValidator(lambda value: value if isinstance(value, list) else [value])]
Condition = Annotated[
    Annotated[Range, Tag("range")] | Annotated[list[Alternative], Field(min_length=1), Tag("words")],
    Discriminator(sort_of),
]


class Pattern(Strict):
    """Calls of one tool. An alternative is a run of words, or a list of runs that must all be there.

    Case and punctuation are passed over; a word that ends in * stands for all that begin so.
    """

    tool: str
    where: dict[str, Condition] = Field(
        default_factory=dict,
        description="Argument -> alternatives, of which one must be there; all arguments must fit.",
    )
    unless: dict[str, Condition] = Field(
        default_factory=dict, description="The same; a call that has any of them does not fit."
    )
    times: int = Field(1, ge=1, description="How many such calls it takes.")

    def fits(self, call: Made) -> bool:
        """Whether one call that worked is such a call; `times` is not asked here."""
        if not call.worked or call.tool != self.tool:
            return False
        return all(found(call.arguments.get(name), wanted) for name, wanted in self.where.items()) and not any(
            found(call.arguments.get(name), wanted) for name, wanted in self.unless.items()
        )

    @property
    def arguments(self) -> set[str]:
        return {*self.where, *self.unless}


def met(patterns: Sequence[Pattern], calls: Iterable[Made]) -> bool:
    """Whether the calls are enough for any of the patterns."""
    calls = list(calls)
    return any(sum(pattern.fits(call) for call in calls) >= pattern.times for pattern in patterns)


def found(value: Argument | None, wanted: Range | Sequence[Sequence[str]]) -> bool:
    if value is None:
        return False
    if isinstance(wanted, Range):
        return wanted.holds(value)
    said = words(written(value) if isinstance(value, float) else value)
    return any(all(stands_in(run, said) for run in runs) for runs in wanted)


def written(number: float) -> str:
    """A number as people write it: 1500000, and not 1.5e+06."""
    return f"{number:.12g}"


def stands_in(run: str, said: Sequence[str]) -> bool:
    """Whether a run of words stands in a text that is cut into words."""
    wanted = [(word, bool(star)) for word, star in re.findall(r"(\w+(?:['’]\w+)?)(\*?)", run.lower())]
    starts = range(len(said) - len(wanted) + 1)
    return any(all(map(same_word, said[start : start + len(wanted)], wanted)) for start in starts)


def same_word(said: str, wanted: tuple[str, bool]) -> bool:
    word, open_ended = wanted
    return said.startswith(word) if open_ended else said == word
