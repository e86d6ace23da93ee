"""JSONL into checked records: one pydantic model a line, every fault with its file, line and field."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from ..errors import InputError, Place, listed, unknown_name
from ..text import jsonl_objects

Record = TypeVar("Record", bound=BaseModel)
Prepare = Callable[[dict[str, Any], Path, int], dict[str, Any]]


def read_records(paths: Sequence[Path], model: type[Record], prepare: Prepare | None = None) -> list[Record]:
    """All records of the files in order. `prepare` may turn a line's object into the model's fields first.

    Errors (InputError): a file with no record, a line that does not fit the model, an id used twice.
    """
    records: list[Record] = []
    first_place: dict[str, Place] = {}
    for path in paths:
        before = len(records)
        for row, value in jsonl_objects(path):
            fields = prepare(value, path, row) if prepare else value
            record = validated(model, fields, Place(path, row))
            identifier = str(getattr(record, "id", ""))
            place = Place(path, row, "id", identifier)
            if identifier in first_place:
                raise InputError(
                    f"The id {identifier!r} is used twice.",
                    where=str(place),
                    remedy=f"Rename one of them; the first stands in {first_place[identifier]}.",
                )
            first_place[identifier] = place
            records.append(record)
        if len(records) == before:
            raise InputError("This file has no record.", where=str(path), remedy="Add one JSON object a line.")
    return records


# What pydantic says in the words of Python.
PLAIN_WORDS = {
    "model_attributes_type": "it should be a mapping of fields",
    "model_type": "it should be a mapping of fields",
    "dict_type": "it should be a mapping of fields",
}


def validated(model: type[Record], fields: dict[str, Any], place: Place) -> Record:
    """The fields as a record of the model, or an InputError that names the first field at fault."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise field_error(error, model, place) from None


def field_error(error: ValidationError, model: type[BaseModel], place: Place) -> InputError:
    first = error.errors(include_url=False, include_input=False)[0]
    found, written = model_at(model, first["loc"][:-1])
    field = ".".join(str(part) for part in [*written, *first["loc"][-1:]])
    where = str(Place(place.file, place.row, field or place.field, place.identifier))
    known = valid_fields(found)
    if first["type"] == "union_tag_invalid":
        kinds = re.findall(r"'(\w+)'", first["ctx"]["expected_tags"])
        return unknown_name("kind", first["ctx"]["tag"], kinds, where=f"{where[:-1]}.kind'")
    if first["type"] == "union_tag_not_found":
        return InputError(f"The field '{field}.kind' is missing.", where=where, remedy="Write which kind it is of.")
    if first["type"] == "extra_forbidden":
        return unknown_name("field", str(first["loc"][-1]), known, where=where)
    if first["type"] == "missing":
        return InputError(f"The field {field!r} is missing.", where=where, remedy=f"Fields: {listed(known)}.")
    message = PLAIN_WORDS.get(first["type"], first["msg"].removeprefix("Value error, "))
    return InputError(f"A field does not hold what it must: {message}.", where=where, remedy="Mend that field.")


def model_at(model: type[BaseModel], path: Sequence[int | str]) -> tuple[type[BaseModel], list[int | str]]:
    """The model that a pydantic error's path leads to, and the path as it stands in the file.

    Positions in lists and keys of mappings are passed over. Where a field may hold models of several kinds, the path
    names the kind, which no file has there.
    """
    found, written = [model], []
    for part in path:
        of_kind = [one for one in found if part in get_args(annotation_of(one, "kind"))]
        if not of_kind:
            written.append(part)
        if of_kind or part in found[0].model_fields:
            found = of_kind or models_in(annotation_of(found[0], str(part))) or found
    return found[0], written


def annotation_of(model: type[BaseModel], field: str) -> Any:
    return model.model_fields[field].annotation if field in model.model_fields else None


def models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in models_in(inner)]


def valid_fields(model: type[BaseModel]) -> list[str]:
    names = {field.alias or name for name, field in model.model_fields.items()}
    short = {short for short, long in (("prompt", "messages"), ("rule", "principle")) if long in names}
    return sorted(names | short)
