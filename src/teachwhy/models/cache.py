"""The user's cache folder, and how a model folder in it is built once, whole, and by one process at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from teachwhy.errors import ModelError


def cache_folder() -> Path:
    """Where fetched and converted models are kept; nothing in it is irreplaceable.

    `$TEACHWHY_CACHE`, else `$XDG_CACHE_HOME/teachwhy`, else the platform's own place under the home folder.
    """
    if chosen := os.environ.get("TEACHWHY_CACHE"):
        return Path(chosen).expanduser().absolute()
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared).expanduser().absolute() / "teachwhy"
    platform = "Library/Caches" if sys.platform == "darwin" else ".cache"
    return Path.home() / platform / "teachwhy"


def build_once(name: str, build: Callable[[Path], None], *, needs: int, say: Callable[[str], None]) -> Path:
    """The folder `<cache>/models/<name>`, filled by `build(folder)` unless it is there already.

    needs: about how many bytes the building takes, for the message when the disk is full. A folder under its final
    name is always complete: it is built beside its place, flushed and renamed. Raises ModelError for a full disk or
    a cache that cannot be written.
    """
    models = cache_folder() / "models"
    folder, unfinished = models / name, models / f".{name}.unfinished"
    with _storage_errors(models, needs):
        if folder.is_dir():
            return folder
        models.mkdir(parents=True, exist_ok=True)
        with _lock(models / f".{name}.lock", say):
            if folder.is_dir():  # built by the process we waited for
                return folder
            _remove(unfinished)  # left by a process that was killed: the lock says that nobody is at it now
            try:
                unfinished.mkdir()
                build(unfinished)
                _flush(unfinished)
                unfinished.rename(folder)
                _flush_entry(models)
            finally:
                _remove(unfinished)
    return folder


@contextmanager
def _lock(path: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the operating system's lock on `path`; a process that dies, however it dies, lets go of it."""
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another process is preparing the same model; waiting for it.")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def _storage_errors(place: Path, needs: int) -> Iterator[None]:
    """Say what to do when `place` is full or cannot be written."""
    try:
        yield
    except Exception as error:
        if _is_disk_full(error):
            raise ModelError(
                f"The disk is full: preparing the model needs about {_megabytes(needs)}.",
                where=f"{place} ({_free(place)})",
                remedy="Free some space, or set the environment variable TEACHWHY_CACHE to a folder on another disk.",
            ) from error
        if isinstance(error, OSError):
            raise ModelError(
                f"The cache folder cannot be used: {error.strerror or error}.",
                where=str(error.filename or place),
                remedy="Set the environment variable TEACHWHY_CACHE to a folder that you can write to.",
            ) from error
        raise


def _is_disk_full(error: Exception) -> bool:
    """Whether `error` says that a disk, or the user's share of one, is full."""
    full = (errno.ENOSPC, errno.EDQUOT)
    if isinstance(error, OSError):
        return error.errno in full
    # safetensors and tokenizers write from Rust and raise plain exceptions that only name the number
    return any(f"(os error {number})" in str(error) for number in full)


def _flush(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        _flush_entry(path)
    _flush_entry(folder)


def _flush_entry(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _free(place: Path) -> str:
    existing = next(folder for folder in (place, *place.parents) if folder.exists())
    return f"{_megabytes(shutil.disk_usage(existing).free)} free"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"
