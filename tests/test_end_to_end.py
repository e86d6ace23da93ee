"""A whole study on the embedded model, through the command line, as a new user would run it (slow)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from teachwhy.text import words


def teachwhy(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "teachwhy.cli", *arguments],
        cwd=cwd,
        env=os.environ.copy(),
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_a_starter_study_runs_on_the_embedded_model_and_a_second_run_finds_it_done(tmp_path: Path) -> None:
    assert teachwhy("init", "mine", cwd=tmp_path).returncode == 0
    first = teachwhy("run", "mine", "--quick", "--arms", "why,swapped", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    results = next(tmp_path.glob("runs/*/*/results.json"))
    before = results.read_bytes()
    found = json.loads(before)
    assert {arm["name"]: arm["state"] for arm in found["arms"]} == {"what": "not run", "why": "done", "swapped": "done"}
    assert (results.parent / "report.html").stat().st_size > 10_000
    assert all(record["last_loss"] < record["first_loss"] for record in found["training"])
    assert all(record["base"] != record["peft"] for record in found["canaries"])
    second = teachwhy("run", "mine", "--quick", "--arms", "why,swapped", cwd=tmp_path)
    assert second.returncode == 0, second.stderr
    assert "after" not in second.stderr, "a finished study was worked on again"
    assert results.read_bytes() == before


@pytest.mark.slow
def test_the_embedded_model_writes_reasons_for_ones_own_examples(tmp_path: Path) -> None:
    assert teachwhy("init", "mine", cwd=tmp_path).returncode == 0
    asked = ["why", "--policy", "mine/policy.md", "--teacher", "bundled:smollm2-135m", "--without", "rewrite,gate"]
    made = teachwhy("generate", *asked, "--count", "2", "--out", "lessons", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    lessons = [json.loads(line) for line in (tmp_path / "lessons/lessons.jsonl").read_text().splitlines()]
    assert lessons, made.stdout
    assert all(20 <= len(words(lesson["reason"])) <= 60 for lesson in lessons)
    assert "judged its own work" not in made.stdout, "the gate was left out"
