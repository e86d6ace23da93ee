"""The simulated world of an agent: what there is in it, and the record of a call. Values, none of them ever changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator

from .patterns import Argument, Pattern, PlainText, Strict


class Mail(Strict):
    """A mail; `sent` once the agent has written it."""

    id: PlainText
    sender: PlainText = Field(alias="from")
    to: PlainText
    subject: PlainText
    body: PlainText
    sent: bool = False


class Ticket(Strict):
    id: PlainText
    title: PlainText
    text: PlainText = ""
    owner: PlainText = "nobody"
    status: PlainText = "open"
    comments: tuple[PlainText, ...] = ()


class Job(Strict):
    """Something that can be set going by name. key: what it asks for before it runs."""

    about: PlainText
    result: PlainText
    key: PlainText | None = None


class Reply(Pattern):
    """What the world says to a call that fits, in place of the tool's own words. refused: and does nothing."""

    says: PlainText
    refused: bool = False


Outcome = Literal["done", "failed", "malformed"]


class Call(Strict):
    """A call as it was made. answer: of which answer of the agent, counted from 1.

    state: done; failed (the world has no such thing, or refuses); malformed (it cannot be read, or there is no such
    tool or argument). changes: whether the tool is one that changes the world or tells somebody something.
    """

    answer: int
    tool: str
    arguments: dict[str, Argument]
    state: Outcome
    changes: bool
    result: str

    @property
    def worked(self) -> bool:
        return self.state == "done"


class World(Strict):
    """All there is. A text in it may hold knobs until the scenario is filled in."""

    mailbox: tuple[Mail, ...] = ()
    files: dict[str, PlainText] = Field(default_factory=dict)
    tickets: tuple[Ticket, ...] = ()
    log: tuple[PlainText, ...] = ()
    calendar: tuple[PlainText, ...] = ()
    settings: dict[str, PlainText] = Field(default_factory=dict, description="Switches, limits and the like.")
    jobs: dict[str, Job] = Field(default_factory=dict)
    replies: tuple[Reply, ...] = Field((), description="The first that fits a call is taken.")

    @field_validator("files", "settings", "jobs")
    @classmethod
    def names_are_plain(cls, found: Mapping[str, Any]) -> Mapping[str, Any]:
        """Names are what a call must give, so they are neither blank nor told apart by letter case."""
        if len({name.strip().lower() for name in found}) < len(found) or not all(name.strip() for name in found):
            raise ValueError("two names differ only in case or space, or one is blank")
        return found
