"""Cases written into a log and read back, and the conversation that a case opens."""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Union, cast, get_args, get_origin

from pydantic import BaseModel

from ..errors import unknown_name
from ..evals import Item
from ..study.prepare import conversation

KIND = "case"  # the field of a stored case that names its class


def stored(case: Item) -> dict[str, Any]:
    """A case as plain data; fields that are empty are left out."""
    return {KIND: type(case).__name__, **case.model_dump(mode="json", by_alias=True, exclude_none=True)}


def restored(record: dict[str, Any]) -> Item:
    """The case of a record made by `stored`."""
    kinds = {kind.__name__: kind for kind in kinds_of(Item)}
    if record[KIND] not in kinds:
        raise unknown_name("kind of case", record[KIND], kinds, where="the samples of this log")
    return cast(Item, rebuilt(kinds[record[KIND]], record))


def kinds_of(kind: type[Item]) -> Iterator[type[Item]]:
    yield kind
    for below in kind.__subclasses__():
        yield from kinds_of(below)


def rebuilt(kind: Any, value: Any) -> Any:
    """A value of this type from its plain data. Not checked again: a case made of an item need not be an item."""
    kind = bare(kind)
    parts = get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        return rebuilt(next((part for part in parts if takes(part, value)), None), value)
    if isinstance(value, dict) and parts:
        return {name: rebuilt(parts[1], one) for name, one in value.items()}
    if isinstance(value, list) and parts:
        return (get_origin(kind) or list)(rebuilt(parts[0], one) for one in value)
    if isinstance(value, dict) and is_model(kind):
        named = {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
        return kind.model_construct(**{name: rebuilt(named[name], value[name]) for name in named if name in value})
    return value


def bare(kind: Any) -> Any:
    """A type without what is noted beside it."""
    return bare(get_args(kind)[0]) if get_origin(kind) is Annotated else kind


def takes(kind: Any, value: Any) -> bool:
    """Whether plain data of this shape may be of this type."""
    kind = bare(kind)
    if isinstance(value, dict):
        return is_model(kind) or get_origin(kind) is dict
    return isinstance(value, list) and get_origin(kind) in (list, tuple)


def is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def messages_of(case: Item, system: str, before: str) -> list[dict[str, str]]:
    """The conversation of a case for the model under test: `before`, then the case's system prompt or else `system`."""
    own = "\n\n".join(part for part in (before, case.system or system) if part)
    return conversation(case.model_copy(update={"system": own or None}), None)
