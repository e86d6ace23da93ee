"""Contrasts, intervals and power: known answers, invariances, and simulated false alarms."""

from __future__ import annotations

import itertools
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_cells import against_zero, arm, noisy_cells, tables
from scipy import stats as scipy_stats

from teachwhy.errors import InputError
from teachwhy.stats import (
    Observation,
    VarianceComponents,
    adjust,
    contrast,
    interval,
    power,
    simulate_false_alarms,
    smallest_detectable,
    two_way,
)

# Known answers


def test_two_by_two_by_hand():
    # Grand mean 3, family means 1.5 and 4.5, seed means 2 and 4, every interaction +-0.5.
    squares = two_way.mean_squares(np.array([[1.0, 2.0], [3.0, 6.0]]))
    assert (squares.family, squares.seed, squares.residual) == (9.0, 4.0, 1.0)
    assert two_way.components(np.array([[1.0, 2.0], [3.0, 6.0]])) == VarianceComponents(4.0, 1.5, 1.0)


def test_interval_over_families_and_seeds_against_loops():
    cells = noisy_cells(12, 4)
    families, seeds = cells.shape
    grand = sum(cells.flat) / cells.size
    rows = [sum(row) / seeds for row in cells]
    columns = [sum(column) / families for column in cells.T]
    family = seeds * sum((row - grand) ** 2 for row in rows) / (families - 1)
    seed = families * sum((column - grand) ** 2 for column in columns) / (seeds - 1)
    rest = sum((cells[f, s] - rows[f] - columns[s] + grand) ** 2 for f in range(families) for s in range(seeds))
    residual = rest / ((families - 1) * (seeds - 1))
    assert family > residual < seed, "this known answer is for positive components"
    error = ((family + seed - residual) / (families * seeds)) ** 0.5
    freedom = (family + seed - residual) / (family / (families - 1) + seed / (seeds - 1))

    found = contrast(*against_zero(cells, items=3), level=0.9)

    low, high = scipy_stats.t(freedom, loc=grand, scale=error).interval(0.9)
    assert (found.low, found.estimate, found.high) == pytest.approx((low, grand, high))
    assert found.p == pytest.approx(2 * scipy_stats.t.sf(abs(grand) / error, freedom))
    assert found.degrees_of_freedom == pytest.approx(freedom)
    assert found.components == VarianceComponents(
        pytest.approx((family - residual) / seeds), pytest.approx((seed - residual) / families), pytest.approx(residual)
    )
    assert found.per_seed == pytest.approx(dict(enumerate(columns)))
    assert found.per_family == pytest.approx({f"f{row:02d}": mean for row, mean in enumerate(rows)})
    assert (found.items, found.families, found.seeds, found.covers) == (36, 12, 4, "families and seeds")


def test_negative_components_become_zero_and_never_shrink_the_interval():
    # Only interaction: every family mean and seed mean is the same, so both mean squares are zero.
    cells = np.tile([[0.1, -0.1, 0.0], [-0.1, 0.1, 0.0]], (6, 1))
    fitted = two_way.fit_families_and_seeds(cells)
    residual = float(two_way.mean_squares(cells).residual)
    assert two_way.components(cells) == VarianceComponents(0.0, 0.0, residual)
    assert float(fitted.standard_error) == pytest.approx((residual / 36) ** 0.5)
    assert float(fitted.degrees_of_freedom) == 22


@pytest.mark.parametrize("seeds", [1, 2])
def test_few_seeds_give_students_t_over_families(seeds):
    cells = noisy_cells(10, seeds)
    found = contrast(*against_zero(cells, items=6))
    expected = scipy_stats.ttest_1samp(cells.mean(axis=1), 0)
    assert found.covers == "families at these seeds: training noise is not covered"
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval()))
    assert found.degrees_of_freedom == 9


def test_with_few_seeds_the_mean_is_never_surer_than_its_items():
    # Nine families of twelve items and one of two; of all 110 items one was gained, in a large family.
    sizes = [12] * 9 + [2]
    control = [Observation(f"{f}-{i}", f"f{f}", 0, 0.0) for f, size in enumerate(sizes) for i in range(size)]
    treated = [replace(one, value=float(one.item == "0-0")) for one in control]
    found = contrast(treated, control)
    mean = 1 / 110
    variance = (109 * mean**2 + (1 - mean) ** 2 + (1 - mean) ** 2) / 110  # one more as far from the mean
    error = (variance * (9 / 12 + 1 / 2) / 10**2) ** 0.5
    assert error > (1 / 12) / 10, "Student's error over families that agree by luck"
    assert found.high - found.estimate == pytest.approx(scipy_stats.t.ppf(0.975, 9) * error)
    three = [[replace(one, seed=seed) for one in side for seed in range(3)] for side in (treated, control)]
    cells = np.repeat([[1 / 12], *[[0]] * 9], 3, axis=1)
    expected = two_way.half_width(two_way.fit_families_and_seeds(cells), 0.95)
    assert contrast(*three).high - found.estimate == pytest.approx(expected), "with three seeds nothing is added"


def test_families_weigh_the_same_however_many_items_they_have():
    treated = [Observation(f"a{n}", "a", 0, 1.0) for n in range(9)] + [Observation("b", "b", 0, 0.0)]
    control = [replace(one, value=0.0) for one in treated]
    assert contrast(treated, control).estimate == 0.5


def test_sign_flip_is_exact_up_to_sixteen_families():
    cells = noisy_cells(10, 3)
    means = cells.mean(axis=1)
    totals = [abs(np.dot(signs, means)) for signs in itertools.product((-1, 1), repeat=10)]
    share = np.mean(np.array(totals) >= abs(means.sum()) - 1e-12)
    assert contrast(*against_zero(cells)).p_sign_flip == share


def test_sign_flip_beyond_sixteen_families_is_close_to_exact_and_repeats():
    cells = noisy_cells(17, 3) - 0.06
    signs = 1 - 2 * ((np.arange(2**17)[:, None] >> np.arange(17)) & 1)
    means = cells.mean(axis=1)
    exact = np.mean(np.abs(signs @ means) >= abs(means.sum()) - 1e-12)
    found = contrast(*against_zero(cells))
    assert 0.05 < exact < 0.95
    assert found.p_sign_flip == pytest.approx(exact, abs=0.01)
    assert found == contrast(*against_zero(cells))


def test_sign_flip_counts_ties_that_rounding_would_break():
    # Swapping the signs of 0.1 + 0.2 and -0.3 leaves a total of 0.4 on paper, a digit less in floating point.
    found = contrast(*against_zero([[0.1], [0.2], [-0.3], [0.4]]))
    on_paper = [abs(np.dot(signs, (1, 2, -3, 4))) >= 4 for signs in itertools.product((-1, 1), repeat=4)]
    assert found.p_sign_flip == np.mean(on_paper)


def test_drawn_sign_flips_never_give_a_p_of_zero():
    assert contrast(*against_zero(noisy_cells(40, 3) + 1)).p_sign_flip == 1 / (2**16 + 1)


def test_holm_by_hand():
    base = contrast(*against_zero(noisy_cells(10, 3)))
    given_p = [0.01, None, 0.04, 0.03, 0.9]
    adjusted = adjust([replace(base, p=p) for p in given_p])
    assert [one.p for one in adjusted] == given_p
    assert [one.p_adjusted for one in adjusted] == pytest.approx([0.04, None, 0.09, 0.09, 0.9])
    assert adjust([]) == []


# What is claimed, and what is not


@pytest.mark.parametrize(
    ("families", "seeds", "covers"),
    [
        (10, 3, "families and seeds"),
        (9, 5, "no interval: 9 of the at least 10 families needed"),
        (10, 2, "families at these seeds: training noise is not covered"),
        (2, 1, "no interval: 2 of the at least 10 families needed"),
    ],
)
def test_claims_by_size(families, seeds, covers):
    found = contrast(*against_zero(noisy_cells(families, seeds)))
    assert found.covers == covers
    claimed = not covers.startswith("no interval")
    assert all((value is not None) == claimed for value in (found.low, found.high, found.p, found.degrees_of_freedom))
    assert found.estimate is not None
    assert found.p_sign_flip is not None


def test_untrained_arm_stands_against_every_seed():
    cells = noisy_cells(10, 3)
    treated, base = arm(cells), arm(np.full((10, 1), 0.25), seeds=[None])
    found = contrast(treated, base)
    assert found == contrast(treated, arm(np.full((10, 3), 0.25)))
    assert found.covers == "families and seeds"
    assert contrast(base, treated).estimate == pytest.approx(-found.estimate)


def test_two_untrained_arms_cover_families_only():
    found = contrast(arm(noisy_cells(10, 1), seeds=[None]), arm(np.zeros((10, 1)), seeds=[None]))
    assert (found.seeds, found.per_seed, found.components) == (0, {}, None)
    assert found.covers.startswith("families: nothing was trained")
    assert found.low < found.estimate < found.high


def test_no_difference_at_all_is_a_test_that_found_nothing():
    found = contrast(*against_zero(np.zeros((10, 3))))
    assert (found.estimate, found.low, found.high, found.p, found.p_sign_flip) == (0.0, None, None, 1.0, 1.0)
    assert found.covers.startswith("no interval: every family shows the same difference")


def test_one_difference_everywhere_claims_no_interval_of_zero_width():
    found = contrast(*against_zero(np.full((10, 3), 0.3)))
    assert (found.low, found.high, found.p) == (None, None, None)
    assert found.p_sign_flip == 2 / 2**10


def test_an_arm_that_failed_is_not_a_number():
    found = contrast([], arm(noisy_cells(10, 3)))
    assert (found.estimate, found.low, found.p, found.p_sign_flip, found.bounds) == (None,) * 5
    assert found.covers == "no interval: no family was scored at every seed"
    assert found.note == "30 observations have no partner in the other arm"


# What could not be scored


def test_unscored_answers_leave_the_pair_and_are_bounded():
    treated = [Observation("a1", "a", 0, 1.0), Observation("a2", "a", 0, None), Observation("b", "b", 0, 1.0)]
    control = [Observation("a1", "a", 0, 0.0), Observation("a2", "a", 0, 1.0), Observation("b", "b", 0, None)]
    found = contrast(treated, control)
    # Family a keeps the pair a1; family b has no pair left.
    assert (found.estimate, found.items, found.unscored) == (1.0, 1, 2)
    assert found.note == "left out, not scored at every seed: family b"
    # Bad: a = mean(1, -1) = 0, b = 1 - 1 = 0. Good: a = mean(1, 0) = 0.5, b = 1 - 0 = 1.
    assert found.bounds == (0.0, 0.75)


def test_a_family_with_an_empty_cell_and_a_seed_without_scores_are_left_out():
    treated, control = against_zero(noisy_cells(12, 4))
    hidden = [
        replace(one, value=None) if one.seed == 3 or (one.family, one.seed) == ("f05", 1) else one for one in treated
    ]
    found = contrast(hidden, control)
    assert (found.families, found.seeds, found.unscored) == (11, 3, 13)
    assert "f05" not in found.per_family
    assert found.note == "left out, nothing scored: seed 3; left out, not scored at every seed: family f05"


scores = st.sampled_from([0.0, 0.25, 0.5, 1.0])


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_bounds_hold_what_full_scoring_would_have_given(data):
    full = [
        [
            Observation(f"{f}{i}", f"f{f}", seed, data.draw(scores))
            for f in range(3)
            for i in range(2)
            for seed in (0, 1)
        ]
        for _ in range(2)
    ]
    seen = [[replace(one, value=None) if data.draw(st.booleans()) else one for one in side] for side in full]
    low, high = contrast(*seen).bounds
    assert low - 1e-12 <= contrast(*full).estimate <= high + 1e-12


# Invariances


@settings(max_examples=25, deadline=None)
@given(tables)
def test_swapping_the_arms_flips_the_sign_and_nothing_else(cells):
    treated, control = against_zero(cells, items=2)
    one, other = contrast(treated, control), contrast(control, treated)
    assert other.estimate == pytest.approx(-one.estimate)
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low))
    assert (other.p, other.p_sign_flip) == pytest.approx((one.p, one.p_sign_flip))
    assert other.bounds == pytest.approx(tuple(-bound for bound in reversed(one.bounds)))


@settings(max_examples=25, deadline=None)
@given(tables, st.randoms(use_true_random=False))
def test_the_order_of_observations_changes_no_digit(cells, random):
    treated, control = against_zero(cells / 7, items=5)
    found, alone = contrast(treated, control), interval(treated)
    random.shuffle(treated)
    random.shuffle(control)
    assert contrast(treated, control) == found
    assert interval(treated) == alone


@settings(max_examples=25, deadline=None)
@given(tables, st.floats(-0.5, 0.5))
def test_a_constant_on_one_arm_moves_the_interval_as_a_whole(cells, constant):
    treated, control = against_zero(cells)
    before, after = contrast(treated, control), contrast(arm(cells, shift=constant), control)
    assert (after.low, after.estimate, after.high) == pytest.approx(
        tuple(value + constant for value in (before.low, before.estimate, before.high))
    )
    assert after.degrees_of_freedom == pytest.approx(before.degrees_of_freedom)
    both = contrast(arm(cells, shift=constant), arm(np.zeros_like(cells), shift=constant))
    assert (both.estimate, both.p) == pytest.approx((before.estimate, before.p))


@settings(max_examples=25, deadline=None)
@given(tables, st.sampled_from([0.8, 0.95, 0.99]))
def test_p_and_interval_agree(cells, level):
    found = contrast(*against_zero(cells), level=level)
    assert (found.p < 1 - level) == (found.low > 0 or found.high < 0)


# One arm


def test_one_arms_interval_is_that_of_its_difference_from_zero():
    cells = noisy_cells(10, 3) + 0.3
    alone, pair = interval(arm(cells)), contrast(*against_zero(cells))
    assert (alone.estimate, alone.low, alone.high) == pytest.approx((pair.estimate, pair.low, pair.high))
    assert (alone.covers, alone.seeds, alone.items) == ("families and seeds", 3, 10)


def test_one_arms_interval_stays_on_the_scale():
    cells = np.ones((10, 3))
    cells[0] = 0.2
    found = interval([*arm(cells), Observation("lost", "f01", 0, None)])
    assert found.high == 1.0
    assert found.low < found.estimate
    assert found.unscored == 1
    assert interval(arm(np.ones((10, 3)))).high is None


# Errors


@pytest.mark.parametrize(
    ("treated", "message"),
    [
        ([Observation("i", "f", 0, 1.0), Observation("i", "f", 0, 0.0)], "two observations of the same item"),
        ([Observation("i", "f", 0, 1.0), Observation("j", "f", None, 0.0)], "mixes trained and untrained"),
        ([Observation("i", "f", 0, float("nan"))], "A score is nan"),
        ([Observation("i", "g", 0, 1.0)], "two families: 'g' and 'f'"),
    ],
)
def test_malformed_arms_are_refused(treated, message):
    with pytest.raises(InputError, match=message):
        contrast(treated, [Observation("i", "f", 0, 1.0)])


def test_impossible_plans_are_refused():
    quiet = VarianceComponents(0.0, 0.0, 0.0)
    with pytest.raises(InputError, match="claims no interval"):
        power(0.1, quiet, families=9, seeds=3, items_per_family=6)
    with pytest.raises(InputError, match="cannot be simulated"):
        power(0.1, quiet, families=10, seeds=0, items_per_family=6)
    with pytest.raises(InputError, match="No world"):
        power(0.1, VarianceComponents(-1.0, 0.0, 0.0), families=10, seeds=3, items_per_family=6)
    with pytest.raises(InputError, match="level 95"):
        contrast([], [], level=95)


# False alarms and power


@pytest.mark.parametrize(
    ("families", "seeds", "family", "seed", "rate"),
    [
        (10, 3, 0.05, 0.20, 0.9),
        (10, 3, 0.30, 0.08, 0.5),
        (20, 3, 0.30, 0.20, 0.9),
        (40, 3, 0.30, 0.20, 0.5),
        (40, 5, 0.05, 0.20, 0.9),
        (40, 3, 1.50, 1.00, None),  # normal cells, where Satterthwaite's own weights reach 8%
    ],
)
def test_false_alarms_stay_near_five_percent(families, seeds, family, seed, rate):
    noise = VarianceComponents(family**2, seed**2, 0.5**2 if rate is None else 0.05**2)
    alarms = simulate_false_alarms(noise, families, seeds, 6, 4000, np.random.default_rng(1), rate)
    assert 0.01 < alarms.claimed < 0.065
    assert alarms.standard_error == pytest.approx((alarms.claimed * (1 - alarms.claimed) / 4000) ** 0.5)


def test_rare_wrong_answers_in_small_families_make_no_interval_sure():
    """Families of two items at rates near 1 agree by luck: Student's t over them misses one time in ten."""
    rng = np.random.default_rng(0)
    sizes, rates, studies = [2, 12] * 6, (0.99, 0.95), 250
    missed = by_families = 0
    for _ in range(studies):
        right = [[rng.random(size) < rate for size in sizes] for rate in rates]
        treated, control = (
            [
                Observation(f"{f}-{i}", str(f), 0, float(one))
                for f, family in enumerate(arm)
                for i, one in enumerate(family)
            ]
            for arm in right
        )
        found = contrast(treated, control)
        missed += found.low is not None and not found.low <= 0.04 <= found.high
        alone = scipy_stats.ttest_1samp(list(found.per_family.values()), 0.04)
        by_families += alone.pvalue < 0.05
    assert by_families / studies > 0.1
    assert missed / studies < 0.05


def test_ignoring_seeds_cries_wolf_and_the_simulation_shows_it():
    noise = VarianceComponents(0.05**2, 0.2**2, 0.05**2)
    alarms = simulate_false_alarms(noise, 20, 3, 6, 2000, np.random.default_rng(0))
    assert alarms.families_only > 0.4
    one_seed = simulate_false_alarms(noise, 20, 1, 6, 2000, np.random.default_rng(0))
    assert one_seed.claimed == one_seed.families_only > 0.4


@pytest.mark.parametrize(("seeds", "between", "studies"), [(3, 0.2, 150), (1, 0.0, 400)])
def test_a_planted_effect_is_found_as_often_as_power_says(seeds, between, studies):
    """At one seed without family noise the floor of items lowers it."""
    families, items, rate, effect = 12, 6, 0.5, 0.25
    noise = VarianceComponents(between**2, 0.1**2 if between else 0.0, 0.0)
    rng = np.random.default_rng(3)
    found = 0
    for _ in range(studies):
        shift = rng.normal(0, between, (families, 1)) + rng.normal(0, noise.seed**0.5, (1, seeds))
        arms = []
        for share in (rate + effect + shift / 2, rate - shift / 2):
            right = rng.random((families, seeds, items)) < share[:, :, None]
            cells = itertools.product(range(families), range(seeds), range(items))
            arms.append([Observation(f"{f}-{i}", str(f), s, float(right[f, s, i])) for f, s, i in cells])
        low = contrast(*arms).low
        found += low is not None and low > 0
    expected = power(effect, noise, families, seeds, items, rate=rate)
    assert 0.4 < expected < 0.95, "neither hopeless nor certain, or the comparison says nothing"
    assert abs(found / studies - expected) < 3 * (expected * (1 - expected) / studies) ** 0.5


def test_smallest_detectable_is_where_power_reaches_the_target():
    noise = VarianceComponents(0.1**2, 0.05**2, 0.05**2)
    size = {"families": 20, "seeds": 3, "items_per_family": 6, "draws": 1000}
    smallest = smallest_detectable(noise, **size)
    assert power(smallest, noise, **size) >= 0.8 > power(smallest - 0.02, noise, **size)
    assert smallest_detectable(noise, **size, target=0.5) < smallest
    assert power(-smallest, noise, **size) == pytest.approx(power(smallest, noise, **size), abs=0.05)


def test_power_counts_only_the_right_side():
    noise = VarianceComponents(0.1**2, 0.0, 0.1**2)
    size = {"families": 20, "seeds": 5, "draws": 4000}
    alarms = simulate_false_alarms(noise, items_per_family=6, rng=np.random.default_rng(0), rate=None, **size).claimed
    barely = power(1e-9, noise, items_per_family=6, rate=None, **size)
    assert barely == pytest.approx(alarms / 2, abs=0.01)


def test_nothing_is_detectable_where_the_scale_leaves_no_room():
    noise = VarianceComponents(0.1**2, 0.05**2, 0.05**2)
    assert smallest_detectable(noise, 10, 3, 6, rate=0.98, draws=500) is None


def test_components_of_a_contrast_are_fit_for_planning_the_next():
    rng = np.random.default_rng(5)
    planted = VarianceComponents(0.04, 0.01, 0.02)
    cells = rng.normal(0, 0.2, (400, 1)) + rng.normal(0, 0.1, (1, 60)) + rng.normal(0, 0.02**0.5, (400, 60))
    found = two_way.components(cells)
    assert (found.family, found.seed, found.residual) == pytest.approx(
        (planted.family, planted.seed, planted.residual), rel=0.3
    )
    alarms = simulate_false_alarms(planted, 10, 3, 1, 4000, np.random.default_rng(0), None)
    assert alarms.claimed < 0.065


def test_importing_the_room_loads_no_heavy_library():
    code = "import sys, teachwhy.stats; print([n for n in ('scipy', 'matplotlib', 'torch') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
