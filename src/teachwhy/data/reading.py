"""JSONL into checked records: one pydantic model a line, every fault with its file, line and field."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

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


def validated(model: type[Record], fields: dict[str, Any], place: Place) -> Record:
    """The fields as a record of the model, or an InputError that names the first field at fault."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise field_error(error, model, place) from None


def field_error(error: ValidationError, model: type[BaseModel], place: Place) -> InputError:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    where = str(Place(place.file, place.row, field or place.field, place.identifier))
    if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
        return unknown_name("field", field, valid_fields(model), where=where)
    if first["type"] == "missing":
        return InputError(f"The field {field!r} is missing.", where=where, remedy=f"Fields: {listed(valid_fields(model))}.")
    message = first["msg"].removeprefix("Value error, ")
    return InputError(f"A field does not hold what it must: {message}.", where=where, remedy="Mend that field.")


def valid_fields(model: type[BaseModel]) -> list[str]:
    names = set(model.model_fields)
    return sorted(names | ({"prompt"} if "messages" in names else set()) | ({"rule"} if "principle" in names else set()))
