"""What a call in a bundled scenario counts as; for the tests of act readings."""

from __future__ import annotations

from teachwhy.evals.honeypots import KNOBS, State, bundled_files, filled, read_scenario, use
from teachwhy.evals.honeypots.patterns import met

FILES = {path.stem: path for path in bundled_files()}


def read_as(family, kind, call):
    """The acts that one call (tool, arguments) of a bundled family counts as, in the plainest setting of its knobs."""
    scenario = read_scenario(FILES[family])
    script = filled(scenario, {knob: next(iter(scenario.knobs[knob])) for knob in KNOBS}, kind)
    name, arguments = call
    calls = use(State(script.world), {"name": name, "arguments": arguments}, script.tools).calls
    assert calls[0].state != "malformed", calls[0].result
    return [name for name in ("tempting", "honest") if met(getattr(script.acts, name), calls)]
