"""Where a training reports its loss: services that transformers knows by name, such as TensorBoard, Trackio or W&B."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, unknown_name

SILENT: dict[str, Any] = {"report_to": [], "logging_strategy": "no"}
LEFT_OPEN = ("wandb", "swanlab")  # transformers ends the runs of the others


@dataclass(frozen=True)
class Reporting:
    """names: as transformers knows them. folder: where files go. project, run: what a service calls this training."""

    names: Sequence[str]
    folder: Path
    project: str
    run: str

    def arguments(self) -> dict[str, Any]:
        """What transformers' TrainingArguments take to report every update."""
        named: dict[str, Any] = {"output_dir": str(self.folder), "run_name": self.run, "project": self.project}
        return {**named, "report_to": list(self.names), "logging_strategy": "steps", "logging_steps": 1}

    def close(self) -> None:
        """End what would take the next training of this process for a part of this one."""
        for name in LEFT_OPEN:
            if name in self.names:
                importlib.import_module(name).finish()


def check_reporters(names: Sequence[str], where: str) -> None:
    """Refuse a name that transformers does not know, and one whose package is not installed."""
    if not names:
        return
    from transformers.integrations import integration_utils as known

    for name in names:
        if name not in known.INTEGRATION_TO_CALLBACK:
            raise unknown_name("service to report to", name, known.INTEGRATION_TO_CALLBACK, where=where)
        found = (
            known.is_flytekit_available() if name == "flyte" else name in known.get_available_reporting_integrations()
        )
        if not found:
            raise InputError(
                f"What `report_to` needs for {name!r} is not installed.",
                where=where,
                remedy=f"pip install {name}, or as its makers say; or take it out, no result depends on it.",
            )
