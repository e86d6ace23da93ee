"""The commands that write lessons with a teacher, and let a person read them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

commands = typer.Typer()
PREVIEWED = 5


@commands.command()
def generate(
    recipe: Annotated[str, typer.Argument(help="A recipe's name (`teachwhy recipes`), or a .yaml file of yours.")],
    policy: Annotated[Path, typer.Option(help="The policy file.")],
    teacher: Annotated[
        str, typer.Option(help="scripted, provider/name as Inspect has it, or any model that `run` takes.")
    ],
    sources: Annotated[
        list[Path] | None, typer.Option("--from", help="Examples, or scenarios, to start from; may be given again.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The folder for what is made; else lessons/NAME.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Lessons to begin; what is dropped is not replaced.")] = None,
    judge: Annotated[str | None, typer.Option(help="Who judges, named as the teacher is; else the teacher.")] = None,
    without: Annotated[str | None, typer.Option(help="Stages to leave out, separated by commas.")] = None,
    preview: Annotated[int | None, typer.Option(min=1, help="Show so many finished lessons, and stop.")] = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Write five lessons, and tell what the whole will take.")
    ] = False,
    budget: Annotated[float | None, typer.Option(min=0, help="Dollars that this folder may cost in all.")] = None,
    prices: Annotated[Path | None, typer.Option(help="Dollars for a million tokens; else prices.yaml there.")] = None,
    items: Annotated[list[Path] | None, typer.Option(help="Items that will examine; may be given again.")] = None,
    provider: Annotated[str, typer.Option(help="Who must serve the calls, where a router has several.")] = "",
    connections: Annotated[int, typer.Option(min=1, help="Requests at once, to a model behind an API.")] = 10,
    seed: Annotated[int, typer.Option(help="Of what is drawn without a model.")] = 0,
) -> None:
    """Write lessons with a teacher model. Stop it at any time and run it again: no answer is bought twice."""
    from .generate import Order, write_lessons
    from .generate import preview as preview_lessons
    from .models import Asking

    order = Order(
        recipe=recipe,
        policy=policy,
        teacher=teacher,
        out=out or Path("lessons") / Path(recipe).stem,
        sources=sources or [],
        count=count,
        judge=judge,
        without=[part.strip() for part in without.split(",") if part.strip()] if without else [],
        budget=budget,
        prices=prices,
        seed=seed,
        asking=Asking(connections=connections, provider=provider),
        items=items or [],
    )
    if preview or estimate:
        show_preview(preview_lessons(order, preview or PREVIEWED, to_stderr), lessons=bool(preview))
        return
    with progress_of(order) as tell:
        done = write_lessons(order, to_stderr, tell)
    for line in done.lines():
        typer.echo(line)
    if done.stopped is None and done.health is None:
        sys.exit(1)
    if done.stopped:
        typer.secho(f"stopped: {done.stopped}. Run the same command again to go on.", err=True, fg="yellow")
        sys.exit(1)


@commands.command()
def recipes() -> None:
    """List the recipes, and their stages; those in brackets can be left out."""
    from .generate import find_recipe, recipe_names

    for name in recipe_names():
        recipe = find_recipe(name)
        typer.echo(f"{name}: {' '.join(recipe.about.split())}")
        optional = recipe.optional()
        typer.echo("  " + ", ".join(f"[{one.name}]" if one.name in optional else one.name for one in recipe.stages))


@commands.command()
def review(
    folder: Annotated[Path, typer.Argument(help="What `generate` wrote.")],
    sample: Annotated[int, typer.Option(min=1, help="Lessons to read, half of them rejected by the judge.")] = 30,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
    by: Annotated[str, typer.Option(help="Who reads; each reader's decisions are kept apart.")] = "reader",
    checks: Annotated[bool, typer.Option("--checks", help="Answer the questions of the gate one by one too.")] = False,
) -> None:
    """Read a random sample, accept or reject, and see how far the judge agrees. Its verdicts are not shown before."""
    from .generate import review as read_sample
    from .generate import review_lines

    found = read_sample(folder, line_from_reader, typer.echo, sample=sample, seed=seed, by=by, checks=checks)
    typer.echo("")
    for line in review_lines(found) if found else ["Nothing was decided yet."]:
        typer.echo(line)


def line_from_reader(prompt: str) -> str | None:
    """A line from the terminal or from standard input; None at its end, or when it is interrupted."""
    try:
        return input(prompt)
    except (EOFError, KeyboardInterrupt):
        return None


def show_preview(found: Any, *, lessons: bool) -> None:
    """Each lesson with what every stage did, and then the estimate."""
    from .text import printable

    if lessons:
        for record, draft in found.lessons:
            typer.secho(f"\n{draft.id}", bold=True)
            for change in draft.trail:
                typer.secho(f"  {change.stage}", dim=True)
                for name, value in {**change.fields, **change.note}.items():
                    was = " (again)" if name in change.before else ""
                    typer.echo(printable(f"    {name}{was}: {value}"))
            typer.echo(f"  is now: {', '.join(record)}")
        for identifier, stage, cause, detail in found.dropped:
            typer.echo(printable(f"\ndropped: {identifier} in {stage}: {cause}{f' ({detail})' if detail else ''}"))
        typer.echo("")
    for line in found.estimate:
        typer.echo(line)
    if found.stopped:
        typer.secho(f"stopped: {found.stopped}", err=True, fg="yellow")


def progress_of(order: Any) -> Any:
    from .progress import LessonProgress

    return LessonProgress(order.recipe)


def to_stderr(text: str) -> None:
    typer.echo(text, err=True)
