"""The run folder: atomic files, one writer at a time, and errors that say what to do."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import RunError
from ..text import jsonl_objects


def write_text(path: Path, text: str) -> None:
    """Write to a temporary name, flush and rename: a kill at any instant leaves the old file or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise folder_error(error, path) from None


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_jsonl(path: Path, values: Sequence[Any]) -> None:
    write_text(path, "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values))


def read_json(path: Path) -> Any:
    """The value of a file this software wrote, or None where it is not there or not whole."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    return [value for _, value in jsonl_objects(path)]


def folder_error(error: OSError, path: Path) -> RunError:
    """A full disk, a read-only folder or any other fault of storage, with its remedy."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RunError(
            "There is no space left to write on.",
            where=str(path),
            remedy="Free some space and run again: what is finished is kept.",
        )
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return RunError(
            "The run folder cannot be written to.", where=str(path), remedy="Give another one with --runs DIR."
        )
    return RunError(f"A file of the run cannot be written: {error.strerror}.", where=str(path))


@contextlib.contextmanager
def locked(folder: Path, say: Any) -> Iterator[None]:
    """Hold the run folder's lock; wait, and say so, while another process has it. It dies with its holder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / ".lock").open("a+")
    except OSError as error:
        raise folder_error(error, folder) from None
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say(f"Another run works in {folder}; waiting for it to end.")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield
