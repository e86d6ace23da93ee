"""Time every comparison, interleaved, and write bench/results.json after each.

Run: python -m bench [--out FILE] [--only NAME ...] [--quick] [--threads N] [--study FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import IO, Any

from .comparisons import COMPARISONS, Comparison
from .work import cores

ROOT = Path(__file__).resolve().parent.parent
QUICK_SHARE = 0.25
GIGABYTE = 1e9


class Side:
    """A running process of bench.side. compiled code is cached in `scratch`, so that each bench compiles anew."""

    def __init__(self, arguments: Sequence[str], threads: int, scratch: Path) -> None:
        self.log: IO[bytes] = (scratch / "-".join(arguments[:2])).open("w+b")
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(threads),
            "TOKENIZERS_PARALLELISM": "false",
            "TORCHINDUCTOR_CACHE_DIR": str(scratch / "inductor"),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.side", *arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )

    def ask(self, what: str) -> dict[str, Any]:
        """Have it run once. Ends the bench with the last lines of its log where it fails."""
        assert self.process.stdin
        assert self.process.stdout
        try:
            self.process.stdin.write(what + "\n")
            self.process.stdin.flush()
            return dict(json.loads(self.process.stdout.readline()))
        except (BrokenPipeError, json.JSONDecodeError):
            self.process.wait()
            self.log.seek(0)
            sys.exit(self.log.read().decode(errors="replace")[-3000:] + "\nA side of the comparison failed; see above.")

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.log.close()


def measure(comparison: Comparison, study: Path, share: float, rounds: int, threads: int) -> dict[str, Any]:
    """Warm both sides up, time them in turn, and compare what they put out."""
    with tempfile.TemporaryDirectory() as scratch:
        shared = [str(study), str(share), str(threads)]
        sides = [Side([comparison.name, side, *shared], threads, Path(scratch)) for side in ("ours", "peer")]
        try:
            first = [side.ask("warm_up") for side in sides]
            runs = [[side.ask("run") for side in sides] for _ in range(rounds)]
        finally:
            for side in sides:
                side.end()
    outputs = first if "losses" in first[0] else runs[0]
    return {
        "peer": f"{comparison.peer} {version(comparison.peer)}",
        "mark": comparison.mark,
        "share_of_the_work": share,
        "ratio": spread([peer["seconds"] / ours["seconds"] for ours, peer in runs]),
        "ours": summary([ours for ours, _ in runs], first[0]),
        "theirs": summary([peer for _, peer in runs], first[1]),
        "outputs": comparison.compare(*outputs),
    }


def summary(runs: Sequence[Mapping[str, Any]], first: Mapping[str, Any]) -> dict[str, Any]:
    """Times and memory of one side; for training also its speed, and what the first run took longer than the others."""
    seconds = spread([run["seconds"] for run in runs])
    found = {"seconds": seconds, "peak_gigabytes": round(runs[-1]["peak_bytes"] / GIGABYTE, 2)}
    if "tokens" in first:
        found["tokens_per_second"] = round(first["tokens"] / seconds["median"])
        found["warm_up_seconds"] = round(max(0.0, first["seconds"] - seconds["median"]), 1)
    return found


def spread(values: Sequence[float]) -> dict[str, float]:
    return {
        "median": round(median(values), 3),
        "min": round(min(values), 3),
        "max": round(max(values), 3),
        "runs": len(values),
    }


def machine(threads: int) -> dict[str, Any]:
    import torch

    return {
        "cores": cores(),
        "threads": threads,
        "architecture": platform.machine(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "amx": bool(torch.cpu._is_amx_tile_supported()),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("torch", "transformers", "peft", "trl", "lm-eval")},
    }


def row(name: str, found: Mapping[str, Any]) -> str:
    ours, theirs, ratio = found["ours"], found["theirs"], found["ratio"]
    mark = "" if found["mark"] is None else f"{found['mark']:g}"
    spread_shown = f"{ratio['min']:.2f} to {ratio['max']:.2f}"
    cells = [
        name,
        found["peer"],
        f"{theirs['seconds']['median']:.1f} s",
        f"{ours['seconds']['median']:.1f} s",
        f"**{ratio['median']:.2f}**",
        spread_shown,
        mark,
        f"{theirs['peak_gigabytes']:.1f} / {ours['peak_gigabytes']:.1f} GB",
    ]
    return f"| {' | '.join(cells)} |"


def notes(name: str, found: Mapping[str, Any]) -> str:
    """The line under the table: speed and warm-up of a training, and what the outputs have in common."""
    parts = [f"{key.replace('_', ' ')} {value:.4g}" for key, value in found["outputs"].items()]
    for side in ("theirs", "ours"):
        if "warm_up_seconds" in found[side]:
            speed, extra = found[side]["tokens_per_second"], found[side]["warm_up_seconds"]
            parts.append(f"{side}: {speed} tokens/s, the first run {extra:.1f} s longer")
    return f"- {name}: " + "; ".join(parts)


def write(out: Path, found: Mapping[str, Any], threads: int) -> None:
    """The ratios (peer's time over ours), one number each, then what they come from; those not run again stay."""
    before = json.loads(out.read_text(encoding="utf-8"))["comparisons"] if out.exists() else {}
    comparisons = {name: {**before, **found}[name] for name in COMPARISONS if name in {**before, **found}}
    ratios = {name: comparison["ratio"]["median"] for name, comparison in comparisons.items()}
    record = {**ratios, "machine": machine(threads), "comparisons": comparisons}
    out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results.json")
    parser.add_argument("--only", nargs="+", choices=COMPARISONS, default=list(COMPARISONS))
    parser.add_argument("--quick", action="store_true", help="a quarter of the work, each timed once")
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--study", type=Path, default=ROOT / "studies" / "swap")
    arguments = parser.parse_args()
    share = QUICK_SHARE if arguments.quick else 1.0
    print("| comparison | peer | peer takes | ours takes | ratio | min to max | mark | peak memory, peer / ours |")
    print("|---|---|---:|---:|---:|---:|---:|---:|", flush=True)
    results = {}
    for name in arguments.only:
        comparison = COMPARISONS[name]
        rounds = 1 if arguments.quick else comparison.rounds
        results[name] = measure(comparison, arguments.study.resolve(), share, rounds, arguments.threads)
        print(row(name, results[name]), flush=True)
        write(arguments.out, results, arguments.threads)
    print()
    for name, found in results.items():
        print(notes(name, found))


if __name__ == "__main__":
    main()
