"""Bad study files and policies: refused with the field or line, and the name that was probably meant."""

from __future__ import annotations

import pytest
import tiny
from bad_input import assert_refused, edit_study

# ---- the study file


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: [tiny\n", "line 2"),
        ("name: tiny\n arms: [why]\n", "line 2"),
        ("name: tiny\n\tarms: [why]\n", "line 2"),
        ("- a\n- b\n", "not a mapping"),
        ("just words\n", "not a mapping"),
        ("# nothing but a remark\n", "'name' is missing"),
        ("name: tiny\nname: other\n", "'name' stands twice"),
        ("name: tiny\ntrain:\n  rank: 4\n  rank: 8\n", "'rank' stands twice"),
        ("name: 2024-13-45\n", "month must be in 1..12"),
        ("name: tiny\x07\n", "special characters are not allowed"),
        ("name: tiny\n1: 2\n", "'arms' is missing"),
        ("? [a, b]\n: c\n", "line 1"),
        ("name: *nobody\n", "undefined alias"),
        ("name: !!python/name:os.system\n", "line 1"),
        ("name: tiny\n---\nname: other\n", "line 2"),
        ("name: " + "[" * 1500, "nested too deeply"),
    ],
)
def test_yaml_that_cannot_be_read(teachwhy, tiny_study, text, said):
    tiny_study.write_text(text)
    assert_refused(teachwhy("check", tiny_study), said, str(tiny_study))


CONTRAST = {"arm": "why", "versus": "swapped", "metric": "follows_first_fact"}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"arm": ["why"]}, "no field named 'arm' Did you mean 'arms'?"),
        ({"name": None}, "valid string 'name'"),
        ({"name": "a/b"}, "'name'"),
        ({"name": ".."}, "'name'"),
        ({"arms": ["base", "wy"]}, "no arm named 'wy' Did you mean 'why'? 'arms'"),
        ({"arms": "why"}, "valid list 'arms'"),
        ({"arms": []}, "at least 1 item 'arms'"),
        ({"arms": ["why", "why", "swapped"]}, "Two arms are named 'why'"),
        ({"arms": ["why", {"arm": "swapped", "name": "../out"}]}, "'arms.1.name'"),
        ({"arms": ["why", "swapped", {"arm": "what", "name": "step0"}]}, "cannot be named 'step0'"),
        ({"arms": [{"arm": "why", "reson": "last"}, "swapped"]}, "no field named 'reson' Did you mean 'reason'?"),
        ({"arms": [{"arm": "why", "reason": "middle"}, "swapped"]}, "first|last 'arms.0.reason'"),
        ({"arms": [{"name": "mine"}, "swapped"]}, "'arms.0.arm' is missing"),
        ({"seeds": ["one"]}, "'seeds.0' integer"),
        ({"seeds": 3}, "'seeds' list"),
        ({"seeds": []}, "'seeds'"),
        ({"seeds": [0.5]}, "'seeds.0' integer"),
        ({"seeds": [-1]}, "'seeds.0' greater than or equal to 0"),
        ({"seeds": [2**40]}, "'seeds.0' less than"),
        ({"seeds": [1, 1]}, "seed stands twice"),
        (
            {"train": {"learning_rat": 1}},
            "no field named 'learning_rat' Did you mean 'learning_rate'? 'train.learning_rat'",
        ),
        ({"train": {"learning_rate": -1}}, "'train.learning_rate' greater than 0"),
        ({"train": {"learning_rate": "fast"}}, "'train.learning_rate' number"),
        ({"train": {"learning_rate": float("nan")}}, "'train.learning_rate'"),
        ({"train": {"epochs": float("inf")}}, "'train.epochs' finite"),
        ({"train": {"epochs": 0}}, "'train.epochs'"),
        ({"train": {"batch": 2.5}}, "'train.batch' integer"),
        ({"train": {"schedule": "cosin"}}, "'train.schedule' cosine"),
        ({"train": None}, "'train'"),
        ({"train": []}, "'train'"),
        ({"max_new_tokens": -4}, "'max_new_tokens'"),
        ({"max_new_tokens": 5000}, "max_new_tokens the model holds 512"),
        ({"workers": 0}, "'workers'"),
        ({"level": 2}, "'level' less than 1"),
        ({"device": "gpu"}, "'device' cuda"),
        ({"dtype": "fp32"}, "'dtype' float32"),
        ({"exams": ["decision"]}, "no exam named 'decision' Did you mean 'decisions'?"),
        ({"shared": ["sytem"]}, "no shareable text named 'sytem' Did you mean 'system'?"),
        ({"contrasts": [CONTRAST | {"arm": "neutral"}]}, "no arm in this study named 'neutral' 'contrasts.0'"),
        ({"contrasts": [CONTRAST | {"versus": "swaped"}]}, "Did you mean 'swapped'? 'contrasts.0'"),
        ({"contrasts": [CONTRAST | {"metric": "follows"}]}, "no metric named 'follows'"),
        ({"contrasts": [CONTRAST | {"exam": "honeypots"}]}, "no exam in this study named 'honeypots'"),
        ({"contrasts": [CONTRAST | {"subset": {"knd": "agree"}}]}, "Did you mean 'kind'?"),
        ({"contrasts": [CONTRAST | {"subset": {"kind": "conflct"}}]}, "Did you mean 'conflict'? 'contrasts.0'"),
        ({"exploratory": [CONTRAST | {"subset": {"distance": "near"}}]}, "'near' seen_wording 'exploratory.0'"),
        ({"contrasts": {"arm": "why"}}, "'contrasts' list"),
        ({"competence": {"at_least": 2}}, "'competence.at_least'"),
        ({"competence": {"metric": "corect"}}, "no metric named 'corect' Did you mean 'correct'? 'competence'"),
        ({"examples": "examples.jsonl"}, "valid list 'examples'"),
        ({"examples": ["example.jsonl"]}, "does not exist example.jsonl"),
        ({"examples": ["examples.jsonl", "examples.jsonl"]}, "'door-0' is used twice"),
        ({"items": []}, "'items'"),
        ({"items": [""]}, "is a folder"),
        ({"policy": "a\0b"}, "null"),
        ({"model": "./nowhere"}, "no model at this path ./nowhere"),
        ({"model": "bundled:smolm2"}, "no bundled model named 'smolm2' Did you mean 'smollm2-135m'?"),
        ({"model": "policy.md"}, "neither a model folder config.json policy.md"),
        ({"model": "x" * 300}, "x" * 300),
        ({"model": 3}, "'model' string"),
        ({"format": {"reason_marker": 3}}, "'format.reason_marker'"),
        ({"format": {"place": "last"}}, "no field named 'place' 'format.place' Valid: action_marker"),
    ],
    ids=str,
)
def test_study_files_that_do_not_fit(teachwhy, tiny_study, fields, said):
    edit_study(tiny_study, **fields)
    done = teachwhy("plan", tiny_study, "--no-measure")
    assert_refused(done)
    for word in said.split():
        assert word in done.err, done.err


def test_a_device_that_is_not_here(teachwhy, tiny_study, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    edit_study(tiny_study, device="cuda")
    assert_refused(teachwhy("plan", tiny_study, "--no-measure"), "no cuda device", "device: auto")


# ---- the policy


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("Why: A stranger on the path may fall and be hurt.\n", "", "'lamp' has no `Why:`"),
        ("Why: A stranger on the path may fall and be hurt.", "Why:", "'lamp' has no `Why:`"),
        ("Rule: Light", "rule: Light", "'lamp' has no `Rule:`"),
        ("## lamp: The lamp", "## The lamp", "has no id"),
        ("\n## lamp: The lamp", "## The lamp", "has no id"),
        ("## lamp: The lamp", "##lamp: The lamp", "has no id"),
        ("## lamp: The lamp", "## door: The lamp", "Two principles have the id 'door'; the first stands on line 6"),
        ("Follow these rules.\n---", "Follow these rules.", "never closed"),
        ("title: House rules", "title: [House rules", "line 3"),
        ("title: House rules", "title: a\ntitle: b", "'title' stands twice"),
    ],
)
def test_policies_that_do_not_hold(teachwhy, tiny_study, before, after, said):
    policy = tiny_study.parent / "policy.md"
    assert before in tiny.POLICY
    policy.write_text(tiny.POLICY.replace(before, after))
    assert_refused(teachwhy("plan", tiny_study), said, f"{policy}, line ")
    alone = teachwhy("check", policy)
    assert alone.code == 2
    assert said in alone.out + alone.err


def test_a_policy_without_principles(teachwhy, tiny_study):
    policy = tiny_study.parent / "policy.md"
    policy.write_text("# Rules\n\nBe good.\n")
    assert_refused(teachwhy("plan", tiny_study), "no principle", str(policy))
