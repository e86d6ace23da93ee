"""The registration of a study: what was frozen and when, and whether a run is of that. Pure but for reading.

`registration.json` lies beside the study file and is kept with it: a list of entries, the newest last, each bound to
the one before by its hash.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..data import validated
from ..errors import InputError, Place
from ..models import ModelSource
from ..text import fingerprint, read_text
from .arm_setting import Strict
from .history import Begun
from .plan import study_stamp
from .study_file import Study

FILE = "registration.json"
# Files are held by their content, contrasts with their level and margin; prose and exploratory looks bind nobody.
NOT_FROZEN = frozenset(
    "about limits examples generic items prompts questions contrasts exploratory level margin".split()
)
BEFORE = "registered before the run"
CHANGED = "changed after registration"
AFTER = "registered after answers existed"
NONE = "not registered"
DECLARED_BEFORE = "declared before the run"
TAKE_BACK = "Take the file back from version control: entries are added by `teachwhy register` and never changed."


class Entry(Strict):
    """One registration. facts: what was frozen, by name; changed: names of facts that differ from the entry before.

    answers_before: units (arm and seed) that this model had answers of in the study's run folders at that time.
    previous: the hash of the file's entry before; hash: of all other fields.
    """

    when: str
    study: str
    model: str
    facts: dict[str, Any]
    decision_rule: str
    changed: list[str]
    answers_before: int
    teachwhy: str
    previous: str
    hash: str = ""

    def sealed(self) -> Entry:
        return self.model_copy(update={"hash": fingerprint(self.model_dump(exclude={"hash"}))})


def frozen_facts(study: Study, source: ModelSource, judge: ModelSource) -> dict[str, Any]:
    """All that a registration holds a study to: settings, content of files and models, declared contrasts."""
    stamp = study_stamp(study, source, judge)
    settings = {name: value for name, value in stamp["settings"].items() if name not in NOT_FROZEN}
    content = {
        name: stamp[name] for name in ("policy", "examples", "items", "scenario_families", "model", "judge", "arms")
    }
    if "stages" in stamp:
        content["stage_material"] = stamp["stages"]
    contrasts = [
        contrast.model_dump() | {"level": study.settings.level, "margin": study.margin(contrast)}
        for contrast in study.settings.contrasts
    ]
    return settings | content | {"seeds": list(study.settings.seeds), "contrasts": contrasts}


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Names of the facts that are not the same."""
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def default_rule(level: float) -> str:
    """The rule by which the page calls a difference shown, in words."""
    return (
        f"A difference counts as shown where the {100 * level:g}% interval of a declared contrast excludes zero and "
        f"its p, Holm-corrected over the declared contrasts, is not above {1 - level:.3g}. Where no interval can be "
        "claimed, nothing counts as shown."
    )


def read_entries(path: Path) -> list[Entry]:
    """All entries of a registration.json, of whatever study; none where there is no such file.

    Errors (InputError): not JSON, a field that does not fit, or an entry that is no longer as it was written.
    """
    if not path.exists():
        return []
    try:
        values = json.loads(read_text(path))
    except ValueError:
        values = None
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise InputError("This is not a list of registrations.", where=str(path), remedy=TAKE_BACK)
    entries = [validated(Entry, value, Place(path, field=f"{number}")) for number, value in enumerate(values)]
    for number, (entry, before) in enumerate(zip(entries, ["", *(entry.hash for entry in entries)], strict=False)):
        if entry.previous != before or entry.sealed().hash != entry.hash:
            raise InputError(
                "This registration is no longer as it was written.", where=f"{path}, entry {number}", remedy=TAKE_BACK
            )
    return entries


def entries_of(study: Study) -> list[Entry]:
    """The entries of this study alone: a folder may hold several."""
    entries = read_entries(study.folder / FILE)
    return [entry for entry in entries if entry.study == study.settings.name]


def registration_state(
    entries: Sequence[Entry], facts: Mapping[str, Any], begun: Begun, *, whole: bool = True
) -> dict[str, Any]:
    """Whether what a run folder holds was registered before there were answers, as results.json holds it.

    entries: of this study, the newest last. facts: of the study as it is run. begun: what was noted before the folder's
    first answers. whole: False for a quick run that leaves something out, of which no registration speaks.

    changed: facts that differ from the last registration before any answers, or from the newest where there is none.
    contrasts: what is to be said of each declared contrast, in their order. dropped: how many registered ones are no
    longer declared.
    """
    early = [entry for entry in entries if before_answers(entry, begun)]
    kept = early[-1] if early else None
    late = [entry for entry in entries if entry not in early and not differing(entry.facts, facts)]
    if not entries or not whole:
        state, shown = NONE, None
    elif kept and not differing(kept.facts, facts):
        state, shown = BEFORE, kept
    elif late:
        state, shown = AFTER, late[0]
    else:
        state, shown = CHANGED, kept or entries[-1]
    base = shown and (kept or shown)
    changed = differing(base.facts, facts) if base else []
    frozen = base.facts["contrasts"] if base else []
    held = frozen if base is kept and set(changed) <= {"contrasts"} else []
    return {
        "state": state,
        "registered": shown.when if shown else None,
        "decision_rule": shown.decision_rule if shown else None,
        "changed": changed,
        "contrasts": [DECLARED_BEFORE if contrast in held else state for contrast in facts["contrasts"]],
        "dropped": sum(contrast not in facts["contrasts"] for contrast in frozen),
        "runs_before": begun.runs_before,
        "quick_runs_before": begun.quick_runs_before,
    }


def before_answers(entry: Entry, begun: Begun) -> bool:
    """Whether no answers were there when an entry was written, by its own count and by the run folders' records."""
    return entry.answers_before == 0 and begun.registrations.get(entry.hash) == 0
