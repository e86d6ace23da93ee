"""Every answer of a model behind an API, written down as it comes: a stop at any instant loses none that was paid for.

One file for each model beside the run folders of a study, which all of them read: what is asked in the same words is
asked once, whatever else of the study has changed.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..evals import Answer, Request
from ..models import ApiModel, Price, Reply, Sampling
from ..text import fingerprint
from .folder import folder_error

Tell = Callable[[int, int], None]
OF_A_REPLY = ("text", "cause", "cut", "tokens_in", "tokens_out", "model")
NEW_OF_A_REPLY = ("provider",)  # older lines do not have it


@dataclass(frozen=True)
class Asked:
    """What is the same for all requests of one asking. arm: who is shown what; sample: which time it is asked."""

    arm: str
    max_new_tokens: int
    temperature: float = 0.0
    sample: int = 0

    def key(self, model: str, item: str, prompt: str) -> str:
        """Of all that an answer depends on."""
        return fingerprint([model, self.arm, item, prompt, self.max_new_tokens, self.temperature, self.sample])


@dataclass
class Journal:
    """path: one JSON line an answer. known: key -> what was answered; only what was heard is written down."""

    path: Path
    known: dict[str, Reply] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Journal:
        """A line that a kill cut short is passed over: its answer is asked again."""
        known = {}
        lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else []
        for line in lines:
            try:
                record = json.loads(line)
                new = {name: record[name] for name in NEW_OF_A_REPLY if name in record}
                known[str(record["key"])] = Reply(**{name: record[name] for name in OF_A_REPLY}, **new)
            except (ValueError, KeyError, TypeError):
                continue
        return cls(path, known)

    def add(self, key: str, asked: Asked, item: str, reply: Reply) -> None:
        """Remember an answer and bring it onto the disk."""
        self.known[key] = reply
        values = asdict(reply)
        about = {"key": key, "arm": asked.arm, "item": item, "sample": asked.sample}
        line = json.dumps(about | {name: values[name] for name in OF_A_REPLY + NEW_OF_A_REPLY}, ensure_ascii=False)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab+") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX)  # two run folders of one study may be at work
                stream.seek(0, os.SEEK_END)
                torn = stream.tell() > 0 and self.last_byte(stream.fileno()) != b"\n"
                stream.write((("\n" if torn else "") + line + "\n").encode())
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise folder_error(error, self.path) from None

    @staticmethod
    def last_byte(file: int) -> bytes:
        return os.pread(file, 1, os.fstat(file).st_size - 1)

    def cost(self, price: Price | None) -> float:
        """Dollars spent on all that is written down; 0 where the price is not known."""
        return sum(price.cost(reply.tokens_in, reply.tokens_out) for reply in self.known.values()) if price else 0.0


def journal_path(study_runs: Path, model: str) -> Path:
    """study_runs: the folder of a study's run folders. model: its fingerprint."""
    return study_runs / f"asked-{model[:8]}.jsonl"


@dataclass(frozen=True)
class Said:
    """An answer with the reply it was made of."""

    answer: Answer
    reply: Reply


def put_to_api(
    model: ApiModel, journal: Journal, asked: Asked, requests: Sequence[Request], prompts: Sequence[str], progress: Tell
) -> list[Said]:
    """The answers to requests, in order: those that the journal has, and the others asked and written down.

    prompts: of each request, as the model's chat writes them. What was never heard is an answer with a cause.
    """
    keys = [asked.key(model.name, one.item, prompt) for one, prompt in zip(requests, prompts, strict=True)]
    open_places = [place for place, key in enumerate(keys) if key not in journal.known]
    done = len(keys) - len(open_places)
    progress(done, len(keys))
    heard: list[int] = []

    def on_reply(place: int, reply: Reply) -> None:
        if reply.came:
            journal.add(keys[open_places[place]], asked, requests[open_places[place]].item, reply)
        heard.append(place)
        progress(done + len(heard), len(keys))

    sampling = Sampling(asked.temperature, ()) if asked.temperature else None
    new = model.replies(
        [prompts[place] for place in open_places],
        max_new_tokens=asked.max_new_tokens,
        sampling=sampling,
        on_reply=on_reply,
    )
    replies = {keys[place]: reply for place, reply in zip(open_places, new, strict=True)}
    found = [journal.known.get(key) or replies[key] for key in keys]
    return [
        Said(Answer(one.item, one.format, reply.text, sample=asked.sample, cause=reply.cause), reply)
        for one, reply in zip(requests, found, strict=True)
    ]


def told(replies: Iterable[Reply]) -> dict[str, object]:
    """What is to be known of all replies of one exam: how many, how many never came or were cut, and what they took."""
    replies = list(replies)
    return {
        "answers": len(replies),
        "missing": sum(not reply.came for reply in replies),
        "cut": sum(reply.cut for reply in replies),
        "tokens_in": sum(reply.tokens_in for reply in replies),
        "tokens_out": sum(reply.tokens_out for reply in replies),
        "models": sorted({reply.model for reply in replies if reply.model}),
        "providers": sorted({reply.provider for reply in replies if reply.provider}),
    }
