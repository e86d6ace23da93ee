"""Noise split into judging, sampling, seeds and families: known answers, planted components, what cannot be told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teachwhy.errors import InputError
from teachwhy.stats import Noise, RepeatedObservation, split_noise, two_way


def repeated(scores, untrained: bool = False) -> list[RepeatedObservation]:
    """Observations from scores of shape (families, items, seeds, samples, judgings)."""
    return [
        RepeatedObservation(f"f{f}-{i}", f"f{f}", None if untrained else seed, sample, judging, float(value))
        for (f, i, seed, sample, judging), value in np.ndenumerate(np.asarray(scores, dtype=float))
    ]


def planted(shape, rng, *, family=0.0, item=0.0, seed=0.0, item_seed=0.0, sampling=0.0, judging=0.0):
    """Normal scores with these standard deviations; seed moves all items alike, item_seed each on its own."""
    families, items, seeds, samples, judgings = shape
    return (
        rng.normal(0, family, (families, 1, 1, 1, 1))
        + rng.normal(0, item, (families, items, 1, 1, 1))
        + rng.normal(0, seed, (1, 1, seeds, 1, 1))
        + rng.normal(0, item_seed, (families, items, seeds, 1, 1))
        + rng.normal(0, sampling, (families, items, seeds, samples, 1))
        + rng.normal(0, judging, (families, items, seeds, samples, judgings))
    )


def test_balanced_data_give_the_textbook_nested_analysis_of_variance():
    scores = planted((4, 3, 3, 2, 2), np.random.default_rng(1), item=0.2, item_seed=0.5, sampling=0.4, judging=0.3)
    seeds, samples, judgings = scores.shape[2:]
    answers = scores.mean(axis=4)
    asked = answers.mean(axis=3)
    each = asked.mean(axis=2)
    within_answers = ((scores - answers[..., None]) ** 2).sum() / (answers.size * (judgings - 1))
    between_answers = judgings * ((answers - asked[..., None]) ** 2).sum() / (asked.size * (samples - 1))
    between_seeds = samples * judgings * ((asked - each[..., None]) ** 2).sum() / (each.size * (seeds - 1))
    assert between_seeds > between_answers > within_answers, "this known answer is for positive components"
    found = split_noise(repeated(scores))
    assert found.score.judging == pytest.approx(within_answers**0.5)
    assert found.score.sampling == pytest.approx(((between_answers - within_answers) / judgings) ** 0.5)
    assert found.score.seed == pytest.approx(((between_seeds - between_answers) / (samples * judgings)) ** 0.5)
    cells = asked.mean(axis=1)
    assert found.score.family == pytest.approx(two_way.components(cells).family ** 0.5)
    assert (found.items, found.families, found.seeds, found.samples, found.judgings) == (12, 4, 3, 2, 2)
    assert found.note == ""


def test_one_thing_done_again_by_hand():
    # Two families of one item at two seeds; only the judge wavers, by 0.2 within an answer of each: variance 0.02.
    scores = np.zeros((2, 1, 2, 1, 2))
    scores[..., 1] = 0.2
    found = split_noise(repeated(scores))
    assert found.score == Noise(pytest.approx(0.02**0.5), None, 0.0, 0.0)
    assert found.rate == Noise(pytest.approx((0.02 / 4) ** 0.5), None, 0.0, 0.0)


def test_planted_components_are_found():
    # Means over many draws: the variances are unbiased but for the cut at zero, which the planted sizes keep away.
    rng = np.random.default_rng(0)
    sizes = {"family": 0.3, "item": 0.2, "seed": 0.15, "item_seed": 0.1, "sampling": 0.3, "judging": 0.2}
    families, items, seeds, draws = 20, 4, 4, 150
    found = [split_noise(repeated(planted((families, items, seeds, 2, 2), rng, **sizes))) for _ in range(draws)]

    def variance(level, name):
        return np.mean([getattr(getattr(one, level), name) ** 2 for one in found])

    assert variance("score", "judging") == pytest.approx(0.2**2, rel=0.02)
    assert variance("score", "sampling") == pytest.approx(0.3**2, rel=0.02)
    assert variance("score", "seed") == pytest.approx(0.15**2 + 0.1**2, rel=0.15)
    assert variance("score", "family") == pytest.approx(0.3**2 + 0.2**2 / items, rel=0.1)
    assert variance("rate", "judging") == pytest.approx(0.2**2 / (families * items * seeds), rel=0.02)
    assert variance("rate", "sampling") == pytest.approx(0.3**2 / (families * items * seeds), rel=0.02)
    assert variance("rate", "seed") == pytest.approx((0.15**2 + 0.1**2 / (families * items)) / seeds, rel=0.2)
    assert variance("rate", "family") == pytest.approx((0.3**2 + 0.2**2 / items) / families, rel=0.1)


def test_the_noise_of_the_rate_is_how_far_a_repeated_run_moves():
    rng = np.random.default_rng(4)
    shape = (8, 3, 2, 1, 1)
    fixed = planted(shape, rng, family=0.2, item_seed=0.1)
    rates = [(fixed + planted(shape, rng, sampling=0.3)).mean() for _ in range(4000)]
    again = fixed + planted((8, 3, 2, 60, 1), rng, sampling=0.3)
    assert split_noise(repeated(again)).rate.sampling == pytest.approx(np.std(rates), rel=0.05)


def test_families_weigh_the_same_however_many_items_they_have():
    scores = repeated(planted((2, 6, 1, 2, 1), np.random.default_rng(0), sampling=0.5))
    uneven = [one for one in scores if one.family == "f0" or one.item == "f1-0"]
    found = split_noise(uneven)
    assert found.rate.sampling == pytest.approx(found.score.sampling * (1 / 4 * (1 / 6 + 1)) ** 0.5)


# What cannot be told apart


def test_what_is_not_repeated_is_none_and_part_of_what_stands_above():
    scores = planted((6, 2, 3, 1, 1), np.random.default_rng(0), seed=0.1, sampling=0.3)
    found = split_noise(repeated(scores))
    assert (found.score.judging, found.score.sampling, found.rate.judging, found.rate.sampling) == (None,) * 4
    assert found.score.seed > 0.2
    assert found.note == "judging was not repeated and is part of seed; sampling was not repeated and is part of seed"
    sampled = split_noise(repeated(planted((6, 2, 3, 3, 1), np.random.default_rng(0), judging=0.3)))
    assert sampled.note == "judging was not repeated and is part of sampling"
    assert sampled.score.sampling == pytest.approx(0.3, rel=0.2)


def test_one_seed_shows_no_training_noise_and_an_untrained_arm_has_none():
    scores = planted((6, 2, 1, 2, 2), np.random.default_rng(0), family=0.5, sampling=0.3, judging=0.1)
    one, none = split_noise(repeated(scores)), split_noise(repeated(scores, untrained=True))
    assert (one.score.seed, one.rate.seed, one.seeds, one.note) == (None, None, 1, "one seed shows no training noise")
    assert replace(one, seeds=0, note="") == none
    family_means = scores.mean(axis=(1, 2, 3, 4))
    left = (one.score.sampling**2 / 2 + one.score.judging**2 / 4) / 2
    assert one.score.family == pytest.approx((family_means.var(ddof=1) - left) ** 0.5)


def test_one_family_has_no_spread_and_nothing_scored_has_no_noise():
    found = split_noise(repeated(planted((1, 4, 3, 2, 2), np.random.default_rng(0), sampling=0.3)))
    assert (found.score.family, found.rate.family) == (None, None)
    nothing = split_noise([RepeatedObservation("i", "f", 0, 0, 0, None)])
    assert nothing.score == nothing.rate == Noise(None, None, None, None)
    assert (nothing.items, nothing.samples, nothing.unscored) == (0, 0, 1)


def test_a_family_with_a_gap_leaves_the_rate_and_is_named():
    scores = repeated(planted((4, 2, 2, 2, 1), np.random.default_rng(0), sampling=0.3))
    hidden = [replace(one, value=None) if (one.family, one.seed) == ("f3", 1) else one for one in scores]
    found = split_noise(hidden)
    assert (found.families, found.unscored) == (3, 4)
    assert found.note.startswith("left out, not scored at every seed: family f3; judging was not repeated")


# Properties

shapes = st.tuples(*(st.integers(2, 3) for _ in range(5)))


@settings(max_examples=30, deadline=None)
@given(shapes, st.integers(0, 10_000), st.floats(-2, 2), st.floats(0.1, 10))
def test_noise_has_the_unit_of_the_scores_and_no_origin(shape, draw, constant, scale):
    scores = planted(shape, np.random.default_rng(draw), family=0.3, seed=0.2, sampling=0.3, judging=0.2)
    found, moved = split_noise(repeated(scores)), split_noise(repeated(scores * scale + constant))
    for level in ("score", "rate"):
        for name, value in vars(getattr(found, level)).items():
            assert value >= 0
            # A variance that is rounding away from zero may be cut on one side only.
            assert getattr(getattr(moved, level), name) == pytest.approx(value * scale, rel=1e-6, abs=1e-6 * scale)


@settings(max_examples=20, deadline=None)
@given(shapes, st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_neither_order_nor_the_numbering_of_repetitions_matters(shape, draw, random):
    scores = repeated(planted(shape, np.random.default_rng(draw), family=0.3, sampling=0.3, judging=0.2))
    renamed = [replace(one, sample=7 - one.sample, judging=10 * one.judging) for one in scores]
    random.shuffle(renamed)
    assert split_noise(renamed) == split_noise(scores)


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_scores_that_never_differ_have_no_noise(value):
    found = split_noise(repeated(np.full((3, 2, 3, 2, 2), value)))
    assert [*vars(found.score).values(), *vars(found.rate).values()] == pytest.approx([0.0] * 8, abs=1e-12)


# Errors

ONE = RepeatedObservation("i", "f", 0, 0, 0, 1.0)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (ONE, "One judging of one sample is given twice"),
        (replace(ONE, sample=1, value=float("inf")), "A score is inf"),
        (replace(ONE, sample=1, family="g"), "in two families: 'f' and 'g'"),
        (replace(ONE, seed=None), "mixes trained and untrained"),
    ],
)
def test_malformed_repetitions_are_refused(other, message):
    with pytest.raises(InputError, match=message):
        split_noise([ONE, other])
