"""What a study would cost elsewhere: reckoned from its tokens, by arithmetic that can be followed by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Done
from in_process import SILENT

from teachwhy.errors import InputError
from teachwhy.models import load_chat
from teachwhy.study import plan_units, prepare_job, read_study
from teachwhy.study.cost import (
    DECODED_TOGETHER,
    READ_A_SECOND,
    READING_USE,
    SECONDS_A_STEP,
    TRAINING_USE,
    Device,
    Work,
    cost_of,
    find_device,
    read_size,
    works_of,
)

WORK = Work(training=1_000_000, updates=100, read=200_000, written=50, answers=256)
DEVICE = Device("one", flops=1e14, memory=80e9, bandwidth=1e12)


def test_hours_are_what_the_tokens_make_them() -> None:
    parameters = 10e9
    found = cost_of([WORK, replace(WORK, training=0, updates=0)], parameters, DEVICE)
    training = 4 * parameters * 1_000_000 / (1e14 * TRAINING_USE)
    assert found.training == pytest.approx(training / 3600)
    reading = 2 * parameters * 200_000 / (1e14 * READING_USE)
    step = 2 * parameters * DECODED_TOGETHER / (1e14 * READING_USE)  # more than the least, and than reading the weights
    assert found.exams == pytest.approx(2 * (reading + 2 * 50 * step) / 3600)
    assert found.loading == pytest.approx((2 + 1) * 2 * parameters / READ_A_SECOND / 3600)
    assert found.longest < found.hours == found.training + found.exams + found.loading
    assert found.devices == 1


def test_a_small_model_waits_for_launches() -> None:
    found = cost_of([WORK], 1e6, DEVICE)
    assert found.training == pytest.approx(100 * SECONDS_A_STEP / 3600)
    assert found.exams == pytest.approx((2 * 50 * SECONDS_A_STEP + 2e6 * 200_000 / (1e14 * READING_USE)) / 3600)


def test_devices_are_as_many_as_hold_the_weights() -> None:
    assert cost_of([WORK], 70e9, DEVICE).devices == 3  # 140 GB, and a quarter more
    assert cost_of([WORK], 70e9, DEVICE, full=True).devices == 17
    assert cost_of([WORK], 8e9, DEVICE, full=True).training > cost_of([WORK], 8e9, DEVICE).training


def test_hours_grow_with_size_and_units() -> None:
    sizes = [cost_of([WORK], size, DEVICE).hours for size in (1e9, 8e9, 70e9)]
    assert sizes == sorted(sizes)
    assert cost_of([WORK] * 6, 8e9, DEVICE).hours == pytest.approx(6 * cost_of([WORK], 8e9, DEVICE).hours)


def test_the_work_of_a_study_is_that_of_its_units(tiny_study: Path) -> None:
    study = read_study(tiny_study)
    job = prepare_job(study, tiny_study.parent / "runs", SILENT)
    units = plan_units(study)
    works = dict(zip([unit.name for unit in units], works_of(job, units, load_chat(job.source)), strict=True))
    assert works["base/seed-none"].training == 0
    lessons = job.prepared.lessons["why"][0]
    assert works["why/seed-1"].training == sum(
        len(lessons.rows[index].ids) for batch in lessons.batches(1) for index in batch
    )
    assert works["policy_in_prompt/seed-none"].read > works["base/seed-none"].read
    assert works["why/seed-0"].answers > 0


@pytest.mark.parametrize(("text", "size"), [("135M", 135e6), ("8b", 8e9), ("1.5B", 1.5e9), ("2e9", 2e9)])
def test_sizes_are_read_as_people_write_them(text: str, size: float) -> None:
    assert read_size(text) == pytest.approx(size)


def test_what_is_no_size_or_device_is_refused(tiny_study: Path, teachwhy: Callable[..., Done]) -> None:
    for text in ("big", "0", "8X", ""):
        with pytest.raises(InputError, match="no number of parameters"):
            read_size(text)
    with pytest.raises(InputError, match="Did you mean 'h100-80gb'"):
        find_device("h100-80g")
    done = teachwhy("plan", tiny_study, "--parameters", "huge", "--runs", tiny_study.parent / "runs")
    assert (done.code, "no number of parameters" in done.err) == (2, True)


def test_the_table_has_a_row_a_size_and_dollars_where_they_are_given(
    tiny_study: Path, teachwhy: Callable[..., Done]
) -> None:
    asked = ["plan", tiny_study, "--parameters", "135M", "--parameters", "70B", "--runs", tiny_study.parent / "runs"]
    done = teachwhy(*asked)
    assert done.code == 0, done.err
    assert [line.split()[0] for line in done.out.splitlines()[2:4]] == ["135M", "70B"]
    assert "dollars" not in done.out
    assert "reckoned and not measured" in done.out
    priced = teachwhy(*asked, "--dollars", 3)
    assert "dollars" in priced.out
