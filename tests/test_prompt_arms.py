"""Prompt arms: what each shows of a policy, and what a policy must have for it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import prompt_world
import pytest
import tiny
from bad_input import assert_refused
from prompt_world import MORE, NEUTRAL, RULES, WHYS

from teachwhy.data import ARMS, find_arm
from teachwhy.errors import InputError
from teachwhy.models import ModelSource
from teachwhy.policy import Policy, check_policy, parse_policy
from teachwhy.study import prepare_job, read_study
from teachwhy.study.plan import study_stamp

SILENT = lambda text: None  # noqa: E731


def policy(**texts: bool) -> Policy:
    return parse_policy(prompt_world.policy_text(**texts), Path("policy.md"))


def lines(arm: str, of: Policy | None = None) -> list[str]:
    return find_arm(arm).system_text(of or policy()).splitlines()


def test_the_policy_in_the_prompt_is_to_the_letter_what_it_was():
    """As before there were other prompt arms: what is answered is not asked again."""
    parsed = parse_policy(tiny.POLICY + "Boundaries: Not in summer.\n", Path("policy.md"))
    assert find_arm("policy_in_prompt").system_text(parsed) == (
        "Follow these rules.\n"
        "Lock the door when night falls; otherwise leave it open. Why: People asleep cannot watch over what they own.\n"
        "Light the lamp when guests are coming; otherwise keep it dark. Why: A stranger on the path may fall and be "
        "hurt.\n"
        "Heat the stove when somebody shivers; otherwise save the wood. Why: A body that grows too cold falls ill "
        "within hours. Boundaries: Not in summer."
    )


def test_each_arm_puts_its_own_text_beside_every_rule():
    assert find_arm("base").system_text(policy()) == ""
    assert lines("rules_in_prompt") == ["Keep these rules.", *RULES.values()]
    assert lines("whys_in_prompt") == ["Keep these rules.", *(f"Why: {why}" for why in WHYS.values())]
    for arm, label, texts in (
        ("policy_in_prompt", "Why", WHYS),
        ("rules_neutral_in_prompt", "Note", NEUTRAL),
        ("more_rules_in_prompt", "Also", MORE),
    ):
        assert lines(arm)[1:] == [f"{RULES[name]} {label}: {texts[name]}" for name in RULES], arm


def test_boundaries_belong_to_the_rule_and_stand_in_every_arm_that_has_rules():
    bounded = parse_policy(prompt_world.policy_text() + "Boundaries: Not in summer.\n", Path("policy.md"))
    for arm in ARMS.values():
        if arm.in_prompt and arm.name != "whys_in_prompt":
            assert arm.system_text(bounded).endswith(" Boundaries: Not in summer."), arm.name


def test_shuffled_whys_are_all_there_and_none_beside_its_own_rule():
    shuffled = lines("rules_shuffled_in_prompt")[1:]
    assert sorted(line.partition("Why: ")[2] for line in shuffled) == sorted(WHYS.values())
    assert not any(WHYS[name] in line for name, line in zip(RULES, shuffled, strict=True))
    assert shuffled == lines("rules_shuffled_in_prompt")[1:], "always the same"


def test_one_why_is_left_out_and_nothing_else():
    for name in RULES:
        whole, without = lines("policy_in_prompt"), lines(f"without_why.{name}")
        changed = [place for place, (one, other) in enumerate(zip(whole, without, strict=True)) if one != other]
        assert changed == [1 + list(RULES).index(name)]
        assert without[changed[0]] == RULES[name]


def test_prompt_arms_train_nothing_and_are_of_one_length_where_they_say_so():
    for name in ("policy_in_prompt", "rules_neutral_in_prompt", "more_rules_in_prompt", "rules_shuffled_in_prompt"):
        arm = find_arm(name)
        assert not arm.trained
        assert not arm.reasons
        assert len(arm.system_text(policy()).split()) == pytest.approx(
            len(find_arm("policy_in_prompt").system_text(policy()).split()), abs=3
        )


@pytest.mark.parametrize(("arm", "label"), [("rules_neutral_in_prompt", "Neutral:"), ("more_rules_in_prompt", "More:")])
def test_an_arm_that_needs_a_text_names_the_principle_the_line_and_the_remedy(arm: str, label: str):
    last = policy(neutral=False, more=False).principles[2]
    lacking = dataclasses.replace(policy(), principles=(*policy().principles[:2], last))
    with pytest.raises(InputError) as refused:
        find_arm(arm).system_text(lacking)
    said = str(refused.value)
    line = lacking.principles[2].line
    assert "'stove'" in said
    assert f"policy.md, line {line}" in said
    assert label in refused.value.remedy


def test_a_shuffle_of_one_and_an_unknown_principle_are_refused():
    alone = dataclasses.replace(policy(), principles=policy().principles[:1])
    with pytest.raises(InputError, match="at least two principles"):
        find_arm("rules_shuffled_in_prompt").system_text(alone)
    with pytest.raises(InputError, match="stove") as refused:
        find_arm("without_why.stoves").system_text(policy())
    assert "Did you mean 'stove'?" in refused.value.remedy


def test_unknown_arms_are_told_of_the_arms_of_principles():
    for name in ("without_why", "without_why.", "with_why.door"):
        with pytest.raises(InputError) as refused:
            find_arm(name)
        assert "without_why.PRINCIPLE" in refused.value.remedy


def test_check_knows_the_labels_and_compares_lengths(tmp_path: Path):
    path = tmp_path / "policy.md"
    path.write_text(prompt_world.policy_text())
    assert check_policy(path) == []
    path.write_text(prompt_world.policy_text().replace(NEUTRAL["lamp"], "Too short."))
    (found,) = check_policy(path)
    assert (found.level, found.line) == ("warning", 11)
    assert "`Neutral:` of 'lamp' has 2 words and its why 13" in found.message
    path.write_text(prompt_world.policy_text().replace(NEUTRAL["lamp"], WHYS["lamp"]))
    assert [finding.message for finding in check_policy(path)] == [
        "The `Neutral:` of 'lamp' says what its why says; it is to justify nothing."
    ]
    path.write_text(prompt_world.policy_text().replace(f"More: {MORE['stove']}\n", ""))
    assert [finding.message for finding in check_policy(path)] == [
        "Principle 'stove' has no `More:` and others do; an arm made of it needs all."
    ]


def test_texts_that_few_policies_have_change_no_stamp_of_those_without(tmp_path: Path):
    study = read_study(tiny.build_tiny_study(tmp_path, "model"))
    source = ModelSource("model", "model", "model")
    stamp = study_stamp(study, source, source)
    assert stamp["policy"] == "0ff61035371722675fac950ad01c0f80fb99cf7cd5ca238a7f21f356754507d9", "as it was before"
    assert "sampling" not in stamp["settings"]


def test_every_prompt_arm_can_stand_in_a_study_and_its_length_is_counted(tmp_path: Path, tiny_model: Path):
    arms = ["base", "policy_in_prompt", "rules_in_prompt", "without_why.door"]
    path = tiny.build_tiny_study(tmp_path, tiny_model, arms=arms, seeds=[0], contrasts=[], exploratory=[])
    job = prepare_job(read_study(path), tmp_path / "runs", SILENT)
    lengths = job.prepared.checks["prompts"]
    assert list(lengths) == arms[1:]
    words = {arm: length["words"] for arm, length in lengths.items()}
    assert words["policy_in_prompt"] > words["without_why.door"] > words["rules_in_prompt"] > 0
    for arm in arms[1:]:
        text = find_arm(arm).system_text(job.study.policy)
        assert lengths[arm]["tokens"] >= len(text), "the tiny model has a token for every byte"
        assert all(text in prompt for prompt in job.prepared.prompts[arm].values())


def test_a_study_whose_policy_lacks_a_text_is_refused_before_anything_runs(teachwhy, tmp_path: Path, tiny_model: Path):
    path = tiny.build_tiny_study(
        tmp_path, tiny_model, arms=["base", "rules_neutral_in_prompt"], contrasts=[], exploratory=[]
    )
    done = teachwhy("run", path, "--runs", tmp_path / "runs")
    assert_refused(done, "'rules_neutral_in_prompt'", "'door'", "policy.md, line 6", "`Neutral:`")


def test_a_trained_arm_without_examples_is_refused(teachwhy, tmp_path: Path, tiny_model: Path):
    arms = ["base", "what", "why", "swapped"]
    path = tiny.build_tiny_study(tmp_path, tiny_model, examples=[], arms=arms)
    assert_refused(teachwhy("run", path, "--runs", tmp_path / "runs"), "'what' is trained", "'examples'")
