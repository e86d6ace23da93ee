"""Arms at smaller sizes: which there are, what holds between them, and what the curves say of planted scores."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import yaml
from in_process import SILENT, run_study_here

from teachwhy.errors import InputError
from teachwhy.models import ModelSource
from teachwhy.report.page import view
from teachwhy.stats import Observation, Point, tokens_at
from teachwhy.study import plan_study, plan_units, prepare_job, read_study, study_status
from teachwhy.study.curves import all_curves, token_savings
from teachwhy.study.plan import Unit, evals_stamp, train_stamps
from teachwhy.study.prepare import Prepared
from teachwhy.study.run import Run
from teachwhy.study.stages import usual_stages
from teachwhy.study.study_file import Study

MEASURE = {"metric": "follows_first_fact", "subset": {"kind": "conflict"}}
BY_CHOICE = "follows_first_fact_by_choice"


def build(folder: Path, model: Path | str = "model", **changes: object) -> Path:
    """A study of two arms whose twins read six examples, at three of them too."""
    settings: dict[str, object] = {"arms": ["base", "what", "why"], "sizes": [3], "exploratory": []}
    contrasts = [{"arm": "why", "versus": "what", **MEASURE}]
    return tiny.build_tiny_study(folder, model, **settings | {"contrasts": contrasts} | changes)


def test_every_size_below_the_full_one_is_an_arm_of_its_own(tmp_path: Path) -> None:
    study = read_study(build(tmp_path, sizes=[6, 3, 2]))
    assert [setting.name for setting in study.arms] == ["base", "what", "why", "what@2", "why@2", "what@3", "why@3"]
    assert [setting.name for setting in study.settings.arms] == ["base", "what", "why"]
    assert (study.arm("why@2").arm, study.arm("why@2").examples) == ("why", 2)
    parts = [{example.id for example in study.pool(study.arm(name))} for name in ("why@2", "why@3", "why")]
    assert parts[0] < parts[1] < parts[2]
    assert [len(part) for part in parts] == [2, 3, 6]
    assert study.pool(study.arm("why@3")) == study.pool(study.arm("what@3"))


def test_smaller_sizes_are_parts_of_the_twins_where_those_are_a_part_themselves(tmp_path: Path) -> None:
    study = read_study(build(tmp_path, sizes=[2, 4], twins=4))
    assert [setting.name for setting in study.sized] == ["what@2", "why@2"]
    small, full = (study.pool(study.arm(name)) for name in ("why@2", "why"))
    assert [example for example in full if example in small] == small


def test_arms_to_be_sized_can_be_named(tmp_path: Path) -> None:
    study = read_study(build(tmp_path, arms=["what", "why", "swapped"], sizes_arms=["swapped"]))
    assert [setting.name for setting in study.sized] == ["swapped@3"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sizes": [7]}, "above the 6 examples"),
        ({"sizes": [4], "twins": 3}, "above the 3 examples"),
        ({"sizes": [3, 3]}, "holds a number twice"),
        ({"sizes_arms": ["base"]}, "no twin arm in this study named 'base'"),
        ({"sizes_arms": ["wy"]}, "Did you mean 'why'"),
        ({"contrasts": []}, "none is declared"),
        ({"arms": ["swapped"], "contrasts": []}, "neither an arm named `what`"),
        ({"arms": ["what", {"arm": "why", "examples": 3}]}, "is given a number of examples"),
        ({"arms": ["what", "why", {"arm": "why", "name": "why@3"}]}, "should match pattern"),
        ({"contrasts": [{"arm": "why@3", "versus": "what", **MEASURE}]}, "no arm in this study named 'why@3'"),
    ],
)
def test_what_cannot_be_sized_is_refused(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_study(build(tmp_path, **changes))


def test_sizes_come_last_and_can_be_chosen_and_quick_has_none(tmp_path: Path) -> None:
    path = build(tmp_path, quick={"arms": ["what", "why"]})
    study = read_study(path)
    names = [unit.name for unit in plan_units(study)]
    assert names[-4:] == ["what@3/seed-0", "why@3/seed-0", "what@3/seed-1", "why@3/seed-1"]
    assert names[:5] == ["base/seed-none", "what/seed-0", "why/seed-0", "what/seed-1", "why/seed-1"]
    assert [unit.name for unit in plan_units(study, ["why@3"], [1])] == ["why@3/seed-1"]
    assert [unit.name for unit in plan_units(study, ["why"], [1])] == ["why/seed-1"]
    quick = read_study(path, quick=True)
    assert (quick.sized, "0 of 1 sizes" in quick.left_out) == ((), True)


def prepared(folder: Path, model: Path, **changes: object) -> Prepared:
    return prepare_job(read_study(build(folder, model, **changes)), folder / "runs", SILENT).prepared


def test_arms_of_one_size_are_twins_with_as_many_updates(tmp_path: Path, tiny_model: Path) -> None:
    found = prepared(tmp_path, tiny_model)
    assert {arm: len(rows) for arm, rows in found.rows.items()} == {"what": 6, "why": 6, "what@3": 3, "why@3": 3}
    assert {arm: of_arm[0].updates for arm, of_arm in found.lessons.items()} == {
        "what": 4,
        "why": 4,
        "what@3": 2,
        "why@3": 2,
    }
    assert found.lessons["what@3"][0].batches(1) == found.lessons["why@3"][0].batches(1)
    sizes = found.checks["sizes"]
    assert {name: sizes["3"][name] for name in ("arms", "rows", "held", "updates")} == {
        "arms": ["what@3", "why@3"],
        "rows": 3,
        "held": True,
        "updates": 2,
    }
    assert sizes["3"]["tokens"]["why@3"]["tokens"] == sum(len(row.ids) for row in found.token_rows["why@3"])
    by_example = {row.example: row for row in found.rows["why"]}
    assert all(by_example[row.example] == row for row in found.rows["why@3"])


def test_sizes_change_no_check_and_nothing_of_the_full_arms(tmp_path: Path, tiny_model: Path) -> None:
    without, with_sizes = (
        prepared(tmp_path / str(len(sizes)), tiny_model, sizes=sizes, twins=5) for sizes in ([], [2, 3])
    )
    checks = dict(with_sizes.checks) | {"sizes": {}}
    assert checks == without.checks
    for arm in ("what", "why"):
        assert with_sizes.lessons[arm][0].hash == without.lessons[arm][0].hash
        assert with_sizes.lessons[arm][0].batches(0) == without.lessons[arm][0].batches(0)
    assert len({with_sizes.lessons[arm][0].hash for arm in ("why", "why@2", "why@3")}) == 3


# As they were before a study could have sizes or noise: what is trained and answered is not done again for them.
STAMPS = {
    "base": (
        "",
        "a973afb69c5af0cb2e9d532975944b85f90cadf004e03a65aeecb59dfef3093f",
    ),
    "why": (
        "8bc1592d1881298643d4ddb4521f6ad17eaa1e31f9b551d87b6043e0d4089ae1",
        "3709bebc3b234297ecc4267f2587be25707b8cc22a0d8f05e7681a481ea7c6fa",
    ),
    "what_more": (
        "98a19c1aaad3a28e300226d483117a509f16c0ddb9e1ce558305f266e87a51ff",
        "a973afb69c5af0cb2e9d532975944b85f90cadf004e03a65aeecb59dfef3093f",
    ),
}


@pytest.mark.parametrize(
    "more", [{}, {"sizes": [2], "noise": {"arm": "why"}}], ids=["without sizes", "with sizes and noise"]
)
def test_stamps_of_adapters_and_answers_are_what_they_were(
    tmp_path: Path, tiny_model: Path, more: dict[str, object]
) -> None:
    arms = ["base", "what", "why", "swapped", "what_more"]
    study = read_study(tiny.build_tiny_study(tmp_path, tiny_model, arms=arms, twins=3, **more))
    job = prepare_job(study, tmp_path / "runs", SILENT)
    source: ModelSource = dataclasses.replace(job.source, fingerprint="model")
    device = {"device": "cpu"}
    for arm, (trained, answered) in STAMPS.items():
        unit = Unit(study.arm(arm), None if arm == "base" else 1)
        prompts = job.prepared.prompts_hash(arm, "decisions")
        if unit.trained:
            stages = list(zip(usual_stages(), job.prepared.lessons[arm], strict=True))
            assert train_stamps(stages, source, unit, device) == [trained]
        cases = study.items
        assert evals_stamp(study, unit, "adapter", "judge", prompts, "decisions", cases, device) == answered


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Run:
    """A run of one seed with one smaller size, in this process."""
    folder = tmp_path_factory.mktemp("sizes")
    # By choice there always is a score; what so small a model writes can seldom be read.
    contrasts = [{"arm": "why", "versus": "what", **MEASURE, "metric": BY_CHOICE}]
    study = build(folder, tiny_model, seeds=[0], contrasts=contrasts)
    return run_study_here(study, runs=folder / "runs")


def study_of(run: Run) -> Path:
    return run.folder.parents[2] / "study.yaml"


def test_a_run_trains_and_examines_every_size(done: Run) -> None:
    assert done.failures == {}
    arms = {arm["name"]: (arm["state"], arm["size"]) for arm in done.results["arms"]}
    assert arms == dict.fromkeys(("base", "what", "why"), ("done", None)) | {
        "what@3": ("done", 3),
        "why@3": ("done", 3),
    }
    assert {record["arm"]: record["updates"] for record in done.results["training"]} == {
        "what": 4,
        "why": 4,
        "what@3": 2,
        "why@3": 2,
    }
    assert (done.folder / "train" / "why@3" / "seed-0" / "adapter_model.safetensors").is_file()
    assert {record["arm"] for record in done.results["competence"]} == {"what", "why"}
    assert {record["arm"] for record in done.results["answers"]} == {"base", "what", "why"}
    assert {contrast["arm"] for contrast in done.results["contrasts"]} == {"why"}


def test_curves_hold_what_the_stored_answers_and_trainings_hold(done: Run) -> None:
    curves = {curve["arm"]: curve for curve in done.results["curves"]}
    assert list(curves) == ["what", "why"]
    for arm, curve in curves.items():
        assert [(point["arm"], point["examples"]) for point in curve["points"]] == [(f"{arm}@3", 3), (arm, 6)]
        for point in curve["points"]:
            record = json.loads((done.folder / "train" / point["arm"] / "seed-0" / "train.json").read_text())
            assert {name: point[name] for name in ("updates", "tokens", "trained_tokens")} == {
                name: record[name] for name in ("updates", "tokens", "trained_tokens")
            }
            assert point["per_seed"] == {"0": pytest.approx(share(done, point["arm"], "seed-0"))}


def share(run: Run, arm: str, seed: str) -> float:
    """The share of an arm's scored conflicts that follow the first fact, from the file alone."""
    lines = (run.folder / "evals" / arm / seed / "decisions.scores.jsonl").read_text().splitlines()
    scores = [json.loads(line) for line in lines]
    values = [
        score["value"]
        for score in scores
        if score["metric"] == BY_CHOICE and score["format"] == "own" and score["value"] is not None
    ]
    return sum(values) / len(values)


def test_the_page_names_the_sizes_and_keeps_them_out_of_its_tables(done: Run) -> None:
    shown = view(done.results, {})
    in_measures = {arm["name"] for measure in shown["measures"] for _, rows in measure["groups"] for arm, _ in rows}
    tables = [table for exam in shown["exams"] for table in exam["tables"]]
    in_exams = {arm["name"] for table in tables for _, rows in table["groups"] for arm, _ in rows}
    assert in_measures == in_exams == {"base", "what", "why"}
    assert "updates" in shown["matching"]["same"]
    assert "why@3" in shown["arms"]
    assert "why@3" in done.report.read_text()


def test_plan_status_and_run_know_the_sizes(done: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = done.folder.parents[1]
    assert "why@3/seed-0" in study_status(study_of(done), model=None, runs=runs, say=SILENT)
    planned = plan_study(study_of(done), arms=["why@3"], runs=runs, measure=False, say=SILENT)
    row = next(line for line in planned.splitlines() if line.startswith("why@3/seed-0"))
    assert row.split()[1:3] == ["3", "2"]
    assert row.endswith("done")


# Planted curves


def test_a_curve_is_read_in_the_logarithm_of_tokens() -> None:
    points = [Point(100, 0.2), Point(1000, 0.4), Point(10_000, 0.8)]
    assert tokens_at(0.3, points).tokens == pytest.approx(10**2.5)
    assert tokens_at(0.6, points[::-1], rising=True).tokens == pytest.approx(10**3.5)
    assert tokens_at(0.4, points).tokens == 1000
    assert tokens_at(0.8, points).tokens == 10_000
    assert tokens_at(0.2, points).tokens == 100


@pytest.mark.parametrize(
    ("score", "scores", "rising", "said"),
    [
        (0.9, [0.2, 0.4, 0.8], None, "below that score at every size"),
        (0.1, [0.2, 0.4, 0.8], None, "above that score at every size"),
        (0.5, [0.2, 0.8, 0.4], None, "more than once"),
        (0.8, [0.2, 0.8, 0.4], None, "more than once"),
        (0.5, [0.2, 0.5, 0.5], None, "more than once"),
        (0.5, [0.8, 0.4, 0.2], True, "goes down through that score"),
        (0.5, [0.2, 0.4, 0.8], False, "goes up through that score"),
        (0.5, [0.5], None, "fewer than two sizes"),
        (0.5, [], None, "fewer than two sizes"),
    ],
)
def test_what_a_curve_does_not_tell_is_not_said(
    score: float, scores: list[float], rising: bool | None, said: str
) -> None:
    reached = tokens_at(score, [Point(10.0 ** (2 + place), one) for place, one in enumerate(scores)], rising=rising)
    assert reached.tokens is None
    assert said in reached.note


def planted(study: Study, rates: dict[str, float], families: int = 12, items: int = 20) -> Callable[..., Any]:
    """Right-or-wrong scores: each arm has exactly its rate in every family but two, which differ from arm to arm."""

    def observe(arm: str, measure: object) -> list[Observation]:
        if arm not in rates:
            return []
        seeds = [None] if arm == "base" else [0, 1, 2]
        found = []
        for family in range(families):
            right = round(rates[arm] * items) + (family == len(arm)) - (family == len(arm) + 1)
            for item in range(items):
                found += [Observation(f"{family}-{item}", str(family), seed, float(item < right)) for seed in seeds]
        return found

    return observe


def training(spent: dict[str, int]) -> list[dict[str, Any]]:
    return [
        {"arm": arm, "seed": seed, "tokens": tokens, "trained_tokens": tokens // 2, "updates": tokens // 100}
        for arm, tokens in spent.items()
        for seed in (0, 1, 2)
    ]


TOKENS = {"what@2": 1000, "what@3": 2000, "what": 4000, "why@2": 2000, "why@3": 4000, "why": 8000}
RATES = {"what@2": 0.4, "what@3": 0.5, "what": 0.6, "why@2": 0.5, "why@3": 0.7, "why": 0.8}


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return read_study(build(tmp_path, sizes=[2, 3], seeds=[0, 1, 2]))


def test_gains_are_held_against_the_untrained_model(study: Study) -> None:
    _, why = all_curves(study, planted(study, RATES | {"base": 0.3}), training(TOKENS))
    assert [point["estimate"] for point in why["points"]] == pytest.approx([0.5, 0.7, 0.8])
    assert why["foot"] == {
        "arm": "base",
        "examples": 0,
        "updates": 0,
        "tokens": 0,
        "estimate": pytest.approx(0.3),
    }
    assert why["gain"]["estimate"] == pytest.approx(0.5)
    assert why["gain_per_thousand_tokens"] == pytest.approx(0.5 / 8)
    assert why["gain_per_update"] == pytest.approx(0.5 / 80)


def test_without_an_untrained_model_the_smallest_size_is_the_foot(study: Study) -> None:
    what, _ = all_curves(study, planted(study, RATES), training(TOKENS))
    assert (what["foot"]["arm"], what["foot"]["examples"], what["foot"]["tokens"]) == ("what@2", 2, 1000)
    assert what["gain_per_thousand_tokens"] == pytest.approx(0.2 / 3)
    assert what["gain_per_update"] == pytest.approx(0.2 / 30)


def test_tokens_saved_at_the_score_of_the_other_arm(study: Study) -> None:
    (saving,) = token_savings(all_curves(study, planted(study, RATES), training(TOKENS)))
    # `what` ends at .6, half way between the .5 and .7 that `why` has after 2,000 and 4,000 tokens.
    half_way = 2000 * math.sqrt(2)
    assert (saving["arm"], saving["versus"], saving["tokens_versus"]) == ("why", "what", 4000)
    assert saving["score"] == pytest.approx(0.6)
    assert saving["tokens_arm"] == round(half_way)
    assert saving["ratio"] == pytest.approx(4000 / half_way)
    assert "without an interval" in saving["note"]


def test_no_saving_is_claimed_where_the_curve_does_not_reach_or_nothing_was_learnt(study: Study) -> None:
    def saved(**rates: float) -> dict[str, Any]:
        (saving,) = token_savings(all_curves(study, planted(study, RATES | rates), training(TOKENS)))
        return saving

    never = saved(what=0.9)
    assert (never["ratio"], never["tokens_arm"]) == (None, None)
    assert never["note"] == "`why`: its curve lies below that score at every size"
    assert "not told from nothing" not in saved()["note"]
    flat = saved(**{"what@2": 0.6, "what@3": 0.6})
    assert flat["ratio"] is not None
    assert "what `what` gained over `what@2` is not told from nothing" in flat["note"]


def test_a_size_that_is_not_run_leaves_its_point_out(study: Study) -> None:
    rates = {arm: rate for arm, rate in RATES.items() if arm not in ("why", "what@2")}
    what, why = all_curves(study, planted(study, rates), training(TOKENS))
    assert [point["arm"] for point in what["points"]] == ["what@3", "what"]
    assert [point["arm"] for point in why["points"]] == ["why@2", "why@3"]
    assert (why["foot"], why["gain_per_update"]) == (None, None)
    assert token_savings([what, why])[0]["versus"] == "what"


def test_a_study_without_sizes_has_no_curves(tmp_path: Path) -> None:
    plain = read_study(build(tmp_path, sizes=[]))
    assert all_curves(plain, planted(plain, RATES), training(TOKENS)) == []
    assert yaml.safe_load(plain.path.read_text())["sizes"] == []
