"""Contrasts between arms, their intervals, and the power to see them; knows nothing of models or files."""

from teachwhy.stats.contrast import Contrast, Interval, adjust, contrast, interval
from teachwhy.stats.curves import Point, Reached, tokens_at
from teachwhy.stats.observations import Observation
from teachwhy.stats.power import FalseAlarms, power, simulate_false_alarms, smallest_detectable
from teachwhy.stats.two_way import MINIMUM_FAMILIES, MINIMUM_SEEDS, VarianceComponents

__all__ = [
    "MINIMUM_FAMILIES",
    "MINIMUM_SEEDS",
    "Contrast",
    "FalseAlarms",
    "Interval",
    "Observation",
    "Point",
    "Reached",
    "VarianceComponents",
    "adjust",
    "contrast",
    "interval",
    "power",
    "simulate_false_alarms",
    "smallest_detectable",
    "tokens_at",
]
