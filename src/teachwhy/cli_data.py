"""The commands about data: a corpus looked over, and lessons into the formats of others and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

commands = typer.Typer()
NAMES = (
    "openai-chat, openai-finetune, openai-preference, hf-chat, sharegpt, and of TRL: trl-language-modeling, "
    "trl-prompt-only, trl-prompt-completion, trl-preference, trl-preference-implicit, trl-unpaired-preference, each "
    "also with -text at its end for texts without roles."
)
Lessons = Annotated[Path, typer.Argument(metavar="FILE", help="Examples, pairs or documents, as JSONL.")]
Out = Annotated[Path, typer.Option(help="Where the lines go.")]


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


@commands.command("export")
def export_(
    file: Lessons,
    to: Annotated[str, typer.Option(metavar="FORMAT", help=NAMES)],
    out: Out,
    arm: Annotated[str, typer.Option(help="What the response of an example holds, as this arm writes it.")] = "what",
    reason: Annotated[str, typer.Option(help="Where the reason stands: first, last or woven.")] = "first",
    markers: Annotated[bool, typer.Option("--markers", help="Put `Reason:` and `Action:` before each part.")] = False,
    reason_names_fact: Annotated[
        bool, typer.Option("--reason-names-fact", help="Reasons name the fact: leave the mention out of `why`.")
    ] = False,
    policy: Annotated[Path | None, typer.Option(help="The policy, for an arm that shows it.")] = None,
    version: Annotated[str, typer.Option(help="Which version of a document.")] = "why",
    keep_fields: Annotated[
        bool, typer.Option("--keep-fields", help="Keep other fields as columns, where the format allows them.")
    ] = False,
) -> None:
    """Write lessons in a format of others, and say field by field what it cannot hold."""
    from .data import VERSIONS
    from .data.exchange import Telling, export_lessons
    from .errors import unknown_name
    from .policy import read_policy

    for name, given, known in (("place", reason, ("first", "last", "woven")), ("version", version, VERSIONS)):
        if given not in known:
            raise unknown_name(name, given, known, where="--reason" if name == "place" else "--version")
    words = ("Reason:", "Action:") if markers else ("", "")
    telling = Telling(arm, reason, words, reason_names_fact, read_policy(policy) if policy else None, version)
    write(out, file, export_lessons(file, to, telling, keep_fields=keep_fields))


@commands.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A JSONL file in another format.")],
    source: Annotated[str, typer.Option("--from", metavar="FORMAT", help=NAMES)],
    out: Out,
) -> None:
    """Read a file in a format of others as examples, pairs or documents, and say what was left out."""
    from .data.exchange import import_lessons

    write(out, file, import_lessons(file, source))


def write(out: Path, file: Path, moved: Any) -> None:
    """Write the lines, then say how many and what they do not hold."""
    from .errors import InputError
    from .study.folder import write_jsonl

    if out.resolve() == file.resolve():
        raise InputError(
            "The lines would be written over the file that is read.", where=str(out), remedy="Name another `--out`."
        )
    write_jsonl(out, moved.lines)
    typer.echo(f"wrote {out}: {len(moved.lines)} lines")
    for line in moved.said:
        typer.echo(f"  {line}")
