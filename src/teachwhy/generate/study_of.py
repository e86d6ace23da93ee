"""A study that trains on what a recipe made and examines it, written beside the lessons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..data import ARMS
from ..study.folder import write_text
from ..study.prompt_study import as_yaml, beside, edited, mark
from ..text import read_text
from .order import Order
from .outputs import LESSONS
from .recipe import Recipe

STUDY = "study.yaml"
# Arms in the order of the design's table; those are taken that every lesson has the texts for.
TWINS = ("what", "why", "mention", "neutral", "paraphrase", "swapped", "unrelated", "deliberation")
VARIED = "_varied"
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
        **examined(items),
    }
    arms = [one if isinstance(one, str) else one["name"] for one in settings["arms"]]
    compared = [(arms[2], arms[1]) if len(arms) > 2 else (arms[1], arms[0])]
    compared += [(name, plain) for name in arms if (plain := name.removesuffix(VARIED)) in arms and plain != name]
    settings["contrasts"] = [
        {"arm": arm, "versus": versus, "exam": settings["exams"][0], "metric": "pair_accuracy"}
        for arm, versus in dict.fromkeys(compared)
    ]
    return settings


def examined(items: Sequence[str]) -> dict[str, Any]:
    """The exam: on the user's own items, or else on the bundled scenarios."""
    if items:
        return {"items": list(items), "exams": ["edge_cases"]}
    return {"scenarios": {"files": ["bundled"]}, "exams": ["next_act"]}


def taught_examples(fields: set[str]) -> dict[str, Any]:
    arms = [name for name in TWINS if name in ARMS and set(ARMS[name].needs) <= fields]
    surroundings = [{"name": f"{name}{VARIED}", "arm": name, "surroundings": "varied"} for name in arms[:2]]
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
