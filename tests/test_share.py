"""The share of a gain that a control does not reach: known answers, limits, invariances, and where none is claimed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_cells import arm, noisy_cells
from scipy import stats as scipy_stats

from teachwhy.errors import InputError
from teachwhy.stats import Observation, contrast, share_of_gain, two_way


def ladder(families: int = 20, seeds: int = 3, *, gain: float = 0.4, share: float = 0.5, noise: float = 0.3, draw=0):
    """Cells of why, control and foot with a planted gain, of which the control misses `share`."""
    rng = np.random.default_rng(draw)
    why, control = (noise * noisy_cells(families, seeds, seed) - noise * 0.1 for seed in rng.integers(10**6, size=2))
    return why + gain, control + gain * (1 - share), np.zeros((families, seeds))


def shared(why, control, foot, **options):
    """With six items a cell that differ alike in all arms, so that items leave less in the mean than families do."""
    return share_of_gain(arm(why, items=6), arm(control, items=6), arm(foot, items=6), **options)


def test_fieller_by_the_textbook_formula_at_one_seed():
    why, control, foot = ladder(15, 1, noise=1.0)
    part, whole = (why - control)[:, 0], (why - foot)[:, 0]
    families = len(part)
    t = scipy_stats.t.ppf(0.975, families - 1)
    (part_part, part_whole), (_, whole_whole) = t**2 * np.cov(part, whole) / families
    # (mean part - r mean whole)^2 = t^2 var(part - r whole) is a square equation in r.
    a = whole.mean() ** 2 - whole_whole
    b = -2 * (part.mean() * whole.mean() - part_whole)
    c = part.mean() ** 2 - part_part
    low, high = sorted(np.roots([a, b, c]).real)
    found = shared(why, control, foot)
    assert (found.low, found.estimate, found.high) == pytest.approx((low, part.mean() / whole.mean(), high))
    assert found.covers == "families at these seeds: training noise is not covered"


def test_where_the_gain_is_sure_the_interval_is_that_of_the_delta_method():
    why, control, foot = ladder(40, 5, gain=0.8, noise=0.2)
    found = shared(why, control, foot)
    part, whole = why - control, why - foot
    fitted = two_way.fit((part - found.estimate * whole) / whole.mean())
    half = float(two_way.half_width(fitted, 0.95))
    assert half < 0.1
    assert (found.low, found.high) == pytest.approx((found.estimate - half, found.estimate + half), abs=0.003)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1, 3, 5]), st.sampled_from([0.8, 0.95]))
def test_the_ends_are_where_the_test_turns(draw, seeds, level):
    why, control, foot = ladder(12, seeds, draw=draw)
    found = shared(why, control, foot, level=level)
    for end, inward in ((found.low, 1e-6), (found.high, -1e-6)):
        inside, outside = (
            float(two_way.p_values(two_way.fit(why - control - ratio * (why - foot))))
            for ratio in (end + inward, end - inward)
        )
        assert outside < 1 - level < inside


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 100))
def test_the_share_has_no_unit(draw, scale):
    cells = ladder(12, 3, draw=draw)
    found, scaled = shared(*cells), shared(*(one * scale for one in cells))
    assert (scaled.low, scaled.estimate, scaled.high) == pytest.approx((found.low, found.estimate, found.high))


def test_adding_to_all_arms_changes_nothing():
    cells = ladder()
    found, moved = shared(*cells), shared(*(one + 0.7 for one in cells))
    assert (moved.low, moved.estimate, moved.high) == pytest.approx((found.low, found.estimate, found.high))


def test_the_gain_is_the_contrast_of_why_and_foot():
    why, control, foot = ladder()
    found, gain = shared(why, control, foot), contrast(arm(why, items=6), arm(foot, items=6))
    assert (found.gain, found.gain_low, found.gain_high) == (gain.estimate, gain.low, gain.high)
    assert (found.items, found.families, found.seeds, found.covers) == (120, 20, 3, "families and seeds")


def test_the_share_of_the_control_and_of_what_it_misses_add_up_to_one():
    why, control, foot = ladder()
    missed, reached = shared(why, control, foot), shared(foot, control, why)
    assert reached.estimate is None, "foot - why is no gain"
    turned = shared(1 - foot, 1 - control, 1 - why)
    assert turned.estimate == pytest.approx(1 - missed.estimate)
    assert (turned.low, turned.high) == pytest.approx((1 - missed.high, 1 - missed.low))


def test_an_untrained_foot_or_control_stands_beside_every_seed():
    why, control, _ = ladder()
    foot, flat = np.full((20, 1), 0.1), np.full((20, 1), 0.3)
    untrained = share_of_gain(arm(why, items=6), arm(control, items=6), arm(foot, items=6, seeds=[None]))
    assert untrained == shared(why, control, np.full((20, 3), 0.1))
    both = share_of_gain(arm(why), arm(flat, seeds=[None]), arm(foot, seeds=[None]))
    assert (both.seeds, both.covers) == (3, "families and seeds")
    alone = share_of_gain(arm(why[:, :1], seeds=[None]), arm(flat, seeds=[None]), arm(foot, seeds=[None]))
    assert alone.seeds == 0
    assert alone.covers.startswith("families: nothing was trained")


def test_only_items_scored_in_all_three_arms_count():
    why, control, foot = (arm(cells, items=3) for cells in ladder(11))
    lost = {"f00-0", "f01-2"}
    hidden = [replace(one, value=None) if one.item in lost and one.seed == 1 else one for one in control]
    found = share_of_gain(why, hidden, foot)
    kept = [[one for one in side if not (one.item in lost and one.seed == 1)] for side in (why, control, foot)]
    without = share_of_gain(*kept)
    assert (found.unscored, without.unscored) == (2, 0)
    assert replace(found, unscored=0) == without
    assert share_of_gain(why, kept[1], foot).note == "2 item and seed pairs are not in all three arms"


def test_the_planted_share_lies_in_the_interval_as_often_as_it_says():
    found = [ladder(12, 3, gain=0.4, share=0.3, noise=1.0, draw=draw) for draw in range(200)]
    shares = [shared(*cells) for cells in found]
    claimed = [one for one in shares if one.low is not None]
    assert len(claimed) > 160
    missed = sum(not one.low <= 0.3 <= one.high for one in claimed) / len(claimed)
    assert 0.005 < missed < 0.07


def test_with_few_seeds_the_share_is_never_surer_than_its_items():
    why, control, foot = ladder(12, 1, noise=0.2)
    single = share_of_gain(arm(why), arm(control), arm(foot))
    part, whole = (why - control)[:, 0], (why - foot)[:, 0]
    for end in (single.low, single.high):
        off = part - end * whole
        squares = (off - off.mean()) ** 2
        error = ((squares.sum() + squares.max()) / 12 / 12) ** 0.5
        assert abs(off.mean()) / error == pytest.approx(scipy_stats.t.ppf(0.975, 11))


# Where no share, or no interval, is claimed


def test_no_share_of_a_gain_that_is_not_shown():
    why, control, foot = ladder(gain=0.0, noise=1.0)
    found = shared(why, control, foot)
    assert (found.estimate, found.low, found.high) == (None,) * 3
    assert found.gain is not None
    assert found.covers == "no share: the total gain is not shown to be above zero"


def test_no_share_of_a_loss():
    assert shared(*ladder(gain=-0.4)).covers == "no share: the total gain is not shown to be above zero"


def test_no_share_below_ten_families():
    found = shared(*ladder(9))
    assert (found.estimate, found.gain_low) == (None, None)
    assert found.covers == "no share: 9 of the at least 10 families needed"


def test_no_share_where_nothing_was_scored():
    found = share_of_gain([], arm(noisy_cells(10, 3)), arm(noisy_cells(10, 3)))
    assert (found.estimate, found.gain) == (None, None)
    assert found.covers == "no share: no family was scored at every seed"


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_one_share_everywhere_claims_no_interval_of_zero_width(share):
    why, _, foot = ladder()
    found = shared(why, why - share * (why - foot), foot)
    assert found.estimate == pytest.approx(share)
    assert (found.low, found.high) == (None, None)
    assert found.covers == "no interval: every family shows the same share, so there is no spread to judge by"


def test_a_gain_barely_shown_sets_no_end_to_the_share():
    why, control, foot = ladder(12, 3, gain=0.2, noise=1.0)
    gain = contrast(arm(why), arm(foot))
    barely = why - gain.low + 1e-9  # the lower bound of the gain a hair above zero
    found = shared(barely, control, foot)
    assert found.gain_low > 0
    assert found.estimate is not None
    assert (found.low, found.high) == (None, None)
    assert found.covers == "no interval: the data set no end to the share"


def test_shares_in_several_pieces_claim_no_interval():
    # Seeds move the two differences so unlike that the spread bends where a component reaches zero.
    gain = [11, 35, 16, 4, 19, 13, 10, 13, 23, 14, 11, 31, -1, 23, 21, 20, 46, 19, 13, 29, 12, 15, 23, 19, 6, 9, 40]
    gain = np.array([*gain, 10, 17, 39]).reshape(10, 3) / 100
    part = [15, 72, 48, 26, 68, 46, 40, 58, 69, -22, 5, 49, 7, 73, 62, 59, 132, 70, 41, 92, 47, 67, 92, 71, 58, 65, 150]
    part = np.array([*part, 23, 45, 113]).reshape(10, 3) / 100
    pieces = [float(two_way.p_values(two_way.fit(part - ratio * gain))) >= 0.05 for ratio in (-1.5, 0.0, 3.0, 5.5, 7.0)]
    assert pieces == [True, False, True, False, True]
    found = shared(gain, gain - part, np.zeros((10, 3)))
    assert found.gain_low > 0
    assert found.estimate == pytest.approx(part.mean() / gain.mean())
    assert (found.low, found.high) == (None, None)
    assert found.covers == "no interval: the shares that agree with the data fall into several pieces"


def test_malformed_arms_are_refused_by_name():
    good = arm(noisy_cells(10, 3))
    with pytest.raises(InputError, match="two observations") as refused:
        share_of_gain(good, [*good, good[0]], good)
    assert "control arm" in str(refused.value)
    with pytest.raises(InputError, match="two families"):
        share_of_gain([Observation("i", "f", 0, 1.0)], [Observation("i", "f", 0, 1.0)], [Observation("i", "g", 0, 1.0)])
    with pytest.raises(InputError, match="level 95"):
        share_of_gain(good, good, good, 95)
