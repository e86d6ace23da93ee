"""The study file: what it holds, what it defaults to, and how its arms become units."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import tiny
import yaml

from teachwhy.errors import InputError
from teachwhy.evals import find_exam
from teachwhy.study import plan_units, prepare_job, read_study, study_path
from teachwhy.study.results import shown_items


def build(tmp_path, **changes: object):
    return tiny.build_tiny_study(tmp_path / "study", "model", **changes)


def test_a_study_holds_what_its_files_say(tmp_path):
    study = read_study(build(tmp_path))
    assert (study.settings.name, len(study.examples), len(study.items)) == ("tiny", 6, 12)
    assert study.policy.ids == ["door", "lamp", "stove"]
    assert study.folder == tmp_path / "study"
    assert [arm.name for arm in study.settings.arms] == ["base", "policy_in_prompt", "what", "why", "swapped"]


def test_a_study_may_be_named_by_its_folder(tmp_path):
    path = build(tmp_path)
    assert study_path(path.parent) == path
    assert read_study(path.parent).settings == read_study(path).settings


def test_what_is_not_written_has_a_default(tmp_path):
    path = build(tmp_path)
    needed = {name: yaml.safe_load(path.read_text())[name] for name in ("name", "examples", "items", "arms", "seeds")}
    path.write_text(yaml.safe_dump(needed))
    settings = read_study(path).settings
    assert (settings.model, settings.policy, settings.exams) == ("bundled:smollm2-135m", "policy.md", ["decisions"])
    assert (settings.format.reason, settings.level, settings.contrasts) == ("first", 0.95, [])


def test_a_model_may_be_named_instead_of_the_written_one(tmp_path):
    assert read_study(build(tmp_path), model="other").settings.model == "other"


def test_quick_leaves_what_the_study_says_and_contrasts_that_can_be_drawn(tmp_path):
    path = build(tmp_path, quick={"arms": ["why"], "items": 4, "sample": 2})
    whole, quick = read_study(path), read_study(path, quick=True)
    assert len(whole.items) == 12
    assert len(quick.items) == 4
    assert quick.settings.sample == 2
    assert [unit.name for unit in plan_units(quick, quick=True)] == ["why/seed-0"]
    kinds = {item.kind for item in quick.items}
    assert all(contrast.subset.get("kind") in {None, *kinds} for contrast in quick.settings.contrasts)


def test_quick_alone_changes_no_study_that_says_nothing_of_it(tmp_path):
    path = build(tmp_path)
    assert read_study(path, quick=True) == read_study(path)


def test_quick_may_only_name_exams_of_the_study(tmp_path):
    with pytest.raises(InputError, match="refusals") as caught:
        read_study(build(tmp_path, quick={"exams": ["refusals"]}))
    assert "quick.exams" in str(caught.value)


def test_arms_may_be_named_again_with_other_settings(tmp_path):
    after = {"arm": "why", "name": "after", "reason": "last"}
    arms = ["why", after, {"arm": "why", "name": "again", "seed_offset": 100}]
    study = read_study(build(tmp_path, arms=arms, contrasts=[], exploratory=[]))
    why, after, again = study.settings.arms
    assert (why.name, after.arm, again.seed_offset) == ("why", "why", 100)
    assert study.exam_format(why).reason_first
    assert not study.exam_format(after).reason_first
    assert [unit.real_seed for unit in plan_units(study, ["again"])] == [100, 101]


def test_an_arm_that_never_learns_to_open_with_its_reason_is_asked_in_both_formats(tmp_path):
    study = read_study(build(tmp_path, arms=["why", "masked_why"], off_format_share=0.1, contrasts=[], exploratory=[]))
    assert [study.exam_format(setting).off_share for setting in study.settings.arms] == [0.1, 1.0]


def test_several_files_are_read_as_one(tmp_path):
    path = build(tmp_path, examples=["one.jsonl", "two.jsonl"])
    tiny.write_jsonl(path.parent / "one.jsonl", tiny.tiny_examples()[:2])
    tiny.write_jsonl(path.parent / "two.jsonl", tiny.tiny_examples()[2:])
    assert [example.id for example in read_study(path).examples] == [row["id"] for row in tiny.tiny_examples()]


def test_scenarios_may_take_the_place_of_items(tmp_path):
    contrast = {"arm": "why", "versus": "what", "exam": "next_act", "metric": "pair_accuracy"}
    changes = {"exams": ["next_act"], "contrasts": [contrast], "exploratory": [], "competence": None, "items": []}
    study = read_study(build(tmp_path / "a", scenarios={"settings": 2}, **changes))
    assert (study.items, study.settings.items) == ((), [])
    cases = find_exam("next_act").cases(study.material)
    assert len(cases) == 4 * len(study.scenarios.families)
    assert shown_items(SimpleNamespace(study=study, prepared=SimpleNamespace(cases={"next_act": cases}))) == cases
    own = read_study(build(tmp_path / "b"))
    assert shown_items(SimpleNamespace(study=own)) == own.items
    with pytest.raises(InputError, match="neither `items` nor `scenarios`"):
        read_study(build(tmp_path / "c", **changes))


def test_off_need_not_be_quoted(tmp_path):
    contrast = {"arm": "why", "versus": "swapped", "metric": "follows_first_fact", "format": False}
    assert read_study(build(tmp_path, contrasts=[contrast])).settings.contrasts[0].format == "off"


def test_units_are_untrained_arms_and_then_seed_by_seed(tmp_path):
    study = read_study(build(tmp_path))
    assert [unit.name for unit in plan_units(study)] == [
        "base/seed-none",
        "policy_in_prompt/seed-none",
        *(f"{arm}/seed-{seed}" for seed in (0, 1) for arm in ("what", "why", "swapped")),
    ]


def test_arms_and_seeds_can_be_chosen_and_count_once(tmp_path):
    study = read_study(build(tmp_path))
    chosen = plan_units(study, ["why", "base", "why"], [1, 1])
    assert [unit.name for unit in chosen] == ["base/seed-none", "why/seed-1"]
    with pytest.raises(InputError, match="no seed in this study named '2'"):
        plan_units(study, None, [2])


def test_parts_of_a_study_share_a_run_folder_and_other_content_has_its_own(tiny_study):
    def folder(**changes: object):
        settings = yaml.safe_load(tiny_study.read_text()) | changes
        changed = tiny_study.with_name("changed.yaml")
        changed.write_text(yaml.safe_dump(settings, sort_keys=False))
        return prepare_job(read_study(changed), tiny_study.parent / "runs", print).run

    first = folder()
    assert folder(seeds=[0, 1, 2]) == first, "more seeds join in the same folder"
    assert folder(max_new_tokens=11) != first
    assert folder(system="Choose.") != first
    assert folder(name="other").parent != first.parent
    examples = tiny_study.parent / "examples.jsonl"
    examples.write_text(examples.read_text().replace("It has A.", "It has A now."))
    assert folder() != first


def test_a_floor_is_held_against_a_group_that_its_exam_tells_apart(tmp_path):
    floor = {"metric": "correct", "subset": {"kind": "agree", "distance": "near"}}
    assert read_study(build(tmp_path / "a", competence=floor)).settings.competence.subset["kind"] == "agree"
    with pytest.raises(InputError, match="group of items in this exam") as caught:
        read_study(build(tmp_path / "b", competence={"metric": "correct", "subset": {"statedness": "stated"}}))
    assert "competence'.subset" in str(caught.value)
