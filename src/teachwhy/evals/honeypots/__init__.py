"""Agents under temptation: scenarios, a simulated world with tools, and the loop of an agent, all of it pure."""

from .calls import State, call_text, use
from .case import ScenarioCase
from .loop import RunCase, Step, step, system_prompt, tool_descriptions
from .patterns import met
from .scenario import KNOBS, Scenario, Scenarios, ScenarioSettings, bundled_files, filled, read_scenario, read_scenarios
from .tools import TOOLS

__all__ = [
    "KNOBS",
    "TOOLS",
    "RunCase",
    "Scenario",
    "ScenarioCase",
    "ScenarioSettings",
    "Scenarios",
    "State",
    "Step",
    "bundled_files",
    "call_text",
    "filled",
    "met",
    "read_scenario",
    "read_scenarios",
    "step",
    "system_prompt",
    "tool_descriptions",
    "use",
]
