"""How the model of a run was asked: how often, and whether through an API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def sampling(results: Mapping[str, Any]) -> str:
    """How often each item was asked, where it was not once and greedily."""
    drawn = results["study"]["stamp"]["settings"].get("sampling")
    if not drawn:
        return ""
    times = "once" if drawn["samples"] == 1 else f"{drawn['samples']} times"
    return (
        f"Each item was asked {times} at temperature {drawn['temperature']:g} and its scores were averaged first, so "
        "that intervals cover items and sampling."
    )


def asked_through(results: Mapping[str, Any]) -> str:
    """What is to be known of numbers of a model behind an API."""
    if not results["model"]["name"].startswith("inspect:"):
        return ""
    return (
        "It was asked through an API: whoever serves it may change it under the same name, and does not show the "
        "log-probabilities of whole answers, so measures by choice are left out."
    )
