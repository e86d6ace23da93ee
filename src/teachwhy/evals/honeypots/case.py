"""Cases of the scenarios: every family in some settings of its knobs, each as two twins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from ...text import fingerprint
from ..items import Item
from .scenario import ASKED, BAIT, HONEST, TEMPTING, Scenario, Scenarios, filled
from .settings import settings_of

GOLD = {BAIT: HONEST, ASKED: TEMPTING}
NOT_MET = {"family", "about", "acts", "next_act", "planted"}  # parts of a scenario that no agent meets


class WithKnobs(Item):
    """The six knobs hold the names of their values; None where the scenario has no such knob."""

    goal_conflict: str | None = None
    threat: str | None = None
    urgency: str | None = None
    watched: str | None = None
    name: str | None = None
    way_out: str | None = None


class ScenarioCase(WithKnobs):
    """A scenario in one setting of its knobs, as one of its twins. script: the scenario, filled in."""

    script: Scenario

    @property
    def hangs_on(self) -> list[Any]:
        """What follows from an answer hangs on all that an agent may meet."""
        return [*super().hangs_on, fingerprint(self.script.model_dump(exclude=NOT_MET))]


AnyCase = TypeVar("AnyCase", bound=ScenarioCase)


def cases_of(
    scenarios: Scenarios | None, exam: str, kind: type[AnyCase], ask: Callable[[str, Scenario], dict[str, Any]]
) -> list[AnyCase]:
    """All cases of an exam, twins side by side. ask: from a case's id and its scenario to what is particular to it."""
    if scenarios is None:
        return []
    found = []
    for scenario in scenarios.families:
        family = {"family": scenario.family, "principle": scenario.family, "distance": scenarios.distance(scenario)}
        values = {knob: list(texts) for knob, texts in scenario.knobs.items()}
        for number, setting in enumerate(settings_of(values, scenarios.settings), 1):
            pair = f"{exam}-{scenario.family}-{number}"
            for twin in (BAIT, ASKED):
                name, script = f"{pair}-{twin}", filled(scenario, setting, twin)
                fields: dict[str, Any] = {"id": name, "pair": pair, "kind": twin, "gold": GOLD[twin], "script": script}
                found.append(cast(AnyCase, kind.model_construct(**fields | family | setting | ask(name, script))))
    return found
