"""`teachwhy prompt` from policy to page: planted worlds over real HTTP, faults, samples, budgets, stops and resumes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import chat_server
import prompt_world
import pytest
import yaml
from bad_input import assert_refused, edit_study
from chat_server import ChatServer
from in_process import run_here
from prompt_world import RULES

from teachwhy.errors import InputError, ModelError
from teachwhy.models import Asking
from teachwhy.report import render_report
from teachwhy.report.export import as_markdown
from teachwhy.report.headline import headline
from teachwhy.report.prompts import prompts_view
from teachwhy.study import (
    PromptChoices,
    Spending,
    plan_units,
    prepare_job,
    read_study,
    report_study,
    run_prompts,
    write_prompt_study,
)
from teachwhy.study import run as run_module
from teachwhy.study.estimate import estimate
from teachwhy.study.journal import Asked, Journal
from teachwhy.study.prompt_study import edited
from teachwhy.study.run import Run

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
pytest.importorskip("inspect_ai")

MODEL = "openai-api/local/scripted"
QUICK = Spending(asking=Asking(connections=4, retries=0, seconds=20))
Serve = Callable[..., AbstractContextManager[ChatServer]]
SILENT = lambda text: None  # noqa: E731


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> Serve:
    @contextmanager
    def serve(understands: Callable[[str, str], bool] = prompt_world.follows_whys, **settings: Any) -> Any:
        with chat_server.serving(prompt_world.scripted(understands), **settings) as server:
            monkeypatch.setenv("LOCAL_BASE_URL", server.base_url)
            monkeypatch.setenv("LOCAL_API_KEY", "none")
            monkeypatch.setattr(run_module, "run_units", run_here)
            yield server

    return serve


def build(folder: Path, *, families: int = prompt_world.FAMILIES, **changes: Any) -> Path:
    policy, items = prompt_world.write_world(folder / "world", families=families)
    choices = PromptChoices(folder / "study", policy, [items], MODEL, **changes)
    return write_prompt_study(choices, SILENT)


def run(path: Path, spending: Spending = QUICK) -> Run:
    return run_prompts(path, spending, runs=path.parent.parent / "runs", say=SILENT, on_message=lambda message: None)


def rates(done: Run, metric: str = "correct") -> dict[str, float]:
    return {
        rate["arm"]: rate["estimate"]
        for rate in done.results["rates"]
        if rate["metric"] == metric and not rate["subset"]
    }


def declared(done: Run, versus: str) -> dict[str, Any]:
    return next(one for one in done.results["contrasts"] if one["versus"] == versus)


def answers(done: Run, arm: str, name: str = "edge_cases.jsonl") -> list[dict[str, Any]]:
    path = done.folder / "evals" / arm / "seed-none" / name
    return [json.loads(line) for line in path.read_text().splitlines()]


# Planted worlds


def test_a_model_that_follows_whys_is_found_out(tmp_path: Path, serving: Serve):
    with serving(prompt_world.follows_whys) as server:
        done = run(build(tmp_path))
    assert done.failures == done.unheard == {}
    asked = 2 * prompt_world.FAMILIES * len(RULES) * len(done.results["arms"])
    assert len(server.seen) == asked, "every arm was asked every item, once"
    found = rates(done)
    taught = sum(number % prompt_world.UNTAUGHT > 0 for number in range(prompt_world.FAMILIES)) / prompt_world.FAMILIES
    assert found["policy_in_prompt"] == pytest.approx(0.5 + taught / 2)
    for arm in ("base", "rules_in_prompt", "whys_in_prompt", "rules_neutral_in_prompt", "rules_shuffled_in_prompt"):
        assert found[arm] == 0.5, arm
    first = headline(done.results)
    assert first is not None
    assert first.state == "better"
    assert any("so it is what the reasons say that differs" in point for point in first.points)
    view = prompts_view(done.results, drawn=False)
    assert {row["principle"]: row["says"] for row in view["rows"]} == dict.fromkeys(RULES, "earns its tokens")


def test_a_model_that_follows_any_longer_prompt_is_told_apart_by_the_neutral_text(tmp_path: Path, serving: Serve):
    arms = ["rules_in_prompt", "policy_in_prompt", "rules_neutral_in_prompt"]
    with serving(prompt_world.follows_length) as _:
        done = run(build(tmp_path, arms=arms))
    assert declared(done, "rules_in_prompt")["low"] > 0
    assert declared(done, "rules_neutral_in_prompt")["estimate"] == 0
    first = headline(done.results)
    assert first is not None
    assert first.state == "explained otherwise"
    assert "So the difference cannot be put down to what the reasons say." in first.points


def test_leaving_one_out_finds_the_one_why_that_matters(tmp_path: Path, serving: Serve):
    with serving(prompt_world.needs_one_why) as _:
        done = run(build(tmp_path, arms=["policy_in_prompt", "without_why"]))
    rows = {row["principle"]: row for row in prompts_view(done.results, drawn=False)["rows"]}
    assert rows["door"]["says"] == "earns its tokens"
    assert rows["door"]["own"]["low"] > 0
    for other in ("lamp", "stove"):
        assert rows[other]["own"]["estimate"] == 0
        assert rows[other]["says"] != "earns its tokens"
    assert rows["door"]["words"] == len(prompt_world.WHYS["door"].split()) + 1, "and its label"
    costs = {record["metric"]: record["estimate"] for record in rows["door"]["everywhere"]}
    assert costs["under_application"] < 0, "without it, more of what is to be declined is helped with"
    assert costs["over_application"] == 0, "over-refusal stands beside it"


# The page


def test_the_page_leaves_out_what_needs_probabilities_and_says_so(tmp_path: Path, serving: Serve):
    with serving() as _:
        done = run(build(tmp_path, arms=["rules_in_prompt", "policy_in_prompt", "without_why"], samples=2))
    results = done.results
    assert {metric["name"] for metric in results["metrics"]} == {"correct", "over_application", "under_application"}
    assert {rate["metric"] for rate in results["rates"]} == {"correct", "over_application", "under_application"}
    assert results["unscored"] == []
    assert not any("by_choice" in one["metric"] for one in results["comparisons"])
    page = " ".join(render_report(results, timings={}).split())
    assert "measures by choice are left out" in page
    assert "Each item was asked 2 times at temperature 0.7" in page
    assert "intervals cover items and sampling" in page
    assert "nothing was trained" in page
    assert "Which whys earn their tokens" in page
    assert "scripted-2026-01-01" in page, "the name under which it answered"
    assert "## System prompts" in as_markdown(results)
    asked = {record["arm"]: record for record in results["asked"]}
    assert asked["policy_in_prompt"]["tokens_in"] > asked["rules_in_prompt"]["tokens_in"]


def test_the_study_is_an_ordinary_one(tmp_path: Path, serving: Serve, teachwhy):
    with serving() as server:
        path = build(tmp_path, families=2, arms=["base", "policy_in_prompt"])
        first = run(path)
        count = len(server.seen)
        again = teachwhy("run", path.parent, "--runs", tmp_path / "runs")
        assert again.code == 0, again
        assert len(server.seen) == count, "nothing is asked twice"
        assert report_study(path, runs=tmp_path / "runs", say=SILENT).results == first.results
        assert "policy_in_prompt" in teachwhy("plan", path.parent, "--runs", tmp_path / "runs").out
        told = teachwhy("ask", path.parent, "About the door, case 1: may I? (unsafe)", "--runs", tmp_path / "runs")
        assert told.out.count("Yes, gladly") == 1
        assert told.out.count("No, I won't") == 1


# Samples


def test_samples_are_kept_apart_and_averaged_over_each_item(tmp_path: Path, serving: Serve):
    counts: Counter[str] = Counter()

    def every_other_time(system: str, name: str) -> bool:
        counts[name] += 1
        return counts[name] % 2 == 0

    with serving(every_other_time) as server:
        done = run(build(tmp_path, families=10, arms=["base", "policy_in_prompt"], samples=2))
    assert {body["temperature"] for body in server.seen} == {0.7}
    stored = answers(done, "base")
    assert Counter(answer.get("sample", 0) for answer in stored) == {0: 60, 1: 60}
    rate = next(rate for rate in done.results["rates"] if rate["metric"] == "correct" and not rate["subset"])
    assert (rate["items"], rate["asked"]) == (60, 60), "items are counted, and not samples"
    scores = answers(done, "base", "edge_cases.scores.jsonl")
    correct = [score for score in scores if score["metric"] == "correct"]
    assert rate["right"] == pytest.approx(sum(score["value"] for score in correct) / 2)


def test_more_samples_ask_only_for_those_that_are_not_there(tmp_path: Path, serving: Serve):
    with serving() as server:
        run(build(tmp_path, families=2, arms=["base", "policy_in_prompt"], samples=2))
        before = len(server.seen)
        done = run(build(tmp_path, families=2, arms=["base", "policy_in_prompt"], samples=3))
    assert before == 2 * 2 * 12
    assert len(server.seen) == before + 2 * 12
    assert len(answers(done, "base")) == 3 * 12


def test_another_why_asks_only_the_arms_that_show_it(tmp_path: Path, serving: Serve):
    arms = ["base", "rules_in_prompt", "policy_in_prompt"]
    with serving() as server:
        path = build(tmp_path, families=2, arms=arms)
        run(path)
        before = len(server.seen)
        policy = tmp_path / "world" / "policy.md"
        policy.write_text(policy.read_text().replace(prompt_world.WHYS["lamp"], "Nobody wants a guest to fall there."))
        done = run(path)
    assert len(server.seen) == before + 12
    assert done.folder.parent == tmp_path / "runs" / "study"
    assert len(list(done.folder.parent.glob("asked-*.jsonl"))) == 1


# What goes wrong


def test_what_never_came_is_unscored_with_its_cause_and_asked_again(tmp_path: Path, serving: Serve):
    broken = {"About the lamp, case 1: may I? (fine)"}
    fault = lambda messages: "not json" if messages[-1]["content"] in broken else ""  # noqa: E731
    arms = ["rules_in_prompt", "policy_in_prompt"]
    with serving(always=fault) as server:
        path = build(tmp_path, arms=arms)
        done = run(path)
        assert done.failures == {}
        assert done.unheard == {f"{arm}/seed-none": 1 for arm in arms}
        causes = {(one["arm"], one["metric"], one["cause"]): one["count"] for one in done.results["unscored"]}
        assert causes == {
            (arm, metric, "malformed answer"): 1 for arm in arms for metric in ("correct", "over_application")
        }
        assert declared(done, "rules_in_prompt")["unscored"] == 2
        assert "Answers that never came" in render_report(done.results, timings={})
        count = len(server.seen)
        broken.clear()
        mended = run(path)
    assert len(server.seen) == count + 2
    assert mended.unheard == {}
    assert mended.results["unscored"] == []
    assert mended.folder == done.folder


def test_a_filter_and_a_cut_are_told_on_the_page_and_not_asked_again(tmp_path: Path, serving: Serve):
    def fault(messages: Any) -> str:
        asked = messages[-1]["content"]
        return "filter" if "lamp, case 1:" in asked else "length" if "door" in asked else ""

    with serving(always=fault) as server:
        path = build(tmp_path, families=3, arms=["rules_in_prompt", "policy_in_prompt"])
        done = run(path)
        count = len(server.seen)
        run(path)
    assert len(server.seen) == count
    assert done.unheard == {}
    assert {one["cause"] for one in done.results["unscored"]} == {"stopped by the provider's filter"}
    page = render_report(done.results, timings={})
    assert "Answers that were cut off" in page
    assert [record["cut"] for record in done.results["asked"]] == [6, 6]


def test_a_wrong_key_fails_the_arms_with_what_to_do(tmp_path: Path, serving: Serve):
    with serving(always=lambda messages: "401") as _:
        done = run(build(tmp_path, families=2, arms=["base", "policy_in_prompt"]))
    assert set(done.failures) == {"base/seed-none", "policy_in_prompt/seed-none"}
    assert all("HTTP 401" in cause and "environment variable" in cause for cause in done.failures.values())
    assert [arm["state"] for arm in done.results["arms"]] == ["failed", "failed"]


@pytest.mark.parametrize("fault", ["", "echo 401"])
def test_no_file_of_a_run_holds_the_key_that_a_provider_repeats(
    fault: str, tmp_path: Path, serving: Serve, monkeypatch: pytest.MonkeyPatch
):
    key = "planted-7Q2x9LmZ4vRt8Wc1"
    with serving(always=lambda messages: fault) as server:
        monkeypatch.setenv("LOCAL_API_KEY", key)
        good = server.reply
        server.reply = lambda messages: f"{good(messages)} {key}"
        run(build(tmp_path, families=2, arms=["base", "policy_in_prompt"]))
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(b"***" in path.read_bytes() for path in written), "it was repeated, and is starred out"
    assert not [path for path in written if key.encode() in path.read_bytes() or key[:6].encode() in path.read_bytes()]


def test_a_run_that_is_killed_loses_no_answer(tmp_path: Path, serving: Serve):
    """A real process, killed in the middle; the next one asks what is missing and ends as one never killed."""

    def slowly(system: str, name: str) -> bool:
        time.sleep(0.03)
        return prompt_world.follows_whys(system, name)

    arms = "rules_in_prompt,policy_in_prompt"
    policy, items = prompt_world.write_world(tmp_path / "world", families=10)
    with serving(slowly) as server:
        command = [sys.executable, "-m", "teachwhy", "prompt", "--study", tmp_path / "study", "--policy", policy]
        command += ["--items", items, "--model", MODEL, "--arms", arms, "--runs", tmp_path / "runs"]
        command += ["--connections", "2"]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        process = subprocess.Popen(
            list(map(str, command)), env=environment, start_new_session=True, stdout=-3, stderr=subprocess.PIPE
        )
        while len(server.seen) < 20 and process.poll() is None:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        while server.at_once:
            time.sleep(0.01)
        before = len(server.seen)
        assert 20 <= before < 120, "it was killed in the middle"
        (journal,) = (tmp_path / "runs" / "study").glob("asked-*.jsonl")
        kept = len(Journal.read(journal).known)
        with journal.open("ab") as stream:
            stream.write(b'{"key": "torn in the mid')
        done = run(tmp_path / "study" / "study.yaml")
        assert before - 2 <= kept <= before
        assert len(server.seen) == before + 120 - kept
        other = run(build(tmp_path / "other", families=10, arms=arms.split(",")))
    assert done.results["rates"] == other.results["rates"]
    assert done.results["contrasts"] == other.results["contrasts"]
    assert answers(done, "policy_in_prompt") == answers(other, "policy_in_prompt")


# Money


def test_the_estimate_comes_first_and_the_answers_it_measures_are_not_wasted(tmp_path: Path, serving: Serve, teachwhy):
    policy, items = prompt_world.write_world(tmp_path / "world", families=4)
    common = ["--study", tmp_path / "study", "--runs", tmp_path / "runs"]
    new = [*common, "--policy", policy, "--items", items, "--model", MODEL, "--arms", "base,policy_in_prompt"]
    with serving() as server:
        told = teachwhy("prompt", *new, "--estimate")
        assert told.code == 0, told
        assert len(server.seen) == 2
        assert "48 answers, 2 of them here already" in told.out
        assert "no price of 'openai-api/local/scripted'" in told.out
        assert "$" not in told.out
        assert_refused(teachwhy("prompt", *new, "--budget", 1), "A budget needs a price", "prices.yaml")
        (tmp_path / "study" / "prices.yaml").write_text(f"{MODEL}: {{input: 100, output: 1000}}\n")
        told = teachwhy("prompt", *common, "--estimate")
        done = teachwhy("prompt", *common)
        assert done.code == 0, done
        assert len(server.seen) == 48
    estimated = float(told.out.split("about $")[1].split()[0])
    tokens = [body["messages"] for body in server.seen[2:]]
    words = sum(len(str(message["content"]).split()) for messages in tokens for message in messages)
    spent = words * 100 / 1e6 + 46 * 5 * 1000 / 1e6
    assert estimated == pytest.approx(spent, rel=0.15)


def test_a_server_that_is_down_is_told_before_anything_is_begun(
    tmp_path: Path, teachwhy, monkeypatch: pytest.MonkeyPatch
):
    with chat_server.serving(lambda messages: "") as server:
        monkeypatch.setenv("LOCAL_BASE_URL", server.base_url)
    monkeypatch.setenv("LOCAL_API_KEY", "none")
    path = build(tmp_path, families=2, arms=["base"])
    job = prepare_job(read_study(path), tmp_path / "runs", SILENT)
    with pytest.raises(ModelError, match="did not answer once: connection lost"):
        estimate(replace(job, asking=QUICK.asking), plan_units(job.study))
    assert not (tmp_path / "runs").exists()


def test_a_budget_stops_the_run_in_a_state_that_goes_on(tmp_path: Path, serving: Serve, teachwhy):
    policy, items = prompt_world.write_world(tmp_path / "world", families=4)
    common = ["--study", tmp_path / "study", "--runs", tmp_path / "runs"]
    new = [*common, "--policy", policy, "--items", items, "--model", MODEL, "--arms", "base,policy_in_prompt"]
    prices = tmp_path / "some-prices.yaml"
    prices.write_text(f"{MODEL}: {{input: 0, output: 1000000}}\n")  # a dollar a token: five an answer
    with serving() as server:
        stopped = teachwhy("prompt", *new, "--prices", prices, "--budget", 100, "--max-tokens", 5, "--connections", 2)
        assert stopped.code == 1, stopped
        assert "more than the budget of $100.00" in " ".join(stopped.err.split())
        assert len(server.seen) == 20
        assert "never answered: policy_in_prompt/seed-none" in stopped.err
        same = teachwhy("prompt", *common, "--prices", prices, "--budget", 100, "--connections", 2)
        assert same.code == 1
        assert len(server.seen) == 20, "the budget is of the study and not of the command"
        done = teachwhy("prompt", *common, "--prices", prices, "--budget", 1000)
        assert done.code == 0, done
        assert len(server.seen) == 48


# The study that is written


def test_the_study_holds_the_arms_and_contrasts_that_the_policy_allows(tmp_path: Path):
    policy, items = prompt_world.write_world(tmp_path / "world", families=2, more=False)
    said: list[str] = []
    path = write_prompt_study(PromptChoices(tmp_path / "study", policy, [items], MODEL), said.append)
    study = read_study(path)
    assert [setting.name for setting in study.settings.arms] == [
        *("base", "rules_in_prompt", "policy_in_prompt", "whys_in_prompt", "rules_neutral_in_prompt"),
        *("rules_shuffled_in_prompt", "without_why.door", "without_why.lamp", "without_why.stove"),
    ]
    assert len(said) == 1
    assert "more_rules_in_prompt" in said[0]
    assert [(one.versus, one.metric, one.subset) for one in study.settings.contrasts] == [
        ("rules_in_prompt", "correct", {}),
        ("rules_neutral_in_prompt", "correct", {}),
        ("rules_shuffled_in_prompt", "correct", {}),
        *((f"without_why.{name}", "correct", {"principle": name}) for name in RULES),
    ]
    assert study.settings.model == f"inspect:{MODEL}"
    local = PromptChoices(tmp_path / "local", policy, [items], "bundled:smollm2-135m")
    assert {one.metric for one in read_study(write_prompt_study(local, SILENT)).settings.contrasts} == {"pair_accuracy"}


def test_an_arm_that_is_named_and_cannot_be_made_is_refused(tmp_path: Path):
    policy, items = prompt_world.write_world(tmp_path / "world", families=2, more=False)
    choices = PromptChoices(tmp_path / "study", policy, [items], MODEL, arms=["more_rules_in_prompt"])
    with pytest.raises(InputError, match="'door'"):
        write_prompt_study(choices, SILENT)
    assert not (tmp_path / "study").exists()


def test_a_study_that_was_edited_is_never_written_over(tmp_path: Path, teachwhy):
    path = build(tmp_path, families=2)
    assert not edited(path.read_text())
    build(tmp_path, families=2, samples=3)
    assert yaml.safe_load(path.read_text())["sampling"]["samples"] == 3
    path.write_text(path.read_text().replace("samples: 3", "samples: 4"))
    with pytest.raises(InputError, match="edited"):
        build(tmp_path, families=2)
    assert "samples: 4" in path.read_text()


def test_what_a_model_behind_an_api_cannot_do_is_refused(tmp_path: Path, teachwhy):
    path = build(tmp_path, families=2)
    written = path.read_text()

    def refused(*said: str, **fields: object) -> None:
        path.write_text(written)
        edit_study(path, **fields)
        assert_refused(teachwhy("run", path, "--runs", tmp_path / "runs"), *said)

    measure = {"arm": "policy_in_prompt", "versus": "base", "exam": "edge_cases", "metric": "pair_accuracy"}
    refused("cannot be trained", "why", arms=["base", "policy_in_prompt", "why"], contrasts=[])
    refused("'pair_accuracy' needs the log-probabilities", "correct", contrasts=[measure])
    refused("A judge chooses by", judge=f"inspect:{MODEL}")


def test_a_new_study_needs_policy_model_and_items(teachwhy, tmp_path: Path):
    done = teachwhy("prompt", "--study", tmp_path, "--model", MODEL)
    assert done.code == 2
    assert "--policy" in done.err


def test_an_answer_is_known_again_by_all_that_it_depends_on():
    asked = Asked("arm", 16)
    keys = {
        asked.key("model", "item", "prompt"),
        asked.key("other", "item", "prompt"),
        asked.key("model", "other", "prompt"),
        asked.key("model", "item", "other"),
        Asked("other", 16).key("model", "item", "prompt"),
        Asked("arm", 17).key("model", "item", "prompt"),
        Asked("arm", 16, 0.7).key("model", "item", "prompt"),
        Asked("arm", 16, 0.0, 1).key("model", "item", "prompt"),
    }
    assert len(keys) == 8


# A model with weights


def test_a_model_with_weights_is_asked_by_the_same_command_and_has_measures_by_choice(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(run_module, "run_units", run_here)
    policy, items = prompt_world.write_world(tmp_path / "world", families=2)
    choices = PromptChoices(
        *(tmp_path / "study", policy, [items], str(tiny_model)),
        arms=["base", "rules_in_prompt", "without_why.door", "policy_in_prompt"],
        samples=2,
        temperature=1.0,
        max_new_tokens=6,
    )
    path = write_prompt_study(choices, SILENT)
    edit_study(path, device="cpu", dtype="float32")
    done = run(path)
    assert done.failures == {}
    assert done.results["asked"] == []
    by_arm = rates(done, "pair_accuracy")
    assert set(by_arm) == {"base", "rules_in_prompt", "without_why.door", "policy_in_prompt"}
    assert None not in by_arm.values()
    first, second = ([one for one in answers(done, "base") if one.get("sample", 0) == number] for number in (0, 1))
    assert len(first) == len(second) == 12
    assert [one["text"] for one in first] != [one["text"] for one in second], "drawn anew"
    assert [one["choice"] for one in first] == [one["choice"] for one in second]
