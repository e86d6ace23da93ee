"""`teachwhy init`: a commented study that runs as it stands."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from ..errors import InputError
from .folder import write_text

STARTER_FILES = ("study.yaml", "policy.md", "examples.jsonl", "items.jsonl")


def write_starter(folder: Path) -> list[Path]:
    """Write the starter study into a folder; refuses to write over anything. Returns the files written."""
    for name in STARTER_FILES:
        if (folder / name).exists():
            raise InputError(
                "There is a study here already.", where=str(folder / name), remedy="Give a folder that does not exist."
            )
    source = files("teachwhy.study") / "starter"
    written = []
    for name in STARTER_FILES:
        write_text(folder / name, (source / name).read_text(encoding="utf-8"))
        written.append(folder / name)
    return written
