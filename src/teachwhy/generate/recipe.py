"""A recipe: how lessons of one kind are made, as a file of declared stages, each of which may be left out."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from ..data import Document, Example, Pair
from ..errors import InputError, Place, listed, unknown_name
from ..text import fingerprint, load_yaml, read_text
from .stages import OF_A_PRINCIPLE, OF_THE_POLICY, AnyStage, Stage
from .stages.filter import Filter
from .stages.stage import CONVERSATION, Strict

OUTPUTS: dict[str, type[Example] | type[Document] | type[Pair]] = {
    "examples": Example,
    "documents": Document,
    "pairs": Pair,
}
# What a record cannot do without, beside its id; of each group one will do.
REQUIRED: dict[str, tuple[tuple[str, ...], ...]] = {
    "examples": (("messages", "prompt"), ("action",)),
    "documents": (("why", "swapped", "mention", "neutral"),),
    "pairs": (("messages", "prompt"), ("chosen",), ("rejected",)),
}
# The fields that a draft starts with.
STARTS = {
    "policy": ("principle",),
    "examples": ("messages", "action"),
    "scenarios": ("scenario", "family", "about"),
}


class Recipe(Strict):
    """A recipe, as its file has it."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    about: str = Field(description="What it makes, in a sentence or two.")
    starts: Literal["policy", "examples", "scenarios"] = Field(
        description="policy: each principle is a start; examples: each line of the files given with --from; scenarios: "
        "each of the scenario files given with --from, or named here."
    )
    reads: list[str] = Field(default_factory=list, description="Fields that every example it starts from must have.")
    scenarios: list[str] = Field(default_factory=list, description="As a study names them, where no --from is given.")
    output: Literal["examples", "documents", "pairs"] = "examples"
    sample: str | None = Field(None, description="A file of shipped samples to start from, where no --from is given.")
    fields: dict[str, Any] = Field(default_factory=dict, description="Fields that every lesson has, such as its shape.")
    group: int = Field(
        1, gt=0, description="Lessons that are made together, such as one for each side: a principle gets whole groups."
    )
    stages: list[AnyStage] = Field(min_length=1)

    @model_validator(mode="after")
    def name_stages_once(self) -> Recipe:
        names = [stage.name for stage in self.stages]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(f"two stages are named {twice!r}")
        return self

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.model_dump(mode="json"))

    def stage(self, name: str) -> Stage:
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise unknown_name(f"stage of the recipe {self.name!r}", name, [stage.name for stage in self.stages])

    def without(self, names: Sequence[str], where: str = "--without") -> Recipe:
        """The recipe with these stages left out. Errors: an unknown name; a stage that others cannot do without."""
        left_out = [self.stage(name) for name in names]
        kept = [stage for stage in self.stages if stage not in left_out]
        if not kept:
            raise InputError("No stage would be left.", where=where, remedy="Leave out fewer.")
        recipe = self.model_copy(update={"stages": kept})
        for stage, missing in recipe.lacking():
            giver = next((one.name for one in left_out if missing in one.given()), None)
            if giver:
                raise InputError(
                    f"The stage {giver!r} cannot be left out: {stage} needs the field {missing!r}, which it gives.",
                    where=where,
                    remedy=f"Stages that can be: {listed(self.optional()) or 'none'}.",
                )
        return recipe

    def wanted(self) -> dict[str, dict[str, bool]]:
        """Questions of a filter -> the answers that speak for a draft; of two that ask the same, those of the last."""
        filters = [stage for stage in self.stages if isinstance(stage, Filter)]
        return {stage.asked_about(): {name: one.want for name, one in stage.checks.items()} for stage in filters}

    def optional(self) -> list[str]:
        """The stages that may be left out one at a time."""
        found = []
        for stage in self.stages:
            rest = [one for one in self.stages if one is not stage]
            if rest and not self.model_copy(update={"stages": rest}).lacking():
                found.append(stage.name)
        return found

    def lacking(self) -> list[tuple[str, str]]:
        """(who, field) for each field that is needed where no start or stage before has given it."""
        there = {"id", *self.fields, *STARTS[self.starts]}
        there |= set(self.reads) if self.starts == "examples" else set()
        found = []
        for stage in self.stages:
            found += [(f"the stage {stage.name!r}", name) for name in sorted(stage.needs() - with_conversation(there))]
            there |= stage.given()
        for group in REQUIRED[self.output]:
            if not there & set(group):
                found.append((f"a line of {self.output}", group[0]))
        return found


def with_conversation(there: set[str]) -> set[str]:
    return there | {CONVERSATION} if there & {"messages", "prompt"} else there


def recipe_names() -> list[str]:
    return sorted(path.name.removesuffix(".yaml") for path in shipped().iterdir() if path.name.endswith(".yaml"))


def shipped() -> Any:
    return files("teachwhy.generate") / "recipes"


def find_recipe(name: str) -> Recipe:
    """A shipped recipe by its name, or one of the user's by its path. Errors: neither; a recipe that cannot work."""
    if name.endswith((".yaml", ".yml")):
        return read_recipe(Path(name))
    if name not in recipe_names():
        raise unknown_name(
            "recipe", name, recipe_names(), where="`teachwhy generate NAME`; a file of yours ends in .yaml"
        )
    return read_recipe(Path(str(shipped() / f"{name}.yaml")))


def read_recipe(path: Path) -> Recipe:
    values = load_yaml(read_text(path), path)
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"This recipe cannot be read: {first['msg']}.",
            where=str(Place(path, field=field)),
            remedy="docs/data.md lists what a recipe and each kind of stage may say.",
        ) from None
    check_recipe(recipe, path)
    return recipe


def check_recipe(recipe: Recipe, path: Path) -> None:
    """Refuse a recipe that could not run to its end. Errors (InputError): the stage and what it lacks."""
    for who, missing in recipe.lacking():
        raise InputError(
            f"In this recipe {who} needs the field {missing!r}, which nothing before it gives.",
            where=str(path),
            remedy=f"A stage before it must have it under `gives`; known everywhere: "
            f"{listed([*OF_THE_POLICY, *OF_A_PRINCIPLE])}.",
        )
