"""The tables of sizes and of noise on the page, made again from the JSONL of the run by other lines."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from statistics import mean, stdev

import pytest
import tiny
from in_process import run_study_here
from page_tables import Table, tables_of
from test_trace import (
    EXAM,
    ITEMS,
    SEEDS,
    Cells,
    captioned,
    cells_of,
    difference,
    edge_items,
    estimate,
    interval_text,
    limits,
)

from teachwhy.report.wording import MINUS, decimals, share, signed
from teachwhy.study.run import Run

METRIC = "correct_by_choice"
SIZED = {"what": {3: "what@3", 6: "what"}, "why": {3: "why@3", 6: "why"}}
SAMPLES, TEMPERATURE = 3, 2.0


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Run:
    folder = tmp_path_factory.mktemp("sized")
    study = tiny.build_tiny_study(
        folder,
        tiny_model,
        arms=["base", "what", "why"],
        seeds=list(SEEDS),
        sizes=[3],
        noise={"arm": "why", "seed": 1, "samples": SAMPLES, "temperature": TEMPERATURE},
        exams=[EXAM],
        off_format_share=0.0,
        competence=None,
        max_new_tokens=3,
        contrasts=[{"arm": "why", "versus": "what", "exam": EXAM, "metric": METRIC}],
        exploratory=[],
    )
    tiny.write_jsonl(folder / "items.jsonl", edge_items())
    return run_study_here(study, runs=folder / "runs")


@pytest.fixture(scope="module")
def tables(done: Run) -> list[Table]:
    return tables_of(done.report.read_text(encoding="utf-8"))


def cells(done: Run, arm: str) -> Cells:
    return cells_of(done.folder, arm, METRIC, "own", {})


def spent(done: Run, arm: str, what: str) -> int:
    """The mean over seeds, as each training wrote it down."""
    records = [
        json.loads((done.folder / "train" / arm / f"seed-{seed}" / "train.json").read_text())[what] for seed in SEEDS
    ]
    return round(mean(records))


def score(done: Run, arm: str) -> float:
    found = estimate(cells(done, arm))
    assert found is not None
    return found


def test_scores_by_size(done: Run, tables: list[Table]) -> None:
    (table,) = captioned(tables, f"{METRIC} by size.")
    assert [(row[0], int(row[1])) for _, row in table.rows] == [(arm, size) for arm in SIZED for size in (3, 6)]
    for _, row in table.rows:
        arm, size = row[0], int(row[1])
        name = SIZED[arm][size]
        updates, tokens = spent(done, name, "updates"), spent(done, name, "tokens")
        assert row[2:4] == [f"{updates:,}", f"{tokens:,}"]
        assert row[4:6] == [share(score(done, name)), interval_text(*limits(cells(done, name), cut=True))]
        gain = difference(cells(done, name), cells(done, "base"))
        total = estimate(gain)
        assert total is not None
        interval = interval_text(*limits(gain, cut=False))
        spent_on_it = [f"{one:.5f}".replace("-", MINUS) for one in (1000 * total / tokens, total / updates)]
        whole = [f"{signed(total)} {interval} over base", *spent_on_it]
        assert row[6:] == (whole if size == 6 else ["", "", ""])


def test_tokens_saved(done: Run) -> None:
    """Where the score of `what` lies between the two of `why` and these rise, a line in log tokens reaches it."""
    page = " ".join(re.sub(r"<[^>]+>", "", done.report.read_text(encoding="utf-8")).split())
    wanted, low, high = (score(done, arm) for arm in ("what", "why@3", "why"))
    said = f"why against what, at the score of what ({share(wanted)}): "
    assert said in page
    after = page.partition(said)[2]
    tokens = [spent(done, arm, "tokens") for arm in ("why@3", "why", "what")]
    if low < wanted < high:
        part = (wanted - low) / (high - low)
        reached = math.exp(math.log(tokens[0]) + part * math.log(tokens[1] / tokens[0]))
        numbers = f"{round(reached):,} tokens for {tokens[2]:,}, a ratio of {tokens[2] / reached:.2f}"
        assert after.startswith(numbers)
    else:
        assert after.startswith("no ratio")


def rate(scores: list[dict[str, object]]) -> float:
    """The mean over families of an asking's scored answers."""
    families: dict[str, list[float]] = {}
    for one in scores:
        if (one["metric"], one["format"]) == (METRIC, "own") and one["value"] is not None:
            families.setdefault(ITEMS[str(one["item"])]["family"], []).append(float(str(one["value"])))
    return mean(mean(values) for values in families.values())


def lines(done: Run, seed: int, part: str = "") -> list[dict[str, object]]:
    file = done.folder / "evals" / "why" / f"seed-{seed}" / f"{EXAM}{part}.scores.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_noise_split(done: Run, tables: list[Table]) -> None:
    (table,) = captioned(tables, "Noise, split.")
    assert f"at temperature {TEMPERATURE}" in table.caption
    sampled = lines(done, 1, ".samples")
    per_sample = [rate([one for one in sampled if one["sample"] == number]) for number in (1, 2, 3)]
    per_seed = [rate(lines(done, seed)) for seed in SEEDS]
    sampling, judging, seeds = [row for _, row in table.rows]
    for row, head, rates in ((sampling, "sampling", per_sample), (seeds, "seeds", per_seed)):
        assert row == [head, decimals(stdev(rates)), str(len(rates)), " ".join(map(share, rates))]
    assert judging[:3] == ["judging", "–", "–"]
    assert "read by rule" in judging[3]


def test_training_of_every_size(done: Run, tables: list[Table]) -> None:
    (table,) = captioned(tables, "Training.")
    assert {(row[0], row[1]) for _, row in table.rows} == {
        (arm, str(seed)) for sizes in SIZED.values() for arm in sizes.values() for seed in SEEDS
    }
    for _, row in table.rows:
        record = json.loads((done.folder / "train" / row[0] / f"seed-{row[1]}" / "train.json").read_text())
        assert row[2:5] == [f"{record[key]:,}" for key in ("updates", "tokens", "trained_tokens")]


def test_sizes_and_noise_add_these_tables_and_no_other(tables: list[Table]) -> None:
    """All others are traced in tests/test_trace.py, which knows what there is."""
    added = [table.caption.partition(".")[0] for table in tables if "size" in table.caption or "Noise" in table.caption]
    assert added == [f"{METRIC} by size", "Noise, split"]
