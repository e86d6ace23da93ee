"""Every number on the page, made again from the JSONL of the run by other lines than the project's own."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
import tiny
from in_process import run_study_here
from page_tables import Table, tables_of
from scipy.stats import t as student

from teachwhy.report.headline import headline
from teachwhy.report.wording import bracket, p_value, share, signed
from teachwhy.study.run import Run

FAMILIES, SEEDS, LEVEL = 11, (0, 1, 2), 0.95
ARMS = ("base", "what", "neutral", "mention", "why")
EXAM = "edge_cases"
DISTANCES = {"near": "near", "far domain": "far_domain"}
Cells = dict[tuple[str, int | None], dict[str, float | None]]  # (family, seed) -> item -> value


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Run:
    folder = tmp_path_factory.mktemp("traced")
    contrast = {"arm": "why", "exam": EXAM, "metric": "correct_by_choice"}
    study = tiny.build_tiny_study(
        folder,
        tiny_model,
        arms=list(ARMS),
        seeds=list(SEEDS),
        exams=[EXAM],
        off_format_share=0.5,
        competence=None,
        contrasts=[{**contrast, "versus": "what"}, {**contrast, "versus": "neutral"}],
        exploratory=[{**contrast, "versus": "mention", "metric": "pair_accuracy"}],
    )
    tiny.write_jsonl(folder / "items.jsonl", edge_items())
    return run_study_here(study, runs=folder / "runs")


def edge_items() -> list[dict[str, object]]:
    return [
        {
            "id": f"f{family:02}-{pair}-{gold}",
            "family": f"f{family:02}",
            "pair": f"f{family:02}-{pair}",
            "principle": tiny.RULES[family % 3],
            "distance": list(DISTANCES.values())[pair % 2],
            "kind": ("looks_forbidden", "looks_innocent")[family % 2],
            "statedness": ("stated", "implied")[pair // 2],
            "prompt": f"Case {family} {pair}: {'she asked' if gold == 'help' else 'nobody knows'}.",
            "gold": gold,
            "answers": {"help": f"Yes, take {family}.", "decline": f"No, leave {pair}."},
        }
        for family in range(FAMILIES)
        for pair in range(4)
        for gold in ("help", "decline")
    ]


# The same numbers by other lines


@cache
def stored(folder: Path, arm: str) -> list[tuple[int | None, dict[str, Any]]]:
    """(seed, score) of every line of an arm's stored scores."""
    seeds = [None] if arm == "base" else list(SEEDS)
    return [
        (seed, json.loads(line))
        for seed in seeds
        for line in (folder / "evals" / arm / f"seed-{'none' if seed is None else seed}" / f"{EXAM}.scores.jsonl")
        .read_text()
        .splitlines()
    ]


ITEMS: dict[str, dict[str, Any]] = {str(item["id"]): item for item in edge_items()}


def cells_of(folder: Path, arm: str, metric: str, format: str, subset: Mapping[str, str]) -> Cells:
    found: Cells = {}
    for seed, score in stored(folder, arm):
        item = ITEMS[score["item"]]
        if (score["metric"], score["format"]) == (metric, format) and all(item[key] == subset[key] for key in subset):
            found.setdefault((item["family"], seed), {})[score["item"]] = score["value"]
    return found


def difference(treated: Cells, control: Cells) -> Cells:
    found: Cells = {}
    seeds = sorted({seed for _, seed in [*treated, *control]} - {None}) or [None]
    for family, seed in itertools.product(sorted({family for family, _ in treated}), seeds):
        ours = treated.get((family, seed), treated.get((family, None), {}))
        theirs = control.get((family, seed), control.get((family, None), {}))
        for item in ours.keys() & theirs.keys():
            one, other = ours[item], theirs[item]
            found.setdefault((family, seed), {})[item] = None if one is None or other is None else one - other
    return found


def means(cells: Cells) -> dict[str, list[float]]:
    """Family -> its mean at each seed. In this study every cell that has cases has a scored one, or none has."""
    found: dict[str, list[float]] = {}
    for (family, _), values in sorted(cells.items(), key=lambda pair: (pair[0][0], pair[0][1] or 0)):
        scored = [value for value in values.values() if value is not None]
        if scored:
            found.setdefault(family, []).append(mean(scored))
    return found


def estimate(cells: Cells) -> float | None:
    found = means(cells)
    return mean(value for values in found.values() for value in values) if found else None


def spread(cells: Cells) -> tuple[float, float] | None:
    """(standard error, degrees of freedom) as docs/statistics.md has them; None where nothing may be claimed."""
    table = list(means(cells).values())
    families = len(table)
    if families < 10:
        return None
    seeds = len(table[0])
    if seeds < 3:
        own = [mean(row) for row in table]
        error = math.sqrt(max(stdev(own) ** 2 / families, least_variance(cells, families * seeds)))
        return (error, families - 1) if error > 1e-12 else None
    grand = mean(value for row in table for value in row)
    rows = [mean(row) - grand for row in table]
    columns = [mean(row[seed] for row in table) - grand for seed in range(seeds)]
    rest = [table[i][j] - grand - rows[i] - columns[j] for i in range(families) for j in range(seeds)]
    between = seeds * sum(value**2 for value in rows) / (families - 1)
    across = families * sum(value**2 for value in columns) / (seeds - 1)
    residual = sum(value**2 for value in rest) / ((families - 1) * (seeds - 1))
    scaled = max(between, residual) + max(across, residual) - residual
    if scaled < 1e-24:
        return None
    spent = between / (families - 1) + across / (seeds - 1)
    freedom = scaled / spent if spent else math.inf
    freedom = min(max(freedom, min(families, seeds) - 1), (families - 1) * (seeds - 1))
    return math.sqrt(scaled / (families * seeds)), freedom


def least_variance(cells: Cells, size: int) -> float:
    """What items alone leave in the mean; asked for with few seeds."""
    scored = [[value for value in values.values() if value is not None] for values in cells.values()]
    values = [value for cell in scored for value in cell]
    squares = [(value - mean(values)) ** 2 for value in values]
    variance = (sum(squares) + max(squares)) / len(values) if sum(squares) > 1e-12 else 0.0
    return variance * mean(1 / len(cell) for cell in scored if cell) / size


def limits(cells: Cells, *, cut: bool) -> tuple[float | None, float | None]:
    found, centre = spread(cells), estimate(cells)
    if found is None or centre is None:
        return None, None
    half = float(student.ppf((1 + LEVEL) / 2, found[1])) * found[0]
    low, high = centre - half, centre + half
    return (max(low, 0.0), min(high, 1.0)) if cut else (low, high)


def p_of(cells: Cells) -> float | None:
    found, centre = spread(cells), estimate(cells)
    if found is None or centre is None:
        return None
    return float(2 * student.sf(abs(centre) / found[0], found[1]))


def sign_flip(cells: Cells) -> float:
    own = [mean(values) for values in means(cells).values()]
    seen = abs(sum(own))
    totals = [
        abs(sum(sign * one for sign, one in zip(signs, own, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(own))
    ]
    return sum(total >= seen - 1e-9 for total in totals) / len(totals)


def unscored(*sides: Cells) -> int:
    return sum(value is None for cells in sides for values in cells.values() for value in values.values())


def bounds(treated: Cells, control: Cells) -> tuple[float, float]:
    def filled(cells: Cells, value: float) -> Cells:
        return {key: {item: value if one is None else one for item, one in all.items()} for key, all in cells.items()}

    worst = estimate(difference(filled(treated, 0.0), filled(control, 1.0)))
    best = estimate(difference(filled(treated, 1.0), filled(control, 0.0)))
    assert worst is not None
    assert best is not None
    return worst, best


def interval_text(low: float | None, high: float | None) -> str:
    return "none" if low is None or high is None else bracket(low, high)


def counts(cells: Cells) -> tuple[str, str, str]:
    scored = {item for values in cells.values() for item, value in values.items() if value is not None}
    seeds = {seed for _, seed in cells} - {None}
    return str(len(scored)), str(len(means(cells))), str(len(seeds) if scored else 0)


# The page against them


@pytest.fixture(scope="module")
def tables(done: Run) -> list[Table]:
    return tables_of(done.report.read_text(encoding="utf-8"))


def captioned(tables: list[Table], start: str) -> list[Table]:
    found = [table for table in tables if table.caption.startswith(start)]
    assert found, f"no table begins with {start!r}: {[table.caption for table in tables]}"
    return found


def both(done: Run, name: str, metric: str, subset: Mapping[str, str]) -> tuple[Cells, Cells]:
    one, _, other = name.partition(" − ")
    return tuple(cells_of(done.folder, arm, metric, "own", subset) for arm in (one, other))  # type: ignore[return-value]


def subset_of(label: str) -> dict[str, str]:
    """all items; near; looks forbidden; statedness: stated."""
    if label in ("", "all items"):
        return {}
    field, colon, value = label.partition(": ")
    if colon:
        return {field: value}
    return {"distance": DISTANCES[label]} if label in DISTANCES else {"kind": label.replace(" ", "_")}


def test_contrast_tables(done: Run, tables: list[Table]) -> None:
    seen = []
    for start, declared in (("Declared contrasts", True), ("Exploratory contrasts", False)):
        (table,) = captioned(tables, start)
        tested = []
        for _, row in table.rows:
            head = row[0].split("|")
            metric = "pair_accuracy" if "mention" in head[0] else "correct_by_choice"
            treated, control = both(done, head[0].strip(), metric, {})
            cells = difference(treated, control)
            tested.append(p_of(cells))
            expected = [signed(estimate(cells)), interval_text(*limits(cells, cut=False)), p_value(tested[-1])]
            after = [p_value(sign_flip(cells)), *counts(cells), str(unscored(treated, control))]
            low, high = bounds(treated, control)
            assert row[1:4] == expected
            assert row[4 + declared : 9 + declared] == after
            assert row[9 + declared] == bracket(low, high)
            seen.append(head[0])
        if declared:
            assert [row[4] for _, row in table.rows] == [p_value(p) for p in holm(tested)]
    assert len(seen) == 3


def holm(ps: list[float | None]) -> list[float | None]:
    tested = [p for p in ps if p is not None]
    return [
        None
        if p is None
        else min(1.0, max(other * sum(third >= other for third in tested) for other in tested if other <= p))
        for p in ps
    ]


@pytest.mark.parametrize(("start", "rows"), [("The ladder.", 7), ("Near and far.", 2)])
def test_ladder_and_distances(done: Run, tables: list[Table], start: str, rows: int) -> None:
    (table,) = captioned(tables, start)
    assert len(table.rows) == rows
    for _, row in table.rows:
        name, _, label = row[0].partition("|")
        treated, control = both(done, name.strip(), "correct_by_choice", subset_of(label.strip()))
        cells = difference(treated, control)
        expected = [signed(estimate(cells)), interval_text(*limits(cells, cut=False)), *counts(cells)]
        assert row[1:] == [*expected, str(unscored(treated, control))]


def test_shares_of_the_gain(done: Run, tables: list[Table]) -> None:
    """A random model gains nothing that is surely above 0, so every share is left out and its gain stands."""
    (table,) = captioned(tables, "What share of the gain of why")
    assert len(table.rows) == 5
    for _, row in table.rows:
        cells = difference(*both(done, f"why − {row[1]}", "correct_by_choice", {}))
        low, _ = limits(cells, cut=False)
        assert row[2] == signed(estimate(cells))
        assert low is None or low <= 0
        assert row[3:5] == ["–", "none"]


def test_rates_by_arm(done: Run, tables: list[Table]) -> None:
    checked = 0
    for table in captioned(tables, "correct_by_choice, own format."):
        seeds = [column for column in table.columns if column.startswith("seed ")]
        for group, row in table.rows:
            cells = cells_of(done.folder, row[0], "correct_by_choice", "own", subset_of(group))
            of_seed = [per_seed(cells, int(seed.removeprefix("seed "))) for seed in seeds]
            items, families, _ = counts(cells)
            assert row[1:] == [
                share(estimate(cells)),
                interval_text(*limits(cells, cut=True)),
                *(share(value) for value in of_seed),
                items,
                families,
                str(unscored(cells)),
            ]
            checked += 1
    assert checked >= len(ARMS)


def per_seed(cells: Cells, seed: int) -> float | None:
    values = [one for (_, at), all in cells.items() if at == seed for one in all.values() if one is not None]
    return mean(values) if values else None


def test_all_tables_of_the_exam(done: Run, tables: list[Table]) -> None:
    checked = 0
    for table in [one for one in tables if one.caption.partition(",")[2].startswith(" all formats.")]:
        metric = table.caption.partition(",")[0]
        for group, row in table.rows:
            for column, cell in zip(table.columns[1:], row[1:], strict=True):
                format = "off" if column.startswith("off-format") else "own"
                name = metric + ("_by_choice" if "by choice" in column and has_twin(metric) else "")
                cells = cells_of(done.folder, row[0], name, format, subset_of(group))
                if cell == "–" and not cells:
                    continue
                low, high = limits(cells, cut=True)
                text = share(estimate(cells)) + (f" {bracket(low, high)}" if low is not None else "")
                lost = unscored(cells)
                assert cell == text + (f"|{lost} unscored" if lost else ""), (metric, group, row[0], column)
                checked += 1
    assert checked > 100


def has_twin(metric: str) -> bool:
    return metric in ("correct", "over_application", "under_application")


def test_planes_and_short_table(done: Run, tables: list[Table]) -> None:
    for suffix in ("", "_by_choice"):
        metrics = [f"{side}_application{suffix}" for side in ("over", "under")]
        title = " against ".join(metrics).replace("_", " ")
        found = [table for table in tables if table.caption.startswith(f"{title}.")]
        measured = [arm for arm in ARMS if all(rate_text(done, arm, one) != "–" for one in metrics)]
        assert [row[0] for table in found for _, row in table.rows] == measured
        for table in found:
            for _, row in table.rows:
                assert row[1:] == [rate_text(done, row[0], one) for one in metrics]
    (short,) = captioned(tables, f"{EXAM}, all items,")
    for _, row in short.rows:
        metric = row[0].partition("|")[0]
        for arm, cell in zip(short.columns[3:], row[3:], strict=True):
            assert cell == rate_text(done, arm, metric)


def rate_text(done: Run, arm: str, metric: str) -> str:
    return share(estimate(cells_of(done.folder, arm, metric, "own", {})))


def test_unscored_table(done: Run, tables: list[Table]) -> None:
    (table,) = captioned(tables, "Unscored answers by cause.")
    found: dict[tuple[str, str, str, str], int] = {}
    for arm in ARMS:
        for _, score in stored(done.folder, arm):
            if score["value"] is None:
                format = "own format" if score["format"] == "own" else "off-format"
                key = (arm, score["metric"], format, score["cause"])
                found[key] = found.get(key, 0) + 1
    assert {tuple(row[:4]): int(row[4].replace(",", "")) for _, row in table.rows} == found


def test_training_table(done: Run, tables: list[Table]) -> None:
    (table,) = captioned(tables, "Training.")
    assert len(table.rows) == 4 * len(SEEDS)
    for _, row in table.rows:
        record = json.loads((done.folder / "train" / row[0] / f"seed-{row[1]}" / "train.json").read_text())
        losses = [f"{record['losses'][place]:.3f}" for place in (0, -1)]
        assert row[2:5] == [f"{record[key]:,}" for key in ("updates", "tokens", "trained_tokens")]
        assert row[5:7] == losses


def test_headline_numbers_are_those_of_the_declared_contrast(done: Run) -> None:
    found = headline(done.results)
    assert found
    cells = difference(*both(done, "why − what", "correct_by_choice", {}))
    assert found.number == f"{signed(estimate(cells))} {bracket(*limits(cells, cut=False))}"


def test_every_table_of_the_page_is_traced_here_or_holds_no_score(tables: list[Table]) -> None:
    """A new table is to be traced too."""
    traced = ("Declared contrasts.", "Exploratory contrasts", "The ladder.", "Near and far.", "Training.")
    traced += ("What share of the gain of why",)
    traced += ("correct_by_choice, own format.", "Unscored answers by cause.", f"{EXAM}, all items,")
    facts = ("The arms.", "What the arms were trained on.", "Arm check.", "Near-duplicates", "Time taken,")
    left = [
        table.caption
        for table in tables
        if not table.caption.startswith((*traced, *facts))
        and " all formats." not in table.caption
        and " against " not in table.caption
    ]
    assert not left
