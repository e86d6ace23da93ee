"""The commands about corpora of lessons."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

commands = typer.Typer()


@commands.command()
def health(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Examples, documents or pairs, as JSONL.")],
    policy: Annotated[Path | None, typer.Option(help="The policy that the lessons teach.")] = None,
    items: Annotated[list[Path] | None, typer.Option(help="Items that will examine; may be given again.")] = None,
    out: Annotated[Path, typer.Option(help="Where the page goes; the numbers go beside it, as .json.")] = Path(
        "health.html"
    ),
) -> None:
    """Look a corpus of lessons over: duplicates, overlap, habits, balance, reasons. Flags, and mends nothing."""
    from .evals import read_items
    from .generate.health import corpus_health, health_page, health_table, read_lessons
    from .policy import read_policy
    from .study.folder import write_json, write_text

    numbers = out.with_suffix(".json")
    if numbers == out:
        raise typer.BadParameter("the numbers go to a .json beside it, so name an .html", param_hint="--out")
    record = corpus_health(
        read_lessons(files), read_policy(policy) if policy else None, read_items(items) if items else []
    )
    write_json(numbers, record)
    write_text(out, health_page(record))
    typer.echo(health_table(record))
    typer.echo(f"\nhealth: {out}, {numbers}")
