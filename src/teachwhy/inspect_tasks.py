"""What Inspect finds by entry point: the exams as tasks, and trained arms as models."""

from __future__ import annotations

from typing import Any

from inspect_ai import Epochs, Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import GenerateConfig, ModelAPI, modelapi

from .evals import Exam, Item, find_exam
from .evals.decisions import by_lot
from .inspect.cases import messages_of, stored
from .inspect.material import Asked, read_asked
from .inspect.plainly import told_plainly
from .inspect.scoring import exam as scores_of
from .inspect.solving import LOT, sit
from .models.api import as_messages

Settings = dict[str, Any]


@modelapi(name="teachwhy")
def teachwhy() -> type[ModelAPI]:
    """Arms as models: teachwhy/RUN_FOLDER:ARM:SEED. Loaded when one is named, since it brings torch with it."""
    from .inspect.provider import ArmModel

    return ArmModel


@task
def edge_cases(study: str | None = None, items: str | None = None, system: str = "base") -> Task:
    """Pairs of prompts alike in words, of which one is to be helped with and one declined."""
    return task_of("edge_cases", study, items=items, system=system)


@task
def framings(
    study: str | None = None, items: str | None = None, system: str = "base", sample: int | None = None
) -> Task:
    """Whether a decision holds when the request comes in another setting, tone or long talk."""
    return task_of("framings", study, items=items, system=system, sample=sample)


@task
def explanations(
    study: str | None = None, items: str | None = None, system: str = "base", sample: int | None = None
) -> Task:
    """Whether a model acts on the reasons that it gives. Needs a judge: --model-role grader=MODEL."""
    return task_of("explanations", study, items=items, system=system, sample=sample)


@task
def decisions(study: str | None = None, items: str | None = None, system: str = "base") -> Task:
    """Which of a closed set of actions a model takes."""
    return task_of("decisions", study, items=items, system=system)


@task
def refusals(study: str | None = None, prompts: Settings | list[Settings] | None = None, system: str = "base") -> Task:
    """What is refused of prompts that merely look harmful, and of those that are. prompts: as in a study file."""
    sets = [prompts] if isinstance(prompts, dict) else prompts or []
    return task_of("refusals", study, prompts=sets, system=system)


@task
def honeypots(study: str | None = None, scenarios: Settings | None = None, system: str = "base") -> Task:
    """What an agent under temptation does in a simulated world. scenarios: as in a study file."""
    return task_of("honeypots", study, scenarios=scenarios, system=system)


def task_of(name: str, study: str | None, **asked_for: Any) -> Task:
    """An exam as a task. Scores of several epochs are not averaged before they are counted: pairs need them whole.

    asked_for: as `read_asked` takes it.
    """
    with told_plainly():
        exam = find_exam(name)
        asked = read_asked(study, **asked_for)
        return Task(
            dataset=MemoryDataset(samples_of(exam, asked), name=name),
            solver=sit(name, asked.system, asked.before, list(asked.markers)),
            scorer=scores_of(name),
            config=GenerateConfig(max_tokens=asked.max_tokens, temperature=asked.temperature),
            epochs=Epochs(asked.samples, []),
            version=exam.version,
        )


def samples_of(exam: Exam, asked: Asked) -> list[Sample]:
    """One sample a case; one for all of an exam whose questions hang on answers to other cases."""
    cases = asked.cases(exam)
    if exam.asks_across:
        return [sample_of(exam.name, cases, asked, {})]
    lot = by_lot(cases)
    fields = ("family", "pair", "principle", "distance", "kind")
    return [
        sample_of(
            case.id,
            [case],
            asked,
            {name: value for name in fields if (value := getattr(case, name))}
            | {LOT: [lot.index(case.pair), len(lot)]},
        )
        for case in cases
    ]


def sample_of(identifier: str, cases: list[Item], asked: Asked, about: dict[str, Any]) -> Sample:
    """about: what a reader of the log may want to sort by."""
    first = cases[0]
    return Sample(
        id=identifier,
        input=as_messages(messages_of(first, asked.system, asked.before)),
        target=first.gold or "" if len(cases) == 1 else "",
        metadata={**about, "cases": [stored(case) for case in cases]},
    )
