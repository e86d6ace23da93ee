"""The tools of the simulated world: pure functions from a world and arguments to the world after and what is said."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from .patterns import written
from .world import Mail, Ticket, World

LONGEST_SHOWN = 60  # characters of an argument that are said back
FINISH = "finish"


class Result(NamedTuple):
    """What came of a call. done: whether it was carried out; where it was not, the world is as it was."""

    world: World
    text: str
    done: bool = True


@dataclass(frozen=True)
class Parameter:
    """kind: text or number."""

    about: str
    kind: str = "text"
    needed: bool = True


@dataclass(frozen=True)
class Tool:
    """run: takes a world and arguments that fit the parameters. changes: the world, or what somebody knows."""

    name: str
    about: str
    run: Callable[..., Result]
    changes: bool
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


TOOLS: dict[str, Tool] = {}
Run = Callable[..., Result]
Found = TypeVar("Found", Mail, Ticket)


def tool(about: str, *, changes: bool = True, **parameters: Parameter | str) -> Callable[[Run], Run]:
    """Register a function of a world and of the parameters; its name is the tool's. A bare text is a needed one."""
    described = {name: Parameter(one) if isinstance(one, str) else one for name, one in parameters.items()}

    def register(run: Run) -> Run:
        TOOLS[run.__name__] = Tool(run.__name__, about, run, changes, described)
        return run

    return register


def optional(about: str) -> Parameter:
    return Parameter(about, needed=False)


def shown(text: str) -> str:
    """An argument as it is said back: short and on one line."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_SHOWN else line[:LONGEST_SHOWN] + "..."


def nothing(world: World, kind: str, name: str, valid: Iterable[str]) -> Result:
    names = ", ".join(valid)
    there = f"There is: {names}." if names else "There is none."
    return Result(world, f"There is no {kind} {shown(name)!r}. {there}", False)


def key_of(name: str, known: Iterable[str]) -> str | None:
    """The known name that is meant; letter case, space around it and a leading ./ or / are passed over."""
    wanted = name.strip().removeprefix(".").removeprefix("/").strip().lower()
    return next((one for one in known if one.lower().lstrip("./") == wanted), None)


def by_id(identifier: str, records: Iterable[Found]) -> Found | None:
    return next((one for one in records if one.id.lower() == identifier.strip().lower()), None)


def replaced(records: tuple[Found, ...], new: Found) -> tuple[Found, ...]:
    return tuple(new if one.id == new.id else one for one in records)


def lines(texts: Iterable[str], empty: str) -> str:
    return "\n".join(texts) or empty


def changed(world: World, **fields: object) -> World:
    return world.model_copy(update=fields)


# Mail


@tool("List the mails: id, sender, receiver and subject of each.", changes=False)
def list_mail(world: World) -> Result:
    rows = (f"{mail.id}: from {mail.sender} to {mail.to}: {mail.subject}" for mail in world.mailbox)
    return Result(world, lines(rows, "There is no mail."))


@tool("Read one mail.", changes=False, id="The mail's id.")
def read_mail(world: World, id: str) -> Result:
    mail = by_id(id, world.mailbox)
    if mail is None:
        return nothing(world, "mail", id, (one.id for one in world.mailbox))
    return Result(world, f"From: {mail.sender}\nTo: {mail.to}\nSubject: {mail.subject}\n\n{mail.body}")


@tool("Send a mail.", to="The address or name it goes to.", subject="Its subject.", body="Its text.")
def send_mail(world: World, to: str, subject: str, body: str) -> Result:
    fields = {"id": f"sent-{len(world.mailbox) + 1}", "from": "you", "to": to, "subject": subject, "body": body}
    mail = Mail.model_validate({**fields, "sent": True})
    return Result(changed(world, mailbox=(*world.mailbox, mail)), f"Sent to {shown(to)}.")


@tool("Write to a person and get their reply, if they are there.", person="Who.", text="What you tell or ask them.")
def message_person(world: World, person: str, text: str) -> Result:
    return Result(world, f"Delivered to {shown(person)}. No reply yet.")


# Files


@tool("List the files.", changes=False)
def list_files(world: World) -> Result:
    return Result(world, lines(world.files, "There is no file."))


@tool("Read one file.", changes=False, path="The file's path.")
def read_file(world: World, path: str) -> Result:
    name = key_of(path, world.files)
    return nothing(world, "file", path, world.files) if name is None else Result(world, world.files[name])


@tool("Write a file; one that is there is overwritten.", path="The file's path.", text="All that it is to hold.")
def write_file(world: World, path: str, text: str) -> Result:
    name = key_of(path, world.files) or path.strip()
    if not name:
        return Result(world, "A file needs a path.", False)
    return Result(changed(world, files={**world.files, name: text}), f"Written: {shown(name)}.")


@tool("Delete a file for good.", path="The file's path.")
def delete_file(world: World, path: str) -> Result:
    name = key_of(path, world.files)
    if name is None:
        return nothing(world, "file", path, world.files)
    left = {other: text for other, text in world.files.items() if other != name}
    return Result(changed(world, files=left), f"Deleted: {shown(name)}.")


# Tickets


@tool("List the tickets: id, status, owner and title of each.", changes=False)
def list_tickets(world: World) -> Result:
    rows = (f"{one.id}: {one.status}, {one.owner}: {one.title}" for one in world.tickets)
    return Result(world, lines(rows, "There is no ticket."))


@tool("Read one ticket with its comments.", changes=False, id="The ticket's id.")
def read_ticket(world: World, id: str) -> Result:
    ticket = by_id(id, world.tickets)
    if ticket is None:
        return nothing(world, "ticket", id, (one.id for one in world.tickets))
    head = f"{ticket.id}: {ticket.title}\nStatus: {ticket.status}\nOwner: {ticket.owner}"
    return Result(world, "\n".join([head, ticket.text, *(f"Comment: {one}" for one in ticket.comments)]))


@tool("Open a ticket.", title="Its title.", text="What it is about.", owner=optional("Whose it is."))
def open_ticket(world: World, title: str, text: str, owner: str = "nobody") -> Result:
    ticket = Ticket(id=f"new-{len(world.tickets) + 1}", title=title, text=text, owner=owner)
    return Result(changed(world, tickets=(*world.tickets, ticket)), f"Opened as {ticket.id}.")


@tool("Add a comment to a ticket.", id="The ticket's id.", text="The comment.")
def comment_ticket(world: World, id: str, text: str) -> Result:
    ticket = by_id(id, world.tickets)
    if ticket is None:
        return nothing(world, "ticket", id, (one.id for one in world.tickets))
    new = ticket.model_copy(update={"comments": (*ticket.comments, text)})
    return Result(changed(world, tickets=replaced(world.tickets, new)), f"Comment added to {ticket.id}.")


@tool(
    "Change the status or the owner of a ticket.",
    id="The ticket's id.",
    status=optional("Its new status, such as open or closed."),
    owner=optional("Its new owner."),
)
def update_ticket(world: World, id: str, status: str = "", owner: str = "") -> Result:
    ticket = by_id(id, world.tickets)
    if ticket is None:
        return nothing(world, "ticket", id, (one.id for one in world.tickets))
    given = {name: value for name, value in (("status", status), ("owner", owner)) if value.strip()}
    if not given:
        return Result(world, "Give a new status or a new owner.", False)
    new = ticket.model_copy(update=given)
    return Result(changed(world, tickets=replaced(world.tickets, new)), f"{ticket.id} is changed.")


# Log and calendar


@tool("Read the log.", changes=False)
def read_log(world: World) -> Result:
    return Result(world, lines(world.log, "The log is empty."))


@tool("Add a line to the log.", text="The line.", person=optional("Under whose name it stands."))
def write_log(world: World, text: str, person: str = "you") -> Result:
    line = f"{shown(person)}: {text}"
    return Result(changed(world, log=(*world.log, line)), "The line stands in the log.")


@tool("Read the calendar.", changes=False)
def read_calendar(world: World) -> Result:
    return Result(world, lines(world.calendar, "The calendar is empty."))


@tool("Put something into the calendar.", when="Day and time.", what="What it is, and who takes part.")
def add_event(world: World, when: str, what: str) -> Result:
    return Result(changed(world, calendar=(*world.calendar, f"{shown(when)}: {what}")), "It stands in the calendar.")


# Settings, jobs and payments


@tool("Read all settings: switches, limits and the like.", changes=False)
def read_settings(world: World) -> Result:
    return Result(world, lines((f"{name}: {value}" for name, value in world.settings.items()), "There is no setting."))


@tool("Change a setting.", name="The setting's name.", value="Its new value.")
def set_setting(world: World, name: str, value: str) -> Result:
    known = key_of(name, world.settings)
    if known is None:
        return nothing(world, "setting", name, world.settings)
    return Result(changed(world, settings={**world.settings, known: value}), f"{known} is now {shown(value)}.")


@tool("List the jobs that can be run.", changes=False)
def list_jobs(world: World) -> Result:
    return Result(world, lines((f"{name}: {job.about}" for name, job in world.jobs.items()), "There is no job."))


@tool(
    "Run a job.",
    name="The job's name.",
    input=optional("What it is run on."),
    key=optional("The key, for a job that asks for one."),
)
def run_job(world: World, name: str, input: str = "", key: str = "") -> Result:
    known = key_of(name, world.jobs)
    if known is None:
        return nothing(world, "job", name, world.jobs)
    job = world.jobs[known]
    if job.key is not None and key.strip() != job.key:
        return Result(world, f"{known} needs {'the right' if key else 'a'} key.", False)
    return Result(world, job.result)


@tool(
    "Order something or pay for it.",
    to="Who is paid.",
    amount=Parameter("How much.", "number"),
    purpose="What it is for.",
)
def pay(world: World, to: str, amount: float, purpose: str) -> Result:
    return Result(world, f"Paid {written(amount)} to {shown(to)}.")


@tool("Hand your work back: say that you are done, or that you stop.", changes=False, text="What you did or found.")
def finish(world: World, text: str) -> Result:
    return Result(world, "Handed back.")
