"""The study file: one YAML that names policy, examples, arms, seeds, model, exams and the declared contrasts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator

from ..data import Example, check_sizes, find_arm, read_examples, validated
from ..errors import InputError, Place, listed, unknown_name
from ..evals import (
    EXAMS,
    WORDINGS,
    ExamFormat,
    Item,
    Material,
    PromptSet,
    find_exam,
    honeypots,
    read_items,
    read_prompts,
    read_questions,
    sample_items,
)
from ..policy import Policy, read_policy
from ..text import load_yaml, read_text
from ..train.settings import TrainSettings
from .arm_setting import FOLDER_NAME, ArmSetting, Strict, check_readable, pool_of
from .sampling import SamplingSettings
from .stages import AnyStage, Stage, usual_stages
from .stages.listing import check_families, check_stages, checkpoints_of

SHAREABLE = ("system", "policy")
SUBSET_FIELDS = ("kind", "distance", "statedness", "principle", "family", "wrap", *honeypots.KNOBS)
# torch and numpy take seeds below 2 to the 32nd.
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class FormatSettings(Strict):
    """How rows are written down."""

    reason: str = Field(
        "first", pattern="^(first|last)$", description="Place of the reason: before or after the action."
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
    examples: list[str] = Field(default_factory=list, description="None where no arm is trained.")
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
    workers: int | None = Field(None, gt=0, description="Units at work at once; null fits the machine.")

    @property
    def arms_by_size(self) -> list[str]:
        """The names of the arms that are trained at every size."""
        names = [setting.name for setting in self.arms]
        return self.sizes_arms or [name for name in ("what", "why") if name in names]


@dataclass(frozen=True)
class Study:
    """A study file with everything it names, read and checked against each other.

    left_out: by a quick run. materials: stage -> what its files hold.
    """

    path: Path
    settings: StudySettings
    policy: Policy
    examples: tuple[Example, ...]
    items: tuple[Item, ...]
    generic: tuple[Example, ...] = ()
    prompts: tuple[Item, ...] = ()
    questions: tuple[Item, ...] = ()
    scenarios: honeypots.Scenarios | None = None
    left_out: tuple[str, ...] = ()
    materials: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    @property
    def material(self) -> Material:
        return Material(self.items, self.prompts, self.settings.sample, self.questions, self.scenarios)

    @property
    def folder(self) -> Path:
        return self.path.parent

    @property
    def sized(self) -> tuple[ArmSetting, ...]:
        """The arms of `sizes_arms` at each size below the full one, which is the arm itself.

        Named as why@60: a name in a study file holds no '@', so it is nobody else's.
        """
        return tuple(
            setting.model_copy(update={"name": f"{setting.name}@{size}", "examples": size})
            for size in sorted(self.settings.sizes)
            for setting in self.settings.arms
            if setting.name in self.settings.arms_by_size and size < len(self.pool(setting))
        )

    @property
    def taught(self) -> tuple[ArmSetting, ...]:
        """The arms as the file names them, then those of smaller size."""
        return (*self.settings.arms, *self.sized)

    @property
    def arms(self) -> tuple[ArmSetting, ...]:
        """All that is examined: the arms, those of smaller size, and the checkpoints of the arms."""
        return (*self.taught, *(point for setting in self.settings.arms for point in self.checkpoints(setting)))

    def stages(self, setting: ArmSetting) -> list[Stage]:
        """What an arm goes through."""
        known = {stage.name: stage for stage in self.settings.stages or usual_stages()}
        return [known[name] for name in setting.stages] if setting.stages else list(known.values())

    def checkpoints(self, setting: ArmSetting) -> list[ArmSetting]:
        """The points at which an arm is examined on its way; its end is the arm itself."""
        return checkpoints_of(setting, self.stages(setting)) if find_arm(setting.arm).trained else []

    def arm(self, name: str) -> ArmSetting:
        for setting in self.arms:
            if setting.name == name:
                return setting
        raise unknown_name("arm in this study", name, [setting.name for setting in self.arms], where=str(self.path))

    def pool(self, setting: ArmSetting) -> list[Example]:
        """The examples that an arm's rows are made of."""
        return pool_of(setting, self.examples, self.generic, self.settings.twins)

    def margin(self, contrast: ContrastSetting) -> float | None:
        """The equivalence margin of a contrast: its own, or else the study's; in the unit of the scores."""
        return self.settings.margin if contrast.margin is None else contrast.margin

    def exam_format(self, setting: ArmSetting) -> ExamFormat:
        format = self.settings.format
        place = setting.reason or format.reason
        arm = find_arm(setting.arm)
        return ExamFormat(
            arm.reasons,
            place,
            format.reason_marker,
            format.action_marker,
            1.0 if arm.both_formats else self.settings.off_format_share,
            self.settings.judge is not None,
        )


def study_path(path: Path) -> Path:
    """A study may be named by its folder."""
    return path / "study.yaml" if path.is_dir() else path


def read_study(path: Path, *, model: str | None = None, quick: bool = False) -> Study:
    """Read a study and everything it names. model: instead of the study's. quick: what its `quick:` says."""
    path = study_path(path)
    values = load_yaml(read_text(path), path) | ({"model": model} if model else {})
    settings = validated(StudySettings, values, Place(path))
    check_arms(settings, str(path))
    check_asked(settings, str(path))
    for exam in settings.exams:
        find_exam(exam, where=f"{path}, field 'exams'")
    for where, contrast in named_contrasts(settings, path):
        check_contrast(contrast, settings, where)
    if settings.competence:
        check_floor(settings.competence, settings, f"{path}, field 'competence'")
    for shared in settings.shared:
        if shared not in SHAREABLE:
            raise unknown_name("shareable text", shared, SHAREABLE, where=f"{path}, field 'shared'")
    folder = path.parent
    policy = read_policy(folder / settings.policy)
    examples = read_examples([folder / name for name in settings.examples])
    items = read_items([folder / name for name in settings.items])
    generic = read_examples([folder / name for name in settings.generic])
    check_principles(policy, [*examples, *generic], items, str(path))
    prompts = read_prompts(settings.prompts, folder)
    questions = read_questions([folder / name for name in settings.questions])
    scenarios = honeypots.read_scenarios(settings.scenarios, folder) if settings.scenarios else None
    check_pools(settings, examples, str(path))
    check_stages(settings.stages, settings.arms, str(path))
    materials = {stage.name: stage.read(folder) for stage in settings.stages}
    read = (tuple(examples), tuple(items), tuple(generic), tuple(prompts), tuple(questions))
    study = Study(path, settings, policy, *read, scenarios, materials=materials)
    check_families(settings.stages, materials, study.material, str(path))
    kinds = {setting.name: find_arm(setting.arm) for setting in settings.arms}
    full = [len(study.pool(setting)) for setting in settings.arms if setting.name in settings.arms_by_size]
    check_sizes(settings.sizes, settings.arms_by_size, kinds, min(full, default=len(examples)), str(path))
    check_markers(settings, str(path))
    check_quick(settings, str(path))
    check_noise(settings, str(path))
    for where, contrast in named_contrasts(settings, path):
        check_subset(contrast, find_exam(contrast.exam).cases(study.material), where)
    return quickened(study) if quick else study


def quickened(study: Study) -> Study:
    """The study with the exams and items that its `quick:` leaves, and the contrasts that can still be drawn."""
    settings, quick = study.settings, study.settings.quick
    exams, sample = quick.exams or settings.exams, quick.sample or settings.sample
    items = sample_items(study.items, quick.items) if quick.items else list(study.items)
    prompts = study.prompts[: quick.items]
    material = replace(study.material, items=items, prompts=prompts, sample=sample)

    def drawn(contrast: ContrastSetting) -> bool:
        cases = find_exam(contrast.exam).cases(material) if contrast.exam in exams else []
        return any(in_subset(case, contrast.subset) for case in cases)

    contrasts = [contrast for contrast in settings.contrasts if drawn(contrast)]
    changes = {
        "exams": exams,
        "sample": sample,
        "contrasts": contrasts,
        "exploratory": [contrast for contrast in settings.exploratory if drawn(contrast)],
        "competence": settings.competence if settings.competence and settings.competence.exam in exams else None,
        "sizes": [],
        "noise": None,
    }
    counts = {
        "exams": (len(exams), len(settings.exams)),
        "items": (len(items), len(study.items)),
        "prompts": (len(prompts), len(study.prompts)),
        "items of the sampled exams": (sample, settings.sample),
        "declared contrasts": (len(contrasts), len(settings.contrasts)),
        "sizes": (0, len(settings.sizes)),
        "samples for the noise": (0, settings.noise.samples if settings.noise else 0),
    }
    left_out = tuple(f"{few} of {all} {what}" for what, (few, all) in counts.items() if few < all)
    settings = settings.model_copy(update=changes)
    return replace(study, settings=settings, items=tuple(items), prompts=tuple(prompts), left_out=left_out)


def in_subset(item: Item, subset: Mapping[str, str]) -> bool:
    return all(getattr(item, field, None) == value for field, value in subset.items())


def named_contrasts(settings: StudySettings, path: Path) -> list[tuple[str, ContrastSetting]]:
    """Every contrast with the place where it stands, declared ones first."""
    return [
        (f"{path}, field '{field}.{number}'", contrast)
        for field in ("contrasts", "exploratory")
        for number, contrast in enumerate(getattr(settings, field))
    ]


def check_arms(settings: StudySettings, where: str) -> None:
    names = [setting.name for setting in settings.arms]
    for setting in settings.arms:
        find_arm(setting.arm, where=f"{where}, field 'arms'")
        if setting.name == "step0":
            raise InputError(
                "An arm cannot be named 'step0'.",
                where=f"{where}, field 'arms'",
                remedy="Give it another `name:`; the run keeps the adapters that all arms start from under that one.",
            )
        if setting.examples is not None:
            raise InputError(
                f"The arm {setting.name!r} is given a number of examples.",
                where=f"{where}, field 'arms'",
                remedy="Write the number under `sizes` and the arm under `sizes_arms`.",
            )
        if names.count(setting.name) > 1:
            raise InputError(
                f"Two arms are named {setting.name!r}.",
                where=f"{where}, field 'arms'",
                remedy="Give one of them a `name:` of its own.",
            )
    if len(set(settings.seeds)) < len(settings.seeds):
        raise InputError("A seed stands twice.", where=f"{where}, field 'seeds'", remedy="Name each seed once.")


def check_asked(settings: StudySettings, where: str) -> None:
    if not (settings.items or settings.scenarios):
        raise InputError(
            "The study names neither `items` nor `scenarios`, so there is nothing to compare arms on.",
            where=f"{where}, field 'items'",
            remedy="Name a file of items there.",
        )


def check_pools(settings: StudySettings, examples: Sequence[Example], where: str) -> None:
    """Refuse arms that the examples cannot make, and more twins than examples."""
    reads = {find_arm(setting.arm).reads: setting.name for setting in settings.arms}
    if "generic" in reads and not settings.generic:
        raise InputError(
            f"The arm {reads['generic']!r} has nothing to read.",
            where=f"{where}, field 'generic'",
            remedy="Name a file of ordinary tasks there, or take the arm out.",
        )
    if settings.format.reason_names_fact and any(setting.arm == "reason_only" for setting in settings.arms):
        raise InputError(
            "The arm 'reason_only' needs reasons that do not name the deciding fact.",
            where=f"{where}, field 'format.reason_names_fact'",
            remedy="Take the arm out; `why` is the reason alone in this study.",
        )
    check_readable(settings.arms, examples, settings.twins, where)


def check_noise(settings: StudySettings, where: str) -> None:
    """Refuse noise of an arm or seed that the study does not have; and noise or sizes with no metric to look at."""
    for setting in ("noise", "sizes"):
        if getattr(settings, setting) and not settings.contrasts:
            raise InputError(
                f"`{setting}` looks at what the declared contrasts measure, and none is declared.",
                where=f"{where}, field '{setting}'",
                remedy="Declare one under `contrasts`.",
            )
    noise, names = settings.noise, [setting.name for setting in settings.arms]
    if noise and noise.arm not in names:
        raise unknown_name("arm in this study", noise.arm, names, where=f"{where}, field 'noise.arm'")
    if noise and noise.seed is not None and noise.seed not in settings.seeds:
        seeds = map(str, settings.seeds)
        raise unknown_name("seed in this study", str(noise.seed), seeds, where=f"{where}, field 'noise.seed'")


def check_markers(settings: StudySettings, where: str) -> None:
    """Refuse formats in which an exam cannot tell the parts of an answer."""
    if "explanations" in settings.exams and not (settings.format.action_marker and settings.format.reason_marker):
        raise InputError(
            "The exam 'explanations' cannot tell a reason from an action without their markers.",
            where=f"{where}, field 'format'",
            remedy="Give `reason_marker` and `action_marker`, or take the exam out.",
        )


def check_quick(settings: StudySettings, where: str) -> None:
    """Refuse names in `quick:` that the study does not have; its arms need only be there where they are written."""
    arms = [setting.name for setting in settings.arms]
    written = settings.quick.arms if "arms" in settings.quick.model_fields_set else []
    for kind, names, known in (("arm", written, arms), ("exam", settings.quick.exams or [], settings.exams)):
        for name in names:
            if name not in known:
                raise unknown_name(f"{kind} in this study", name, known, where=f"{where}, field 'quick.{kind}s'")


def check_contrast(contrast: ContrastSetting, settings: StudySettings, where: str) -> None:
    names = [setting.name for setting in settings.arms]
    for name in (contrast.arm, contrast.versus):
        if name not in names:
            raise unknown_name("arm in this study", name, names, where=where)
    check_metric(contrast.exam, contrast.metric, settings, where)
    for name in contrast.subset:
        if name not in SUBSET_FIELDS:
            raise unknown_name("item field for a subset", name, SUBSET_FIELDS, where=where)


def check_metric(exam: str, metric: str, settings: StudySettings, where: str) -> None:
    if exam not in settings.exams:
        raise unknown_name("exam in this study", exam, settings.exams, where=where)
    metrics = [known.name for known in EXAMS[exam].metrics]
    if metric not in metrics:
        raise unknown_name("metric", metric, metrics, where=where)


def check_floor(floor: CompetenceSetting, settings: StudySettings, where: str) -> None:
    check_metric(floor.exam, floor.metric, settings, where)
    groups = [", ".join(fields) for fields in EXAMS[floor.exam].by if fields]
    if floor.subset and ", ".join(floor.subset) not in groups:
        raise unknown_name("group of items in this exam", ", ".join(floor.subset), groups, where=f"{where}.subset")


def check_subset(contrast: ContrastSetting, items: Sequence[Item], where: str) -> None:
    """Refuse a contrast that would compare nothing. items: what its exam asks."""
    for name, value in contrast.subset.items():
        values = {str(found) for item in items if (found := getattr(item, name, None)) is not None}
        if value not in values:
            raise unknown_name(f"item whose {name} is", value, values, where=where)
    if not any(in_subset(item, contrast.subset) for item in items):
        raise InputError("This contrast's subset holds no item.", where=where, remedy="Widen or mend its `subset`.")


def check_principles(policy: Policy, examples: Sequence[Example], items: Sequence[Item], where: str) -> None:
    known = set(policy.ids)
    for what, records in (("examples", examples), ("items", items)):
        unknown = sorted({record.principle for record in records if record.principle and record.principle not in known})
        if unknown:
            raise InputError(
                f"{what.capitalize()} name principles that the policy does not have: {listed(unknown)}.",
                where=where,
                remedy=f"The policy has: {listed(policy.ids)}.",
            )
