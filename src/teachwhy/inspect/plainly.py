"""Errors that the user can act on, told as Inspect tells its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from inspect_ai._util.error import PrerequisiteError

from ..errors import TeachwhyError


@contextmanager
def told_plainly() -> Iterator[None]:
    """An error of ours as one that Inspect prints without a traceback. It has no public name for those."""
    try:
        yield
    except TeachwhyError as error:
        raise PrerequisiteError(str(error)) from None
