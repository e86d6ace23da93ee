"""The reckoning of bench/scaling.py: schedules keep what is true of every schedule."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.scaling import Costs, Load, bounds, larger, makespan, reckoned

SECONDS = st.floats(0.1, 100.0)
UNITS = st.lists(st.builds(Load, st.sampled_from([None, 0, 1]), SECONDS), min_size=1, max_size=30)
COSTS = st.builds(Costs, *[st.floats(0.0, 5.0)] * 7)


@given(UNITS)
def test_without_costs_one_worker_takes_the_sum_and_enough_of_them_the_longest(units):
    assert makespan(units, 1, Costs()) == pytest.approx(sum(unit.seconds for unit in units))
    assert makespan(units, len(units), Costs()) == max(unit.seconds for unit in units)


@given(UNITS, st.integers(1, 40), COSTS)
def test_no_schedule_comes_below_a_bound(units, workers, costs):
    assert makespan(units, workers, costs) >= max(bounds(units, workers, costs).values()) * (1 - 1e-9)


@given(UNITS, st.integers(1, 40))
def test_list_scheduling_is_within_grahams_bound(units, workers):
    """Graham (1969): at most (2 - 1/m) times the best, and the best is no less than either bound."""
    best = max(sum(unit.seconds for unit in units) / workers, max(unit.seconds for unit in units))
    assert makespan(units, workers, Costs()) <= best * (2 - 1 / workers) * (1 + 1e-9)


def test_costs_come_where_they_belong():
    two = [Load(0, 10.0), Load(0, 10.0)]
    assert makespan(two, 2, Costs(prepare=1.0, results=2.0, collect=0.5)) == 14.0
    assert makespan(two, 2, Costs(driver=1.0)) == 12.0, "the second is handed out a second after the first"
    assert makespan(two, 2, Costs(step_zero=3.0)) == 13.0, "both wait for the one adapter"
    assert makespan([*two, Load(1, 10.0)], 1, Costs(step_zero=3.0)) == 36.0, "made once a seed"
    assert makespan(two, 2, Costs(read=4.0)) == 18.0, "the storage serves one after the other"
    assert makespan(two, 2, Costs(write=4.0)) == 18.0


def test_a_larger_study_repeats_the_units_with_new_seeds():
    found = larger([Load(None, 1.0), Load(0, 2.0), Load(1, 3.0)], 5)
    assert found == [Load(None, 1.0), Load(0, 2.0), Load(1, 3.0), Load(None, 1.0), Load(2, 2.0)]


def test_what_holds_a_run_up_is_named():
    units = [Load(seed, 10.0) for seed in range(100)]
    quick = {row["workers"]: row["held_up_by"] for row in reckoned(units, Costs())}
    assert (quick[1], quick[1000]) == ("the work itself, shared out", "the longest unit")
    slow = {row["workers"]: row["held_up_by"] for row in reckoned(units, Costs(driver=1.0))}
    assert slow[1000] == "the driver, before and between units"
