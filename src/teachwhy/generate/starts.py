"""Where lessons start: the principles of a policy, examples that somebody has, or scenarios."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..data import TEXTS_BESIDE, Example, read_examples
from ..errors import InputError, unknown_name
from ..evals.honeypots import Scenario, ScenarioSettings, read_scenarios
from ..policy import Policy
from .draft import Draft, shared_out
from .recipe import Recipe, shipped

USUAL_COUNT = 20  # lessons, where a recipe starts from the policy and no number is given


def starts_of(
    recipe: Recipe,
    policy: Policy,
    examples: Sequence[Example],
    count: int | None,
    scenarios: Sequence[Scenario] = (),
) -> list[Draft]:
    """The drafts that a recipe starts with. count: lessons wanted; None for 20, or for all the examples."""
    if recipe.starts == "scenarios":
        shares = shared_out(USUAL_COUNT if count is None else count, len(scenarios))
        return [
            Draft(scenario.family, {**of_scenario(scenario, policy), **recipe.fields}, share)
            for scenario, share in zip(scenarios, shares, strict=True)
            if share
        ]
    if recipe.starts == "policy":
        shares = shares_of(USUAL_COUNT if count is None else count, len(policy.principles), recipe.group)
        return [
            Draft(principle.id, {"principle": principle.id, **recipe.fields}, share)
            for principle, share in zip(policy.principles, shares, strict=True)
            if share
        ]
    read = examples if count is None else examples[:count]
    stale = stale_texts(recipe)
    return [Draft(example.id, {**without(of_example(example), stale), **recipe.fields}) for example in read]


def stale_texts(recipe: Recipe) -> set[str]:
    """Texts beside an action that a recipe leaves behind: those it writes itself, and controls of other reasons."""
    written = {field for stage in recipe.stages for field in stage.given()}
    return set(TEXTS_BESIDE) if "reason" in written else set(TEXTS_BESIDE) & written


def without(fields: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in names}


def shares_of(count: int, principles: int, group: int) -> list[int]:
    """Lessons of each principle, in whole groups as far as that goes."""
    first, *others = [group * share for share in shared_out(count // group, principles)]
    return [first + count % group, *others]


def of_example(example: Example) -> dict[str, Any]:
    """The fields that it has. A system message at the head of its conversation is its `system`, as in its row."""
    first, *rest = example.messages
    if first.role == "system" and rest:
        example = example.model_copy(update={"system": first.content, "messages": rest})
    return {name: value for name, value in example.model_dump().items() if value not in (None, "") and name != "id"}


def of_scenario(scenario: Scenario, policy: Policy) -> dict[str, Any]:
    """The principle is known where the policy has one by the family's name."""
    principle = {"principle": scenario.family} if scenario.family in policy.ids else {}
    return {"scenario": scenario, "family": scenario.family, "about": scenario.about, **principle}


def given_scenarios(recipe: Recipe, paths: Sequence[Path]) -> tuple[Scenario, ...]:
    """The scenarios named, or the recipe's own. Errors: none are named; a file that does not fit; an unknown family."""
    if recipe.starts != "scenarios":
        return ()
    files = [*map(str, paths)] or recipe.scenarios
    if not files:
        raise InputError(
            f"The recipe {recipe.name!r} starts from scenarios, and none are given.",
            where="--from",
            remedy="Name scenario files, or `bundled:FAMILY` for one that comes with this.",
        )
    return read_scenarios(ScenarioSettings(files=files), Path()).families


def given_examples(recipe: Recipe, paths: Sequence[Path], policy: Policy) -> list[Example]:
    """The examples named, or the recipe's samples. Errors: none; a field or principle that is not there."""
    if recipe.starts == "scenarios":
        return []
    if recipe.starts == "policy":
        if paths:
            raise InputError(
                f"The recipe {recipe.name!r} starts from the policy and reads no examples.",
                where="--from",
                remedy="Leave it out.",
            )
        return []
    if not paths and not recipe.sample:
        raise InputError(
            f"The recipe {recipe.name!r} starts from examples, and none are given.",
            where="--from",
            remedy="Name a JSONL of examples, or of chats in OpenAI's or Hugging Face's form.",
        )
    examples = read_examples(paths or [Path(str(shipped().parent / "samples" / str(recipe.sample)))])
    for example in examples:
        for name in recipe.reads:
            if not getattr(example, name):
                raise InputError(
                    f"The recipe {recipe.name!r} needs the field {name!r}, which example {example.id!r} does not have.",
                    where=f"{', '.join(map(str, paths))}, id {example.id!r}",
                    remedy="Write it, or make it with another recipe first; `teachwhy generate why` writes reasons.",
                )
        if example.principle and example.principle not in policy.ids:
            raise unknown_name(
                f"principle of the policy (example {example.id!r})", example.principle, policy.ids, where=policy.file
            )
    return examples
