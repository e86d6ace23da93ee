"""Freeze a study before it runs: check it as a run would, and add an entry to its registration.json."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError
from .folder import write_json
from .history import LOG, answered_units
from .plan import versions
from .register import FILE, Entry, default_rule, differing, frozen_facts, read_entries
from .run import Say, prepare_study, runs_of
from .study_file import Study, read_study


def register_study(path: Path, *, decision_rule: str | None = None, runs: Path = Path("runs"), say: Say) -> str:
    """Register a study as it stands, and say in words what was written. decision_rule: instead of the study's own.

    A study that did not change since its last registration gets no new entry: a later date would be worth less.
    Errors (TeachwhyError): no declared contrast; a check that does not hold; a registration.json that was edited.
    """
    study = read_study(path)
    if not study.settings.contrasts:
        raise InputError(
            "This study declares no contrast, so there is nothing to hold it to.",
            where=f"{study.path}, field 'contrasts'",
            remedy="Declare what it is to compare, and register then.",
        )
    file = study.folder / FILE
    entries = read_entries(file)
    source, judge, _ = prepare_study(study, say)
    facts = frozen_facts(study, source, judge)
    rule = decision_rule or study.settings.decision_rule or default_rule(study.settings.level)
    last = next((entry for entry in reversed(entries) if entry.study == study.settings.name), None)
    changed = since(last, facts, rule) if last else []
    if last and not changed:
        return f"nothing changed since the registration of {last.when}, which stands: {last.hash[:8]} in {file}"
    entry = Entry(
        when=time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        study=study.settings.name,
        model=source.name,
        facts=facts,
        decision_rule=rule,
        changed=changed,
        answers_before=answered_units(answered_folder(study, runs), source.fingerprint),
        teachwhy=versions()["teachwhy"],
        previous=entries[-1].hash if entries else "",
    ).sealed()
    write_json(file, [one.model_dump() for one in [*entries, entry]])
    return told(entry, last, file)


def answered_folder(study: Study, runs: Path) -> Path:
    """The folder of the study's runs, with all that tells of answers."""
    folder, shared = runs_of(study, runs)
    if shared:
        shared.pull(folder, [LOG])
        shared.pull_answers(folder)
    return folder


def since(last: Entry, facts: Mapping[str, Any], rule: str) -> list[str]:
    """Names of what differs from the last registration."""
    return sorted({*differing(last.facts, facts), *(["decision_rule"] if rule != last.decision_rule else [])})


def told(entry: Entry, last: Entry | None, file: Path) -> str:
    lines = [
        f"registered {entry.study}: {len(entry.facts['contrasts'])} declared contrasts, {entry.hash[:8]} in {file}",
        f"decision rule: {entry.decision_rule}",
    ]
    if last:
        lines.append(f"changed since the registration of {last.when}: {', '.join(entry.changed)}")
    if entry.answers_before:
        lines.append(
            f"{entry.answers_before} units of this study had answers already, and the page will say so: "
            "what is registered now was not declared before them"
        )
    lines.append("commit the file with the study: its history is the witness of when it was written")
    return "\n".join(lines)
