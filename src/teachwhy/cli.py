"""The command line: thin, each command one call into the rooms below."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from . import cli_data, cli_generate
from .errors import TeachwhyError

app = typer.Typer(
    name="teachwhy",
    help="Does teaching a model why, and not only what, make it behave better where the rules are silent?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

app.add_typer(cli_generate.commands)
app.add_typer(cli_data.commands)

StudyPath = Annotated[Path, typer.Argument(help="A study.yaml, or the folder that holds it.")]
RunsFolder = Annotated[Path, typer.Option("--runs", help="Where run folders are kept.")]
Model = Annotated[str | None, typer.Option("--model", help="Another model than the study's own.")]
Arms = Annotated[str | None, typer.Option("--arms", help="Only these arms, separated by commas.")]
Seeds = Annotated[str | None, typer.Option("--seeds", help="Only these seeds, separated by commas.")]
INTERRUPTED = 130  # what typer exits with after Ctrl-C
Quick = Annotated[bool, typer.Option("--quick", help="One seed, and what the study's `quick:` names.")]


def main() -> None:
    """Entry point: an error the user can act on is printed without a traceback, with exit code 2."""
    try:
        app()
    except TeachwhyError as error:
        typer.secho(str(error), err=True, fg="red")
        sys.exit(2)
    except ModuleNotFoundError as error:
        extra = "inspect" if (error.name or "").startswith("inspect_ai") else "train"
        typer.secho(f"This needs {error.name}.\n  next:  pip install 'teachwhy[{extra}]'", err=True, fg="red")
        sys.exit(2)
    except OSError as error:
        typer.secho(str(storage_error(error)), err=True, fg="red")
        sys.exit(2)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            typer.echo("Stopped. What is finished is kept; run the same command again to go on.", err=True)
        raise


@app.command()
def run(
    study: StudyPath,
    quick: Quick = False,
    model: Model = None,
    arms: Arms = None,
    seeds: Seeds = None,
    runs: RunsFolder = Path("runs"),
    executor: Annotated[
        str | None, typer.Option(help="local, or ray: units go to the machines of a Ray cluster. Else the study's.")
    ] = None,
) -> None:
    """Run a study: train every arm, sit the exams, compare, report. Stop it at any time and run it again."""
    from .progress import RunProgress
    from .report import result_table
    from .study import run_study

    with RunProgress() as progress:
        done = run_study(
            study,
            quick=quick,
            model=model,
            arms=names(arms),
            seeds=numbers(seeds),
            runs=runs,
            executor=executor,
            say=progress.say,
            on_message=progress.message,
        )
    typer.echo(result_table(done.results))
    typer.echo(f"\nreport: {done.report}")
    tell_failures(done)


@app.command()
def prompt(
    study: Annotated[Path, typer.Option(help="Where the study is kept; one that is there goes on.")] = Path("prompts"),
    policy: Annotated[
        Path | None, typer.Option(help="The policy file. Without it the study there runs as it is.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="provider/name as Inspect has it, or any model that `run` takes.")
    ] = None,
    items: Annotated[list[Path] | None, typer.Option(help="A file of items; may be given again.")] = None,
    exams: Annotated[str, typer.Option(help="Exams, separated by commas; contrasts are on the first.")] = "edge_cases",
    arms: Annotated[
        str | None, typer.Option(help="Only these, separated by commas; `without_why`: one for each principle.")
    ] = None,
    system: Annotated[Path | None, typer.Option(help="What else the system prompt says, behind the policy.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="How often each item is asked.")] = 1,
    temperature: Annotated[
        float | None, typer.Option(help="0.7 for several samples, else the likeliest words.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="The longest answer, in tokens.")] = 400,
    estimate: Annotated[bool, typer.Option("--estimate", help="Tell what it will take, and stop.")] = False,
    budget: Annotated[float | None, typer.Option(min=0, help="Dollars that the study may cost in all.")] = None,
    prices: Annotated[Path | None, typer.Option(help="Dollars for a million tokens; else prices.yaml there.")] = None,
    connections: Annotated[int, typer.Option(min=1, help="Requests at once, to a model behind an API.")] = 10,
    runs: RunsFolder = Path("runs"),
) -> None:
    """Set system prompts against each other: rules, rules with reasons, each reason left out. Trains nothing."""
    from .models import Asking
    from .progress import RunProgress
    from .report import result_table
    from .study import PromptChoices, Spending, estimate_prompts, run_prompts, write_prompt_study

    if policy or model or items:
        if not (policy and model and items):
            raise typer.BadParameter("a new study needs all three", param_hint="--policy, --model, --items")
        write_prompt_study(
            PromptChoices(
                study, policy, items, model, names(exams) or [], names(arms), samples, temperature, max_tokens, system
            ),
            to_stderr,
        )
    spending = Spending(budget, prices, Asking(connections=connections))
    typer.echo(estimate_prompts(study, spending, runs=runs, say=to_stderr), err=not estimate)
    if estimate:
        return
    with RunProgress() as progress:
        done = run_prompts(study, spending, runs=runs, say=progress.say, on_message=progress.message)
    typer.echo(result_table(done.results))
    typer.echo(f"\nreport: {done.report}")
    tell_failures(done)


@app.command()
def plan(
    study: StudyPath,
    quick: Quick = False,
    model: Model = None,
    arms: Arms = None,
    seeds: Seeds = None,
    runs: RunsFolder = Path("runs"),
    measure: Annotated[bool, typer.Option(help="Time a few updates and answers for the estimate.")] = True,
    noise: Annotated[
        str | None, typer.Option(metavar="FAMILY,SEED,REST", help="Standard deviations of a difference to assume.")
    ] = None,
    like: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Take them from this run folder or results.json.")
    ] = None,
    parameters: Annotated[
        list[str] | None, typer.Option(metavar="SIZE", help="Reckon the cost with a model of this size, such as 8B.")
    ] = None,
    on: Annotated[str, typer.Option(metavar="DEVICE", help="The accelerator to reckon with.")] = "h100-80gb",
    dollars: Annotated[float | None, typer.Option(help="What an hour of one such device costs.")] = None,
) -> None:
    """What a run would do: arms, rows, updates, minutes, and the smallest difference it can find. Trains nothing."""
    from .study import plan_cost, plan_study

    if parameters:
        said = plan_cost(
            study,
            parameters,
            on=on,
            dollars=dollars,
            quick=quick,
            model=model,
            arms=names(arms),
            seeds=numbers(seeds),
            runs=runs,
            say=to_stderr,
        )
        typer.echo(said)
        return
    typer.echo(
        plan_study(
            study,
            quick=quick,
            model=model,
            arms=names(arms),
            seeds=numbers(seeds),
            runs=runs,
            measure=measure,
            noise=noise,
            like=like,
            say=to_stderr,
        )
    )


@app.command()
def register(
    study: StudyPath,
    decision_rule: Annotated[
        str | None, typer.Option(help="In words: when a declared contrast counts as shown. Else the study's own.")
    ] = None,
    runs: RunsFolder = Path("runs"),
) -> None:
    """Freeze a study before it runs, so that the report can say what was declared before any answer was there."""
    from .study import register_study

    typer.echo(register_study(study, decision_rule=decision_rule, runs=runs, say=to_stderr))


@app.command()
def status(study: StudyPath, quick: Quick = False, model: Model = None, runs: RunsFolder = Path("runs")) -> None:
    """Which units of a study are done, which are not, and whether a run is at work."""
    from .study import study_status

    typer.echo(study_status(study, quick=quick, model=model, runs=runs, say=to_stderr))


@app.command()
def report(
    study: StudyPath,
    quick: Quick = False,
    model: Model = None,
    runs: RunsFolder = Path("runs"),
    format: Annotated[str, typer.Option(help="html, md, json or csv; all but html go to standard output.")] = "html",
    out: Annotated[Path | None, typer.Option(help="Write it to this file instead.")] = None,
    figures: Annotated[Path | None, typer.Option(help="Write every figure as SVG and PNG to this folder.")] = None,
) -> None:
    """Score the stored answers again and write results.json and both pages anew. Samples nothing."""
    from .report import result_table
    from .study import export_run, report_format, report_study, write_figures

    wanted = report_format(format)
    done = report_study(study, quick=quick, model=model, runs=runs, anew=wanted == "html", say=to_stderr)
    for path in write_figures(done, figures) if figures else ():
        to_stderr(f"wrote {path}")
    text = export_run(done, wanted, out)
    if out:
        to_stderr(f"wrote {out}")
    if wanted == "html":
        typer.echo(f"{result_table(done.results)}\n\nreport: {done.report}")
    elif not out:
        typer.echo(text, nl=False)


@app.command()
def compare(
    run_folders: Annotated[
        list[Path], typer.Argument(metavar="RUN RUN...", help="Run folders, or their results.json.")
    ],
    out: Annotated[Path, typer.Option(help="Where the page goes.")] = Path("compare.html"),
) -> None:
    """Put the declared contrasts of several runs beneath each other, on one page and as a table. Pools nothing."""
    from .study import compare_runs

    typer.echo(compare_runs(run_folders, out))
    typer.echo(f"\ncomparison: {out}")


@app.command()
def join(
    study: StudyPath,
    logs: Annotated[list[Path], typer.Argument(metavar="LOG...", help="Logs that Inspect wrote of our tasks.")],
    runs: RunsFolder = Path("runs"),
) -> None:
    """Put what Inspect asked into the run folders of a study, one a model, and write their reports. Asks nothing."""
    from .inspect import join_logs
    from .report import result_table

    for done in join_logs(study, logs, runs=runs, say=to_stderr):
        typer.echo(f"{result_table(done.results)}\n\nreport: {done.report}")


@app.command()
def ask(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or a study that has one.")],
    prompt: Annotated[str, typer.Argument(help="What to ask.")],
    arms: Arms = None,
    seed: Annotated[int | None, typer.Option(help="Which seed's adapters; the lowest where none is given.")] = None,
    runs: RunsFolder = Path("runs"),
) -> None:
    """Put one prompt to every arm of a run and print the answers side by side."""
    from rich.console import Console
    from rich.table import Table

    from .study import ask_run

    table = Table("arm", "answer", show_lines=True, title=None)
    for arm, answer in ask_run(run_folder, prompt, arms=names(arms), seed=seed, runs=runs, say=to_stderr):
        table.add_row(plain(arm), plain(answer))
    Console().print(table)


@app.command()
def audit(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or a study that has one.")],
    item: Annotated[str, typer.Argument(help="Id of an item that the exam explanations asked.")],
    arm: Annotated[str, typer.Option(help="Which arm's model.")] = "why",
    seed: Annotated[int | None, typer.Option(help="Which seed; the lowest where none is given.")] = None,
    runs: RunsFolder = Path("runs"),
) -> None:
    """Print one decision with its reason, and all that was asked to see whether the two hang together."""
    from .study import audit_item

    typer.echo(audit_item(run_folder, item, arm=arm, seed=seed, runs=runs, say=to_stderr))


@app.command()
def show(
    study: StudyPath,
    arm: Annotated[str, typer.Option(help="Which arm's row.")] = "why",
    row: Annotated[int, typer.Option(min=1, help="Which row, counted from 1.")] = 1,
    stage: Annotated[str | None, typer.Option(help="A row of this stage; without it one of the arm's own.")] = None,
    model: Model = None,
) -> None:
    """Print one training row, with the text that the loss counts told apart from the text it does not."""
    from .study import show_row

    for segment in show_row(study, arm=arm, row=row, stage=stage, model=model, say=to_stderr):
        mark = "trained" if segment.train else "not trained"
        typer.secho(f"[{segment.kind}: {mark}]", dim=True)
        body = segment.text.replace("\n", "\n  ")
        typer.secho(f"{'+' if segment.train else ' '} {body}", fg="green" if segment.train else None)


@app.command()
def check(policy: Annotated[Path, typer.Argument(help="A policy file, or a study.")]) -> None:
    """Say what is missing or doubtful in a policy; for a study, check also examples, items, twins and overlap."""
    from .study import check_anything

    found = check_anything(policy, say=to_stderr)
    for finding in found:
        typer.echo(f"{policy}, line {finding.line}: {finding.level}: {finding.message}")
    errors = sum(finding.level == "error" for finding in found)
    typer.echo(f"{errors} errors, {len(found) - errors} warnings")
    if errors:
        sys.exit(2)


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="A new folder for the study.")]) -> None:
    """Write a commented study that runs as it stands."""
    from .study import write_starter

    for path in write_starter(folder):
        typer.echo(f"wrote {path}")
    typer.echo(f"next: teachwhy run {folder}")


@app.command()
def arms() -> None:
    """List the arms a study may have."""
    from .data import ARMS

    width = max(len(name) for name in ARMS)
    for arm in ARMS.values():
        needs = f" (needs {', '.join(arm.needs)})" if arm.needs else ""
        typer.echo(f"{arm.name:{width}}  {arm.summary}{needs}")


@app.command()
def stages() -> None:
    """List the kinds of stages a study may have."""
    from .study.stages import STAGES

    width = max(len(name) for name in STAGES)
    for name, kind in STAGES.items():
        typer.echo(f"{name:{width}}  {kind.summary}")


def tell_failures(done: Any) -> None:
    """What failed or never came, and exit code 1 if anything did."""
    for unit, cause in done.failures.items():
        typer.secho(f"failed: {unit}: {cause}", err=True, fg="red")
    for unit, count in done.unheard.items():
        typer.secho(f"never answered: {unit}: {count}; the same command asks again", err=True, fg="red")
    if done.failures or done.unheard:
        sys.exit(1)


def storage_error(error: OSError) -> TeachwhyError:
    return TeachwhyError(
        f"A file or folder cannot be used: {error.strerror or error}.",
        where=str(error.filename or ""),
        remedy="Check that it is there, that you may use it, and that the disk has room.",
    )


def names(text: str | None) -> list[str] | None:
    return [part.strip() for part in text.split(",") if part.strip()] if text else None


def numbers(text: str | None) -> list[int] | None:
    found = names(text)
    try:
        return [int(part) for part in found] if found else None
    except ValueError:
        raise typer.BadParameter("seeds are whole numbers separated by commas", param_hint="--seeds") from None


def plain(text: str) -> Any:
    """Text for a rich table that is not read as markup."""
    from rich.text import Text

    return Text(text)


to_stderr: Callable[[str], None] = lambda text: typer.echo(text, err=True)  # noqa: E731

if __name__ == "__main__":
    main()
