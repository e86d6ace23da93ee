"""Teach a model a policy with and without its reasons, and compare what it does where the rules are silent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import CheckError, InputError, ModelError, RunError, TeachwhyError

if TYPE_CHECKING:
    from .study import Run

__version__ = "0.1.0"
__all__ = ["CheckError", "InputError", "ModelError", "RunError", "TeachwhyError", "run"]


def run(study: str, **options: Any) -> Run:
    """Run a study from Python or a notebook. Options are those of `teachwhy.study.run_study`.

    >>> done = teachwhy.run("studies/swap", quick=True)    # doctest: +SKIP
    >>> done.results["contrasts"], done.report             # doctest: +SKIP
    """
    from pathlib import Path

    from .study import run_study

    if "runs" in options:
        options["runs"] = Path(options["runs"])
    return run_study(Path(study), **options)
