"""What leaves a run folder: its results for other readers, figure files, and several runs on one page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError, Place, unknown_name
from ..report import SCHEMA_VERSION, as_csv, as_markdown, comparison_table, figure_files, labelled, render_comparison
from .folder import write_bytes, write_text
from .run import Run

RESULTS = "results.json"
WRITE_AGAIN = "`teachwhy report STUDY` writes it again from the stored answers."
FORMATS = ("html", "md", "json", "csv")


def report_format(name: str) -> str:
    """The name itself. Errors (InputError): a format that there is not."""
    if name not in FORMATS:
        raise unknown_name("report format", name, FORMATS, where="--format")
    return name


def export_run(done: Run, format: str, out: Path | None) -> str:
    """The report of a run in one of the formats; written to `out` where that is given."""
    if format == "md":
        text = as_markdown(done.results)
    elif format == "csv":
        text = as_csv(done.results)
    else:
        text = (done.report if format == "html" else done.folder / RESULTS).read_text(encoding="utf-8")
    if out:
        write_text(out, text)
    return text


def write_figures(done: Run, folder: Path) -> list[Path]:
    """Every figure of the page as SVG and PNG in a folder. Errors (ModuleNotFoundError): no matplotlib."""
    files = {folder / name: content for name, content in figure_files(done.results).items()}
    for path, content in files.items():
        write_bytes(path, content)
    return list(files)


def compare_runs(paths: Sequence[Path], out: Path) -> str:
    """Write one page of several runs and return the table for the terminal.

    paths: run folders, or their results.json. Errors (InputError): fewer than two runs, one named twice, or results
    that cannot be read.
    """
    if len(paths) < 2:
        raise InputError(
            "There is nothing to compare: one run is named.",
            where=", ".join(map(str, paths)),
            remedy="Name two runs or more: teachwhy compare RUN RUN ...",
        )
    files = [path / RESULTS if path.is_dir() else path for path in paths]
    for place, file in enumerate(files):
        if file.resolve() in [other.resolve() for other in files[:place]]:
            raise InputError("A run is named twice.", where=str(file), remedy="Name each run once.")
    runs = labelled([(str(file.parent), read_results(file)) for file in files])
    write_text(out, render_comparison(runs))
    return comparison_table(runs)


def read_results(file: Path) -> dict[str, Any]:
    """The results of a run as this version knows them, or an error that says what is wrong with the file."""
    try:
        results = json.loads(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"There is no {RESULTS} here." if file.parent.is_dir() else "There is no such run folder.",
            where=str(file),
            remedy=f"Name a run folder, runs/STUDY/FINGERPRINT; a run writes its {RESULTS} when it ends.",
        ) from None
    except json.JSONDecodeError as error:
        raise InputError(
            f"This file is not JSON: {error.msg}.", where=str(Place(file, error.lineno)), remedy=WRITE_AGAIN
        ) from None
    except (UnicodeDecodeError, RecursionError):
        raise InputError("This file is not JSON.", where=str(file), remedy=WRITE_AGAIN) from None
    if not isinstance(results, dict) or "schema" not in results:
        raise InputError(f"This is not the {RESULTS} of a run.", where=str(file), remedy="Name a run folder.")
    if results["schema"] != SCHEMA_VERSION:
        raise InputError(
            f"These results have schema {results['schema']!r}; this version reads {SCHEMA_VERSION}.",
            where=str(Place(file, field="schema")),
            remedy=f"With the version of teachwhy that compares them: {WRITE_AGAIN}",
        )
    check_whole(results, file)
    return results


def check_whole(results: dict[str, Any], file: Path) -> None:
    """Refuse results from which the page of one run alone cannot be made."""
    try:
        json.dumps(results, ensure_ascii=False).encode()  # half a character cannot be written to any page
        comparison_table(labelled([("", results)]))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        missing = f": it lacks {error}" if isinstance(error, KeyError) else ""
        raise InputError(f"This {RESULTS} is not whole{missing}.", where=str(file), remedy=WRITE_AGAIN) from None
