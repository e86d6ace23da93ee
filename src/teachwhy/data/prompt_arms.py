"""Prompt arms: nothing is trained; each is a pure function from the policy to what stands in the system prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from ..errors import InputError, Place, unknown_name
from ..policy import Policy, Principle, labelled
from .arms import ARMS, FAMILIES, Arm, InPrompt, derangement
from .example import Example
from .rows import Row, Writing

WITHOUT_WHY = "without_why"
SHUFFLE_SEED = 0


def no_rows(examples: Sequence[Example], writing: Writing) -> list[Row]:
    return []


def prompt_arm(in_prompt: InPrompt) -> InPrompt:
    """Register a function from a policy to a system prompt as an arm of its name."""
    summary = (in_prompt.__doc__ or in_prompt.__name__).strip().splitlines()[0]
    ARMS[in_prompt.__name__] = untrained(in_prompt.__name__, summary, in_prompt)
    return in_prompt


def untrained(name: str, summary: str, in_prompt: InPrompt) -> Arm:
    return Arm(name, summary, no_rows, trained=False, reasons=False, in_prompt=in_prompt)


def rules_and(policy: Policy, beside: Callable[[Principle], str]) -> str:
    """Every rule with its boundaries, and something in the place of its why."""
    return policy.as_system_prompt(
        lambda principle: (principle.rule, beside(principle), labelled("Boundaries", principle.boundaries))
    )


def why_of(principle: Principle) -> str:
    return labelled("Why", principle.why)


@prompt_arm
def policy_in_prompt(policy: Policy) -> str:
    """Nothing is trained; the policy (rules with whys) is the system prompt."""
    return policy.as_system_prompt()


@prompt_arm
def rules_in_prompt(policy: Policy) -> str:
    """Nothing is trained; the rules without their whys are the system prompt."""
    return rules_and(policy, lambda principle: "")


@prompt_arm
def whys_in_prompt(policy: Policy) -> str:
    """Nothing is trained; the whys without their rules are the system prompt."""
    return policy.as_system_prompt(lambda principle: (why_of(principle),))


@prompt_arm
def rules_neutral_in_prompt(policy: Policy) -> str:
    """Nothing is trained; the rules, each with text as long as its why that justifies nothing."""
    return rules_and(policy, lambda principle: f"Note: {needed(policy, principle, 'Neutral')}")


@prompt_arm
def rules_shuffled_in_prompt(policy: Policy) -> str:
    """Nothing is trained; the rules, each with the why of another (a seeded derangement)."""
    if len(policy.principles) < 2:
        raise InputError(
            "The arm 'rules_shuffled_in_prompt' needs at least two principles: a why of another rule.",
            where=policy.file,
            remedy="Write a second principle, or take the arm out.",
        )
    others = derangement(policy.ids, SHUFFLE_SEED)
    whys = {one.id: policy.principles[other].why for one, other in zip(policy.principles, others, strict=True)}
    return rules_and(policy, lambda principle: labelled("Why", whys[principle.id]))


@prompt_arm
def more_rules_in_prompt(policy: Policy) -> str:
    """Nothing is trained; the rules, each with further rules as long as its why."""
    return rules_and(policy, lambda principle: f"Also: {needed(policy, principle, 'More')}")


def without_why(policy: Policy, left_out: str) -> str:
    """The policy without the why of one principle."""
    if left_out not in policy.ids:
        raise unknown_name(f"principle for the arm '{WITHOUT_WHY}.{left_out}'", left_out, policy.ids, where=policy.file)
    return rules_and(policy, lambda principle: "" if principle.id == left_out else why_of(principle))


def leave_one_out(principle: str) -> Arm:
    """The arm that shows the policy without the why of this principle."""
    summary = f"Nothing is trained; the policy without the why of '{principle}' is the system prompt."
    return untrained(f"{WITHOUT_WHY}.{principle}", summary, partial(without_why, left_out=principle))


FAMILIES[WITHOUT_WHY] = leave_one_out


def needed(policy: Policy, principle: Principle, label: str) -> str:
    """A text of a principle that not every policy has."""
    text = str(getattr(principle, label.lower()))
    if not text:
        arm = {"Neutral": "rules_neutral_in_prompt", "More": "more_rules_in_prompt"}[label]
        raise InputError(
            f"The arm {arm!r} needs a text that the principle {principle.id!r} does not have.",
            where=str(Place(policy.file or "the policy", principle.line, identifier=principle.id)),
            remedy=f"Write a line `{label}:` there, as long as its why, or take {arm!r} out.",
        )
    return text
