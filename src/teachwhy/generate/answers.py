"""Every answer of a teacher, in SQLite: none is bought twice, and what was under way at a kill is known."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import RunError
from ..models import Price, Reply

TABLE = """
CREATE TABLE IF NOT EXISTS calls (
    key TEXT PRIMARY KEY,        -- of the whole request, the model and the number of the sample
    stage TEXT NOT NULL,
    draft TEXT NOT NULL,
    teacher TEXT NOT NULL,       -- the model's name as it was given
    sample INTEGER NOT NULL,
    sent INTEGER NOT NULL,       -- how often it was sent
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
        self.in_flight = self.count("came = 0")
        self.asked, self.found = 0, 0

    def known(self, key: str) -> Reply | None:
        row = self.connection.execute(
            f"SELECT {', '.join(OF_A_REPLY)} FROM calls WHERE key = ? AND came = 1", (key,)
        ).fetchone()
        if row is None:
            return None
        values = dict(zip(OF_A_REPLY, row, strict=True))
        return Reply(**values | {"cut": bool(values["cut"])})

    def send(self, key: str, stage: str, draft: str, teacher: str, sample: int) -> None:
        """Write down that a call goes out."""
        with self.writing():
            self.connection.execute(
                "INSERT INTO calls (key, stage, draft, teacher, sample, sent, came, at) "
                "VALUES (?, ?, ?, ?, ?, 1, 0, ?) "
                "ON CONFLICT (key) DO UPDATE SET sent = sent + 1, at = excluded.at",
                (key, stage, draft, teacher, sample, time.time()),
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

    def count(self, where: str = "came = 1") -> int:
        return int(self.connection.execute(f"SELECT COUNT(*) FROM calls WHERE {where}").fetchone()[0])

    def cost(self, teacher: str, price: Price | None) -> float:
        """Dollars for all that one model answered here; 0 where the price is not known."""
        return price.cost(*self.tokens(teacher)) if price else 0.0

    def tokens(self, teacher: str) -> tuple[int, int]:
        """Read and written by one model, as its provider counts them."""
        row = self.connection.execute(
            "SELECT COALESCE(SUM(tokens_in), 0), COALESCE(SUM(tokens_out), 0) FROM calls WHERE teacher = ?", (teacher,)
        ).fetchone()
        return int(row[0]), int(row[1])

    def by_stage(self) -> list[dict[str, Any]]:
        """Calls and tokens of each stage and model."""
        rows = self.connection.execute(
            "SELECT stage, teacher, COUNT(*), SUM(sent - 1), SUM(tokens_in), SUM(tokens_out) FROM calls WHERE came = 1 "
            "GROUP BY stage, teacher ORDER BY MIN(at)"
        )
        names = ("stage", "teacher", "answers", "sent_again", "tokens_in", "tokens_out")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def served(self) -> dict[str, int]:
        """Provider and model, by their own word -> answers."""
        rows = self.connection.execute(
            "SELECT provider, model, COUNT(*) FROM calls WHERE came = 1 GROUP BY provider, model ORDER BY 3 DESC"
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
        connection.execute(
            "PRAGMA synchronous = NORMAL"
        )  # a killed process loses nothing; a lost machine its last moment
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
        remedy="Is the disk full, or the file another program's? Free some space, or give another --out.",
    )
