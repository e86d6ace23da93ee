"""What is said of a study's registration: whether its contrasts were declared before there were answers."""

from __future__ import annotations

from . import wording
from .wording import Record

TITLES = {
    "registered before the run": "Declared before the run",
    "changed after registration": "Declared, and changed after registration",
    "registered after answers existed": "Declared, and registered after answers existed",
}
UNREGISTERED = "Declared in the study file"


def title(results: Record) -> str:
    """What stands over the declared contrasts. Results made before there were registrations hold none."""
    return TITLES.get(results.get("registration", {}).get("state", ""), UNREGISTERED)


def sentences(results: Record) -> list[str]:
    """First whether it was registered, then what changed, then how many runs came before."""
    found = results.get("registration")
    if not found:
        return []
    return [state(found), *changes(found), before(found), *rule(found)]


def of_contrasts(results: Record) -> list[str]:
    """For each declared contrast, in order, what is to be said of it; nothing where the results do not say."""
    declared = sum(contrast["declared"] for contrast in results["contrasts"])
    said = results.get("registration", {}).get("contrasts", [])
    return [*said, *[""] * declared][:declared]


def state(found: Record) -> str:
    said = {
        "registered before the run": "before there were answers",
        "changed after registration": "and changed after that",
        "registered after answers existed": "when there were answers already",
    }
    if found["state"] not in said:
        return "Not registered: that the contrasts were declared before the run is the author's word alone."
    return f"Registered on {found['registered']}, {said[found['state']]}."


def changes(found: Record) -> list[str]:
    said = []
    if found["changed"]:
        names = ", ".join(f"`{name}`" for name in found["changed"])
        since = "the last registration before any answers" if "declared before the run" in found["contrasts"] else "it"
        said.append(f"Changed since {since}: {names}.")
    if found["dropped"]:
        said.append(f"Registered contrasts that are declared no more: {found['dropped']}.")
    return said


def before(found: Record) -> str:
    full, quick = found["runs_before"], found["quick_runs_before"]
    counted = f"{full} full run{'' if full == 1 else 's'}" if full else "No full run"
    tried = f", and {quick} quick one{'' if quick == 1 else 's'}" if quick else ""
    return f"{counted} of this study {'were' if full > 1 else 'was'} completed before{tried}."


def rule(found: Record) -> list[str]:
    return [f"Rule of decision: {wording.sentence(found['decision_rule'])}"] if found["decision_rule"] else []
