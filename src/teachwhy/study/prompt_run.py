"""`teachwhy prompt`: from a policy and a model's name to a page, with its cost told first and kept to a budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..models import USUAL, Asking, Purse, read_price
from .estimate import estimate
from .job import Job
from .plan import plan_units
from .prompt_study import PRICES_FILE
from .run import Run, Say, prepare_job, run_study
from .study_file import read_study, study_path
from .views import plan_study


@dataclass(frozen=True)
class Spending:
    """How a model behind an API is asked, and what it may cost. budget: dollars for the study in all; None: no limit.

    prices: a file of prices; None for the one beside the study.
    """

    budget: float | None = None
    prices: Path | None = None
    asking: Asking = USUAL


def prompt_purse(job: Job, spending: Spending) -> tuple[Purse, Path]:
    """What may be spent, and where the price stands. Errors (InputError): a budget without a price."""
    prices = spending.prices or job.study.folder / PRICES_FILE
    price = read_price(prices, job.source.name)
    if spending.budget is not None and price is None:
        raise InputError(
            f"A budget needs a price, and there is none of {job.source.folder!r}.",
            where=str(prices),
            remedy=f"Write one there, dollars for a million tokens: `{job.source.folder}: {{input: 1.0, output: 4.0}}`",
        )
    return Purse(price, spending.budget), prices


def estimate_prompts(path: Path, spending: Spending, *, runs: Path, say: Say) -> str:
    """What the run of a prompt study will take: tokens and dollars, or minutes of a model with weights."""
    study = read_study(path)
    job = prepare_job(study, runs, say)
    lengths = job.prepared.checks["prompts"]
    lines = [f"{'arm':28} {'words':>6} {'tokens':>7}"]
    for setting in study.settings.arms:
        length = lengths.get(setting.name, {"words": 0, "tokens": 0})
        tokens = "-" if length["tokens"] is None else f"{length['tokens']:,}"
        lines.append(f"{setting.name:28} {length['words']:6,} {tokens:>7}")
    if not job.source.behind_api:
        return "\n".join([*lines, "", plan_study(path, runs=runs, say=say)])
    purse, prices = prompt_purse(job, spending)
    say(f"asking {job.source.folder} once for every arm and exam, for the estimate ...")
    found = estimate(replace(job, asking=spending.asking, purse=purse), plan_units(study))
    lines += ["", *found.lines(job.source.folder, str(prices))]
    over = found.dollars is not None and purse.limit is not None and found.spent + found.dollars > purse.limit
    if over:
        lines.append(
            f"that is more than the budget of ${purse.limit:,.2f}: the run will stop there, and can be gone on with"
        )
    return "\n".join(lines)


def run_prompts(
    path: Path,
    spending: Spending,
    *,
    runs: Path,
    say: Say,
    on_message: Callable[[dict[str, Any]], None],
) -> Run:
    """Run a prompt study as any other, within its budget. path: study.yaml, or its folder."""
    path = study_path(path)
    job = prepare_job(read_study(path), runs, say)
    purse = prompt_purse(job, spending)[0] if job.source.behind_api else None
    return run_study(path, runs=runs, asking=spending.asking, purse=purse, say=say, on_message=on_message)
