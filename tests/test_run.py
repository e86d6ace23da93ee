"""A run from end to end on the tiny study: what is done once, what is made again, and what a failure leaves."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import tiny
from in_process import SILENT

from teachwhy.errors import RunError, TeachwhyError
from teachwhy.study import report_study, run_study
from teachwhy.study import run as run_module
from teachwhy.study.arm_setting import ArmSetting
from teachwhy.study.executors.local import put_exams
from teachwhy.study.folder import locked
from teachwhy.study.job import Step
from teachwhy.study.plan import Unit
from teachwhy.study.run import Run
from teachwhy.study.unit import Worker


def never(*arguments: Any, **settings: Any) -> Any:
    raise AssertionError("this must not be done again")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Run:
    """A whole run by two worker processes; tests only read it, or run it again where nothing is left to do."""
    folder = tmp_path_factory.mktemp("finished")
    return run_study(tiny.build_tiny_study(folder, tiny_model), runs=folder / "runs", say=SILENT)


def arm_of(results: dict[str, Any], name: str) -> dict[str, Any]:
    return next(arm for arm in results["arms"] if arm["name"] == name)


def times(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def adapters(run: Path) -> dict[str, bytes]:
    return contents(run, "adapter_model.safetensors")


def answers(run: Path) -> dict[str, bytes]:
    return contents(run, "decisions.jsonl")


def contents(run: Path, name: str) -> dict[str, bytes]:
    return {str(file.relative_to(run)): file.read_bytes() for file in run.rglob(name)}


def change_row(path: Path, **changes: object) -> None:
    """Change the first row of a JSONL file."""
    first, *others = [json.loads(line) for line in path.read_text().splitlines()]
    tiny.write_jsonl(path, [first | changes, *others])


def test_a_run_does_every_unit_and_writes_everything(finished: Run) -> None:
    assert finished.failures == {}
    assert {arm["name"]: (arm["state"], arm["seeds"]) for arm in finished.results["arms"]} == {
        "base": ("done", [None]),
        "policy_in_prompt": ("done", [None]),
        "what": ("done", [0, 1]),
        "why": ("done", [0, 1]),
        "swapped": ("done", [0, 1]),
    }
    assert json.loads((finished.folder / "results.json").read_text()) == finished.results
    assert finished.report.stat().st_size > 0
    assert (finished.folder / "data" / "why.jsonl").is_file()
    assert (finished.folder / "checks.json").is_file()
    assert len(finished.results["training"]) == len(finished.results["canaries"]) == 6
    assert not list(finished.folder.rglob("*.tmp"))


def test_twins_start_from_one_adapter_and_see_the_same_batches(finished: Run) -> None:
    for seed in (0, 1):
        records = [
            json.loads((finished.folder / "train" / arm / f"seed-{seed}" / "train.json").read_text())
            for arm in ("what", "why", "swapped")
        ]
        assert len({record["batches"] for record in records}) == 1
        assert len({record["updates"] for record in records}) == 1
    started = [content for name, content in adapters(finished.folder).items() if "step0" in name]
    assert len(started) == len(set(started)) == 2


def test_a_second_run_touches_nothing(finished: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "run_units", never)
    monkeypatch.setattr(run_module.time, "strftime", lambda *arguments: "another hour")
    before = times(finished.folder)
    again = run_study(Path(finished.folder).parents[2] / "study.yaml", runs=finished.folder.parents[1], say=SILENT)
    assert again.results == finished.results
    assert times(finished.folder) == before


def test_what_workers_kept_goes_even_where_nothing_is_left_to_do(finished: Run) -> None:
    """As after a kill between the last unit and the end of the run."""
    kept = finished.folder / "train" / ".trunk"
    kept.mkdir()
    (kept / "states.safetensors").write_bytes(b"states")
    run_study(Path(finished.folder).parents[2] / "study.yaml", runs=finished.folder.parents[1], say=SILENT)
    assert not kept.exists()


def test_scoring_again_changes_no_result(finished: Run) -> None:
    before = times(finished.folder)
    study = finished.folder.parents[2] / "study.yaml"
    assert report_study(study, runs=finished.folder.parents[1], say=SILENT).results == finished.results
    changed = {path for path, when in times(finished.folder).items() if before.get(path) != when}
    assert changed <= {str(finished.folder), str(finished.report)}


def test_parts_join_to_the_bytes_of_one_run(finished: Run, tiny_study: Path, tmp_path: Path) -> None:
    """Another order, other processes: the same bytes. Real workers, since threads and rounding are set there."""
    runs = tmp_path / "runs"
    part = run_study(tiny_study, arms=["swapped", "why"], seeds=[1], runs=runs, say=SILENT)
    assert arm_of(part.results, "why")["state"] == "part"
    assert arm_of(part.results, "what")["state"] == "not run"
    whole = run_study(tiny_study, runs=runs, say=SILENT)
    assert (whole.folder / "results.json").read_bytes() == (finished.folder / "results.json").read_bytes()
    assert adapters(whole.folder) == adapters(finished.folder)
    assert answers(whole.folder) == answers(finished.folder)
    assert len(set(answers(whole.folder).values())) > 1


@pytest.mark.usefixtures("here")
def test_quick_takes_one_seed_of_three_arms(finished: Run, tiny_study: Path, tmp_path: Path) -> None:
    quick = run_study(tiny_study, quick=True, runs=tmp_path / "runs", say=SILENT)
    states = {arm["name"]: (arm["state"], arm["seeds"]) for arm in quick.results["arms"]}
    assert states["base"] == states["policy_in_prompt"] == ("not run", [])
    assert states["what"] == states["why"] == states["swapped"] == ("part", [0])
    assert quick.folder.name == finished.folder.name


@pytest.mark.usefixtures("here")
def test_a_changed_item_is_examined_again_and_nothing_trained(
    tiny_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    before = run_study(tiny_study, arms=["base", "what"], seeds=[0], runs=tmp_path / "runs", say=SILENT)
    change_row(tiny_study.parent / "items.jsonl", prompt="Here is a door with A, without B.")
    monkeypatch.setattr(Worker, "train", never)
    after = run_study(tiny_study, arms=["base", "what"], seeds=[0], runs=tmp_path / "runs", say=said.append)
    assert after.failures == {}
    assert after.folder != before.folder
    assert f"what/seed-0: took the adapter over from {before.folder.name}" in said
    assert not any("took the answers over" in text for text in said)
    trained = "train/what/seed-0/adapter_model.safetensors"
    assert adapters(after.folder)[trained] == adapters(before.folder)[trained]


@pytest.mark.usefixtures("here")
def test_a_changed_example_is_trained_on_again(tiny_study: Path, tmp_path: Path) -> None:
    said: list[str] = []
    before = run_study(tiny_study, arms=["base", "what"], seeds=[0], runs=tmp_path / "runs", say=SILENT)
    change_row(tiny_study.parent / "examples.jsonl", prompt="The heavy door has both.")
    after = run_study(tiny_study, arms=["base", "what"], seeds=[0], runs=tmp_path / "runs", say=said.append)
    assert after.failures == {}
    assert [text for text in said if "took" in text] == [
        f"base/seed-none: took the answers over from {before.folder.name}"
    ]
    trained = "train/what/seed-0/adapter_model.safetensors"
    assert adapters(after.folder)[trained] != adapters(before.folder)[trained]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("damaged", "damage"),
    [
        ("train/what/seed-0/adapter_model.safetensors", "cut"),
        ("train/what/seed-0/train.json", "cut"),
        ("evals/what/seed-0/decisions.jsonl", "cut"),
        ("evals/what/seed-0/decisions.jsonl", "edited"),
        ("evals/what/seed-0/decisions.json", "gone"),
        ("train/step0/seed-0/adapter_model.safetensors", "cut"),
    ],
)
def test_what_is_damaged_is_made_again_and_nothing_is_lost(
    tiny_study: Path, tmp_path: Path, damaged: str, damage: str
) -> None:
    runs = tmp_path / "runs"
    before = run_study(tiny_study, arms=["what"], seeds=[0], runs=runs, say=SILENT)
    results, weights, said = (
        (before.folder / "results.json").read_bytes(),
        adapters(before.folder),
        answers(before.folder),
    )
    file = before.folder / damaged
    if damage == "gone":
        file.unlink()
    elif damage == "edited":
        file.write_text(file.read_text().replace("{", "{ ", 1))
    else:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    if "step0" in damaged:  # read only when something is trained
        (before.folder / "train" / "what" / "seed-0" / "train.json").unlink()
    after = run_study(tiny_study, arms=["what"], seeds=[0], runs=runs, say=SILENT)
    assert after.failures == {}
    assert (after.folder / "results.json").read_bytes() == results
    assert adapters(after.folder) == weights
    assert answers(after.folder) == said


def test_scoring_damaged_answers_is_an_error_that_says_what_to_do(tiny_study: Path, tmp_path: Path, here: None) -> None:
    runs = tmp_path / "runs"
    done = run_study(tiny_study, arms=["base"], runs=runs, say=SILENT)
    file = done.folder / "evals" / "base" / "seed-none" / "decisions.jsonl"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(RunError, match=r"base/seed-none is no longer what was written(?s:.*)teachwhy run"):
        report_study(tiny_study, runs=runs, say=SILENT)


@pytest.mark.usefixtures("here")
def test_a_failed_unit_is_a_failed_row_while_the_others_finish(
    tmp_path: Path, tiny_model: Path, teachwhy: Callable[..., Any]
) -> None:
    """A learning rate that moves no weight: the canary refuses the adapter."""
    still = tiny.tiny_settings(tiny_model)["train"] | {"learning_rate": 1e-30}  # type: ignore[operator]
    study = tiny.build_tiny_study(tmp_path / "study", tiny_model, train=still, seeds=[0])
    done = teachwhy("run", study, "--runs", tmp_path / "runs", "--arms", "base,what")
    assert done.code == 1
    assert "failed: what/seed-0: The adapter is not applied" in done.err
    results = json.loads(next((tmp_path / "runs").rglob("results.json")).read_text())
    assert arm_of(results, "base")["state"] == "done"
    assert arm_of(results, "what")["state"] == "failed"
    assert "not applied" in arm_of(results, "what")["failures"]["what/seed-0"]
    assert {rate["arm"] for rate in results["rates"]} == {"base"}


@pytest.mark.usefixtures("here")
def test_an_unforeseen_failure_leaves_its_traceback(
    tiny_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = Worker.train

    def poisoned(worker: Worker, unit: Unit, tell: Any) -> None:
        if unit.arm.name == "why":
            raise ZeroDivisionError("poisoned")
        train(worker, unit, tell)

    monkeypatch.setattr(Worker, "train", poisoned)
    done = run_study(tiny_study, arms=["why", "what"], seeds=[0], runs=tmp_path / "runs", say=SILENT)
    assert done.failures.keys() == {"why/seed-0"}
    assert "ZeroDivisionError: poisoned" in done.failures["why/seed-0"]
    assert "Traceback" in (done.folder / "logs" / "why-seed-0.txt").read_text()
    assert arm_of(done.results, "what")["seeds"] == [0]


@pytest.mark.usefixtures("here")
def test_a_folder_that_cannot_be_locked_is_said_and_not_taken_for_one_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refused)
    told: list[str] = []
    with (
        pytest.raises(RunError, match="cannot be locked: No locks available") as stopped,
        locked(tmp_path, told.append),
    ):
        pass
    assert (stopped.value.where, told) == (str(tmp_path), [])


def test_a_second_run_waits_for_the_lock_and_says_so(tiny_study: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    first = run_study(tiny_study, arms=["base"], runs=runs, say=SILENT)
    said: list[str] = []
    results: list[Run] = []
    second = threading.Thread(
        target=lambda: results.append(run_study(tiny_study, arms=["base"], runs=runs, say=said.append)), daemon=True
    )
    with (first.folder / ".lock").open() as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        second.start()
        wait_until(lambda: bool(said))
        assert said == [f"Another run works in {first.folder}; waiting for it to end."]
        assert second.is_alive()
    second.join(timeout=30)
    assert [run.results for run in results] == [first.results]


@pytest.mark.usefixtures("here")
def test_what_a_killed_run_left_half_written_is_swept_away(tiny_study: Path, tmp_path: Path) -> None:
    done = run_study(tiny_study, arms=["base"], runs=tmp_path / "runs", say=SILENT)
    half = done.folder / "train" / "what" / ".seed-0.123.tmp"
    half.mkdir(parents=True)
    (half / "adapter_model.safetensors").write_bytes(b"half")
    (done.folder / ".results.json.123.tmp").write_text("{")
    run_study(tiny_study, arms=["base"], runs=tmp_path / "runs", say=SILENT)
    assert not list(done.folder.rglob("*.tmp"))


def test_a_seed_that_the_study_lacks_is_refused(tiny_study: Path, tmp_path: Path) -> None:
    with pytest.raises(TeachwhyError, match="no seed"):
        run_study(tiny_study, seeds=[7], runs=tmp_path / "runs", say=SILENT)
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_killed_worker_costs_its_unit_alone(tiny_study: Path, tmp_path: Path) -> None:
    killed: list[str] = []

    def kill_first(message: dict[str, Any]) -> None:
        """Kill all workers as soon as one has begun: new ones must take up what is left."""
        if not killed and message.get("phase") == "loading":
            killed.append(message["unit"])
            for process in workers():
                os.kill(process.pid, signal.SIGKILL)

    some = {"arms": ["base", "what"], "seeds": [0], "runs": tmp_path / "runs", "say": SILENT}
    done = run_study(tiny_study, **some, on_message=kill_first)
    assert killed
    assert set(killed) <= set(done.failures) <= {"base/seed-none", "what/seed-0"}
    assert all("code -9 (killed" in cause for cause in done.failures.values())
    assert not workers()
    assert run_study(tiny_study, **some).failures == {}


def workers() -> list[psutil.Process]:
    children = psutil.Process().children()
    return [child for child in children if "teachwhy.study.worker" in " ".join(child.cmdline())]


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def test_the_last_trainings_go_before_the_exams_that_wait() -> None:
    what, why, swapped = (Unit(ArmSetting(name=name, arm=name), 0) for name in ("what", "why", "swapped"))
    two_wait = [Step(why, "training"), Step(swapped, "training")]
    put_exams(Step(what, "training"), [what], two_wait, workers=2)
    assert two_wait[0] == Step(what, "exams")
    one_waits = [Step(swapped, "training")]
    put_exams(Step(what, "training"), [what], one_waits, workers=2)
    assert one_waits == [Step(swapped, "training"), Step(what, "exams")]
    put_exams(Step(what, "exams"), [what], one_waits, workers=2)
    assert len(one_waits) == 2
