"""A teacher that fails in every way, and a run that is killed: no answer is lost, none is bought twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import chat_server
import faulty_teacher
import pytest

from teachwhy.generate import Order, write_lessons
from teachwhy.generate.scripted import answer
from teachwhy.models import Asking

POLICY = """\
## privacy: Private lives
Rule: Do not pass on what a person has kept to themselves.
Why: People live safely when they decide who knows where they live.

## undo: What cannot be undone
Rule: Before something is destroyed for good, make sure that it is meant.
Why: Most mistakes cost an hour; this kind costs the thing itself.
"""
COUNT = 60


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.md"
    path.write_text(POLICY)
    return path


def faulty_command(policy: Path, out: Path, log: Path) -> list[str]:
    return [sys.executable, faulty_teacher.__file__, "examples", str(policy), str(out), str(log), str(COUNT)]


def test_a_faulty_teacher_costs_tries_and_no_lesson_that_a_patient_one_would_give(policy, tmp_path, monkeypatch):
    log = tmp_path / "bought"
    monkeypatch.setattr(
        "teachwhy.generate.open_teacher.ScriptedTeacher",
        lambda purse, wanted: faulty_teacher.FaultyTeacher(purse, wanted, log=log),
    )
    done = write_lessons(Order("examples", policy, "scripted", tmp_path / "out", count=COUNT), lambda text: None)
    told = done.manifest
    causes = Counter()
    for one in told["answers_of_no_use"]:
        causes[one["cause"]] += one["answers"]
    assert {"never came: time-out", "never came: rate limit", "refused", "not as it was asked for"} <= set(causes), (
        causes
    )
    assert told["finished"] + sum(json.loads(line)["lessons"] for line in read(tmp_path / "out/dropped.jsonl")) == COUNT
    bought = Counter(read(log))
    assert max(bought.values()) == 1, "an answer was bought twice"
    assert sum(one["answers"] for one in told["answers"]) == len(bought)


@pytest.mark.slow
def test_killed_at_twenty_random_points_it_ends_with_the_same_corpus(policy, tmp_path):
    """What was under way at a kill is counted, and is all that may be bought twice."""
    whole, log = tmp_path / "whole", tmp_path / "whole.log"
    subprocess.run(faulty_command(policy, whole, log), check=True, env=environment())
    rng, out, log, kills, again = random.Random(7), tmp_path / "killed", tmp_path / "killed.log", 0, 0
    while kills < 20:
        running = subprocess.Popen(
            faulty_command(policy, out, log), stdout=subprocess.PIPE, text=True, env=environment()
        )
        before = wait_for_more(log, rng.randint(3, 12), running)
        if running.poll() is not None:
            break
        time.sleep(rng.random() * 0.02)
        running.send_signal(signal.SIGKILL)
        said = running.communicate()[0]
        again += in_flight(said)
        kills += 1
        assert len(read(log)) >= before
    last = subprocess.run(
        faulty_command(policy, out, log), check=True, env=environment(), capture_output=True, text=True
    )
    again += in_flight(last.stdout)
    assert kills == 20, f"the run was over after {kills} kills; it needs more lessons"
    for name in ("lessons.jsonl", "trail.jsonl", "dropped.jsonl"):
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name
    bought = Counter(read(log))
    twice = sum(count - 1 for count in bought.values())
    assert twice <= again, f"{twice} answers were bought twice, {again} were in flight at a kill"
    assert again <= 20 * faulty_teacher.AT_ONCE


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


def wait_for_more(log: Path, answers: int, running: subprocess.Popen[str]) -> int:
    """Wait until a run has bought so many answers more; returns how many there are."""
    start = len(read(log))
    while len(read(log)) < start + answers and running.poll() is None:
        time.sleep(0.005)
    return len(read(log))


def in_flight(said: str) -> int:
    found = [line for line in said.splitlines() if "under way when the last run ended" in line]
    return int(found[0].split()[0]) if found else 0


def read(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def served(monkeypatch):
    """A server on loopback that answers as the scripted teacher does, with faults by its `always`."""

    @contextmanager
    def serve(**settings):
        with chat_server.serving(lambda messages: answer(messages, 0), **settings) as server:
            monkeypatch.setenv("LOCAL_BASE_URL", server.base_url)
            monkeypatch.setenv("LOCAL_API_KEY", "none")
            yield server

    return serve


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_over_http_faults_cost_tries_and_not_a_single_lesson(policy, tmp_path, served):
    """Rate limits, errors, hangs, lost connections, cut streams and broken JSON at the level of HTTP."""
    asking = Asking(connections=4, retries=0, seconds=1)
    planted = {
        3: "429",
        7: "stall",
        11: "drop",
        15: "cut",
        19: "500",
        23: "not json",
        27: "429",
        31: "page",
        35: "slow",
    }
    seen: list[int] = []

    def fault(messages) -> str:
        seen.append(1)
        return planted.get(len(seen), "")

    def corpus(name: str, **settings) -> bytes:
        told = Order("examples", policy, "openai-api/local/scripted", tmp_path / name, count=8, asking=asking)
        with served(**settings) as server:
            done = write_lessons(told, lambda text: None)
        assert done.manifest["finished"] == 8
        bought[name] = [json.dumps(body["messages"]) for body in server.seen]
        manifests[name] = done.manifest
        return (tmp_path / name / "lessons.jsonl").read_bytes()

    bought: dict[str, list[str]] = {}
    manifests: dict[str, dict] = {}
    assert corpus("faulty", always=fault) == corpus("well")
    failed = sum(one["answers"] for one in manifests["faulty"]["answers_of_no_use"])
    sent_again = len(bought["faulty"]) - len(set(bought["faulty"]))
    # Beside those planted, a slow machine may time out before the server has heard of a request.
    assert len(planted) <= sent_again <= failed, "only what failed was sent again"
    assert set(bought["faulty"]) == set(bought["well"])
    causes = {one["cause"] for one in manifests["faulty"]["answers_of_no_use"]}
    assert {f"never came: {cause}" for cause in ("rate limit", "time-out", "server error")} <= causes, causes
    assert list(manifests["well"]["served_by"]) == ["local / scripted-2026-01-01"]
