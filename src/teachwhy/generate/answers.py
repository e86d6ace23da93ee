"""Every answer of a teacher, in SQLite: none is bought twice, and what was under way at a kill is known."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import RunError
from ..models import Reply

TABLE = """
CREATE TABLE IF NOT EXISTS calls (
    key TEXT PRIMARY KEY,        -- of the whole request, the model and the number of the sample
    stage TEXT NOT NULL,
    draft TEXT NOT NULL,
    teacher TEXT NOT NULL,       -- the model's name as it was given
    made_for TEXT NOT NULL,      -- the order that it was asked for first: recipe, policy and teachers
    again INTEGER NOT NULL,      -- how often an answer of no use came before it
    came INTEGER NOT NULL,       -- whether an answer is here
    text TEXT, cause TEXT, cut INTEGER, tokens_in INTEGER, tokens_out INTEGER,
    model TEXT, provider TEXT,   -- who served it, by its own word
    at REAL NOT NULL             -- seconds since 1970, when it was sent or came
) WITHOUT ROWID
"""
OF_A_REPLY = ("text", "cause", "cut", "tokens_in", "tokens_out", "model", "provider")


class Answers:
    """The answers of one output folder. in_flight: calls that an earlier run sent and did not live to see answered."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path, self.connection = path, connection
        self.in_flight = self.count_in_flight()

    def count_in_flight(self) -> int:
        """Those that the last run left, told once; how many there ever were is kept in the file."""
        [(found,)] = self.rows("SELECT COUNT(*) FROM calls WHERE came = 0")
        if found:
            with self.writing():
                self.connection.execute(f"PRAGMA user_version = {self.ever_in_flight + found}")
                self.connection.execute("DELETE FROM calls WHERE came = 0")
        return int(found)

    @property
    def ever_in_flight(self) -> int:
        [(found,)] = self.rows("PRAGMA user_version")
        return int(found)

    def known(self, key: str) -> Reply | None:
        rows = self.rows(f"SELECT {', '.join(OF_A_REPLY)} FROM calls WHERE key = ? AND came = 1", key)
        if not rows:
            return None
        values = dict(zip(OF_A_REPLY, rows[0], strict=True))
        return Reply(**values | {"cut": bool(values["cut"])})

    def send(self, key: str, *, stage: str, draft: str, teacher: str, made_for: str, again: int) -> None:
        """Write down that a call goes out."""
        with self.writing():
            self.connection.execute(
                "INSERT OR IGNORE INTO calls (key, stage, draft, teacher, made_for, again, came, at) "
                "VALUES (?, ?, ?, ?, ?, ?, 0, ?)",
                (key, stage, draft, teacher, made_for, again, time.time()),
            )

    def receive(self, key: str, reply: Reply) -> None:
        """Write down what came; a call that was never answered is taken out, since it may be sent again."""
        with self.writing():
            if not reply.came:
                self.connection.execute("DELETE FROM calls WHERE key = ? AND came = 0", (key,))
                return
            values = [getattr(reply, name) for name in OF_A_REPLY]
            self.connection.execute(
                f"UPDATE calls SET came = 1, at = ?, {', '.join(f'{name} = ?' for name in OF_A_REPLY)} WHERE key = ?",
                (time.time(), *values, key),
            )

    @contextmanager
    def writing(self) -> Iterator[None]:
        try:
            with self.connection:
                yield
        except sqlite3.Error as error:
            raise broken(self.path, error) from None

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Errors (RunError): the file is damaged, or of another version."""
        try:
            return self.connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise broken(self.path, error) from None

    def tokens(self) -> dict[str, tuple[int, int]]:
        """Model -> tokens read and written in all, as its provider counts them."""
        rows = self.rows(
            "SELECT teacher, SUM(tokens_in), SUM(tokens_out) FROM calls WHERE came = 1 "
            "GROUP BY teacher ORDER BY teacher"
        )
        return {teacher: (int(read or 0), int(wrote or 0)) for teacher, read, wrote in rows}

    def by_stage(self) -> list[dict[str, Any]]:
        """Calls and tokens of each stage and model."""
        rows = self.rows(
            "SELECT stage, teacher, COUNT(*), SUM(again > 0), SUM(tokens_in), SUM(tokens_out) "
            "FROM calls WHERE came = 1 GROUP BY stage, teacher ORDER BY stage, teacher"
        )
        names = ("stage", "teacher", "answers", "asked_again", "tokens_in", "tokens_out")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def of_order(self, made_for: str) -> dict[str, int]:
        """Stage -> questions of one order that were answered here."""
        return dict(
            self.rows(
                "SELECT stage, COUNT(*) FROM calls WHERE came = 1 AND again = 0 AND made_for = ? GROUP BY stage",
                made_for,
            )
        )

    def served(self) -> dict[str, int]:
        """Provider and model, by their own word -> answers."""
        rows = self.rows(
            "SELECT provider, model, COUNT(*) FROM calls WHERE came = 1 GROUP BY provider, model ORDER BY 3 DESC, 1, 2"
        )
        return {
            " / ".join(part for part in (provider, model) if part) or "not said": count
            for provider, model, count in rows
        }


@contextmanager
def open_answers(path: Path) -> Iterator[Answers]:
    """Errors (RunError): the file is none of ours, or cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA journal_mode = WAL")
        # A killed process loses nothing; a machine that loses its current may lose its last moment.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(TABLE)
        answers = Answers(path, connection)
    except sqlite3.Error as error:
        raise broken(path, error) from None
    try:
        yield answers
    finally:
        connection.close()


def broken(path: Path, error: sqlite3.Error) -> RunError:
    return RunError(
        f"The answers of the teacher cannot be kept: {error}.",
        where=str(path),
        remedy="Is the disk full, or the file damaged or of another version? Free some space, or give another --out.",
    )
