"""The command line as a user meets it: help, start-up, and looking at a study without running it."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from typer.main import get_command

from teachwhy import cli
from teachwhy.data import ARMS

COMMANDS = sorted(get_command(cli.app).commands)
HEAVY = ("torch", "transformers", "peft", "trl", "inspect_ai", "ray", "scipy", "matplotlib", "datasets")


def test_the_commands_are_these():
    assert COMMANDS == [
        "arms",
        "ask",
        "audit",
        "check",
        "compare",
        "export",
        "generate",
        "health",
        "import",
        "init",
        "join",
        "plan",
        "prompt",
        "recipes",
        "register",
        "report",
        "review",
        "run",
        "show",
        "stages",
        "status",
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(teachwhy, command):
    done = teachwhy(command, "--help")
    assert done.code == 0
    first_line = get_command(cli.app).commands[command].help.splitlines()[0]
    assert first_line.split(".")[0][:30] in " ".join(done.out.split())


def test_help_lists_every_command(teachwhy):
    done = teachwhy("--help")
    assert done.code == 0
    assert all(f" {command} " in done.out for command in COMMANDS)


@pytest.mark.parametrize("module", ["teachwhy", "teachwhy.cli", "teachwhy.study"])
def test_importing_loads_no_heavy_library(module):
    code = f"import sys, json, {module}; print(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_an_unknown_command_is_a_plain_error(teachwhy):
    done = teachwhy("rnu")
    assert done.code == 2
    assert "rnu" in done.err
    assert "Traceback" not in done.err


def test_arms_lists_every_arm_with_its_needs(teachwhy):
    done = teachwhy("arms")
    assert done.code == 0
    lines = {line.split()[0]: line for line in done.out.splitlines()}
    assert set(lines) == set(ARMS)
    assert "(needs swapped)" in lines["swapped"]


def test_check_finds_the_tiny_study_sound(teachwhy, tiny_study):
    done = teachwhy("check", tiny_study)
    assert (done.code, done.out) == (0, "0 errors, 0 warnings\n")
    assert "6 rows in 3 arms are twins" in done.err


def test_check_of_a_policy_alone_needs_no_study(teachwhy, tmp_path):
    path = tmp_path / "rules.md"
    path.write_text("## a\nRule: Light the lamp.\nWhy: The lamp, light it.\n")
    done = teachwhy("check", path)
    assert done.code == 0, "a doubt is no error"
    assert f"{path}, line 1: warning" in done.out
    assert "0 errors, 1 warnings" in done.out


def test_show_tells_trained_text_from_what_is_not(teachwhy, tiny_study):
    done = teachwhy("show", tiny_study, "--arm", "swapped", "--row", 2)
    assert done.code == 0
    assert done.out.splitlines() == [
        "[prompt: not trained]",
        "  <|im_start|>system",
        "  Decide.<|im_end|>",
        "  <|im_start|>user",
        "  The door lacks both.<|im_end|>",
        "  <|im_start|>assistant",
        "  ",
        "[swapped: trained]",
        "+ Reason: It lacks B. B is what the door is for.",
        "  ",
        "[action: trained]",
        "+ Action: Leave it.",
        "[end: trained]",
        "+ <|im_end|>",
    ]


def test_a_plan_without_measuring_names_units_and_writes_nothing(teachwhy, tiny_study, tmp_path):
    runs = tmp_path / "runs"
    done = teachwhy("plan", tiny_study, "--no-measure", "--runs", runs)
    assert done.code == 0
    rows = [line.split() for line in done.out.splitlines() if "/seed-" in line]
    assert [row[0] for row in rows][:3] == ["base/seed-none", "policy_in_prompt/seed-none", "what/seed-0"]
    assert len(rows) == 8
    assert rows[2][1:3] == ["6", "4"], "6 rows in batches of 3, twice over, are 4 updates"
    assert str(runs) in done.out
    assert not runs.exists()


def test_a_plan_measures_minutes_and_writes_nothing(teachwhy, tiny_study, tmp_path):
    done = teachwhy("plan", tiny_study, "--runs", tmp_path / "runs")
    assert done.code == 0
    minutes = [float(line.split()[4]) for line in done.out.splitlines() if "/seed-" in line]
    assert len(minutes) == 8
    assert all(0 <= value < 10 for value in minutes)
    assert re.search(r"training tokens/s, [1-9][0-9.]* answers/s", done.out)
    assert not (tmp_path / "runs").exists()


def test_a_plan_may_be_of_a_part(teachwhy, tiny_study):
    quick = teachwhy("plan", tiny_study, "--no-measure", "--quick").out
    assert [line.split()[0] for line in quick.splitlines() if "/seed-" in line] == [
        "what/seed-0",
        "why/seed-0",
        "swapped/seed-0",
    ]
    part = teachwhy("plan", tiny_study, "--no-measure", "--arms", "why, base", "--seeds", "1").out
    assert [line.split()[0] for line in part.splitlines() if "/seed-" in line] == ["base/seed-none", "why/seed-1"]


def test_status_before_any_run(teachwhy, tiny_study, tmp_path):
    done = teachwhy("status", tiny_study, "--runs", tmp_path / "runs")
    assert done.code == 0
    assert "0 of 8 units done; no run is at work" in done.out
    assert not (tmp_path / "runs").exists()
