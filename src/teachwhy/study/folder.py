"""The run folder: atomic files, one writer at a time, and errors that say what to do."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from ..errors import RunError
from ..text import jsonl_objects


def write_text(path: Path, text: str) -> None:
    """As `write_bytes`, in UTF-8."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write to a temporary name, flush and rename: a kill at any instant leaves the old file or the new one.

    A file that already holds this is left alone.
    """
    with contextlib.suppress(OSError):
        if path.read_bytes() == content:
            return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            stream.write(content)
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


def content_hashes(files: Iterable[Path]) -> dict[str, str]:
    """File name -> sha256 of its content, for a record that lies beside the files."""
    found = {}
    for file in sorted(files):
        with file.open("rb") as stream:
            found[file.name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


def whole(record: Path) -> bool:
    """Whether the files that a record names under `files` still lie beside it as they were written."""
    found = read_json(record)
    files = found.get("files", {}) if isinstance(found, dict) else {}
    try:
        return content_hashes(record.with_name(name) for name in files) == files
    except OSError:
        return False


def flush(files: Iterable[Path]) -> None:
    """Bring files that a library wrote onto the disk."""
    for file in files:
        with file.open("rb") as stream:
            os.fsync(stream.fileno())


def sweep(folder: Path) -> None:
    """Remove what killed runs left half written; for the holder of the folder's lock alone."""
    for path in sorted(folder.rglob(".*.tmp")):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


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
            "This folder cannot be written to.", where=str(path), remedy="Give another one, for runs with --runs DIR."
        )
    return RunError(
        f"A file cannot be written: {error.strerror or error}.",
        where=str(path),
        remedy="Check the path, or --runs DIR.",
    )


def as_os_error(error: Exception) -> OSError:
    """safetensors writes from Rust: its errors are none of Python's and only name the system's number."""
    number = re.search(r"\(os error (\d+)\)", str(error))
    if isinstance(error, OSError):
        return error
    if not number:
        raise error
    return OSError(int(number[1]), os.strerror(int(number[1])))


@contextlib.contextmanager
def locked(folder: Path, say: Any) -> Iterator[IO[str]]:
    """Hold a folder's lock; wait, and say so, while another process has it.

    Yields the open lock file: the lock ends when its holder has, and every process that the file was passed on to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / ".lock").open("a+")
    except OSError as error:
        raise folder_error(error, folder) from None
    with stream:
        try:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"Another run works in {folder}; waiting for it to end.")
                fcntl.flock(stream, fcntl.LOCK_EX)
        except OSError as error:
            raise RunError(
                f"This folder cannot be locked: {error.strerror}.",
                where=str(folder),
                remedy="Two runs could work in it at once. Give one on a file system with `flock`, with --runs DIR.",
            ) from None
        yield stream


def at_work(run: Path) -> bool:
    """Whether another process holds the run folder's lock."""
    try:
        with (run / ".lock").open("r") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except BlockingIOError:
        return True
    except OSError:
        return False
