"""What a stage of teaching is: its settings, the material it reads, and the lessons it makes of that for one arm."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from pydantic import Field, ValidationError, model_validator

from ...data import Example, Writing
from ...errors import CheckError, InputError
from ...evals import ExamFormat, Item
from ...models import ChatFormat, LanguageModel
from ...text import fingerprint
from ...train.reporters import Reporting
from ...train.settings import TrainSettings, plan_batches
from ..arm_setting import ArmSetting, Strict

if TYPE_CHECKING:
    from ...train.supervised import Keep, Loss, Trained
    from ...train.trunk import Trunk

# What of the recipe a stage may have of its own; the adapter is one through all stages.
CHANGEABLE = ("epochs", "batch", "learning_rate", "warmup", "schedule", "beta2", "weight_decay", "clip")
NOT_IN_STAMP = {"name", "files", "train", "checkpoints"}


class TaughtRow(Protocol):
    """A row as tokens, of whatever kind. shared: what rows of one update are sorted by. length, trained: tokens."""

    @property
    def shared(self) -> int: ...
    @property
    def length(self) -> int: ...
    @property
    def trained(self) -> int: ...


@dataclass(frozen=True)
class Lessons:
    """What one stage teaches one arm.

    rows: as tokens. written: the same for people, a record a row. settings: the recipe of this stage. batch: rows in an
    update. updates: how many. settled: whether the updates follow from the rows and the recipe.
    """

    rows: Sequence[Any]
    written: Sequence[Mapping[str, Any]]
    settings: TrainSettings
    batch: int
    updates: int
    settled: bool = True

    @cached_property
    def hash(self) -> str:
        """Of the rows as tokens; where they do not settle it, also of updates and how many rows each holds."""
        rows = [row.content() for row in self.rows]
        return fingerprint(rows if self.settled else [rows, self.batch, self.updates])

    def batches(self, seed: int) -> list[list[int]]:
        """Row indices of every update."""
        return plan_batches([row.shared for row in self.rows], batch=self.batch, updates=self.updates, seed=seed)

    def tokens(self, seed: int) -> int:
        """Tokens that all updates of this seed hold together."""
        return sum(self.rows[index].length for batch in self.batches(seed) for index in batch)


@dataclass(frozen=True)
class Effort:
    """What one stage takes for one arm and seed.

    tokens: in all updates. read: tokens that are read beside them, without a gradient. steps: tokens that are written
    one after another, by all answers of an update at once.
    """

    tokens: int
    read: int = 0
    steps: int = 0


@dataclass(frozen=True)
class Making:
    """What a stage makes an arm's lessons of.

    material: what `read` gave. examples: those that the arm reads. writing: how its rows are written down. format: how
    its answers are. asked: an item to the prompt that the arm is examined with. own: the lessons of its own rows in the
    study's recipe. counted: how many rows its updates are counted by. earlier: the lessons of the stages before it.
    """

    arm: ArmSetting
    material: Any
    examples: Sequence[Example]
    chat: ChatFormat
    context: int
    writing: Writing
    format: ExamFormat
    asked: Callable[[Item], str]
    own: Lessons
    counted: int
    earlier: Sequence[Lessons]


@dataclass(frozen=True)
class Teaching:
    """What a stage teaches with. network: with the weights of the stage before it, or of step 0. seed: the real one."""

    network: Any
    model: LanguageModel
    lessons: Lessons
    seed: int
    scratch: Path
    trunk: Trunk | None
    loss: Loss
    reporting: Reporting | None
    progress: Callable[[int, int, float], None]
    keep: Keep


class Stage(Strict):
    """One stage of teaching; every kind is a subclass of its own. A stage that was killed begins again."""

    kind: str = Field(description="What it does; `teachwhy stages` lists the kinds.")
    name: str = Field(
        "", pattern="^[a-z][a-z0-9_]*$", description="Its name in this study; the kind where none is given."
    )
    train: dict[str, Any] = Field(
        default_factory=dict, description=f"What differs from the study's `train`: {', '.join(CHANGEABLE)}."
    )
    checkpoints: int = Field(
        0, ge=0, le=20, description="Sit the exams at so many evenly spaced points of this stage, its end the last."
    )
    summary: ClassVar[str] = ""
    watched: ClassVar[str] = "loss"  # what `progress` is told of every update
    in_parts: ClassVar[bool] = False  # whether an update can be computed in micro batches and by several processes
    over_trl: ClassVar[bool] = False  # whether its loss is TRL's, so that another version of that may teach otherwise
    writes: ClassVar[bool] = False  # whether the model writes answers while it is trained

    @model_validator(mode="before")
    @classmethod
    def name_after_kind(cls, values: Any) -> Any:
        return {"name": values.get("kind"), **values} if isinstance(values, dict) else values

    @model_validator(mode="after")
    def change_what_may_change(self) -> Stage:
        if fixed := sorted(self.train.keys() - set(CHANGEABLE)):
            raise ValueError(f"a stage cannot change `train.{fixed[0]}`; it can change {', '.join(CHANGEABLE)}")
        try:
            TrainSettings.model_validate(self.train)
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"`train.{'.'.join(map(str, first['loc']))}`: {first['msg']}") from None
        return self

    @property
    def needs_examples(self) -> bool:
        """Whether it trains on the examples that the arm reads, and not on material of its own alone."""
        return False

    def check_checkpoints(self, lessons: Lessons) -> None:
        """Errors (CheckError): more checkpoints than updates, or one before anything is learnt."""
        cause, updates = "", lessons.updates
        if self.checkpoints > updates:
            cause = f"has {self.checkpoints} checkpoints and {updates} updates"
        elif updates // self.checkpoints == 1 and round(lessons.settings.warmup * updates):
            cause = "has a checkpoint after its first update, which the warm-up gives a rate of 0"
        if cause:
            raise CheckError(
                f"The stage {self.name!r} {cause}.",
                where=f"stage {self.name!r}, field 'checkpoints'",
                remedy="Ask for fewer, or train longer.",
            )

    def check_network(self, network: Any) -> None:
        """Errors (ModelError): a network that it cannot train. Asked of all stages before the first is taught."""
        if self.over_trl:
            from ...train.over_trl import refuse_adapted_head

            refuse_adapted_head(network)

    def update_at(self, percent: int, updates: int) -> int:
        """The update after which a checkpoint stands."""
        return round(percent * self.checkpoints / 100) * updates // self.checkpoints

    def settings(self, usual: TrainSettings) -> TrainSettings:
        """The recipe of this stage. usual: the study's. Errors (InputError): micro batches where there are none."""
        if usual.micro_batch and not self.in_parts:
            raise InputError(
                f"A stage of the kind {self.kind!r} computes each batch at once.",
                where=f"stage {self.name!r}, with `train.micro_batch`",
                remedy="Take `micro_batch` out, and give this stage a smaller `batch` in its own `train`.",
            )
        return TrainSettings.model_validate(usual.model_dump() | self.train)

    def record(self) -> dict[str, Any]:
        """Its settings as stamps hold them: names and files are told by what they hold."""
        return self.model_dump(mode="json", exclude=NOT_IN_STAMP)

    def read(self, folder: Path) -> Sequence[Any]:
        """Its material, from files named from the study's folder. Errors (InputError): what they hold."""
        return ()

    def taught(self, material: Sequence[Any]) -> dict[str, str]:
        """The situations and texts of its material by name, which must not overlap with what is examined."""
        return {}

    def families(self, material: Sequence[Any]) -> set[str]:
        """The families that its material is of, none of which may be examined."""
        return set()

    def said(self, material: Sequence[Any]) -> dict[str, str]:
        """The responses of its material by name, which must not overlap with a scenario."""
        return {}

    def lessons(self, making: Making) -> Lessons:
        """What it teaches one arm. Errors (CheckError, InputError): an arm or material that it cannot teach."""
        raise NotImplementedError

    def effort(self, lessons: Lessons, seed: int) -> Effort:
        """What it takes to teach these lessons."""
        return Effort(lessons.tokens(seed))

    def teach(self, teaching: Teaching) -> Trained:
        """Train the network in place."""
        raise NotImplementedError


STAGES: dict[str, type[Stage]] = {}
Kind = TypeVar("Kind", bound=type[Stage])


def stage_kind(name: str) -> Callable[[Kind], Kind]:
    """Register a class as a kind of stage; the first line of its docstring is its summary."""

    def register(kind: Kind) -> Kind:
        kind.summary = (kind.__doc__ or name).strip().splitlines()[0]
        STAGES[name] = kind
        return kind

    return register


def refuse_four_bits(settings: TrainSettings, stage: str) -> None:
    """Refuse a quantised base model: TRL rounds its adapter to bfloat16, for whatever is trained after it too."""
    if settings.quantize:
        raise CheckError(
            f"The stage {stage!r} cannot train on a model in 4 bits.",
            where=f"stage {stage!r}",
            remedy="Take `train.quantize` out, or the stage.",
        )
