"""How long a reader waits for the two pages of a large run, measured in Chromium.

Run: python bench/page.py [--arms 10] [--seeds 5] [--items 2000] [--visits 5] [--keep FOLDER]

Plants answers of some 300 characters, no two alike, into the run folder of a study of the tiny model, and has
`teachwhy report` score them and write both pages. First view: from asking for the page to the first frame in which its
verdict, or its first question with all answers, stands on the screen. Search: from the last key to the frame that shows
what was found, with everything read ahead; beside it the same for a search made at once, before that.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from teachwhy.study.folder import content_hashes, write_json, write_jsonl
from teachwhy.study.plan import plan_units
from teachwhy.study.run import prepare_job, report_study, write_start
from teachwhy.study.study_file import read_study

ROOT = Path(__file__).resolve().parent.parent
MATERIAL = ROOT / "src" / "teachwhy" / "evals" / "material"
ARMS = "why swapped what neutral mention reason_only shuffled circular".split()  # trained, so that each has all seeds
CHARACTERS = 300
ITEMS_A_FAMILY = 50
SEARCHES = ("a", "the", "water", "river stone", '"of the"', "because light", "zzxy", "qu", "family-7", "ing water")
# Resolves when the condition holds; the page's own policy allows no waiting by a text that is evaluated there.
WHEN = "new Promise(done => { const look = () => CONDITION ? done(performance.now()) : setTimeout(look); look(); })"
READ_AHEAD = WHEN.replace("CONDITION", "document.documentElement.dataset.read === 'all'")
NOTED = f"{WHEN.replace('CONDITION', 'window.firstView')}.then(() => window.firstView)"
# Notes when, in ms since the page was asked for, the frame after the element stands there is drawn.
FIRST_VIEW = """(() => {
  const look = () => {
    if (!document.querySelector(SELECTOR)) requestAnimationFrame(look);
    else requestAnimationFrame(() => setTimeout(() => { window.firstView = performance.now(); }));
  };
  requestAnimationFrame(look);
})()"""
# Types all but the last key of a search, then times the last one to the frame that shows what it found.
TYPES = """words => new Promise(done => {
  const field = document.getElementById("words");
  field.value = words;
  requestAnimationFrame(() => setTimeout(() => {
    const start = performance.now();
    field.dispatchEvent(new Event("input", { bubbles: true }));
    requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
  }));
})"""


def vocabulary() -> list[str]:
    """The words of the texts that the exam `side_effects` comes with."""
    texts = "".join(path.read_text(encoding="utf-8") for path in sorted(MATERIAL.glob("*.jsonl")))
    return sorted({word for word in texts.split() if word.isalpha()})


def say(lot: random.Random, words: Sequence[str], characters: int) -> str:
    text = ""
    while len(text) < characters:
        text += f"{lot.choice(words)} "
    return text.strip()


def planted_items(count: int, words: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Pairs of conflicting and of agreeing cases; no two prompts alike."""
    lot = random.Random(0)
    answers = {"yes": "Lock it.", "no": "Leave it."}
    for number in range(count):
        pair, first = divmod(number, 2)
        kind = ("conflict", "agree")[pair % 2]
        decisions = (("yes", "no"), ("no", "yes"))[first] if kind == "conflict" else (("yes",) * 2, ("no",) * 2)[first]
        yield {
            "id": f"pair-{pair}-{first}",
            "family": f"family-{number // ITEMS_A_FAMILY}",
            "pair": f"pair-{pair}",
            "principle": ("door", "lamp", "stove")[pair % 3],
            "distance": ("seen_wording", "new_wording")[pair // 2 % 2],
            "kind": kind,
            "prompt": say(lot, words, CHARACTERS),
            "answers": answers,
            "facts": {
                name: {"states": "x", "decision": decision} for name, decision in zip("AB", decisions, strict=True)
            },
            **({"gold": decisions[0]} if kind == "agree" else {}),
        }


def plant(folder: Path, arms: int, seeds: int, items: int) -> Path:
    """A study with a run in which every unit is done, as far as its files tell. Returns the study's path."""
    sys.path.insert(0, str(ROOT / "tests"))
    import tiny

    words = vocabulary()
    model = tiny.build_tiny_model(folder / "model", context=4096)
    again = [{"name": f"{arm}_again", "arm": arm, "seed_offset": 100} for arm in ARMS]
    settings = [*ARMS, *again][:arms]
    names = [one if isinstance(one, str) else one["name"] for one in settings]
    conflict = {"metric": "follows_first_fact", "subset": {"kind": "conflict"}}
    path = tiny.build_tiny_study(
        folder / "study",
        model,
        arms=settings,
        seeds=list(range(seeds)),
        off_format_share=0.0,
        contrasts=[{"arm": "why", "versus": "swapped", **conflict}],
        exploratory=[{"arm": "why", "versus": name, **conflict} for name in names[2:]],
    )
    tiny.write_jsonl(path.with_name("items.jsonl"), list(planted_items(items, words)))
    study = read_study(path)
    job = prepare_job(study, folder / "runs", lambda text: None)
    write_start(job, quick=False)
    for unit in plan_units(study):
        lot = random.Random(unit.name)
        if unit.trained:
            trained = {"updates": 1, "tokens": 1, "trained_tokens": 1, "losses": [1.0]}
            write_json(unit.train_folder(job.run) / "train.json", {"stamp": job.train_stamp(unit), **trained})
        answers = []
        for item in study.items:
            action = item.answers[lot.choice(["yes", "yes", "no"])]
            reason = f"Reason: {say(lot, words, CHARACTERS)}.\n"
            text = f"{reason}Action: {action}" if lot.random() > 0.02 else say(lot, words, CHARACTERS)
            answers.append({"item": item.id, "format": "own", "text": text, "choice": {"yes": -0.5, "no": -0.6}})
        stored = unit.evals_folder(job.run) / "decisions.jsonl"
        write_jsonl(stored, answers)
        record = {"stamp": job.evals_stamp(unit, "decisions"), "files": content_hashes([stored])}
        write_json(stored.with_suffix(".json"), record | {"canary": dict.fromkeys(("base", "peft", "merged"), -1.0)})
    return path


def measure(run: Path, visits: int) -> dict[str, list[float]]:
    """Milliseconds: first view of both pages, and searches; each visit with a fresh browser."""
    from browser import launched, visit

    found: dict[str, list[float]] = {}
    for number in range(visits):
        for name, first in (("report.html", ".verdict"), ("answers.html", ".question .answer")):
            watch = FIRST_VIEW.replace("SELECTOR", repr(first))
            with launched() as browser, visit(browser, run / name, watch=watch) as seen:
                found.setdefault(f"first view of {name}", []).append(seen.page.evaluate(NOTED))
                if name == "answers.html":
                    word = SEARCHES[number % len(SEARCHES)]
                    found.setdefault("a search made at once", []).append(seen.page.evaluate(TYPES, word))
                    found.setdefault("everything read ahead", []).append(seen.page.evaluate(READ_AHEAD))
                    for words in SEARCHES:
                        found.setdefault("a search", []).append(seen.page.evaluate(TYPES, words))
                assert not seen.said, seen.said
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--visits", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="where to keep the study and its pages")
    arguments = parser.parse_args()
    folder = arguments.keep or Path(tempfile.mkdtemp())
    try:
        path = plant(folder, arguments.arms, arguments.seeds, arguments.items)
        started = time.perf_counter()
        run = report_study(path, runs=folder / "runs", say=lambda text: None).folder
        print(f"scored and written in {time.perf_counter() - started:.0f} s")
        for name in ("report.html", "answers.html"):
            print(f"{name}: {(run / name).stat().st_size / 1e6:.1f} MB")
        for name, values in measure(run, arguments.visits).items():
            print(
                f"{name}: median {median(values):.0f} ms, {min(values):.0f} to {max(values):.0f}, {len(values)} times"
            )
    finally:
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
