"""Kill a run again and again at random instants: does it end with the bytes of a run that was never killed?

Run: python bench/kill.py [--kills 20] [--study PATH [--quick] [--calm RUNS]] [--seed 0]

Without a study it takes the tiny one of the tests (three units, offline). Each kill is a SIGKILL of the command's own
process, in a phase drawn from those that the undisturbed run went through; its workers must be gone within five
seconds by themselves. A run that finishes before its kill counts as a finished round, and the next begins afresh. At
last two runs work in one folder at once. Exits 1 on any difference, on a worker left over and on a file left over.

With --calm the undisturbed run is one made before, in the folder RUNS, and the last step is left out.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
COMMAND = "import teachwhy.progress as p; p.PLAIN_EVERY_SECONDS = 0.0; from teachwhy.cli import main; main()"
MARK = "TEACHWHY_BENCH_KILL"  # an environment variable by which all descendants of a process are found
WORKERS_GONE_SECONDS = 5.0
PHASES = ("starting", "loading", "training", "writing after training", "examining", "between units")
PAUSES = dict.fromkeys(PHASES, 5.0)  # seconds, where no undisturbed run was watched
PROGRESS = re.compile(r"^\S+/seed-\w+ (\w+) (\d+)/(\d+)")


@dataclass(frozen=True)
class Point:
    """Where a run is: a phase, and which share of its steps is done."""

    phase: str
    share: float


@dataclass
class Command:
    """One `teachwhy run` at work, and the points that it has told of, with their times."""

    process: subprocess.Popen[str]
    mark: str
    said: list[str] = field(default_factory=list)
    points: list[tuple[float, Point]] = field(default_factory=list)

    def listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line.rstrip())
            self.points.append((time.monotonic(), point_of(line)))

    def finish(self) -> None:
        if self.process.wait() != 0:
            raise SystemExit(f"teachwhy run ended with code {self.process.returncode}:\n" + "\n".join(self.said[-10:]))
        self.points.append((time.monotonic(), Point("ended", 1.0)))


def point_of(line: str) -> Point:
    found = PROGRESS.match(line)
    if not found:
        return Point("between units" if "/seed-" in line else "starting", 0.0)
    phase, done, total = found[1], int(found[2]), int(found[3])
    if phase not in ("loading", "training"):
        phase = "examining"
    if phase != "loading" and done == total:
        return Point(f"writing after {phase}", 0.0)
    return Point(phase, done / total)


@dataclass(frozen=True)
class Calm:
    """What the run that nobody disturbed came to.

    study: what `teachwhy run` was given. pauses: phase -> mean seconds from one of its points to the next.
    """

    study: list[str]
    contents: dict[str, str]
    pauses: dict[str, float]


def undisturbed(study: list[str], runs: Path) -> Calm:
    command = start(study, runs)
    command.finish()
    return Calm(study, contents(runs), pauses(command))


def start(study: list[str], runs: Path) -> Command:
    mark = f"{os.getpid()}-{time.monotonic_ns()}"
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "run", *study, "--runs", str(runs)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {MARK: mark},
    )
    command = Command(process, mark, points=[(time.monotonic(), Point("starting", 0.0))])
    threading.Thread(target=command.listen, daemon=True).start()
    return command


def pauses(command: Command) -> dict[str, float]:
    spans: dict[str, list[float]] = {}
    for (begun, point), (ended, _) in itertools.pairwise(command.points):
        spans.setdefault(point.phase, []).append(ended - begun)
    return {phase: sum(found) / len(found) for phase, found in spans.items()}


def kill_at(command: Command, target: Point, delay: float) -> str | None:
    """Kill the command `delay` seconds after it reaches the target; the phase it was in, None if it ended before."""
    while command.process.poll() is None:
        _, now = command.points[-1]
        if now.phase == target.phase and now.share >= target.share:
            time.sleep(delay)
            _, now = command.points[-1]
            command.process.kill()
            return now.phase if command.process.wait() < 0 else None
        time.sleep(0.01)
    return None


def processes_of(mark: str) -> list[psutil.Process]:
    found = psutil.process_iter(["environ"])
    return [process for process in found if (process.info["environ"] or {}).get(MARK) == mark]


def left_over(mark: str) -> list[psutil.Process]:
    """The command's processes that are still there after the time they have to end."""
    end = time.monotonic() + WORKERS_GONE_SECONDS
    while (found := processes_of(mark)) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def contents(runs: Path) -> dict[str, str]:
    """File -> sha256 of results, rows, adapters and answers; of other files the name alone, since they hold times."""
    run = next(runs.glob("*/*/results.json")).parent
    return {str(path.relative_to(run)): digest(path) for path in sorted(run.rglob("*")) if path.is_file()}


def digest(path: Path) -> str:
    compared = path.suffix in (".safetensors", ".jsonl") or path.name == "results.json"
    return hashlib.sha256(path.read_bytes()).hexdigest() if compared else ""


def differences(expected: dict[str, str], found: dict[str, str], where: str) -> list[str]:
    missing = [f"{where}: {name} is missing" for name in expected.keys() - found.keys()]
    left = [f"{where}: {name} is left over" for name in found.keys() - expected.keys()]
    other = [f"{where}: {name} differs" for name in expected.keys() & found.keys() if expected[name] != found[name]]
    return sorted(missing + left + other)


def disturbed(calm: Calm, folder: Path, kills: int, rng: random.Random) -> tuple[Counter[str], list[str]]:
    """Rounds of one study, each begun afresh and killed until it finishes, until `kills` kills are done.

    Returns phase -> kills, and what is wrong.
    """
    targets = draw(sorted(calm.pauses), rng)
    hits: Counter[str] = Counter()
    wrong: list[str] = []
    for number in itertools.count():
        runs = folder / f"round-{number}"
        while True:
            command = start(calm.study, runs)
            target = next(targets)
            delay = calm.pauses[target.phase] * rng.random()
            phase = kill_at(command, target, delay) if hits.total() < kills else None
            if phase is None:
                command.finish()
                break
            hits[phase] += 1
            print(f"{folder.name} {runs.name}: killed in the phase {phase!r}", flush=True)
            wrong += [f"{runs.name}: a worker outlived a kill in the phase {phase!r}" for _ in left_over(command.mark)]
        wrong += differences(calm.contents, contents(runs), str(runs))
        if hits.total() >= kills:
            return hits, wrong


def draw(phases: list[str], rng: random.Random) -> Iterator[Point]:
    """Phases in shuffled rounds, so that each is hit about equally often; a share of it that must be done."""
    while True:
        for phase in rng.sample(phases, len(phases)):
            yield Point(phase, rng.uniform(0, 0.9) if phase in ("training", "examining") else 0.0)


def two_at_once(calm: Calm, runs: Path) -> list[str]:
    """Start a second run while the first is at work: it must say that it waits, and both must find the same."""
    first = start(calm.study, runs)
    while first.process.poll() is None and not first.said:
        time.sleep(0.01)
    second = start(calm.study, runs)
    first.finish()
    second.finish()
    waited = any("waiting for it to end" in line for line in second.said)
    wrong = [] if waited else ["the second of two runs did not say that it waits"]
    return wrong + differences(calm.contents, contents(runs), str(runs))


def tiny_study(folder: Path) -> Path:
    sys.path.insert(0, str(ROOT / "tests"))
    import tiny

    model = tiny.build_tiny_model(folder / "model")
    contrast = {"arm": "why", "versus": "what", "metric": "follows_first_fact"}
    train = tiny.tiny_settings(model)["train"] | {"epochs": 8}
    changes = {"arms": ["base", "what", "why"], "seeds": [0], "workers": 1, "contrasts": [contrast], "exploratory": []}
    return tiny.build_tiny_study(folder / "study", model, train=train, **changes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, help="a study of your own instead of the tiny one")
    parser.add_argument("--quick", action="store_true", help="the quick part of that study alone")
    parser.add_argument("--calm", type=Path, help="the --runs folder of a finished run of that study")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the instants")
    chosen = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="teachwhy-kill-") as name:
        folder = Path(name)
        study = [str(chosen.study or tiny_study(folder)), *(["--quick"] if chosen.quick else [])]
        calm = Calm(study, contents(chosen.calm), PAUSES) if chosen.calm else undisturbed(study, folder / "calm")
        print(f"undisturbed: {time.monotonic() - began:.0f} s, {len(calm.contents)} files", flush=True)
        series = 1 if chosen.study else 2  # of the tiny study two at a time, one a core
        with ThreadPoolExecutor(series) as pool:
            futures = []
            for number in range(series):
                kills = len(range(number, chosen.kills, series))
                rng = random.Random(f"{chosen.seed}-{number}")
                futures.append(pool.submit(disturbed, calm, folder / f"series-{number}", kills, rng))
            ended = [future.result() for future in futures]
        hits = sum((found for found, _ in ended), Counter())
        wrong = [line for _, lines in ended for line in lines]
        wrong += [] if chosen.calm else two_at_once(calm, folder / "together")
    print(f"{hits.total()} kills: " + ", ".join(f"{count} {phase}" for phase, count in hits.most_common()))
    print("\n".join(wrong) if wrong else "every run ended with the same bytes; nothing and nobody was left over")
    print(f"{time.monotonic() - began:.0f} s")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
