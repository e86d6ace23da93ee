"""How the health of a corpus scales: all checks from 1,000 to 10,000 lessons, looking for duplicates to 100,000.

Run: python -m bench.health [--rounds 2] [--out FILE]

The lessons are drawn word by word, each word after one that it follows in the bundled examples, so that words and short
runs recur as they do in real text. All checks: the command itself, from file to page, with policy and items, in a
process of its own. Duplicates: the two checks of duplicates alone, on lessons made in that process. Sizes take turns
within a round. Processor seconds are what counts: other work on the machine lengthens the time on the clock. A share of
the lessons is an earlier one again, or one with a word changed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
STUDY = ROOT / "studies" / "assistant"
ALL_CHECKS = (1_000, 3_000, 10_000)
DUPLICATES = (1_000, 10_000, 30_000, 100_000)
AGAIN = 0.02  # of the lessons are an earlier one, half of them with a word changed
WORDS = {"prompt": 60, "action": 60, "reason": 60, "neutral": 60, "mention": 60, "paraphrase": 60}
LIMIT_SECONDS, LIMIT_MEGABYTES = 180, 500  # of 10,000 lessons, all checks


def lessons(count: int, fields: Sequence[str] = tuple(WORDS)) -> Iterator[dict[str, str]]:
    """So many examples with those texts, always the same ones."""
    rng = random.Random(0)
    told = [json.loads(line) for line in (STUDY / "examples.jsonl").read_text(encoding="utf-8").splitlines()]
    follows: dict[str, list[str]] = defaultdict(list)
    for example in told:
        for field in WORDS:
            spoken = example[field].split()
            for word, after in zip(["", *spoken], [*spoken, ""], strict=True):
                follows[word].append(after)
    earlier: list[dict[str, str]] = []
    for number in range(count):
        if earlier and rng.random() < AGAIN:
            texts = dict(rng.choice(earlier))
            if rng.random() < 0.5:
                texts["action"] = " ".join([*texts["action"].split()[:-1], "otherwise."])
        else:
            texts = {field: written(follows, WORDS[field], rng) for field in fields}
            earlier = [*earlier[-499:], texts]
        of = told[number % len(told)]
        yield {"id": str(number), "principle": of["principle"], "decision": of["decision"], **texts}


def written(follows: Mapping[str, Sequence[str]], words: int, rng: random.Random) -> str:
    found: list[str] = []
    word = ""
    while len(found) < words:
        word = rng.choice(follows[word])
        if word:
            found.append(word)
    return " ".join(found)


def look_for_duplicates(count: int) -> None:
    """In this process: makes the lessons, looks, and prints the processor seconds of looking alone."""
    from teachwhy.generate.health import Lesson
    from teachwhy.generate.health.check import Corpus, checked
    from teachwhy.generate.health.repeats import exact_duplicates, near_duplicates

    made = [Lesson(one["id"], "", "", one["prompt"], one["action"]) for one in lessons(count, ("prompt", "action"))]
    began, clock = time.process_time(), time.perf_counter()
    found = [checked(Corpus(made, None, ()), one) for one in (exact_duplicates, near_duplicates)]
    seconds = {"processor": time.process_time() - began, "clock": time.perf_counter() - clock}
    assert all(record["state"] == "flagged" for record in found), found
    print(json.dumps(seconds | {"flagged": [record["flagged_in_all"] for record in found]}))


def process(arguments: Sequence[str]) -> dict[str, Any]:
    """Run it to its end: processor and clock seconds, peak memory, and what it printed."""
    began = time.perf_counter()
    with subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        said = child.stdout.read()
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{' '.join(arguments)} failed.")
    kilobytes = used.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return {
        "processor": used.ru_utime + used.ru_stime,
        "clock": time.perf_counter() - began,
        "megabytes": kilobytes / 1000,
        "said": said,
    }


def all_checks(count: int, folder: Path) -> dict[str, Any]:
    corpus = folder / f"{count}.jsonl"
    if not corpus.exists():
        corpus.write_text("".join(json.dumps(one) + "\n" for one in lessons(count)), encoding="utf-8")
    known = ["--policy", str(STUDY / "policy.md"), "--items", str(STUDY / "items.jsonl")]
    return process(["-m", "teachwhy", "health", str(corpus), *known, "--out", str(folder / f"{count}.html")])


def duplicates(count: int, folder: Path) -> dict[str, Any]:
    measured = process(["-m", "bench.health", "--duplicates", str(count)])
    return measured | json.loads(measured["said"])


def measure(rounds: int, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Each kind of measurement, a row a size: medians over the rounds, and how much longer than the smallest."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name, sizes, run in (("all checks", ALL_CHECKS, all_checks), ("duplicates", DUPLICATES, duplicates)):
        runs: dict[int, list[dict[str, Any]]] = {count: [] for count in sizes}
        for _ in range(rounds):
            for count in sizes:
                runs[count].append(run(count, folder))
                print(f"  {name}, {count:,} lessons: {runs[count][-1]['processor']:.1f} s", flush=True)
        rows = []
        for count in sizes:
            of_size = runs[count]
            seconds = {kind: round(median(one[kind] for one in of_size), 2) for kind in ("processor", "clock")}
            rows.append(
                {
                    "lessons": count,
                    "processor_seconds": seconds["processor"],
                    "clock_seconds": seconds["clock"],
                    "milliseconds_a_lesson": round(1000 * seconds["processor"] / count, 3),
                    "peak_megabytes": round(max(one["megabytes"] for one in of_size)),
                }
            )
        for row in rows:
            row["times_the_smallest"] = round(row["processor_seconds"] / rows[0]["processor_seconds"], 1)
            row["times_the_lessons"] = row["lessons"] / rows[0]["lessons"]
        found[name] = rows
    return found


def table(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    lines = [f"{'':12} {'lessons':>8} {'processor':>10} {'clock':>8} {'a lesson':>9} {'peak':>7}"]
    lines += [
        f"{name:12} {row['lessons']:8,} {row['processor_seconds']:8.1f} s {row['clock_seconds']:6.1f} s "
        f"{row['milliseconds_a_lesson']:6.2f} ms {row['peak_megabytes']:4} MB"
        for name, rows in found.items()
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--duplicates", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "health.json")
    chosen = parser.parse_args()
    if chosen.duplicates:
        look_for_duplicates(chosen.duplicates)
        return
    with tempfile.TemporaryDirectory(prefix="teachwhy-health-") as folder:
        found = measure(chosen.rounds, Path(folder))
    load = [round(one, 1) for one in os.getloadavg()]
    largest = found["all checks"][-1]
    record = {
        "note": "Other work ran on the same processors; processor seconds are told beside the clock for that reason.",
        "machine": {"processors": os.cpu_count(), "load_average": load, "python": sys.version.split()[0]},
        "rounds": chosen.rounds,
        "within_limits": largest["clock_seconds"] < LIMIT_SECONDS and largest["peak_megabytes"] < LIMIT_MEGABYTES,
        **{name.replace(" ", "_"): rows for name, rows in found.items()},
    }
    chosen.out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(table(found))


if __name__ == "__main__":
    main()
