"""A study that trains on what a recipe made and examines it, written beside the lessons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..data import ARMS, overlaps
from ..errors import InputError
from ..evals.honeypots import Scenario, bundled_files, read_scenario
from ..study.folder import write_text
from ..study.prompt_study import as_yaml, beside, edited, mark
from ..text import read_text
from .order import Order
from .outputs import LESSONS, Made
from .recipe import Recipe
from .starts import given_scenarios

STUDY = "study.yaml"
# Arms in the order of the design's table; those are taken that every lesson has the texts for.
TWINS = ("what", "why", "mention", "neutral", "paraphrase", "swapped", "unrelated", "deliberation")
# Controls that are made of the reasons themselves, so that no `why` goes without.
OF_REASONS = ("shuffled", "circular", "masked_why")
VARIED = "_varied"
VERSIONS = ("why", "mention", "neutral", "swapped")
QUESTIONS = {
    "examples": "Does being taught why make this model decide new cases better than being taught what?",
    "documents": "Does reading what an assistant does and why, as ordinary knowledge, make this model decide new cases "
    "better?",
    "pairs": "Does preferring what the policy asks for make this model decide new cases better?",
}


@dataclass(frozen=True)
class Taught:
    """What a study teaches. settings: its fields. declared, exploratory: (arm, versus) of its contrasts."""

    settings: dict[str, Any]
    declared: Sequence[tuple[str, str]]
    exploratory: Sequence[tuple[str, str]] = ()


def write_study(order: Order, recipe: Recipe, made: Made, say: Any) -> None:
    """The study file, unless somebody has changed the one that is there."""
    path = order.out / STUDY
    if recipe.output == "documents" and not made.fields & set(VERSIONS):
        say("no version is in all documents, so no study was written")
        return
    body = as_yaml(study_settings(order, recipe, made))
    if path.exists() and edited(read_text(path)):
        say(f"{path} was changed since it was written, so it is left as it is")
        return
    write_text(path, f"{mark('generate', body)} Once changed it is yours, and left alone.\n{body}")


def study_settings(order: Order, recipe: Recipe, made: Made) -> dict[str, Any]:
    """The fields of the study that are not as usual."""
    items = [beside(path, order.out) for path in order.items]
    about = (
        f"Lessons written by {order.teacher} with the recipe {recipe.name}. Language models wrote and judged them, and "
        "no human annotator did."
    )
    taught = TAUGHT[recipe.output](recipe, made)
    settings: dict[str, Any] = {
        "name": order.out.resolve().name,
        "question": QUESTIONS[recipe.output],
        "about": about,
        "policy": beside(order.policy, order.out),
        "model": "bundled:smollm2-135m",
        **taught.settings,
        "seeds": [0, 1, 2],
        "train": {"epochs": 3, "batch": 8, "learning_rate": 0.0005},
        **examined(items, given_scenarios(recipe, order.sources)),
    }
    for kind, contrasts in (("contrasts", taught.declared), ("exploratory", taught.exploratory)):
        settings[kind] = [
            {"arm": arm, "versus": versus, "exam": settings["exams"][0], "metric": "pair_accuracy"}
            for arm, versus in contrasts
        ]
    arm, versus = taught.declared[0]
    return settings | {"quick": {"arms": [versus, arm]}}


def examined(items: Sequence[str], taught: Sequence[Scenario]) -> dict[str, Any]:
    """The exam: on the user's own items, or else on bundled scenarios that no lesson was made in (taught: those)."""
    if items:
        return {"items": list(items), "exams": ["edge_cases"]}
    files = [f"bundled:{family}" for family in untaught(taught)] if taught else ["bundled"]
    return {"scenarios": {"files": files}, "exams": ["next_act"]}


def untaught(taught: Sequence[Scenario]) -> list[str]:
    """The bundled families that share neither name nor words with those that lessons are made in.

    Errors (InputError): there is none.
    """
    texts = {scenario.family: "\n".join(scenario.texts()) for scenario in taught}
    families = [read_scenario(path) for path in bundled_files()]
    known = {hit.examined for hit in overlaps(texts, {one.family: "\n".join(one.texts()) for one in families})}
    free = [one.family for one in families if one.family not in {*texts, *known}]
    if not free:
        raise InputError(
            "Lessons would be made in all scenarios that come with this, and none would be left to examine them.",
            where="--from",
            remedy="Name fewer scenarios, or give items to examine with by --items.",
        )
    return free


def taught_examples(recipe: Recipe, made: Made) -> Taught:
    """Every arm that the lessons have the texts for: `why` against `what` and its nearest controls, then the others."""
    fields = made.fields
    arms = [name for name in TWINS if name in ARMS and set(ARMS[name].needs) <= fields]
    if "why" in arms:
        arms += [name for name in OF_REASONS if name != "shuffled" or made.can_be_shuffled]
    around = arms[:2] if "varied_system" in fields else []
    written = [name for name in arms if name in ("neutral", "mention")]
    near = written or [name for name in arms if name == "shuffled"]
    declared = [("why", name) for name in ("what", *near)] if "why" in arms else []
    declared += [(f"{name}{VARIED}", name) for name in around]
    return Taught(
        {
            "examples": [LESSONS],
            "arms": [
                "base",
                *arms,
                *({"name": f"{name}{VARIED}", "arm": name, "surroundings": "varied"} for name in around),
            ],
            "format": {"reason": "first", "reason_names_fact": reasons_name_fact(recipe, fields)},
        },
        declared or [("what", "base")],
        [("why", name) for name in arms if name not in ("what", "why", *near)] if "why" in arms else [],
    )


def reasons_name_fact(recipe: Recipe, fields: set[str]) -> bool:
    """Whether a reason names the deciding fact itself: all that recipes write do, and controls are made beside such.

    In somebody's own examples a reason beside a mention leaves the fact to that one, as docs/formats.md has it.
    """
    made = set().union(*(stage.given() for stage in recipe.stages))
    return "mention" not in fields or bool(made & {"reason", "mention"})


def taught_documents(recipe: Recipe, made: Made) -> Taught:
    """Each version is read as documents, and as chat where there are questions; the first against the others."""
    fields = made.fields
    versions = [version for version in VERSIONS if version in fields]
    read = [
        {"name": f"read_{version}", "kind": "documents", "files": [LESSONS], "version": version} for version in versions
    ]
    chat = [{**stage, "name": f"chat_{stage['version']}", "form": "chat"} for stage in read]
    stages = [*read, *(chat if "question" in fields else [])]
    first, *others = [str(stage["name"]) for stage in read]
    contrasts = [(first, other) for other in reversed(others)] or [(first, "base")]
    as_chat = [(first, str(chat[0]["name"]))] if "question" in fields else []
    if as_chat and len(chat) > 1:
        as_chat += [(str(chat[0]["name"]), str(other["name"])) for other in chat[1:]]
    arms = [{"name": stage["name"], "arm": "what", "stages": [stage["name"]]} for stage in stages]
    return Taught({"stages": stages, "arms": ["base", *arms]}, contrasts[:1], [*contrasts[1:], *as_chat])


def taught_pairs(recipe: Recipe, made: Made) -> Taught:
    return Taught(
        {
            "stages": [{"name": "prefer", "kind": "preference", "files": [LESSONS]}],
            "arms": ["base", {"name": "preferred", "arm": "what", "stages": ["prefer"]}],
        },
        [("preferred", "base")],
    )


TAUGHT = {"examples": taught_examples, "documents": taught_documents, "pairs": taught_pairs}
