"""How writing lessons scales with their number: time and memory of whole runs with the scripted teacher, side by side.

Run: python -m bench.lessons [--counts 1000 3000 10000] [--out FILE]

Each run is a process of its own in a fresh folder. A second run of the largest, which finds every answer, follows.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
POLICY = ROOT / "studies" / "assistant" / "policy.md"
OUT = Path(__file__).with_suffix(".json")


def measured(count: int, out: Path) -> dict[str, Any]:
    """One run. seconds: by the clock; megabytes: the most that its process held."""
    command = [sys.executable, "-m", "teachwhy", "generate", "examples", "--policy", str(POLICY)]
    command += ["--teacher", "scripted", "--count", str(count), "--out", str(out)]
    start = time.perf_counter()
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(running.pid, 0)
    if status:
        raise SystemExit(f"the run of {count} lessons failed: {' '.join(command)}")
    seconds = time.perf_counter() - start
    manifest = json.loads((out / "manifest.json").read_text())
    return {
        "lessons": manifest["finished"],
        "answers": sum(one["answers"] for one in manifest["answers"]),
        "seconds": round(seconds, 2),
        "processor_seconds": round(used.ru_utime + used.ru_stime, 2),
        "megabytes": round(used.ru_maxrss / 1024, 1),
    }


def bench(counts: Sequence[int]) -> dict[str, Any]:
    """The runs, and each against the smallest: for a lesson where that is what should be alike."""
    with tempfile.TemporaryDirectory() as folder:
        runs = [measured(count, Path(folder) / str(count)) for count in counts]
        again = measured(counts[-1], Path(folder) / str(counts[-1]))
    first = runs[0]
    ratios = [
        {
            "lessons": run["lessons"],
            "processor_seconds_a_lesson": round(
                run["processor_seconds"] / run["lessons"] / (first["processor_seconds"] / first["lessons"]), 3
            ),
            "megabytes": round(run["megabytes"] / first["megabytes"], 3),
        }
        for run in runs
    ]
    return {"load_at_start": round(os.getloadavg()[0], 1), "runs": runs, "all_answers_found": again, "ratios": ratios}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 3000, 10_000])
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    found = bench(sorted(arguments.counts))
    arguments.out.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
