"""A study that trains on what a recipe made and examines it, written beside the lessons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..data import ARMS, overlaps
from ..errors import InputError
from ..evals.honeypots import Scenario, bundled_files, read_scenario
from ..study.folder import write_text
from ..study.prompt_study import as_yaml, beside, edited, mark
from ..text import read_text
from .order import Order
from .outputs import LESSONS
from .recipe import Recipe
from .starts import given_scenarios

STUDY = "study.yaml"
# Arms in the order of the design's table; those are taken that every lesson has the texts for.
TWINS = ("what", "why", "mention", "neutral", "paraphrase", "swapped", "unrelated", "deliberation")
VERSIONS = ("why", "mention", "neutral", "swapped")


def write_study(order: Order, recipe: Recipe, fields: set[str], say: Any) -> None:
    """The study file, unless somebody has changed the one that is there. fields: those that every lesson has."""
    path, body = order.out / STUDY, as_yaml(study_settings(order, recipe, fields))
    if path.exists() and edited(read_text(path)):
        say(f"{path} was changed since it was written, so it is left as it is")
        return
    write_text(path, f"{mark('generate', body)} Once changed it is yours, and left alone.\n{body}")


def study_settings(order: Order, recipe: Recipe, fields: set[str]) -> dict[str, Any]:
    """The fields of the study that are not as usual."""
    items = [beside(path, order.out) for path in order.items]
    about = (
        f"Lessons written by {order.teacher} with the recipe {recipe.name}. Language models wrote and judged them, and "
        "no human annotator did."
    )
    settings: dict[str, Any] = {
        "name": order.out.resolve().name,
        "question": "Does being taught why make this model decide new cases better than being taught what?",
        "about": about,
        "policy": beside(order.policy, order.out),
        "model": "bundled:smollm2-135m",
        **TAUGHT[recipe.output](fields),
        "seeds": [0, 1, 2],
        "train": {"epochs": 3, "batch": 8, "learning_rate": 0.0005},
        **examined(items, given_scenarios(recipe, order.sources)),
    }
    arms = [one if isinstance(one, str) else one["name"] for one in settings["arms"]]
    versus, arm = (arms[1], arms[2]) if len(arms) > 2 else (arms[0], arms[1])
    settings["contrasts"] = [{"arm": arm, "versus": versus, "exam": settings["exams"][0], "metric": "pair_accuracy"}]
    return settings


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


def taught_examples(fields: set[str]) -> dict[str, Any]:
    arms = [name for name in TWINS if name in ARMS and set(ARMS[name].needs) <= fields]
    surroundings = [{"name": f"{name}_varied", "arm": name, "surroundings": "varied"} for name in arms[:2]]
    return {
        "examples": [LESSONS],
        "arms": ["base", *arms, *(surroundings if "varied_system" in fields else [])],
        "format": {"reason": "first", "reason_names_fact": "mention" not in fields},
    }


def taught_documents(fields: set[str]) -> dict[str, Any]:
    """Each version is read as documents, and as chat where there are questions."""
    versions = [version for version in VERSIONS if version in fields]
    read = [
        {"name": f"read_{version}", "kind": "documents", "files": [LESSONS], "version": version} for version in versions
    ]
    if "question" in fields:
        read += [
            {"name": f"chat_{version}", "kind": "documents", "files": [LESSONS], "version": version, "form": "chat"}
            for version in versions
        ]
    return {
        "stages": read,
        "arms": ["base", *({"name": stage["name"], "arm": "what", "stages": [stage["name"]]} for stage in read)],
    }


def taught_pairs(fields: set[str]) -> dict[str, Any]:
    return {
        "stages": [{"name": "prefer", "kind": "preference", "files": [LESSONS]}],
        "arms": ["base", {"name": "preferred", "arm": "what", "stages": ["prefer"]}],
    }


TAUGHT = {"examples": taught_examples, "documents": taught_documents, "pairs": taught_pairs}
