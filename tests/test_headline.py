"""The first sentence of the page in worlds whose truth is planted, and that the page is drawn from it."""

from __future__ import annotations

from typing import Any

import pytest
from planted_worlds import ARMS, World, planted_results

from teachwhy.report import render_report
from teachwhy.report.headline import headline
from teachwhy.report.wording import verdict

LOW, HIGH = (0.6, 0.6), (0.9, 0.9)


def told(world: World, **changes: Any) -> tuple[str, str]:
    """(state, everything that is said) of a planted world."""
    found = headline(planted_results(world, **changes))
    assert found
    return found.state, " ".join([found.finding, *found.points])


def only(*arms: str) -> dict[str, tuple[float, float]]:
    """These arms do well and the others do not."""
    return {arm: HIGH if arm in arms else LOW for arm in ARMS}


def test_world_without_effect() -> None:
    state, said = told(World(only()))
    assert state == "no difference"
    assert said.startswith("No difference between `why` and `what` was shown on `pair_accuracy` (all items):")
    assert "put down to" not in said


def test_world_in_which_any_text_helps() -> None:
    state, said = told(World(only("neutral", "mention", "why")))
    assert state == "explained otherwise"
    assert said.startswith("`why` does better than `what` on `pair_accuracy` (all items): +.")
    assert "Text of the same length that gives no reason may do as much; no difference was shown" in said
    assert "Naming the deciding fact may do as much" in said
    assert "So the difference cannot be put down to what the reasons say." in said


def test_world_in_which_naming_the_fact_helps() -> None:
    state, said = told(World(only("mention", "why")))
    assert state == "explained otherwise"
    assert "`why` does better than `what` and `neutral`" in said
    assert "Naming the deciding fact may do as much" in said
    assert "Text of the same length" not in said
    assert "cannot be put down to what the reasons say" in said


def test_world_in_which_reasons_help() -> None:
    state, said = told(World(only("why")))
    assert state == "better"
    assert said.startswith("`why` does better than `what`, `neutral` and `mention` on `pair_accuracy` (all items): +.")
    assert "so it is what the reasons say that differs" in said
    assert "It is there near the examples and far from them" in said
    assert "Nothing was shown to be worse" in said
    assert "The 95% interval covers families and seeds." in said


def test_world_in_which_it_helps_near_and_not_far() -> None:
    world = World({arm: (0.95, 0.6) if arm == "why" else LOW for arm in ARMS})
    state, said = told(world)
    assert state == "better"
    assert "It is there near the examples (near +." in said
    assert "was not shown far from them (far principle " in said


def test_world_in_which_it_is_bought_with_declining() -> None:
    state, said = told(World(only("why"), declines={"why": 0.55}))
    assert state == "better"
    assert "Worse elsewhere: share declined of what is fine, `why` − `what` +." in said
    assert "Nothing was shown to be worse" not in said


def test_world_with_too_few_families_claims_nothing() -> None:
    state, said = told(World(only("why"), families=4))
    assert state == "not claimed"
    assert said.startswith("No claim is made about `why` and `what`: 4 of the at least 10 families needed.")
    assert "does better" not in said


def test_world_in_which_reasons_harm() -> None:
    state, said = told(World({arm: LOW if arm == "why" else HIGH for arm in ARMS}))
    assert state == "worse"
    assert said.startswith("`why` does worse than `what`")


def test_world_at_chance_says_nothing_about_reasons() -> None:
    state, said = told(World(dict.fromkeys(ARMS, (0.5, 0.5))))
    assert state == "at chance"
    assert "Nothing can be said about reasons" in said


def test_margin_makes_no_difference_a_finding() -> None:
    world = World(only(), margin=0.15)
    state, said = told(world)
    assert state == "alike"
    assert said.startswith("`why` and `what` are alike on `pair_accuracy` (all items), to within .15:")
    results = planted_results(world)
    assert (
        "The two are alike: the whole interval lies within ±.15." in verdict(results["contrasts"][0], results).finding
    )


def test_difference_below_the_margin_says_so() -> None:
    results = planted_results(World(only("why"), margin=0.9))
    found = verdict(results["contrasts"][0], results)
    assert found.shown
    assert any("smaller than what was said to count, .90" in sentence for sentence in found.cautions)


def test_share_of_the_gain_that_a_control_does_not_reach() -> None:
    def of_neutral(world: World) -> dict[str, Any]:
        (found,) = [one for one in planted_results(world)["shares"] if one["control"] == "neutral"]
        return found

    reasons, any_text = of_neutral(World(only("why"))), of_neutral(World(only("neutral", "mention", "why")))
    assert reasons["low"] > 0.7
    assert reasons["foot"] == "what"
    assert any_text["low"] < 0 < any_text["high"] < 0.3
    assert of_neutral(World(only()))["estimate"] is None


def test_verdict_that_hangs_on_one_family_says_so() -> None:
    results = planted_results(World(only("why")))
    contrast = results["contrasts"][0]
    contrast["dropping"] = {**contrast["dropping"], "changes": ["family-03"]}
    said = " ".join(verdict(contrast, results).cautions)
    assert "It hangs on single families: without `family-03` the verdict would be another." in said


def test_study_without_the_controls_says_so() -> None:
    results = planted_results(World(only("why")))
    results["contrasts"] = [one for one in results["contrasts"] if one["versus"] == "what"]
    results["comparisons"] = [one for one in results["comparisons"] if one["versus"] == "what"]
    found = headline(results)
    assert found
    assert found.state == "better"
    assert any("Not tried: text of the same length that gives no reason and naming" in point for point in found.points)


@pytest.mark.parametrize(
    ("kind", "meaning"),
    [
        ("unrelated", "A reason of another principle that is written for the case"),
        ("deliberation", "Thinking about the task that weighs nothing moral"),
    ],
)
def test_a_control_that_does_as_much_takes_the_finding_from_the_reasons(kind: str, meaning: str) -> None:
    results = planted_results(World(only("mention", "why")))
    next(arm for arm in results["arms"] if arm["name"] == "mention")["kind"] = kind
    found = headline(results)
    assert found
    assert found.state == "explained otherwise"
    assert found.points[0].startswith(f"{meaning} may do as much; no difference was shown: `why` − `mention`")
    assert found.points[1] == "So the difference cannot be put down to what the reasons say."


def test_no_declared_contrast_has_no_headline() -> None:
    results = planted_results(World(only()))
    for contrast in results["contrasts"]:
        contrast["declared"] = False
    assert headline(results) is None


@pytest.mark.parametrize("world", [World(only("why"), declines={"why": 0.55}), World(only(), families=4)])
def test_page_opens_with_the_sentence_and_draws_ladder_distances_and_plane(world: World) -> None:
    results = planted_results(world)
    found = headline(results)
    assert found
    page = render_report(results, timings={})
    said = page[page.index("<main>") :]
    assert said.index(found.finding.split("`")[0]) < said.index('id="contrasts"')
    places = [
        said.index(f'id="{section}"') for section in ("contrasts", "ladder", "distances", "exam-edge_cases", "arms")
    ]
    assert places == sorted(places)
    assert "plane-over-application-under-application-wide" in page
