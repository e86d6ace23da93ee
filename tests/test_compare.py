"""Several runs beside each other: each number its own run's, what is lacking named, nothing pooled."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from bad_input import assert_refused
from report_sample import sample_results
from test_report import Tags, text_of, undrawn  # noqa: F401  (a fixture)

from teachwhy.report import comparison_table, labelled, render_comparison, wording
from teachwhy.report.compare import LONGEST_LABEL, comparisons, differences, facts

LARGE = "HuggingFaceTB/SmolLM2-1.7B-Instruct"


@pytest.fixture
def small() -> dict[str, Any]:
    return copy.deepcopy(sample_results())


@pytest.fixture
def large() -> dict[str, Any]:
    """Another model: its first contrast moved, its second not declared, other batches, and a quick run."""
    results = copy.deepcopy(sample_results())
    results["model"] |= {"name": LARGE, "fingerprint": "99" * 32, "dtype": "float32"}
    results["study"]["stamp"] |= {"model": "99" * 32}
    results["study"]["stamp"]["settings"]["train"]["batch"] = 8
    results["study"]["left_out"] = ["96 of 480 items"]
    results["contrasts"][0] |= {"estimate": 0.31, "low": 0.11, "high": 0.52}
    del results["contrasts"][1]
    return results


def page_of(*results: dict[str, Any]) -> str:
    return render_comparison(labelled([(f"runs/{n}", one) for n, one in enumerate(results)]))


def section(page: str, name: str) -> str:
    return page[page.index(f'id="{name}"') :].partition("</section>")[0]


# What it says


@pytest.mark.usefixtures("undrawn")
def test_each_run_stands_with_its_own_numbers_under_each_contrast(small, large) -> None:
    (first, second) = comparisons(labelled([("a", small), ("b", large)]))
    assert [one.row.text for one in first.entries] == ["+.23 [.05, .42]", "+.31 [.11, .52]"]
    assert [one.row.value for one in first.entries] == [small["contrasts"][0]["estimate"], 0.31]
    assert [one.row.label for one in first.entries] == ["1: bundled:smollm2-135m", "2: SmolLM2-1.7B-Instruct"]
    assert [one.row.seeds for one in second.entries] == [tuple(small["contrasts"][1]["per_seed"].values()), ()]
    said = text_of(section(page_of(small, large), "contrasts"))
    for results in (small, large):
        contrast = results["contrasts"][0]
        assert wording.signed(contrast["estimate"]) in said
        assert wording.bracket(contrast["low"], contrast["high"]) in said
        assert re.sub("`", "", wording.verdict(contrast, results).finding) in said
        assert wording.p_value(contrast["p_adjusted"]) in said


@pytest.mark.usefixtures("undrawn")
def test_a_run_that_lacks_a_contrast_is_named_with_its_cause(small, large) -> None:
    said = text_of(page_of(small, large))
    assert "2: SmolLM2-1.7B-Instruct: not in this run. Its study does not make this contrast." in said
    large["arms"] = [arm for arm in large["arms"] if arm["name"] != "mention"]
    assert "not in this run. It has no arm mention." in text_of(page_of(small, large))
    large["metrics"] = [metric for metric in large["metrics"] if metric["name"] != "follows_first_fact"]
    large["contrasts"] = []
    said = text_of(page_of(small, large))
    assert "It has no metric follows_first_fact of an exam decisions." in said


@pytest.mark.parametrize(
    "change",
    [
        {"arm": "mention"},
        {"versus": "neutral"},
        {"metric": "correct"},
        {"exam": "edge_cases"},
        {"format": "off"},
        {"subset": {"kind": "conflict"}},
    ],
    ids=str,
)
def test_only_the_same_contrast_is_put_beside_another(small, change) -> None:
    other = copy.deepcopy(small)
    other["contrasts"][0] |= change
    other["metrics"].append({**other["metrics"][0], "exam": "edge_cases"})
    other["contrasts"][0]["sides"] = {
        other["contrasts"][0][side]: {"estimate": 0.5, "low": None, "high": None} for side in ("arm", "versus")
    }
    found = comparisons(labelled([("a", small), ("b", other)]))
    assert len(found) == 3
    lone = [[one.contrast is not None for one in comparison.entries] for comparison in found]
    assert lone == [[True, False], [True, True], [False, True]]


@pytest.mark.usefixtures("undrawn")
def test_a_contrast_that_only_one_run_declares_is_labelled_in_the_other(small, large) -> None:
    large["contrasts"][0]["declared"] = False
    first = comparisons(labelled([("a", small), ("b", large)]))[0]
    assert first.entries[0].marks == ()
    assert first.entries[1].marks == ("exploratory", "quick run")
    assert "Exploratory in this run, uncorrected." in text_of(page_of(small, large))


def test_what_no_run_declares_is_not_compared(small, large) -> None:
    for results in (small, large):
        for contrast in results["contrasts"]:
            contrast["declared"] = False
    assert comparisons(labelled([("a", small), ("b", large)])) == []
    assert "No run declares a contrast" in text_of(page_of(small, large))


@pytest.mark.usefixtures("undrawn")
def test_warnings_of_each_run_are_carried_along(small, large) -> None:
    for record in large["competence"]:
        if record["arm"] == "why":
            record |= {"rate": 0.6, "competent": False}
    next(arm for arm in large["arms"] if arm["name"] == "swapped")["state"] = "part"
    next(metric for metric in large["metrics"] if metric["name"] == "follows_first_fact")["chance"] = 0.5
    for side in large["contrasts"][0]["sides"].values():
        side.update(estimate=0.51, low=0.4, high=0.6)
    page = page_of(small, large)
    of_large = text_of(page[page.index("</span> 2: SmolLM2") : page.index('id="differences"')])
    at_first = text_of(page[: page.index("<nav")])
    for notice in wording.warnings(large):
        assert notice.title in of_large
        assert notice.title in at_first
        assert all(point.replace("`", "") in of_large for point in notice.points)
    assert len(wording.warnings(large)) == 6
    marks = "quick run, not finished, below floor, at chance"
    assert f"{marks}</span>" in page
    table = comparison_table(labelled([("a", small), ("b", large)]))
    assert all(mark in " ".join(table[table.index("why - swapped") :].split()) for mark in marks.split(", "))


def test_runs_on_other_material_are_warned_of(small, large) -> None:
    assert "Not the same material" not in page_of(small, large)
    large["study"]["stamp"] |= {"items": "ee" * 32, "policy": "dd" * 32}
    said = text_of(page_of(small, large))
    assert "Not the same material Not the same policy, not the same items." in said
    assert "not the same policy, not the same items" in comparison_table(labelled([("a", small), ("b", large)]))


def test_what_differs_is_a_table_and_the_rest_is_named(small, large) -> None:
    differing, alike = differences(labelled([("a", small), ("b", large)]))
    assert dict(differing) == {
        "model": ["bundled:smollm2-135m", LARGE],
        "fingerprint: model": ["a1a1a1a1a1a1", "999999999999"],
        "left out": ["none", "96 of 480 items"],
        "dtype": ["bfloat16", "float32"],
        "train.batch": ["16", "8"],
    }
    assert {"arms", "seeds", "fingerprint: items", "train.rank", "format.reason", "torch"} <= set(alike)
    row = '<th scope="row">train.batch</th><td class="text long">16</td><td class="text long">8</td>'
    assert row in section(page_of(small, large), "differences")
    del large["study"]["stamp"]["settings"]["train"]["rank"]
    assert ("train.rank", ["16", "–"]) in differences(labelled([("a", small), ("b", large)]))[0]


def test_long_settings_differ_though_they_are_cut(small, large) -> None:
    small["study"]["stamp"]["settings"]["system"] = "You work at a desk. " * 20 + "A"
    large["study"]["stamp"]["settings"]["system"] = "You work at a desk. " * 20 + "B"
    rows = dict(differences(labelled([("a", small), ("b", large)]))[0])
    assert [len(value) for value in rows["system"]] == [80, 80]
    assert facts(small)["judge"] == "none"


@pytest.mark.usefixtures("undrawn")
def test_no_number_is_pooled_and_no_test_across_runs_claimed(small, large) -> None:
    """Every number under a contrast is one of a run's own."""
    for results in (small, large):
        results["contrasts"] = results["contrasts"][:1]
    page = page_of(small, large)
    assert wording.signed((small["contrasts"][0]["estimate"] + 0.31) / 2) not in page
    body = re.findall(r"<tbody>(.*?)</tbody>", section(page, "contrasts"), flags=re.DOTALL)
    (table,) = body
    assert table.count("<tr>") == 2
    assert "No number here pools the runs, and none tests one run against another." in text_of(page)
    assert not re.search(r"\bprove[sdn]?\b|significan|\bclearly\b|pooled|heterogene", text_of(page), re.IGNORECASE)


# The page as a whole


def test_the_page_is_sound_drawn_and_asks_for_nothing(small, large) -> None:
    pytest.importorskip("matplotlib")
    page = page_of(small, large, small)
    tags = Tags(page)
    assert tags.open == []
    ids = [attributes["id"] for _, attributes in tags.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert len(tags.named("h1")) == 1
    assert len(tags.named("table")) == len(tags.named("caption")) == 4
    assert "<script" not in page.lower()
    assert not re.search(r"https?:|//www|@import|url\((?!#)", page.replace(LARGE, ""))
    used = set(re.findall(r'href="#([^"]+)"', page)) | set(re.findall(r"url\(#([^)]+)\)", page))
    assert used <= set(ids)
    images = [attributes for attributes in tags.named("div") if attributes.get("role") == "img"]
    assert len(images) == 2
    assert "2: SmolLM2-1.7B-Instruct (quick run): +.31 [.11, .52]" in (images[0]["aria-label"] or "")
    assert "not in this run" in (images[1]["aria-label"] or "")
    assert page.count("<svg") == 4
    assert "content=\"default-src 'none'; style-src 'unsafe-inline'\"" in page
    assert page == page_of(small, large, small)


def test_hostile_names_are_text(small, large) -> None:
    attack = "<script>alert(1)</script>"
    large["model"]["name"] = large["study"]["name"] = attack
    large["study"]["left_out"] = [attack]
    large["contrasts"][0] |= {"note": attack, "covers": attack}
    large["study"]["stamp"]["settings"]["system"] = attack
    large["arms"][0] |= {"state": "failed", "failures": {f"{attack}/seed-none": attack}}
    page = render_comparison(labelled([("a", small), (attack, large)]))
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 8
    Tags(page)


def test_labels_are_short_and_tell_the_runs_apart(small) -> None:
    small["model"]["name"] = "somewhere/a-model-with-a-name-that-goes-on-and-on"
    runs = labelled([("a", small), ("b", copy.deepcopy(small))])
    assert [run.label for run in runs] == ["1: a-model-with-a-name-th…", "2: a-model-with-a-name-th…"]
    assert all(len(run.label) <= LONGEST_LABEL for run in runs)


# The command


def written(folder: Path, results: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(results if isinstance(results, str) else json.dumps(results))
    return folder


@pytest.mark.usefixtures("undrawn")
def test_compare_takes_folders_and_files_and_writes_one_page(teachwhy, tmp_path, small, large) -> None:
    first, second = written(tmp_path / "a", small), written(tmp_path / "b", large)
    done = teachwhy("compare", first, second / "results.json", "--out", tmp_path / "new" / "page.html")
    assert done.code == 0
    lines = done.out.splitlines()
    assert any(line.split()[:2] == ["2:", "SmolLM2-1.7B-Instruct"] and "+.31  [.11, .52]" in line for line in lines)
    assert f"comparison: {tmp_path / 'new' / 'page.html'}" in lines
    assert "Differs: model, fingerprint: model, left out, dtype, train.batch" in lines
    assert (tmp_path / "new" / "page.html").read_text() == render_comparison(
        labelled([(str(first), small), (str(second), large)])
    )


@pytest.mark.usefixtures("undrawn")
def test_the_table_fits_100_columns_in_plain_characters(small, large) -> None:
    table = comparison_table(labelled([("a", small), ("b", large)]))
    assert max(map(len, table.splitlines())) <= 100
    assert table.isascii()


def test_what_cannot_be_compared_is_refused(teachwhy, tmp_path, small) -> None:
    out = ("--out", tmp_path / "page.html")
    run = written(tmp_path / "run", small)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert_refused(teachwhy("compare", run, *out), "one run is named", "teachwhy compare RUN RUN")
    assert_refused(teachwhy("compare", run, run / "results.json", *out), "named twice", str(run / "results.json"))
    assert_refused(teachwhy("compare", run, empty, *out), "no results.json here", str(empty), "Name a run folder")
    assert_refused(teachwhy("compare", run, tmp_path / "no" / "run", *out), "no such run folder", "no/run")
    other = written(tmp_path / "other", small | {"schema": 7})
    assert_refused(teachwhy("compare", run, other, *out), "schema 7; this version reads 1", str(other), "'schema'")
    broken = written(tmp_path / "broken", '{"schema": 1,\n "study": }')
    assert_refused(teachwhy("compare", run, broken, *out), "not JSON", f"{broken / 'results.json'}, line 2")
    (broken / "results.json").write_bytes(b"\xff\xfe")
    assert_refused(teachwhy("compare", run, broken, *out), "not JSON", str(broken))
    (broken / "results.json").write_text("[" * 100_000)
    assert_refused(teachwhy("compare", run, broken, *out), "not JSON", str(broken))
    (broken / "results.json").write_text("[1]")
    assert_refused(teachwhy("compare", run, broken, *out), "not the results.json of a run", str(broken))
    (broken / "results.json").write_text(json.dumps(small | {"half": "\ud800"}))
    assert_refused(teachwhy("compare", run, broken, *out), "not whole", str(broken))
    for key in ("contrasts", "arms", "competence", "metrics", "checks", "counts", "model"):
        part = {name: value for name, value in small.items() if name != key}
        (broken / "results.json").write_text(json.dumps(part))
        assert_refused(teachwhy("compare", run, broken, *out), f"not whole: it lacks '{key}'", str(broken))
        (broken / "results.json").write_text(json.dumps(small | {key: 1}))
        assert_refused(teachwhy("compare", run, broken, *out), "not whole", str(broken))
    assert not (tmp_path / "page.html").exists()


def test_a_page_that_cannot_be_written_is_refused(teachwhy, tmp_path, small, large) -> None:
    first, second = written(tmp_path / "a", small), written(tmp_path / "b", large)
    (tmp_path / "file").write_text("")
    done = teachwhy("compare", first, second, "--out", tmp_path / "file" / "page.html")
    assert_refused(done, "cannot be written", str(tmp_path / "file" / "page.html"))
