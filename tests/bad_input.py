"""What the tests of bad input share: spoiling a tiny study, and what a command that refuses it must say."""

from __future__ import annotations

import json
from pathlib import Path

import yaml


def assert_refused(done, *said: str) -> None:
    """The command failed as it should, and its message holds all of `said`."""
    message = " ".join(done.err.split())
    assert done.code == 2, done
    assert "Traceback" not in done.err, done.err
    assert "next: " in done.err, done.err
    for part in said:
        assert part in message, done.err


def edit_line(path: Path, line: int, **fields: object) -> None:
    """Change fields of one JSONL line, counted from 1; a field that is None is taken out."""
    lines = path.read_text().splitlines()
    record = json.loads(lines[line - 1]) | fields
    lines[line - 1] = json.dumps({name: value for name, value in record.items() if value is not None})
    path.write_text("\n".join(lines) + "\n")


def edit_study(path: Path, **fields: object) -> None:
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | fields, sort_keys=False))
