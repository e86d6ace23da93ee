"""Run folders at an address of fsspec's (s3://..., memory://...): a copy is worked on and carried there, stamps last.

A file at such an address is written whole or not at all, but a folder is not; so what a record vouches for goes before
the record, in both directions, and a folder whose record is the same on both sides is left alone.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import RunError, first_line
from ..text import fingerprint

PUSH_AGAIN_AFTER_SECONDS = (2.0, 30.0)
ADDRESS = re.compile(r"^([a-z][a-z0-9+.-]+):/+(.*)$")


@dataclass(frozen=True)
class Shared:
    """The folder of a study's runs, at an address."""

    address: str

    def push(self, folder: Path, parts: Iterable[str]) -> None:
        """Carry what is new of the copy there. parts: names of files and folders below it; hidden ones stay here."""
        with self.reached() as (files, root):
            here = [name for part in parts for name in files_below(folder, part)]
            there = told(files, root, here)
            same = {name for name, text in there.items() if text == content(folder / name)}
            for name in dict.fromkeys([*filter(is_made_later, here), *to_carry(here, same)]):
                if is_a_log(name) and goes_on(there.get(name), content(folder / name)):
                    continue  # what another machine has added to it
                files.makedirs(f"{root}/{parent_of(name)}", exist_ok=True)
                files.put_file(str(folder / name), f"{root}/{name}")

    def pull(self, folder: Path, parts: Iterable[str]) -> None:
        """Bring what is new there to the copy; nothing is removed from it."""
        with self.reached() as (files, root):
            files.invalidate_cache()
            found = [path for part in parts if files.exists(f"{root}/{part}") for path in files.find(f"{root}/{part}")]
            names = [path.removeprefix(f"{root}/") for path in found]
            there = told(files, root, names)
            same = {name for name, text in there.items() if text == content(folder / name)}
            for name in to_carry(names, same):
                if is_a_log(name) and goes_on(content(folder / name), there.get(name)):
                    continue  # what this machine has added to it
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                files.get_file(f"{root}/{name}", str(folder / name))

    def pull_answers(self, folder: Path) -> None:
        """Bring what tells of answers in all run folders there, and nothing that was trained."""
        with self.reached() as (files, root):
            runs = [PurePosixPath(path).name for path in files.ls(root, detail=False)] if files.exists(root) else []
        self.pull(folder, [f"{run}/{part}" for run in runs for part in ("study.json", "evals")])

    @contextmanager
    def reached(self) -> Iterator[tuple[Any, str]]:
        """fsspec's file system of the address, and the path there. Errors (RunError): it cannot be used."""
        try:
            import fsspec

            files, root = fsspec.core.url_to_fs(self.address)
            yield files, root.rstrip("/")
        except Exception as error:  # every storage has errors of its own
            raise RunError(
                f"The runs cannot be kept there: {type(error).__name__}: {first_line(error)}.",
                where=self.address,
                remedy="Check the address and who you are to it; its kind may need a package, such as s3fs for s3://.",
            ) from None


def address_of(runs: Path | str) -> str | None:
    """The address that `--runs` names, or None where it names a folder. A Path keeps one slash of the two."""
    found = ADDRESS.match(str(runs))
    if not found:
        return None
    kind, place = found.groups()
    return f"{kind}:///{place}" if kind in ("file", "local") else f"{kind}://{place}"


def copy_of(address: str, cache: Path) -> Path:
    """Where this machine keeps its copy of the runs at an address."""
    return cache / "runs" / fingerprint([address])[:8]


def is_record(name: str) -> bool:
    """Whether a file vouches for those beside it: its stamp says of what they were made."""
    return name.endswith(".json") and not PurePosixPath(name).name.startswith("adapter_")


def is_made_later(name: str) -> bool:
    """Whether a file is made of what a record vouches for, and made anew where that stays: scores and pages."""
    return name.endswith((".scores.jsonl", ".html"))


def is_a_log(name: str) -> bool:
    """Whether a file is one that only grows: what was asked of a model behind an API, and the study's log."""
    return name.endswith(".jsonl") and "/" not in name


def goes_on(log: bytes | None, other: bytes | None) -> bool:
    """Whether a log is the other with more behind it."""
    return log is not None and other is not None and log != other and log.startswith(other)


def insist(push: Callable[[], None]) -> None:
    """Carry what took hours to make, though the storage may be away for a moment."""
    for pause in PUSH_AGAIN_AFTER_SECONDS:
        with suppress(RunError):
            return push()
        time.sleep(pause)
    push()


def to_carry(names: Sequence[str], same: Container[str]) -> list[str]:
    """Which files go, records last: all that lie in a folder with a record that is not the same, or with none.

    same: the records that are the same on both sides.
    """
    records = [name for name in names if is_record(name)]
    whole = {parent_of(name) for name in records} - {parent_of(name) for name in records if name not in same}
    return sorted((name for name in names if parent_of(name) not in whole), key=lambda name: (is_record(name), name))


def files_below(folder: Path, part: str) -> list[str]:
    start = folder / part
    found = [start] if start.is_file() else [path for path in start.rglob("*") if path.is_file()]
    names = [path.relative_to(folder) for path in found]
    return [name.as_posix() for name in names if not any(piece.startswith(".") for piece in name.parts)]


def parent_of(name: str) -> str:
    return str(PurePosixPath(name).parent)


def told(files: Any, root: str, names: Sequence[str]) -> dict[str, bytes]:
    """Name -> what is in it, of the records and logs that are there; asked for at once where the storage can."""
    paths = {f"{root}/{name}": name for name in names if is_record(name) or is_a_log(name)}
    found = files.cat(list(paths), on_error="omit") if paths else {}
    return {paths[path]: text for path, text in found.items()}


def content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
