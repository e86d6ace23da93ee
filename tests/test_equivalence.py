"""No difference as a finding, and one family as the bearer of a verdict: known answers, properties, edges."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_cells import against_zero, noisy_cells, tables
from scipy import stats as scipy_stats

from teachwhy.errors import InputError
from teachwhy.stats import Observation, adjust, contrast, two_way
from teachwhy.study.contrasts import contrast_record
from teachwhy.study.study_settings import ContrastSetting

# Equivalence


def test_two_one_sided_tests_against_scipy():
    cells = noisy_cells(12, 3) - 0.08
    fitted = two_way.fit(cells)
    distribution = scipy_stats.t(float(fitted.degrees_of_freedom), scale=float(fitted.standard_error))
    above = distribution.sf(cells.mean() + 0.1)
    below = distribution.cdf(cells.mean() - 0.1)
    found = contrast(*against_zero(cells), margin=0.1)
    assert found.p_equivalence == pytest.approx(2 * max(above, below))
    assert (found.margin, found.equivalent) == (0.1, max(above, below) < 0.025)


@settings(max_examples=60, deadline=None)
@given(tables, st.floats(0.005, 0.6), st.sampled_from([0.5, 0.8, 0.95, 0.99]))
def test_equivalent_just_when_the_interval_lies_inside_the_margin(cells, margin, level):
    found = contrast(*against_zero(cells), margin=margin, level=level)
    inside = -margin < found.low and found.high < margin
    assert found.equivalent == inside == (found.p_equivalence < 1 - level)


@settings(max_examples=25, deadline=None)
@given(tables, st.floats(0.05, 0.3))
def test_equivalence_knows_no_side_and_no_unit_and_a_wider_margin_is_easier(cells, margin):
    treated, control = against_zero(cells)
    found = contrast(treated, control, margin=margin)
    assert contrast(control, treated, margin=margin).p_equivalence == pytest.approx(found.p_equivalence)
    assert contrast(*against_zero(cells * 10), margin=margin * 10).p_equivalence == pytest.approx(found.p_equivalence)
    assert contrast(treated, control, margin=margin * 1.1).p_equivalence <= found.p_equivalence


def test_a_margin_changes_nothing_else():
    sides = against_zero(noisy_cells(10, 3))
    plain, asked = contrast(*sides), contrast(*sides, margin=0.2)
    assert replace(asked, margin=None, p_equivalence=None, equivalent=None) == plain


def test_a_small_difference_can_be_shown_and_be_equivalent_at_once():
    cells = 0.02 + np.tile([[0.005], [-0.005]], (6, 3)) + noisy_cells(12, 3) / 100
    found = contrast(*against_zero(cells), margin=0.1)
    assert found.low > 0
    assert found.equivalent


@pytest.mark.parametrize("cells", [noisy_cells(9, 5) / 1000, np.zeros((10, 3)), np.full((10, 3), 0.01)])
def test_where_no_interval_is_claimed_nothing_is_equivalent(cells):
    found = contrast(*against_zero(cells), margin=0.5)
    assert found.covers.startswith("no interval")
    assert found.margin == 0.5
    assert (found.p_equivalence, found.equivalent) == (None, None)
    assert found.dropping is None


@pytest.mark.parametrize("margin", [0.0, -0.1, float("nan"), float("inf")])
def test_a_margin_that_is_no_size_is_refused(margin):
    with pytest.raises(InputError, match="no size of a difference"):
        contrast([], [], margin=margin)


def test_holm_corrects_both_claims_apart():
    base = contrast(*against_zero(noisy_cells(10, 3)), margin=0.3)
    p, alike = [0.01, 0.04, 0.9], [0.5, None, 0.02]
    adjusted = adjust([replace(base, p=one, p_equivalence=other) for one, other in zip(p, alike, strict=True)])
    assert [one.p_adjusted for one in adjusted] == pytest.approx([0.03, 0.08, 0.9])
    assert [one.p_equivalence_adjusted for one in adjusted] == pytest.approx([0.5, None, 0.04])


def test_a_difference_at_the_margin_is_seldom_called_equivalent():
    rng = np.random.default_rng(2)
    cells = 0.1 + rng.normal(0, 0.08, (20_000, 20, 1)) + rng.normal(0, 0.02, (20_000, 20, 5))
    called = float((two_way.p_equivalence(two_way.fit(cells), 0.1) < 0.05).mean())
    one_seed = float((two_way.p_equivalence(two_way.fit(cells[:, :, :1]), 0.1) < 0.05).mean())
    assert 0.015 < called < 0.03, "each side is held at half of one in twenty"
    assert one_seed == pytest.approx(0.025, abs=0.004)


# Dropping any one family


@settings(max_examples=25, deadline=None)
@given(tables.filter(lambda cells: len(cells) > 10), st.sampled_from([0.8, 0.95]))
def test_dropping_a_family_is_the_contrast_without_it(cells, level):
    treated, control = against_zero(cells, items=2)
    found = contrast(treated, control, level=level)
    without = {
        family: contrast(
            [one for one in treated if one.family != family],
            [one for one in control if one.family != family],
            level=level,
        )
        for family in found.per_family
    }
    for extreme, pick in ((found.dropping.lowest, min), (found.dropping.highest, max)):
        expected = pick(without.items(), key=lambda pair: pair[1].estimate)
        assert extreme.family == expected[0]
        assert (extreme.estimate, extreme.low, extreme.high) == pytest.approx(
            (expected[1].estimate, expected[1].low, expected[1].high)
        )
    assert found.dropping.changes == tuple(
        family for family, one in without.items() if shown(one.low, one.high) != shown(found.low, found.high)
    )


def shown(low: float, high: float) -> str:
    return "more" if low > 0 else "less" if high < 0 else "nothing"


def test_one_family_that_carries_the_verdict_is_named():
    cells = noisy_cells(12, 3) * 0.3 + 0.2
    cells[4] -= 3
    found = contrast(*against_zero(cells))
    assert found.low < 0 < found.high
    assert found.dropping.highest.family == "f04"
    assert found.dropping.highest.low > 0
    assert found.dropping.changes == ("f04",)


@pytest.mark.parametrize("effect", [0.5, 0.0, -0.5])
def test_a_clear_verdict_hangs_on_no_family(effect):
    cells = effect + np.tile([[0.05], [-0.05]], (6, 3)) + noisy_cells(12, 3) / 100 - 0.001
    assert contrast(*against_zero(cells)).dropping.changes == ()


def test_with_ten_families_nine_are_left_and_still_compared():
    cells = noisy_cells(10, 3)
    found = contrast(*against_zero(cells)).dropping
    lowest = int(np.argmax(cells.mean(axis=1)))
    fitted = two_way.fit(np.delete(cells, lowest, axis=0))
    half = float(two_way.half_width(fitted, 0.95))
    assert found.lowest.family == f"f{lowest:02d}"
    assert (found.lowest.low, found.lowest.high) == pytest.approx((fitted.mean - half, fitted.mean + half))


def test_what_is_left_without_spread_claims_nothing():
    cells = np.full((10, 3), 0.3)
    cells[0] = [0.4, 0.41, 0.39]
    found = contrast(*against_zero(cells))
    assert found.low > 0
    assert (found.dropping.lowest.family, found.dropping.lowest.low, found.dropping.lowest.high) == ("f00", None, None)
    assert found.dropping.changes == ("f00",)


def test_a_contrast_with_all_of_this_is_stored_as_json():
    treated, control = against_zero(noisy_cells(11, 3))
    found = adjust([contrast(treated, [*control, Observation("x", "f00", 0, None)], margin=0.2)])[0]
    record = contrast_record(ContrastSetting(arm="why", versus="what", metric="correct"), found, {}, True)
    stored = json.loads(json.dumps(record, allow_nan=False))
    assert stored["equivalent"] == found.equivalent
    assert stored["dropping"]["lowest"] == vars(found.dropping.lowest)
    assert stored["dropping"]["changes"] == list(found.dropping.changes)
