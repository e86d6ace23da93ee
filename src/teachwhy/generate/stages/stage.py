"""What a stage of a recipe is: its settings, what it needs and gives, and how drafts go through it in chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from ...policy import Policy, Principle
from ..draft import Draft
from ..filling import FENCES, as_text, fill, placeholders
from ..reading import Form, Read
from ..teacher import Manner, Messages, Question, Teacher

CHUNK = 256  # drafts that are asked about together; what is held in memory does not grow with the corpus
# What every prompt may name beside the fields of its draft.
OF_THE_POLICY = ("policy", "principles")
CONVERSATION = "conversation"  # made of the messages of a draft, wherever it has some
OF_A_PRINCIPLE = ("principle.id", "principle.title", "principle.rule", "principle.why", "principle.boundaries")

Drop = Callable[[Draft, str, str, str], None]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Work:
    """What stages work with.

    drop: told of a draft that goes no further: stage, cause and more of it. counts: stage -> drafts that came in and
    went out. judge: reads what the teacher wrote; the teacher itself where none was named.
    """

    policy: Policy
    teacher: Teacher
    judge: Teacher
    drop: Drop
    seed: int = 0
    counts: dict[str, list[int]] = field(default_factory=dict)


class Stage(Strict):
    """One step of a recipe."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$", description="Unique in the recipe; --without leaves it out by it.")
    kind: str
    about: str = Field("", description="What it is for, in a sentence.")

    def needs(self) -> set[str]:
        """Fields that a draft must have before it."""
        return set()

    def given(self) -> set[str]:
        """Fields that a draft has after it."""
        return set()

    def flow(self, drafts: Iterator[Draft], work: Work) -> Iterator[Draft]:
        """Drafts in, drafts out, in order, a chunk at a time."""
        count = work.counts[self.name]
        for chunk in chunks(drafts):
            count[0] += len(chunk)
            for draft in self.through(chunk, work):
                count[1] += 1
                yield draft

    def through(self, drafts: Sequence[Draft], work: Work) -> Iterable[Draft]:
        """The drafts that come of these; those that go no further are told to `work.drop`."""
        raise NotImplementedError

    def planned(self, quotas: Sequence[int]) -> tuple[int, list[int]]:
        """How many calls it makes where nothing is dropped, and the quotas of the drafts that come of it."""
        return 0, list(quotas)


AnyKind = TypeVar("AnyKind", bound=type[Stage])
STAGES: dict[str, type[Stage]] = {}


def stage_kind(kind: AnyKind) -> AnyKind:
    """Register a class as the kind that its field `kind` names; the first line of its docstring is its summary."""
    STAGES[str(kind.__pydantic_fields__["kind"].default)] = kind
    return kind


class AskingStage(Stage):
    """A stage that asks the teacher or the judge."""

    prompt: str = Field(
        description="What is asked; `{{name}}` stands for a field, `{{policy}}` or `{{principle.why}}`."
    )
    system: str = Field("", description="The teacher's system prompt in this stage.")
    by: str = Field("teacher", pattern="^(teacher|judge)$")
    temperature: float = Field(0.7, ge=0, le=2)
    max_tokens: int = Field(600, gt=0, description="The longest answer.")
    fields_of_prompt: ClassVar[tuple[str, ...]] = ("prompt", "system")

    def needs(self) -> set[str]:
        named = {name for text in self.fields_of_prompt for name in placeholders(getattr(self, text))}
        return {"principle" if name in OF_A_PRINCIPLE else name for name in named - set(OF_THE_POLICY)}

    def planned(self, quotas: Sequence[int]) -> tuple[int, list[int]]:
        return len(quotas), list(quotas)

    def asked(self, work: Work) -> Teacher:
        return work.judge if self.by == "judge" else work.teacher

    @property
    def manner(self) -> Manner:
        return Manner(self.name, self.max_tokens, self.temperature)

    def messages(self, draft: Draft, policy: Policy, form: Form, more: str = "") -> Messages:
        """The conversation that asks about a draft. more: what else is to be said of the answer."""
        values = known(draft, policy)
        text = "\n\n".join(part for part in (fill(self.prompt, values).strip(), more, form.asked_for()) if part)
        system = "\n\n".join(part for part in (fill(self.system, values).strip(), FENCES) if part)
        return ({"role": "system", "content": system}, {"role": "user", "content": text})

    def ask(self, questions: Sequence[Question], work: Work) -> list[Read]:
        return self.asked(work).ask(questions, self.manner)


class AskingSome(AskingStage):
    """A stage that may ask about some drafts alone and let the others pass as they are."""

    only_where: dict[str, str] = Field(
        default_factory=dict, description="Field -> the value that a draft must have to be asked about; else it passes."
    )

    def needs(self) -> set[str]:
        return super().needs() | set(self.only_where)

    def concerns(self, draft: Draft) -> bool:
        return all(draft.fields.get(name) == value for name, value in self.only_where.items())

    def question(self, draft: Draft, policy: Policy) -> Question:
        raise NotImplementedError

    def of_use(self, draft: Draft, read: Read) -> Read:
        """What is made of an answer: a stage may have a use for one without values."""
        return read

    def asked_among(self, drafts: Sequence[Draft], work: Work) -> Iterator[tuple[Draft, Read | None]]:
        """Each draft with what was read for it, None where nothing was asked; one without an answer is dropped."""
        concerned = list(filter(self.concerns, drafts))
        reads = self.ask([self.question(draft, work.policy) for draft in concerned], work)
        found = {draft.id: self.of_use(draft, read) for draft, read in zip(concerned, reads, strict=True)}
        for draft in drafts:
            read = found.get(draft.id)
            if read is not None and read.values is None:
                work.drop(draft, self.name, read.cause or "", read.detail)
            else:
                yield draft, read


def known(draft: Draft, policy: Policy) -> dict[str, Any]:
    """All that a prompt may name: the draft's fields, the policy, and the principle that the draft is about."""
    values: dict[str, Any] = {
        "policy": policy.as_system_prompt(),
        "principles": [f"{one.id}: {one.title}" for one in policy.principles],
        **draft.fields,
    }
    if {"messages", "prompt"} & set(draft.fields):
        values[CONVERSATION] = conversation_text(draft.fields)
    principle = next((one for one in policy.principles if one.id == draft.fields.get("principle")), None)
    return values | (of_principle(principle) if principle else dict.fromkeys(OF_A_PRINCIPLE, "(not said)"))


def conversation_text(fields: Mapping[str, Any]) -> str:
    """Every message before the response, each behind its role."""
    messages = fields.get("messages") or [{"role": "user", "content": fields["prompt"]}]
    system = [{"role": "system", "content": fields["system"]}] if fields.get("system") else []
    return as_text([*system, *messages])


def of_principle(principle: Principle) -> dict[str, str]:
    return {
        f"principle.{name}": getattr(principle, name) or "(none)"
        for name in ("id", "title", "rule", "why", "boundaries")
    }


AnyItem = TypeVar("AnyItem")


def chunks(items: Iterable[AnyItem], size: int = CHUNK) -> Iterator[list[AnyItem]]:
    items = iter(items)
    while chunk := list(islice(items, size)):
        yield chunk


def asked_together(
    drafts: Sequence[Draft], reads: Sequence[Read], stage: str, drop: Drop
) -> Iterator[tuple[Draft, Read]]:
    """Drafts with what was read for them; those without are dropped with the cause."""
    for draft, read in zip(drafts, reads, strict=True):
        if read.values is None:
            drop(draft, stage, read.cause or "", read.detail)
        else:
            yield draft, read
