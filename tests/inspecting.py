"""Inspect without a network: a scripted model, an exam that it sits, and a run whose arms are models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tiny
from in_process import run_study_here
from inspect_ai import Task, eval
from inspect_ai.log import EvalLog
from inspect_ai.model import ChatMessage, Model, ModelAPI, ModelOutput, ModelUsage, get_model, modelapi

from teachwhy import inspect_tasks
from teachwhy.study import Run

Say = Callable[[list[ChatMessage]], str | ModelOutput]
SAYS: dict[str, Say] = {}


@modelapi(name="scripted")
class Scripted(ModelAPI):
    """A model that says what a function makes of the conversation. It counts no tokens, which takes a network."""

    async def generate(self, input: list[ChatMessage], tools: Any, tool_choice: Any, config: Any) -> ModelOutput:
        said = SAYS[self.model_name](input)
        found = said if isinstance(said, ModelOutput) else ModelOutput.from_content("scripted", said)
        found.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        return found


def scripted(say: Say) -> Model:
    """A model of its own for this function; it can be had again by its name."""
    name = str(len(SAYS))
    SAYS[name] = say
    return get_model(f"scripted/{name}")


def examined(
    exam: str, model: Model | str, folder: Path, *, roles: Any = None, limits: Any = None, **arguments: Any
) -> EvalLog:
    """The log of a model that sat an exam."""
    return run(getattr(inspect_tasks, exam)(**arguments), model, folder, model_roles=roles, **(limits or {}))


def run(task: Task, model: Model | str, folder: Path, **settings: Any) -> EvalLog:
    [log] = eval(task, model=model, log_dir=str(folder / "logs"), display="none", log_realtime=False, **settings)
    return log


def rates_of(log: EvalLog) -> dict[str, float]:
    """Measure -> its rate, as the log's results have it."""
    assert log.results, log.error
    return {name: metric.value for score in log.results.scores for name, metric in score.metrics.items()}


def tiny_run(folder: Path, model: Path) -> Run:
    """A run of the tiny study, with a trained arm and two that are not."""
    study = tiny.build_tiny_study(
        folder / "study",
        model,
        arms=["base", "policy_in_prompt", "why"],
        seeds=[0],
        contrasts=[],
        exploratory=[],
        competence=None,
        off_format_share=0.5,
    )
    return run_study_here(study, runs=folder / "runs")
