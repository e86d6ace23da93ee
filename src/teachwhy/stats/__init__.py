"""Contrasts between arms, their intervals, and the power to see them; knows nothing of models or files."""

from teachwhy.stats.agreement import Agreement, Reweighted, agreement, reweighted, wilson
from teachwhy.stats.contrast import Contrast, Interval, adjust, contrast, interval
from teachwhy.stats.curves import Point, Reached, tokens_at
from teachwhy.stats.dropping import Dropped, LeftOut
from teachwhy.stats.noise import Noise, NoiseSplit, RepeatedObservation, split_noise
from teachwhy.stats.observations import Observation
from teachwhy.stats.power import FalseAlarms, power, simulate_false_alarms, smallest_detectable
from teachwhy.stats.share import Share, share_of_gain
from teachwhy.stats.two_way import MINIMUM_FAMILIES, MINIMUM_SEEDS, VarianceComponents

__all__ = [
    "MINIMUM_FAMILIES",
    "MINIMUM_SEEDS",
    "Agreement",
    "Contrast",
    "Dropped",
    "FalseAlarms",
    "Interval",
    "LeftOut",
    "Noise",
    "NoiseSplit",
    "Observation",
    "Point",
    "Reached",
    "RepeatedObservation",
    "Reweighted",
    "Share",
    "VarianceComponents",
    "adjust",
    "agreement",
    "contrast",
    "interval",
    "power",
    "reweighted",
    "share_of_gain",
    "simulate_false_alarms",
    "smallest_detectable",
    "split_noise",
    "tokens_at",
    "wilson",
]
