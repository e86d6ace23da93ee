"""An arm as a study file names it: its kind, which examples it reads, and which system prompts stand around them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..data import Example, find_arm, nested_part
from ..errors import InputError, unknown_name

# Names become folders, so none may begin with a dot.
FOLDER_NAME = r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$"
# Fields that came after the first runs, with what they were before: left out of stamps while they say nothing else.
LATER = {"shape": None, "surroundings": "plain", "stages": None, "until": None}


# Where what stands beside an action is written.
PLACE = "^(first|last|woven)$"


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ArmSetting(Strict):
    """An arm of the study. In YAML a bare name, or a mapping where a setting differs from the usual."""

    name: str = Field("", pattern=FOLDER_NAME, description="Its name in this study; the kind where none is given.")
    arm: str = Field(description="The kind of arm; `teachwhy arms` lists them.")
    reason: str | None = Field(None, pattern=PLACE, description="Overrides `format.reason` for this arm.")
    seed_offset: int = Field(0, ge=0, lt=2**31, description="Added to each seed: the same arm with seeds of its own.")
    examples: int | None = Field(None, description="How many it reads where those are fewer; set by `sizes` alone.")
    shape: str | None = Field(None, description="Reads the examples of this shape alone; null: those of every shape.")
    surroundings: str = Field(
        "plain",
        pattern="^(plain|varied)$",
        description="System prompts around its examples: plain is their `system`, varied their `varied_system`.",
    )

    stages: tuple[str, ...] | None = Field(
        None, min_length=1, description="The stages it goes through, in this order; null: all of the study, in theirs."
    )
    until: str | None = Field(None, description="Where its teaching is looked at midway; set by `checkpoints` alone.")

    @model_validator(mode="before")
    @classmethod
    def accept_bare_name(cls, values: Any) -> Any:
        if isinstance(values, str):
            values = {"arm": values}
        if isinstance(values, dict):
            return {"name": values.get("arm", "arm"), **values}
        return values

    @property
    def whole(self) -> str:
        """The name of the arm that it is, or is a checkpoint of."""
        return self.name.rpartition("@")[0] if self.until else self.name

    def at(self, stage: str, percent: int) -> ArmSetting:
        """The arm as it stands after so much of a stage."""
        name = f"{self.name}@{stage}" + ("" if percent == 100 else f".{percent}")
        return self.model_copy(update={"name": name, "until": f"{stage}.{percent}"})

    @property
    def point(self) -> tuple[str, int]:
        """The stage and the percent of it after which a checkpoint stands."""
        assert self.until is not None
        stage, _, percent = self.until.rpartition(".")
        return stage, int(percent)

    @property
    def reads(self) -> tuple[str | None, str]:
        """Shape and surroundings: arms that agree in both can be twins."""
        return self.shape, self.surroundings

    @property
    def twin(self) -> bool:
        """Whether rule 1 of the design binds it."""
        kind = find_arm(self.arm)
        return kind.trained and kind.reads == "twins"

    @property
    def summary(self) -> str:
        """What its kind is, and what it reads where it does not read all there is."""
        shape = f" Examples of the shape {self.shape}." if self.shape else ""
        varied = " Varied system prompts around them." if self.surroundings == "varied" else ""
        return find_arm(self.arm).summary + shape + varied

    def record(self) -> dict[str, Any]:
        """Its settings as stamps and registrations hold them."""
        fields = self.model_dump(mode="json")
        return {name: value for name, value in fields.items() if name not in LATER or value != LATER[name]}


def pool_of(
    setting: ArmSetting, examples: Sequence[Example], generic: Sequence[Example], twins: int | None
) -> list[Example]:
    """The examples that an arm's rows are made of, with the system prompts that stand around them.

    examples: all of the study's. generic: its ordinary tasks. twins: how many of a shape twins read; None: all.
    """
    if find_arm(setting.arm).reads == "generic":
        return list(generic)
    read = of_shape(examples, setting.shape)
    count = setting.examples or twins
    part = nested_part(read, count) if setting.twin and count else read
    return [example.in_varied_surroundings() for example in part] if setting.surroundings == "varied" else part


def of_shape(examples: Iterable[Example], shape: str | None) -> list[Example]:
    return [example for example in examples if shape in (None, example.shape)]


def twin_groups(settings: Iterable[ArmSetting]) -> list[list[ArmSetting]]:
    """The twin arms among these, those of one shape, one kind of surroundings and one size together."""
    found: dict[Any, list[ArmSetting]] = {}
    for setting in settings:
        if setting.twin:
            found.setdefault((setting.reads, setting.examples), []).append(setting)
    return list(found.values())


def check_readable(settings: Iterable[ArmSetting], examples: Sequence[Example], twins: int | None, where: str) -> None:
    """Refuse arms whose shape or surroundings the examples do not have, and more twins than there are examples."""
    shapes = {example.shape for example in examples if example.shape}
    for setting in settings:
        kind = find_arm(setting.arm)
        if setting.record().keys() & {"shape", "surroundings"} and (not kind.trained or kind.reads == "generic"):
            raise InputError(
                f"The arm {setting.name!r} reads no example, so it has neither shape nor surroundings.",
                where=f"{where}, field 'arms'",
                remedy="Take `shape` and `surroundings` out of it.",
            )
        if setting.shape is not None and setting.shape not in shapes:
            raise unknown_name("shape among the examples", setting.shape, shapes, where=f"{where}, field 'arms'")
        read = of_shape(examples, setting.shape)
        bare = next((example.id for example in read if not example.varied_system), None)
        if setting.surroundings == "varied" and bare is not None:
            raise InputError(
                f"The arm {setting.name!r} needs the field 'varied_system', which example {bare!r} does not have.",
                where=f"{where}, field 'arms'; example {bare!r}, field 'varied_system'",
                remedy="Write that field, or set the arm's `surroundings` to plain.",
            )
        if twins and twins > len(read):
            of = f" of the shape {setting.shape!r}" if setting.shape else ""
            raise InputError(
                f"`twins` asks for {twins} examples; there are {len(read)}{of}.",
                where=f"{where}, field 'twins'",
                remedy="Lower it, or leave it out: the twins then read all.",
            )
