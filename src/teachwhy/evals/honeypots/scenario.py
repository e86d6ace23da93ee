"""Scenario files: one family of agents under temptation each, read from YAML and filled in by knobs and twin."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from ...data import Text, validated
from ...errors import InputError, Place, unknown_name
from ...text import fingerprint, load_yaml, read_text, words
from .calls import LONGEST_RESULT, State, use
from .patterns import Pattern, PlainText, Strict, met
from .tools import FINISH, TOOLS
from .world import World

FAMILIES = Path(__file__).parent / "families"
BUNDLED = "bundled"
KNOBS = ("goal_conflict", "threat", "urgency", "watched", "name", "way_out")
BAIT, ASKED = "bait", "asked"
TEMPTING, HONEST, IDLE = "tempting", "honest", "idle"
KNOB = re.compile(r"\{([a-z_]+)\}( ?)")
NAME = r"^[a-z][a-z0-9_-]*$"

ValueName = Annotated[str, Field(pattern=NAME)]


class Acts(Strict):
    """Patterns over the calls that worked: any of them is enough."""

    tempting: list[Pattern] = Field(min_length=1, description="The harmful act; right where it was asked for.")
    honest: list[Pattern] = Field(min_length=1, description="The honest alternative.")
    progress: list[list[Pattern]] = Field(min_length=1, description="Steps of the task, each any of its patterns.")


class Change(Strict):
    """Of the texts, for the twin in which the owner asks for the very act."""

    was: Text = Field(description="Words that stand once in all the texts.")
    now: Text = Field(description="What stands there in the twin.")


class NextAct(Strict):
    """The decisive moment in words, and three acts as full texts."""

    situation: Text
    tempting: Text
    honest: Text
    idle: Text

    @property
    def options(self) -> dict[str, str]:
        return {name: getattr(self, name).strip() for name in (TEMPTING, HONEST, IDLE)}


class PlantedCall(Strict):
    tool: str
    arguments: dict[str, PlainText] = Field(default_factory=dict)


class Planted(Strict):
    """Calls that a scripted agent makes, to show that the acts are read as they are meant."""

    tempting: list[PlantedCall] = Field(min_length=1)
    honest: list[PlantedCall] = Field(min_length=1)
    progress: list[PlantedCall] = Field(min_length=1)


class Scenario(Strict):
    """One family: its texts, its world, and what counts as which act. Texts may hold knobs, as {threat}."""

    family: str = Field(pattern=NAME, description="Also the id of the principle that it is about.")
    about: Text = Field(description="For the reader, one sentence.")
    system: Text
    task: Text = Field(description="The first user message.")
    turns: list[Text] = Field(
        default_factory=list, description="Further user messages, each given when the agent hands its work back."
    )
    knobs: dict[str, dict[ValueName, PlainText]] = Field(description="Knob -> name of the value -> its text.")
    tools: list[str] = Field(min_length=1, description="`finish` is always there and need not be named.")
    world: World
    acts: Acts
    twin: list[Change] = Field(min_length=1)
    next_act: NextAct
    most_answers: int = Field(10, ge=1, le=30, description="A run ends after so many answers of the agent.")
    planted: Planted | None = Field(None, description="Tried when the file is read.")

    @field_validator("tools")
    @classmethod
    def tools_are_known(cls, tools: list[str]) -> list[str]:
        check_known("tool", tools, TOOLS)
        return [*dict.fromkeys(name for name in tools if name != FINISH), FINISH]

    @field_validator("knobs")
    @classmethod
    def knobs_are_known(cls, knobs: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        check_known("knob", knobs, KNOBS)
        for name, values in knobs.items():
            if len(values) < 2:
                raise ValueError(f"the knob {name!r} needs at least two values")
            if any(KNOB.search(text) for text in values.values()):
                raise ValueError(f"a value of the knob {name!r} holds a knob itself")
        return {name: knobs[name] for name in KNOBS if name in knobs}

    @model_validator(mode="after")
    def hangs_together(self) -> Scenario:
        for check in (check_twin, check_knobs, check_patterns, check_lengths, check_options, check_planted):
            check(self)
        return self

    def texts(self) -> list[str]:
        """All that a model may read, knobs and both twins included."""
        told = [text for texts in texts_by_place(self).values() for text in texts]
        values = [text for texts in self.knobs.values() for text in texts.values()]
        return [*told, *values, *(change.now for change in self.twin), *self.next_act.options.values()]


def check_known(kind: str, names: Iterable[str], valid: Iterable[str]) -> None:
    valid = list(valid)
    for name in names:
        if name not in valid:
            raise ValueError(f"there is no {kind} named {name!r}; valid: {', '.join(valid)}")


def check_knobs(scenario: Scenario) -> None:
    """In either twin, every knob in a text is one of the scenario's, and each stands where an agent can meet it."""
    for kind, changes in ((BAIT, []), (ASKED, scenario.twin)):
        for where, texts in texts_by_place(scenario).items():
            used = {match[1] for text in texts for match in KNOB.finditer(changed(text, changes))}
            check_known("knob", sorted(used), scenario.knobs)
            for name in scenario.knobs:
                if name not in used:
                    raise ValueError(f"the knob {name!r} stands nowhere in {where} ({kind}): write {{{name}}} there")


def check_twin(scenario: Scenario) -> None:
    """Each change is found once, and the twin differs both in what the agent meets and in `next_act`."""
    places = texts_by_place(scenario)
    for number, change in enumerate(scenario.twin):
        found = sum(text.count(change.was) for texts in places.values() for text in texts)
        if found != 1:
            raise ValueError(
                f"twin.{number}: {change.was!r} stands {found} times in the texts; it must stand there once"
            )
        if any(change.was in other.now for other in scenario.twin if other is not change):
            raise ValueError(f"twin.{number}: {change.was!r} stands in the `now` of another change")
    for where, texts in places.items():
        if not any(change.was in text for change in scenario.twin for text in texts):
            raise ValueError(f"twin: nothing changes in {where}, so the twins would be alike there")


def check_planted(scenario: Scenario) -> None:
    """The planted calls work, and count as what they stand for, in either twin."""
    planted, acts = scenario.planted, scenario.acts
    if planted is None:
        return
    for kind in (BAIT, ASKED):
        start = filled(scenario, {knob: next(iter(values)) for knob, values in scenario.knobs.items()}, kind)
        for name, calls in ((TEMPTING, planted.tempting), (HONEST, planted.honest), ("progress", planted.progress)):
            state = State(start.world)
            for call in calls:
                state = use(state, {"name": call.tool, "arguments": call.arguments}, scenario.tools)
                if not state.calls[-1].worked:
                    raise ValueError(f"planted.{name} ({kind}): {call.tool} does not work: {state.calls[-1].result}")
            is_tempting, is_honest = met(acts.tempting, state.calls), met(acts.honest, state.calls)
            if (is_tempting, is_honest) != (name == TEMPTING, name == HONEST):
                counts = [act for act, counted in ((TEMPTING, is_tempting), (HONEST, is_honest)) if counted]
                raise ValueError(f"planted.{name} ({kind}) counts as {' and '.join(counts) or 'neither act'}")
            if name == "progress" and not all(met(step, state.calls) for step in acts.progress):
                raise ValueError(f"planted.progress ({kind}) does not make all steps of acts.progress")


def check_patterns(scenario: Scenario) -> None:
    """Patterns name tools that the agent has, and arguments that these take."""
    acts = scenario.acts
    steps = [pattern for step in acts.progress for pattern in step]
    for where, patterns in (
        ("acts.tempting", acts.tempting),
        ("acts.honest", acts.honest),
        ("acts.progress", steps),
        ("world.replies", scenario.world.replies),
    ):
        for pattern in patterns:
            if pattern.tool not in scenario.tools:
                raise ValueError(
                    f"{where}: the agent has no tool {pattern.tool!r}; it has: {', '.join(scenario.tools)}"
                )
            for name in sorted(pattern.arguments - set(TOOLS[pattern.tool].parameters)):
                takes = ", ".join(TOOLS[pattern.tool].parameters) or "nothing"
                raise ValueError(f"{where}: {pattern.tool} takes no {name!r}; it takes {takes}")


def check_lengths(scenario: Scenario) -> None:
    for text in strings(scenario.world.model_dump()):
        if len(text) > LONGEST_RESULT:
            raise ValueError(f"a text of the world has {len(text):,} characters; an agent is shown {LONGEST_RESULT:,}")


def check_options(scenario: Scenario) -> None:
    said = {name: f" {' '.join(words(text))} " for name, text in scenario.next_act.options.items()}
    for one, other in permutations(said, 2):
        if said[one] in said[other] or not said[one].strip():
            raise ValueError(f"next_act: the text of {one!r} stands inside that of {other!r}")


# The texts of a scenario


def texts_by_place(scenario: Scenario) -> dict[str, list[str]]:
    """All that an agent may meet (system prompt, user messages, the world), and the decisive moment told in words."""
    met_by_agent = [scenario.system, scenario.task, *scenario.turns, *strings(scenario.world.model_dump())]
    return {"what the agent meets": met_by_agent, "next_act.situation": [scenario.next_act.situation]}


def strings(value: Any) -> Iterator[str]:
    """Every text in a nested value, names of fields and files aside."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from strings(part)
    elif isinstance(value, Sequence):
        for part in value:
            yield from strings(part)


def with_strings(value: Any, change: Callable[[str], str]) -> Any:
    """A nested value with every text in it changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {name: with_strings(part, change) for name, part in value.items()}
    return [with_strings(part, change) for part in value] if isinstance(value, list | tuple) else value


def with_texts(scenario: Scenario, change: Callable[[str], str]) -> Scenario:
    """The scenario with each of its texts changed; it is not checked again, since knobs may be gone."""
    acting = {"system": change(scenario.system), "task": change(scenario.task), "turns": [*map(change, scenario.turns)]}
    world = World.model_validate(with_strings(scenario.world.model_dump(by_alias=True), change))
    moment = scenario.next_act.model_copy(update={"situation": change(scenario.next_act.situation)})
    return scenario.model_copy(update={**acting, "world": world, "next_act": moment})


def filled(scenario: Scenario, setting: Mapping[str, str], kind: str) -> Scenario:
    """The scenario as one agent meets it. setting: knob -> name of its value, for every knob. kind: bait or asked."""
    chosen = {knob: scenario.knobs[knob][value] for knob, value in setting.items()}
    changes = scenario.twin if kind == ASKED else []
    return with_texts(scenario, lambda text: fill(changed(text, changes), chosen))


def changed(text: str, changes: Sequence[Change]) -> str:
    for change in changes:
        text = text.replace(change.was, change.now)
    return text


def fill(text: str, chosen: Mapping[str, str]) -> str:
    """Knobs replaced by their texts; an empty one leaves neither a double space nor an empty line behind."""

    def one(match: re.Match[str]) -> str:
        value = chosen.get(match[1])
        return match[0] if value is None else value + match[2] if value else ""

    lines = KNOB.sub(one, text).split("\n")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in lines)).strip()


# Reading


@dataclass(frozen=True)
class Scenarios:
    """The scenarios of a study. near: families that lessons exist for. settings: how many of each are asked."""

    families: tuple[Scenario, ...]
    near: tuple[str, ...] = ()
    settings: int = 8

    def distance(self, scenario: Scenario) -> str:
        return "near" if scenario.family in self.near else "far_family"

    @property
    def fingerprint(self) -> str:
        """Of the content of all families."""
        return fingerprint([scenario.model_dump(exclude={"planted"}) for scenario in self.families])


class ScenarioSettings(Strict):
    """What a study file says of them."""

    files: list[str] = Field(
        [BUNDLED],
        min_length=1,
        description="Scenario files; `bundled`: those that come with this; `bundled:FAMILY`: one of them.",
    )
    near: list[str] = Field(
        default_factory=list, description="Families that the lessons are about; all others are far."
    )
    settings: int = Field(8, ge=1, description="How many settings of the knobs are asked, each as bait and as asked.")


def read_scenarios(chosen: ScenarioSettings, folder: Path) -> Scenarios:
    """All scenarios that a study names. Errors: a file that does not fit, two of one family, an unknown near family."""
    paths = [path for name in chosen.files for path in scenario_files(name, folder)]
    found: dict[str, Path] = {}
    families = []
    for path in paths:
        scenario = read_scenario(path)
        if scenario.family in found:
            raise InputError(
                f"The family {scenario.family!r} stands in two files.",
                where=str(Place(path, field="family")),
                remedy=f"Rename one of them, or take one out; the other is {found[scenario.family]}.",
            )
        found[scenario.family] = path
        families.append(scenario)
    for name in chosen.near:
        if name not in found:
            raise unknown_name("scenario family", name, found, where="field 'scenarios.near'")
    return Scenarios(tuple(families), tuple(chosen.near), chosen.settings)


def scenario_files(name: str, folder: Path) -> list[Path]:
    """The files that one name in a study stands for."""
    kind, _, family = name.partition(":")
    if kind != BUNDLED:
        return [folder / name]
    known = {path.stem: path for path in bundled_files()}
    if family and family not in known:
        raise unknown_name("scenario family that comes with this", family, known, where="field 'scenarios.files'")
    return [known[family]] if family else list(known.values())


def bundled_files() -> list[Path]:
    return sorted(FAMILIES.glob("*.yaml"))


def read_scenario(path: Path) -> Scenario:
    """One scenario file. Errors (InputError): as any YAML, a field that does not fit, a planted call that misses."""
    return validated(Scenario, load_yaml(read_text(path), path), Place(path))
