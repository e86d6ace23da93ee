"""The study file as it is written: every field, its default, and what it is for."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator

from ..evals import WORDINGS, PromptSet, honeypots
from ..train.settings import TrainSettings
from .arm_setting import FOLDER_NAME, PLACE, ArmSetting, Strict
from .engine import EngineSettings
from .sampling import SamplingSettings
from .stages import AnyStage

# torch and numpy take seeds below 2 to the 32nd.
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class FormatSettings(Strict):
    """How rows are written down."""

    reason: str = Field(
        "first",
        pattern=PLACE,
        description="Place of the reason: before the action, after it, or woven: a sentence of each by turns.",
    )
    reason_marker: str = Field("Reason:", description="Opens what stands beside the action.")
    action_marker: str = Field("Action:", description="Opens the action.")
    reason_names_fact: bool = Field(
        False, description="The examples' reasons name the deciding fact: `why` is then the reason without the mention."
    )


class ContrastSetting(Strict):
    """A difference between two arms that the study looks at: arm minus versus."""

    arm: str
    versus: str
    exam: str = "decisions"
    metric: str
    format: str = Field("own", pattern="^(own|off)$")
    subset: dict[str, str] = Field(default_factory=dict, description="Item field -> value, such as kind: conflict.")
    margin: float | None = Field(None, gt=0, description="Differences below it count as none; null: the study's.")

    @field_validator("format", mode="before")
    @classmethod
    def accept_bare_off(cls, value: Any) -> Any:
        """YAML reads a bare `off` as false."""
        return "off" if value is False else value


class CompetenceSetting(Strict):
    """The floor: where a trained arm stays below it, the page warns that its other scores mean little."""

    exam: str = "decisions"
    metric: str = "correct"
    at_least: float = Field(0.9, gt=0, le=1)
    subset: dict[str, str] = Field(default_factory=dict, description="Items it is held against, as one field: value.")


class QuickSettings(Strict):
    """What `--quick` runs: the first seed, these arms, and, where they are given, fewer exams and items.

    With fewer exams or items it is a study of its own, with its own run folder; adapters are shared all the same.
    """

    arms: list[str] = Field(["what", "why", "swapped"], description="Those of them that the study has.")
    exams: list[str] | None = Field(None, min_length=1)
    items: int | None = Field(None, gt=1, description="At most so many items (whole pairs, evenly drawn) and prompts.")
    sample: int | None = Field(None, gt=1, description="Instead of the study's `sample`.")


class NoiseSettings(Strict):
    """One model asked the same things again at a temperature, and its answers judged again in other words."""

    arm: str
    seed: Seed | None = Field(None, description="One of the study's; null: the first. An untrained arm has none.")
    samples: int = Field(5, gt=1, description="How often it is asked again.")
    temperature: float = Field(0.7, gt=0, le=10, description="What the logits are divided by before a token is drawn.")
    judgings: int = Field(
        3, gt=1, le=len(WORDINGS), description="How often its answers are judged again, where an exam has a judge."
    )


class StudySettings(Strict):
    """The study file, as written."""

    name: str = Field(pattern=FOLDER_NAME)
    question: str = ""
    about: str = Field("", description="Printed on the page under the question.")
    limits: str = Field("", description="What the study does not show; printed on the page.")
    policy: str = "policy.md"
    examples: list[str] = Field(default_factory=list, description="None where no arm is trained on any.")
    items: list[str] = Field(default_factory=list, description="May be left out where `scenarios` are named.")
    prompts: list[PromptSet] = Field(
        default_factory=list, description="CSV files of prompts to answer or refuse, for the exam `refusals`."
    )
    questions: list[str] = Field(
        default_factory=list,
        description="Files of questions with one right answer, for `side_effects`: JSONL or MMLU's CSV.",
    )
    scenarios: honeypots.ScenarioSettings | None = Field(None, description="For `next_act` and `honeypots`.")
    generic: list[str] = Field(default_factory=list, description="Ordinary tasks, for the arm `generic`.")
    twins: int | None = Field(
        None, gt=0, description="How many examples the twins read; the others are for `what_more`. null: all."
    )
    model: str = "bundled:smollm2-135m"
    trust_remote_code: bool = False
    device: str = Field("auto", pattern="^(auto|cpu|cuda|mps)$")
    dtype: str = Field("auto", pattern="^(auto|float32|bfloat16|float16)$")
    system: str | None = Field(None, description="System prompt where an example or item has none of its own.")
    arms: list[ArmSetting] = Field(min_length=1)
    seeds: list[Seed] = Field(min_length=1)
    format: FormatSettings = FormatSettings()
    train: TrainSettings = TrainSettings()
    stages: list[AnyStage] = Field(
        default_factory=list, description="Stages of teaching, one after another; none: the arms' own rows, supervised."
    )
    exams: list[str] = Field(["decisions"], min_length=1)
    off_format_share: float = Field(
        1.0, ge=0, le=1, description="Share of the pairs that are asked in the other format too."
    )
    max_new_tokens: int = Field(64, gt=0)
    sample: int = Field(
        96, gt=1, description="How many items are asked in exams that ask many things of each: framings, explanations."
    )
    judge: str | None = Field(
        None,
        description="Model that reads answers and foresees them, named as `model` is. null: in explanations `model` "
        "itself, untrained; in refusals none.",
    )
    contrasts: list[ContrastSetting] = Field(default_factory=list, description="Declared before the run; Holm applies.")
    exploratory: list[ContrastSetting] = Field(default_factory=list, description="Shown, labelled and uncorrected.")
    decision_rule: str = Field(
        "", description="In words: when a declared contrast counts as shown. Empty: the rule that the page follows."
    )
    competence: CompetenceSetting | None = None
    level: float = Field(0.95, gt=0.5, lt=1)
    margin: float | None = Field(
        None, gt=0, description="Equivalence: differences of a score below it count as none. null: not tested."
    )
    sizes: list[Annotated[int, Field(gt=0)]] = Field(
        default_factory=list, description="Train `sizes_arms` on so many of the twins' examples too, each in the next."
    )
    sizes_arms: list[str] | None = Field(
        None, min_length=1, description="Twin arms of the study. null: `what` and `why`, those it has."
    )
    sampling: SamplingSettings | None = Field(None, description="null: each item once, the likeliest words.")
    noise: NoiseSettings | None = Field(None, description="null: nothing is asked again.")
    shared: list[str] = Field(default_factory=list, description="Left out of the overlap check: system, policy.")
    quick: QuickSettings = QuickSettings()
    engine: EngineSettings | None = Field(None, description="What writes and scores answers; null: transformers.")
    workers: int | None = Field(None, gt=0, description="Units at work at once; null fits the machine.")
    executor: str = Field("local", description="Where units are worked on: local, or ray for a cluster.")

    @property
    def arms_by_size(self) -> list[str]:
        """The names of the arms that are trained at every size."""
        names = [setting.name for setting in self.arms]
        return self.sizes_arms or [name for name in ("what", "why") if name in names]
