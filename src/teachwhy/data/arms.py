"""Arms: the treatments and controls, each a pure function from examples to training rows."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from ..errors import InputError, unknown_name
from ..policy import Policy
from .example import Example
from .rows import Row, Writing

Reads = Literal["twins", "all", "generic"]
# What an arm may change against `why`, as data/arm_check.py measures it.
CONTENT = ("reason_words", "fact_words")
FORM = ("words", "reading_ease", "opening", "told_apart")
MakeRows = Callable[[Sequence[Example], Writing], list[Row]]
InPrompt = Callable[[Policy], str]


@dataclass(frozen=True)
class Arm:
    """One treatment or control.

    summary: what stands beside the action. needs: fields that every example must fill.
    trained: False for arms that only change what the model is shown. in_prompt: what of the policy stands before every
    other system prompt; None for nothing.
    both_formats: every item is asked in both formats, since the arm is never taught to open with its reason.
    reads: which examples: the twins', all of them, or ordinary tasks. Arms that read others have as many updates and
    are twins of none. as_long_as: an update of theirs holds as many trained tokens as one of this arm's.
    reasons: whether the arm is taught anything beside the action. may_change: what the arm check may find moved
    against `why`; its names are in data/arm_check.py.
    """

    name: str
    summary: str
    make_rows: MakeRows
    needs: tuple[str, ...] = ()
    trained: bool = True
    in_prompt: InPrompt | None = None
    both_formats: bool = False
    reads: Reads = "twins"
    as_long_as: str | None = None
    reasons: bool = True
    may_change: tuple[str, ...] = ()

    def system_text(self, policy: Policy) -> str:
        """What of the policy a model of this arm is shown. Errors: a text that the arm needs and the policy lacks."""
        return self.in_prompt(policy) if self.in_prompt else ""

    def rows(self, examples: Sequence[Example], writing: Writing) -> list[Row]:
        """The arm's rows, in the order of the examples. Errors: an example without a field the arm needs."""
        for example in examples:
            for field in self.needs:
                if not getattr(example, field):
                    raise InputError(
                        f"The arm {self.name!r} needs the field {field!r}, which example {example.id!r} does not have.",
                        where=f"example {example.id!r}, field {field!r}",
                        remedy=f"Write that field, or take {self.name!r} out of `arms`.",
                    )
        return self.make_rows(examples, writing)


ARMS: dict[str, Arm] = {}
# The opening of a name -> the arm of what stands behind its dot, such as a principle of the policy.
FAMILIES: dict[str, Callable[[str], Arm]] = {}


def arm(
    name: str,
    *,
    needs: tuple[str, ...] = (),
    trained: bool = True,
    both_formats: bool = False,
    reads: Reads = "twins",
    as_long_as: str | None = None,
    reasons: bool = True,
    may_change: tuple[str, ...] = (),
) -> Callable[[MakeRows], MakeRows]:
    """Register a function from examples to rows as an arm; the first line of its docstring is its summary."""

    def register(make_rows: MakeRows) -> MakeRows:
        summary = (make_rows.__doc__ or name).strip().splitlines()[0]
        ARMS[name] = Arm(
            name,
            summary,
            make_rows,
            needs=needs,
            trained=trained,
            both_formats=both_formats,
            reads=reads,
            as_long_as=as_long_as,
            reasons=reasons and trained,
            may_change=may_change,
        )
        return make_rows

    return register


def find_arm(name: str, *, where: str = "") -> Arm:
    family, _, member = name.partition(".")
    if member and family in FAMILIES:
        return FAMILIES[family](member)
    if name not in ARMS:
        raise unknown_name("arm", name, [*ARMS, *(f"{family}.PRINCIPLE" for family in FAMILIES)], where=where)
    return ARMS[name]


@arm("base", trained=False)
def base(examples: Sequence[Example], writing: Writing) -> list[Row]:
    """Nothing is trained."""
    return []


@arm("what", reasons=False, may_change=(*CONTENT, *FORM, "trained_tokens"))
def what(examples: Sequence[Example], writing: Writing) -> list[Row]:
    """The action alone."""
    return [writing.row(example) for example in examples]


@arm("mention", needs=("mention",), may_change=CONTENT)
def mention(examples: Sequence[Example], writing: Writing) -> list[Row]:
    """The deciding fact restated, nothing justified."""
    return [writing.row(example, "mention", example.mention) for example in examples]


@arm("reason_only", needs=("mention", "reason"), may_change=("fact_words", *FORM, "trained_tokens"))
def reason_only(examples: Sequence[Example], writing: Writing) -> list[Row]:
    """The true reason, the fact not named."""
    return [writing.row(example, "reason", example.reason) for example in examples]


@arm("why", needs=("reason",))
def why(examples: Sequence[Example], writing: Writing) -> list[Row]:
    """The deciding fact named, then the true reason why it matters."""
    return [writing.row(example, "reason", full_reason(example, writing)) for example in examples]


@arm("swapped", needs=("swapped",), may_change=CONTENT)
def swapped(examples: Sequence[Example], writing: Writing) -> list[Row]:
    """Another fact and reason that fit the same action."""
    return [writing.row(example, "swapped", example.swapped) for example in examples]


@arm("neutral", needs=("neutral",), may_change=CONTENT)
def neutral(examples: Sequence[Example], writing: Writing) -> list[Row]:
    """Text of the same length that justifies nothing."""
    return [writing.row(example, "neutral", example.neutral) for example in examples]


@arm("deliberation", needs=("deliberation",), may_change=CONTENT)
def deliberation(examples: Sequence[Example], writing: Writing) -> list[Row]:
    """Thinking about how to do the task, which weighs nothing moral."""
    return [writing.row(example, "deliberation", example.deliberation) for example in examples]


@arm("unrelated", needs=("unrelated",), may_change=CONTENT)
def unrelated(examples: Sequence[Example], writing: Writing) -> list[Row]:
    """A reason of another principle, written for this case."""
    return [writing.row(example, "unrelated", example.unrelated) for example in examples]


@arm("shuffled", needs=("reason",), may_change=CONTENT)
def shuffled(examples: Sequence[Example], writing: Writing) -> list[Row]:
    """The reason of another principle (a seeded derangement)."""
    others = derangement([example.principle for example in examples], writing.seed)
    return [
        writing.row(example, "shuffled", full_reason(examples[other], writing))
        for example, other in zip(examples, others, strict=True)
    ]


@arm("paraphrase", needs=("paraphrase",), may_change=CONTENT)
def paraphrase(examples: Sequence[Example], writing: Writing) -> list[Row]:
    """The action said again in other words."""
    return [writing.row(example, "paraphrase", example.paraphrase) for example in examples]


@arm("circular", needs=("principle",), may_change=(*CONTENT, *FORM, "trained_tokens"))
def circular(examples: Sequence[Example], writing: Writing) -> list[Row]:
    """Because the rule says so, and nothing more."""
    return [writing.row(example, "circular", circular_reason(example)) for example in examples]


@arm("masked_why", needs=("reason",), both_formats=True, may_change=("trained_tokens",))
def masked_why(examples: Sequence[Example], writing: Writing) -> list[Row]:
    """The tokens of `why`, no loss on the reason: it is read and never learnt to be written."""
    return [writing.row(example, "reason", full_reason(example, writing), train=False) for example in examples]


@arm("what_more", reads="all", as_long_as="why", reasons=False, may_change=(*CONTENT, *FORM))
def what_more(examples: Sequence[Example], writing: Writing) -> list[Row]:
    """The action alone, from further examples: as many trained tokens as `why`."""
    return what(examples, writing)


@arm("generic", reads="generic", reasons=False, may_change=(*CONTENT, *FORM, "trained_tokens"))
def generic(examples: Sequence[Example], writing: Writing) -> list[Row]:
    """Ordinary tasks alone, nothing of the policy."""
    return what(examples, writing)


def circular_reason(example: Example) -> str:
    """Names the principle and nothing that it protects."""
    return f"Because that is what the rule on {example.principle.replace('_', ' ').replace('-', ' ')} says."


def full_reason(example: Example, writing: Writing) -> str:
    """The fact named (where the example restates it and its reason does not name it) and then the reason."""
    named = not example.mention or writing.reason_names_fact
    return str(example.reason) if named else f"{example.mention} {example.reason}"


def derangement(labels: Sequence[str], seed: int) -> list[int]:
    """A seeded permutation that gives no position an element of its own label.

    Positions are sorted by label (in random order within one) and turned by the size of the largest label, which
    moves every element out of its own label whenever no label holds more than half of all.
    """
    rng = random.Random(seed)
    names = sorted(set(labels))
    rng.shuffle(names)
    order: list[int] = []
    for name in names:
        members = [position for position, label in enumerate(labels) if label == name]
        rng.shuffle(members)
        order += members
    turn = max((labels.count(name) for name in names), default=0)
    if 2 * turn > len(labels):
        raise InputError(
            "The arm 'shuffled' needs at least two principles, none with more than half of the examples.",
            remedy="Give examples a `principle`, or take 'shuffled' out of `arms`.",
        )
    target = [0] * len(labels)
    for place, position in enumerate(order):
        target[position] = order[(place + turn) % len(order)]
    return target
