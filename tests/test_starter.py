"""The study that `teachwhy init` writes: whole, sound, and every setting explained."""

from __future__ import annotations

import re
from collections import Counter

import pytest
import tiny
import yaml

from teachwhy.study import StudySettings, read_study
from teachwhy.study.arm_setting import ArmSetting
from teachwhy.study.starter import STARTER_FILES
from teachwhy.study.study_settings import (
    CompetenceSetting,
    ContrastSetting,
    FormatSettings,
    NoiseSettings,
    QuickSettings,
)
from teachwhy.text import words
from teachwhy.train.settings import TrainSettings

MODELS = (
    StudySettings,
    TrainSettings,
    FormatSettings,
    ContrastSetting,
    CompetenceSetting,
    ArmSetting,
    QuickSettings,
    NoiseSettings,
)


@pytest.fixture
def starter(teachwhy, tmp_path):
    """The folder of a starter study, as init writes it."""
    folder = tmp_path / "mine"
    done = teachwhy("init", folder)
    assert done.code == 0
    assert done.out.splitlines()[-1] == f"next: teachwhy run {folder}"
    return folder


def test_init_writes_four_files(starter):
    assert sorted(path.name for path in starter.iterdir()) == sorted(STARTER_FILES)


def test_it_is_read_and_has_what_the_page_needs(starter):
    study = read_study(starter)
    assert Counter(example.principle for example in study.examples) == {"lending": 8, "quiet": 8, "repairs": 8}
    assert len(study.items) == 24
    assert all(item.gold for item in study.items)
    groups = Counter((item.kind, item.distance) for item in study.items)
    assert groups == {("agree", "plain"): 12, ("conflict", "near"): 12}
    assert study.settings.contrasts
    assert study.settings.competence
    assert study.settings.question


def test_its_decisions_are_balanced(starter):
    study = read_study(starter)
    for principle in study.policy.ids:
        taught = Counter(example.decision for example in study.examples if example.principle == principle)
        asked = Counter(item.gold for item in study.items if item.principle == principle)
        assert set(taught.values()) == set(asked.values()) == {4}
        assert set(taught) == set(asked)


def test_its_texts_beside_the_action_are_of_one_length(starter):
    for example in read_study(starter).examples:
        why, swapped, neutral = (
            len(words(text)) for text in (f"{example.mention} {example.reason}", example.swapped, example.neutral)
        )
        assert max(why, swapped, neutral) - min(why, swapped, neutral) <= 3, example.id


def test_check_passes_with_any_arm(starter, teachwhy, tmp_path):
    path = starter / "study.yaml"
    model = tiny.build_tiny_model(tmp_path / "model", context=2048)  # its tokens are bytes
    text = path.read_text().replace("bundled:smollm2-135m\n", f"{model}\n", 1)
    path.write_text(text)
    assert teachwhy("check", starter).code == 0
    path.write_text(re.sub(r"^  # - ", "  - ", text, flags=re.MULTILINE))
    done = teachwhy("check", starter)
    assert (done.code, done.out) == (0, "0 errors, 0 warnings\n"), "the lines commented out can be taken in"
    assert "24 rows in 12 arms are twins" in done.err


def test_every_setting_stands_in_it_with_its_default(starter):
    text = (starter / "study.yaml").read_text()
    for model in MODELS:
        for name in model.model_fields.keys() - {"until"}:  # which `checkpoints` sets, and nobody writes
            assert re.search(rf"\b{name}:", text), f"{name} is not shown"
    bare = {"name": "x", "examples": ["x"], "items": ["x"], "arms": ["why"], "seeds": [0]}
    settings = StudySettings.model_validate(bare)
    shown = re.findall(r"^  # (\w+): +(\S+)", text, flags=re.MULTILINE)
    for name, value in shown:
        if name in TrainSettings.model_fields:
            assert getattr(settings.train, name) == yaml.safe_load(value), name
    for name, value in re.findall(r"^# (\w+): +([^#\s]\S*)", text, flags=re.MULTILINE):
        if name in StudySettings.model_fields:
            assert getattr(settings, name) == yaml.safe_load(value), name


@pytest.mark.slow
def test_check_passes_with_the_embedded_model(starter, teachwhy):
    assert teachwhy("check", starter).code == 0
