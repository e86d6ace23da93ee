"""Cases written into a log and read back, and the conversation that a case opens."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from ..errors import unknown_name
from ..evals import Item
from ..study.prepare import conversation

KIND = "case"  # the field of a stored case that names its class


def stored(case: Item) -> dict[str, Any]:
    """A case as plain data; fields that are empty are left out."""
    return {KIND: type(case).__name__, **case.model_dump(mode="json", exclude_none=True)}


def restored(record: dict[str, Any]) -> Item:
    """The case of a record made by `stored`; not checked again, since cases made of items need not be items."""
    kinds = {kind.__name__: kind for kind in kinds_of(Item)}
    if record[KIND] not in kinds:
        raise unknown_name("kind of case", record[KIND], kinds, where="the samples of this log")
    kind = kinds[record[KIND]]
    fields = {name: adapter.validate_python(record[name]) for name, adapter in adapters(kind).items() if name in record}
    return kind.model_construct(**fields)


def kinds_of(kind: type[Item]) -> Iterator[type[Item]]:
    yield kind
    for below in kind.__subclasses__():
        yield from kinds_of(below)


@cache
def adapters(kind: type[Item]) -> dict[str, TypeAdapter[Any]]:
    """Field -> what reads its value; of the type alone, since a field's bounds hold for items a user wrote."""
    return {name: TypeAdapter(field.annotation) for name, field in kind.model_fields.items()}


def messages_of(case: Item, system: str, before: str) -> list[dict[str, str]]:
    """The conversation of a case for the model under test: `before`, then the case's system prompt or else `system`."""
    own = "\n\n".join(part for part in (before, case.system or system) if part)
    return conversation(case.model_copy(update={"system": own or None}), None)
