"""Exams through vLLM: by a stand-in everywhere, and by vLLM itself where it is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import tiny
import yaml
from in_process import SILENT, run_study_here

from teachwhy.errors import InputError, ModelError
from teachwhy.models import Choice, Sampling, find_model, generate, load_model, score_choices
from teachwhy.models import vllm as through
from teachwhy.study import read_study, run_study
from teachwhy.study.executors.hand import Hand
from teachwhy.study.executors.local import first_steps, put_exams
from teachwhy.study.job import Step
from teachwhy.study.plan import plan_units
from teachwhy.study.run import Run, prepare_job

STAND_IN = Path(__file__).parent / "vllm_stand_in"
SECONDS = str(10**6 + os.getpid())  # by which the processes that the stand-in starts are known
PROMPTS = ["<|im_start|>user\nA door.<|im_end|>\n<|im_start|>assistant\n", "Once", "The lamp is lit, and"]
CHOICES = [
    Choice(PROMPTS[0] + "Action:", (" Lock it.", " Leave it.")),
    Choice("The stove", (" is cold.", " is.", " is hot, they say.")),
]


def engine_processes() -> list[psutil.Process]:
    """What stands in for vLLM's own processes, and is still there."""
    return [one for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] == ["sleep", SECONDS]]


def all_ended(within_seconds: float = 5.0) -> bool:
    end = time.monotonic() + within_seconds
    while engine_processes() and time.monotonic() < end:
        time.sleep(0.02)
    return not engine_processes()


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The stand-in before anything of that name, here and in worker processes."""
    for name in [name for name in sys.modules if name.split(".")[0] == "vllm"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(STAND_IN))
    monkeypatch.setenv("STAND_IN_SECONDS", SECONDS)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(STAND_IN), os.environ.get("PYTHONPATH", "")]))
    yield
    for process in engine_processes():
        process.kill()
    for name in [name for name in sys.modules if name.split(".")[0] == "vllm"]:
        del sys.modules[name]  # or TRL would take it for vLLM in the tests that follow


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Run:
    """A run by transformers, whose adapters and answers are compared with those through vLLM."""
    folder = tmp_path_factory.mktemp("plain")
    path = tiny.build_tiny_study(folder, tiny_model, **SMALL)
    return run_study_here(path, runs=folder / "runs")


SMALL: dict[str, Any] = {"arms": ["base", "why"], "contrasts": [], "exploratory": [], "seeds": [0], "workers": 1}


def started(model: Path, **options: Any) -> through.VllmModel:
    source = find_model(str(model), base_folder=model, say=SILENT)
    return through.start_vllm(source, dtype="float32", rank=4, options=options)


def adapter_of(run: Run) -> Path:
    return run.folder / "train" / "why" / "seed-0"


def answers_of(run: Run, arm: str) -> list[dict[str, Any]]:
    lines = next((run.folder / "evals" / arm).glob("*/decisions.jsonl")).read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.usefixtures("stand_in")
def test_it_writes_and_scores_as_transformers_does(tiny_model: Path) -> None:
    served = started(tiny_model)
    plain = load_model(served.source, device="cpu", dtype="float32")
    assert through.generate_through(served, PROMPTS, max_new_tokens=12) == generate(plain, PROMPTS, max_new_tokens=12)
    for found, expected in zip(through.score_through(served, CHOICES), score_choices(plain, CHOICES), strict=True):
        assert found == pytest.approx(expected, abs=1e-5)
    assert through.score_through(served, []) == []


@pytest.mark.usefixtures("stand_in")
def test_words_are_drawn_by_their_seeds_alone(tiny_model: Path) -> None:
    served = started(tiny_model)
    seeds = [2**64 - 1, 7, 2**63 + 5]
    drawn = through.generate_through(served, PROMPTS, max_new_tokens=8, sampling=Sampling(1.0, seeds))
    turned = through.generate_through(served, PROMPTS[::-1], max_new_tokens=8, sampling=Sampling(1.0, seeds[::-1]))
    assert drawn == turned[::-1]
    others = through.generate_through(served, PROMPTS, max_new_tokens=8, sampling=Sampling(1.0, [1, 2, 3]))
    assert drawn != others


@pytest.mark.usefixtures("stand_in")
def test_progress_counts_prompts_and_choices(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(through, "HANDFUL", 2)
    told: list[int] = []
    served = started(tiny_model)
    through.generate_through(served, PROMPTS, max_new_tokens=2, progress=told.append)
    assert told == [2, 3]
    told.clear()
    through.score_through(served, CHOICES, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == len(CHOICES)


@pytest.mark.usefixtures("stand_in")
def test_a_run_through_it_has_the_adapters_and_answers_of_one_without(
    tmp_path: Path, tiny_model: Path, finished: Run
) -> None:
    path = tiny.build_tiny_study(tmp_path, tiny_model, **SMALL, engine="vllm")
    run = run_study_here(path, runs=tmp_path / "runs")
    assert not run.failures
    assert run.folder.name != finished.folder.name, "what examines is part of the stamp"
    weights = "adapter_model.safetensors"
    assert (adapter_of(run) / weights).read_bytes() == (adapter_of(finished) / weights).read_bytes()
    for arm in ("base", "why"):
        for found, expected in zip(answers_of(run, arm), answers_of(finished, arm), strict=True):
            assert found["text"] == expected["text"]
            assert found["choice"] == pytest.approx(expected["choice"], abs=1e-4)
    canary = run.results["canaries"][0]
    assert canary["peft"] == pytest.approx(canary["merged"], abs=1e-4)
    assert canary["base"] != pytest.approx(canary["peft"], abs=1e-4)
    assert run.results["model"]["vllm"] == "0"
    assert "vllm 0" in run.report.read_text()
    before = {file: file.stat().st_mtime_ns for file in run.folder.rglob("*.jsonl")}
    run_study_here(path, runs=tmp_path / "runs")
    assert before == {file: file.stat().st_mtime_ns for file in run.folder.rglob("*.jsonl")}, "done is done"


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("fault", ["ignored", "halved", "doubled", "refused"])
def test_an_adapter_that_is_not_applied_as_trained_is_refused(tiny_model: Path, finished: Run, fault: str) -> None:
    served = started(tiny_model, adapters=fault)
    with pytest.raises(ModelError, match="adapter"):
        through.with_adapter(served, adapter_of(finished), dtype="float32", probe=PROMPTS[0] + "Lock it.")


@pytest.mark.usefixtures("stand_in")
def test_a_unit_whose_adapter_is_not_applied_fails_and_says_so(tmp_path: Path, tiny_model: Path) -> None:
    """In a worker process, which starts vLLM of its own."""
    engine = {"name": "vllm", "options": {"adapters": "ignored"}}
    path = tiny.build_tiny_study(tmp_path, tiny_model, **SMALL | {"arms": ["why"]}, engine=engine)
    run = run_study(path, runs=tmp_path / "runs", say=SILENT)
    assert list(run.failures) == ["why/seed-0"]
    assert "does not apply the adapter" in run.failures["why/seed-0"]
    assert all_ended(), "vLLM outlived the worker"


@pytest.mark.parametrize("ended_by", ["itself", "its driver"])
def test_what_a_worker_started_ends_with_it(ended_by: str) -> None:
    """`itself`: a worker that was killed; its driver then ends what is left."""
    line = "import subprocess, io, queue; from teachwhy.study.worker import read_steps; "
    line += f"subprocess.Popen(['sleep', '{SECONDS}']); print('begun', flush=True); "
    line += "import sys; read_steps(sys.stdin.buffer, queue.Queue())"
    process = subprocess.Popen(
        [sys.executable, "-c", line], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.readline()
    assert engine_processes()
    if ended_by == "itself":
        process.kill()
        assert "code -9" in Hand(process, own_group=True).cause_of_death()
    else:
        process.stdin.close()
        process.wait(timeout=30)
    assert all_ended()


@pytest.mark.usefixtures("stand_in")
def test_an_option_that_vllm_does_not_know_is_said_in_one_line(tiny_model: Path) -> None:
    with pytest.raises(ModelError, match=r"vLLM cannot start.*gpu_memory"):
        started(tiny_model, gpu_memory=0.5)


def test_without_vllm_a_study_is_refused_before_anything_is_trained(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(through, "version", missing)
    path = tiny.build_tiny_study(tmp_path, tiny_model, engine="vllm")
    with pytest.raises(ModelError, match="not installed"):
        run_study(path, runs=tmp_path / "runs", say=SILENT)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": {"adapter": "none"}}, "own weights"),
        ({"model": "inspect:mockllm/model", "arms": ["base"], "contrasts": [], "exploratory": []}, "provider"),
        ({"engine": "vlm"}, "vllm"),
        ({"engine": {"name": "vllm", "option": {}}}, "option"),
    ],
)
def test_a_study_that_it_cannot_serve_is_refused(
    tmp_path: Path, tiny_model: Path, changes: dict[str, Any], message: str
) -> None:
    path = tmp_path / "study.yaml"
    tiny.build_tiny_study(tmp_path, tiny_model)
    path.write_text(yaml.safe_dump(tiny.tiny_settings(tiny_model) | {"engine": "vllm"} | changes))
    with pytest.raises(InputError, match=message):
        read_study(path)


@pytest.mark.usefixtures("stand_in")
def test_exams_wait_for_all_trainings(tmp_path: Path, tiny_model: Path, finished: Run) -> None:
    path = tiny.build_tiny_study(tmp_path, tiny_model, engine="vllm")
    job = prepare_job(read_study(path), tmp_path / "runs", SILENT)
    waiting = first_steps(job, plan_units(job.study))
    parts = [step.part for step in waiting]
    assert parts == sorted(parts, key="training exams".split().index)
    ended = waiting.pop(0)
    assert ended.part == "training"
    put_exams(ended, [ended.unit], waiting, 1, apart=True)
    assert waiting[-1] == Step(ended.unit, "exams")


@pytest.mark.parametrize(("rank", "room"), [(1, 1), (4, 8), (16, 16), (33, 64), (600, 600)])
def test_room_is_made_for_the_rank(rank: int, room: int) -> None:
    assert through.room_for(rank) == room


@pytest.mark.parametrize("changes", [([0.0, 0.0], [0.0, 0.0]), ([1.0, -2.0], [1.1, -1.9])])
def test_like_changes_agree(changes: tuple[list[float], list[float]]) -> None:
    assert through.agree(*changes)


@pytest.mark.parametrize("found", [[0.0, 0.0], [2.0, -4.0], [-1.0, 2.0], [2.0, 1.0], [float("nan"), 0.0]])
def test_unlike_changes_do_not(found: list[float]) -> None:
    assert not through.agree(found, [1.0, -2.0])


# vLLM itself


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """vLLM with a model of heads as large as its kernels want them, and an adapter for it."""
    try:
        through.vllm_version()
    except ModelError:
        pytest.skip("vLLM is not installed")
    folder = tmp_path_factory.mktemp("served")
    model = tiny.build_tiny_model(folder / "model", head=64)
    run = run_study_here(tiny.build_tiny_study(folder / "study", model, **SMALL), runs=folder / "runs")
    base = started(model, enforce_eager=True)
    yield SimpleNamespace(base=base, run=run, plain=load_model(base.source, device="cpu", dtype="float32"))
    through.stop_vllm(base)


@pytest.mark.slow
@pytest.mark.enable_socket
def test_vllm_itself_writes_and_scores_as_transformers_does(served: SimpleNamespace) -> None:
    found = through.generate_through(served.base, PROMPTS, max_new_tokens=12)
    assert found == generate(served.plain, PROMPTS, max_new_tokens=12)
    scores = through.score_through(served.base, CHOICES)
    for ours, expected in zip(scores, score_choices(served.plain, CHOICES), strict=True):
        assert ours == pytest.approx(expected, abs=1e-3)


@pytest.mark.slow
@pytest.mark.enable_socket
def test_vllm_itself_applies_an_adapter_as_it_was_trained(served: SimpleNamespace) -> None:
    adapted, canary = through.with_adapter(
        served.base, adapter_of(served.run), dtype="float32", probe=PROMPTS[0] + "Lock it."
    )
    assert canary.peft == pytest.approx(canary.merged, abs=1e-3)
    assert through.score_through(adapted, CHOICES) != through.score_through(served.base, CHOICES)
