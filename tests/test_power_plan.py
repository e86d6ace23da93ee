"""What `teachwhy plan` says of power: counts from the exam's own scores, and the figures of the statistics."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny
from bad_input import assert_refused

from teachwhy.errors import InputError
from teachwhy.stats import VarianceComponents, smallest_detectable
from teachwhy.study import plan_units, read_study
from teachwhy.study import power as power_module
from teachwhy.study.power import DRAWS, Size, detectable, noise_of_run, power_lines, read_noise, size_of
from teachwhy.study.study_file import Study
from teachwhy.study.study_settings import ContrastSetting

CONFLICT = {"kind": "conflict"}
FOLLOWS = {"arm": "why", "versus": "swapped", "metric": "follows_first_fact", "subset": CONFLICT}
EDGES = {"arm": "why", "versus": "what", "exam": "edge_cases"}
STUDIES = Path(__file__).parents[1] / "studies"


def many_families(folder: Path, **changes: object) -> Study:
    """The tiny study with twelve families: each rule's items four times, in other words."""
    path = tiny.build_tiny_study(folder, "model", seeds=[0, 1, 2], **changes)
    rows = [
        row | {name: f"{row[name]}-{copy}" for name in ("id", "family", "pair")}
        for copy in range(4)
        for row in tiny.tiny_items()
    ]
    tiny.write_jsonl(folder / "items.jsonl", rows)
    return read_study(path)


def lines_of(study: Study, **options: object) -> list[str]:
    return power_lines(study, plan_units(study), **options)


def row_of(study: Study, **options: object) -> list[str]:
    return lines_of(study, **options)[2].split()


def finished(path: Path, components: object, **changes: object) -> Path:
    record = {**FOLLOWS, "exam": "decisions", "format": "own", "components": components} | changes
    path.write_text(json.dumps({"contrasts": [record]}))
    return path


FOUND = {"family": 0.02, "seed": 0.003, "residual": 0.01}


def test_the_figures_are_those_of_the_statistics(tmp_path):
    usual = VarianceComponents(0.2**2, 0.04**2, 0.05**2)

    def expected(families: int, seeds: int) -> str:
        return f"{smallest_detectable(usual, families, seeds, 2, draws=DRAWS):.2f}".removeprefix("0")

    study = many_families(tmp_path / "study")
    assert row_of(study)[:6] == ["12", "24", "3", expected(12, 3), expected(12, 5), expected(24, 3)]
    assert lines_of(study)[-1] == (
        "noise: standard deviation of the difference .20 between families, .04 between seeds, .05 left; "
        "items right or wrong around a rate of .50; assumed; see --noise and --like"
    )


def test_given_noise_is_used_in_place_of_the_assumed(tmp_path):
    study = many_families(tmp_path / "study")
    given = VarianceComponents(0.05**2, 0.01**2, 0.0)
    wanted = f"{smallest_detectable(given, 12, 3, 2, draws=DRAWS):.2f}".removeprefix("0")
    assert row_of(study, noise=".05,.01,0")[3] == wanted != row_of(study)[3]


def test_noise_of_an_earlier_run_is_its_components_with_cells_as_they_were(tmp_path):
    study = many_families(tmp_path / "study")
    run = tmp_path / "run"
    run.mkdir()
    file = finished(run / "results.json", FOUND)
    wanted = f"{smallest_detectable(VarianceComponents(**FOUND), 12, 3, 2, rate=None, draws=DRAWS):.2f}"
    assert row_of(study, like=run)[3] == row_of(study, like=file)[3] == wanted.removeprefix("0")
    assert lines_of(study, like=run)[-1].endswith(f"found in {file}, with the items that it asked")


def test_below_ten_families_no_figure_is_given(tmp_path):
    study = read_study(tiny.build_tiny_study(tmp_path / "study", "model"))
    assert row_of(study)[:3] == ["3", "6", "2"]
    assert lines_of(study)[2].count("no interval") == 3
    assert "3 families; below 10 no interval will be claimed" in lines_of(study)[3]


def test_twice_the_families_may_be_enough_where_the_planned_are_not(monkeypatch):
    monkeypatch.setattr(power_module, "detectable", lambda size, noise, level: float(size.families) / 100)
    noise = read_noise(".2,.04,.05")
    assert power_module.found(Size(6, 12, 3), noise, 0.95) == "no interval"
    assert power_module.found(Size(12, 24, 3), noise, 0.95) == ".12"


def test_below_three_seeds_the_plan_says_what_is_not_covered(tmp_path):
    study = many_families(tmp_path / "study")
    lines = power_lines(study, plan_units(study, quick=True))
    assert lines[2].split()[2] == "1"
    assert "1 seeds; below 3 the interval does not cover training noise" in lines[3]


def test_where_no_difference_on_the_scale_is_found_the_plan_says_so(tmp_path):
    assert row_of(many_families(tmp_path / "study"), noise=".9,.9,.9")[3:5] == ["over", ".50"]


def test_an_untrained_contrast_has_no_seeds_and_no_noise_of_them(tmp_path):
    contrast = {**FOLLOWS, "arm": "policy_in_prompt", "versus": "base"}
    study = many_families(tmp_path / "study", contrasts=[contrast])
    assert [row_of(study)[place] for place in (0, 2, 4)] == ["12", "0", "untrained"]
    noise = read_noise(".1,1,.05")
    without = smallest_detectable(VarianceComponents(0.1**2, 0.0, 0.05**2), 12, 1, 2, draws=DRAWS)
    assert detectable(Size(12, 24, 0), noise, 0.95) == without


def test_only_contrasts_of_the_planned_arms_are_shown(tmp_path):
    study = many_families(tmp_path / "study")
    assert power_lines(study, plan_units(study, ["base", "why"])) == ["no declared contrast is among these units"]


# What is counted


@pytest.mark.parametrize(
    ("contrast", "families", "items"),
    [
        (FOLLOWS, 3, 6),  # conflict cases alone
        (FOLLOWS | {"subset": {}}, 3, 6),  # the others have a right decision, so another metric
        (FOLLOWS | {"metric": "correct", "subset": {"family": "door"}}, 1, 2),
        (FOLLOWS | {"metric": "correct", "subset": {}, "format": "off"}, 1, 2),  # half of the pairs, and of these one
    ],
)
def test_items_are_those_that_are_scored(tmp_path, contrast, families, items):
    study = read_study(tiny.build_tiny_study(tmp_path / "study", "model", off_format_share=0.5))
    size = size_of(study, ContrastSetting.model_validate(contrast), 2)
    assert (size.families, size.items, size.seeds) == (families, items, 2)


@pytest.mark.parametrize(
    ("changes", "families", "items"),
    [
        ({"metric": "pair_accuracy"}, 95, 240),  # pairs
        ({"metric": "correct"}, 95, 480),
        ({"metric": "over_application"}, 95, 240),  # what is fine, one of each pair
        ({"metric": "correct", "format": "off"}, 23, 48),  # a tenth of the pairs
        ({"exam": "explanations", "metric": "says_as_it_does"}, 42, 96),  # a sample, whatever is asked of each item
        ({"exam": "framings", "metric": "agreement_by_choice"}, 42, 288),  # three wraps of each
        ({"exam": "side_effects", "metric": "general_correct"}, 12, 120),  # the exam's own questions
    ],
)
def test_items_of_the_policy_study_are_counted_by_what_each_metric_scores(changes, families, items):
    study = read_study(STUDIES / "assistant")
    size = size_of(study, ContrastSetting.model_validate(EDGES | changes), 3)
    assert (size.families, size.items) == (families, items)


# What is refused


@pytest.mark.parametrize("text", ["", ".2,.04", "a,b,c", ".2,.04,-.1", ".2,.04,nan", "2,0,0", ".1,.1,.1,.1"])
def test_noise_that_is_none_is_refused(text):
    with pytest.raises(InputError, match="three standard deviations"):
        read_noise(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not a results.json"),
        ("[]", "not a results.json"),
        ('{"contrasts": [1]}', "not a results.json"),
        ('{"contrasts": []}', "does not have the contrast why - swapped"),
        ("", "empty"),
    ],
)
def test_a_run_to_be_like_must_be_one(tmp_path, text, said):
    file = tmp_path / "results.json"
    file.write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        noise_of_run(file, [ContrastSetting.model_validate(FOLLOWS)])
    assert str(file) in str(caught.value)


def test_a_run_without_the_contrast_or_its_components_is_refused(tmp_path):
    contrast = ContrastSetting.model_validate(FOLLOWS)
    other = finished(tmp_path / "other.json", FOUND, subset={})
    with pytest.raises(InputError, match="does not have the contrast"):
        noise_of_run(other, [contrast])
    for broken in (None, {"family": 0.1}, {"family": "x", "seed": 0, "residual": 0}):
        with pytest.raises(InputError, match="no variance components"):
            noise_of_run(finished(tmp_path / "one.json", broken), [contrast])
    with pytest.raises(InputError, match="does not exist"):
        noise_of_run(tmp_path / "none.json", [contrast])


def test_the_plan_shows_it_and_refuses_both_sources_at_once(teachwhy, tiny_study, tmp_path):
    done = teachwhy("plan", tiny_study, "--no-measure", "--quick")
    assert done.code == 0, done.err
    assert "smallest difference found four times in five" in done.out
    file = finished(tmp_path / "results.json", FOUND)
    assert_refused(
        teachwhy("plan", tiny_study, "--no-measure", "--noise", ".1,.1,.1", "--like", file), "--noise and --like"
    )
    assert_refused(teachwhy("plan", tiny_study, "--no-measure", "--like", tmp_path / "none"), "does not exist")
