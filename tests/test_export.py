"""Results for other readers: the numbers of results.json, the words of the page, and nothing let through as markup."""

from __future__ import annotations

import copy
import csv
import io
import re
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from bad_input import assert_refused
from in_process import run_study_here
from markdown_it import MarkdownIt
from markdown_it.token import Token
from report_sample import FAILURE, sample_results

import teachwhy
from teachwhy.report import as_csv, as_markdown, figure_files, figures, methods, page, wording
from teachwhy.report.markdown import code, fenced, inline, plain, table

ROOT = Path(__file__).parents[1]
ATTACKS = (
    "<script>alert(1)</script>",
    "a | b",
    "`code` ``more",
    "first\nsecond\r\nthird\u2028fourth",
    "[x](javascript:alert(1)) ![y](http://evil.test/z.png)",
    "*bold* _italic_ ~~gone~~ $x_1$",
    "# heading",
    "- item",
    "12. item",
    "---",
    "===",
    "\\| \\` \\\\",
    "</td></tr></table>",
    "&lt;b&gt; &amp;",
    "\u202eevil\u2066\x00\x07",
    "=cmd|' /C calc'!A0",
)


@pytest.fixture
def results() -> dict[str, Any]:
    return copy.deepcopy(sample_results())


def on_one_line(text: str) -> str:
    return " ".join(re.sub("[\u202e\u2066\x00\x07]", "\N{REPLACEMENT CHARACTER}", text).split())


def parsed(markdown: str) -> list[Token]:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown)


def inner(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from inner(token.children or [])


def read_back(text: str) -> str:
    """Inline Markdown as the text that a reader sees."""
    (_, body, _) = parsed(text)
    assert all(child.type in ("text", "text_special", "code_inline") for child in body.children or []), text
    return "".join(child.content for child in body.children or [])


def tables(markdown: str) -> list[list[list[str]]]:
    """Every table as rows of cells, as a reader sees them; the heads first."""
    found: list[list[list[str]]] = []
    for token in parsed(markdown):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and found and token.level >= 4:
            found[-1][-1].append("".join(child.content for child in token.children or []))
    return found


def table_under(markdown: str, title: str) -> list[list[str]]:
    return tables(markdown[markdown.index(f"{title}\n") :])[0]


def rows_of(results: dict[str, Any]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(as_csv(results))))


# Markdown


@pytest.mark.parametrize("attack", ATTACKS)
def test_any_text_is_one_line_of_text(attack: str) -> None:
    shown = on_one_line(attack)
    assert read_back(plain(attack)) == shown
    assert read_back(inline(attack.replace("`", "'"))) == shown.replace("`", "'")
    assert tables(table(("head", plain(attack)), [["a", plain(attack)], [code(attack), "b"]])) == [
        [["head", shown], ["a", shown], [shown, "b"]]
    ]


def test_a_name_in_a_sentence_is_code_unless_it_is_no_name() -> None:
    assert inline("`why` does better than `a|b`.") == "`why` does better than a\\|b."
    assert code("bundled:smollm2-135m") == "`bundled:smollm2-135m`"
    assert inline("an unmatched ` is a character") == "an unmatched \\` is a character"


def test_a_fence_is_longer_than_any_in_its_text() -> None:
    (token,) = parsed(fenced("a: ```\n````\n# b", "yaml"))
    assert (token.type, token.content, token.info) == ("fence", "a: ```\n````\n# b\n", "yaml")


def test_every_row_of_every_table_has_its_cells(results: dict[str, Any]) -> None:
    found = tables(as_markdown(results))
    assert len(found) >= 8
    for rows in found:
        assert len(rows) > 1
        assert {len(row) for row in rows} == {len(rows[0])}


def test_contrasts_are_those_of_the_results_in_the_words_of_the_page(results: dict[str, Any]) -> None:
    markdown = as_markdown(results)
    for declared, title in ((True, "### Declared before the run"), (False, "### Exploratory, uncorrected")):
        contrasts = [contrast for contrast in results["contrasts"] if contrast["declared"] is declared]
        heads, *rows = table_under(markdown, title)
        assert len(rows) == len(contrasts) > 1
        for row, contrast in zip(rows, contrasts, strict=True):
            cells = dict(zip(heads, row, strict=True))
            assert cells["contrast"] == wording.contrast_name(contrast)
            assert cells["estimate"] == wording.signed(contrast["estimate"])
            assert cells["interval"] == wording.bracket(contrast["low"], contrast["high"])
            assert cells["Holm p"] == wording.p_value(contrast["p_adjusted"])
            assert [int(cells[key]) for key in ("items", "families", "seeds", "unscored")] == [
                contrast[key] for key in ("items", "families", "seeds", "unscored")
            ]
            assert cells["interval covers"].startswith(contrast["covers"])


def test_every_rate_by_distance_stands_in_a_table(results: dict[str, Any]) -> None:
    markdown = as_markdown(results)
    seen = 0
    for metric in ("follows_first_fact", "correct"):
        heads, *rows = table_under(markdown, f"### `{metric}` (`decisions`), own format")
        for rate in results["rates"]:
            if (rate["metric"], rate["format"]) == (metric, "own"):
                place = heads.index(wording.subset_label(rate["subset"]))
                (row,) = [row for row in rows if row[0].removeprefix("✕ ") == rate["arm"]]
                interval = wording.bracket(rate["low"], rate["high"])
                unscored = f"; {rate['unscored']} unscored" if rate["unscored"] else ""
                assert row[place] == f"{wording.share(rate['estimate'])} {interval}{unscored}"
                seen += 1
    assert seen == 36


def test_what_the_page_says_is_said(results: dict[str, Any]) -> None:
    said = " ".join(re.sub(r"\\(.)", r"\1", as_markdown(results)).split())
    for notice in wording.warnings(results):
        assert notice.title in said
        assert all(point in said for point in notice.points)
    for contrast in results["contrasts"][:2]:
        found = wording.verdict(contrast, results)
        for sentence in (found.finding, *found.cautions, *found.details):
            assert sentence in said
    assert " ".join(FAILURE.split()) in said
    assert wording.scope(results) in said
    assert "words beside the action: 7.20, `why` 21" in said
    assert "Not matched: words beside the action (0.0 to 21.7)" in said
    assert "✕ `neutral`" in said
    assert "b2" * 32 in said


def test_an_unfinished_study_still_has_its_exports(results: dict[str, Any]) -> None:
    for arm in results["arms"]:
        arm |= {"state": "not run", "seeds": [], "failures": {}}
    for contrast in results["contrasts"]:
        contrast |= dict.fromkeys(("estimate", "low", "high", "p", "p_adjusted", "p_sign_flip", "bounds"))
        contrast["covers"] = "no interval: no family was scored at every seed"
    results |= {"rates": [], "competence": [], "unscored": [], "training": [], "canaries": [], "answers": []}
    results["study"]["limits"] = ""
    markdown = as_markdown(results)
    assert "Nothing could be compared" in markdown
    assert wording.NO_LIMITS in markdown
    assert "Every answer could be scored." in markdown
    assert {row["estimate"] for row in rows_of(results)} == {""}


def test_hostile_names_and_texts_stay_text(results: dict[str, Any]) -> None:
    shape = [[len(row) for row in rows] for rows in tables(as_markdown(results))]
    kinds = [token.type for token in parsed(as_markdown(results))]
    for attack in ATTACKS:
        results = copy.deepcopy(sample_results())
        results["study"] |= {"name": attack, "question": attack, "about": attack, "limits": f"{attack}\n{attack}"}
        results["model"]["name"] = attack
        results["arms"][0] |= {"state": "failed", "failures": {attack: attack}}
        results["contrasts"][0] |= {"note": attack, "covers": attack}
        results["study"]["stamp"]["settings"]["system"] = f"{attack}\n```\n{attack}"
        for name in ("arms", "contrasts", "comparisons", "rates", "competence", "unscored", "training"):
            for record in results[name]:
                for field in {"name", "arm", "versus"} & set(record):
                    record[field] = attack if record[field] == "base" else record[field]
        markdown = as_markdown(results)
        found = parsed(markdown)
        allowed = {
            *kinds,
            "text",
            "text_special",
            "code_inline",
            "softbreak",
            "hardbreak",
            "strong_open",
            "strong_close",
        }
        assert {token.type for token in inner(found)} <= allowed, attack
        rows = [[len(row) for row in rows] for rows in tables(markdown)]
        assert [row[0] for row in rows] == [row[0] for row in shape], attack


# CSV


def test_csv_holds_every_rate_and_contrast_unrounded(results: dict[str, Any]) -> None:
    rows = rows_of(results)
    assert len(rows) == len(results["rates"]) + len(results["contrasts"])
    for row, record in zip(rows, [*results["rates"], *results["contrasts"]], strict=True):
        assert row["record"] == ("contrast" if "versus" in record else "rate")
        for name in ("estimate", "low", "high", "level"):
            assert (float(row[name]) if row[name] else None) == record[name]
        for name in ("p", "p_adjusted", "p_sign_flip", "asked", "right"):
            assert (float(row[name]) if row[name] else None) == record.get(name)
        for name in ("items", "families", "seeds", "unscored"):
            assert int(row[name]) == record[name]
        for name in ("arm", "exam", "metric", "format", "covers", "note"):
            assert row[name] == record[name]
        subset = {name.removeprefix("subset_"): row[name] for name in row if name.startswith("subset_") and row[name]}
        assert subset == record["subset"]
    contrasts = rows[len(results["rates"]) :]
    assert [row["declared"] for row in contrasts] == ["true"] * 2 + ["false"] * 10
    assert [float(contrasts[0][name]) for name in ("bound_low", "bound_high")] == results["contrasts"][0]["bounds"]
    assert {row["study"] for row in rows} == {"swap"}


def test_csv_says_which_way_a_metric_is_better(results: dict[str, Any]) -> None:
    found = {(row["metric"], row["higher_is_better"]) for row in rows_of(results)}
    assert {("correct", "true"), ("follows_first_fact", "")} <= found


@pytest.mark.parametrize("start", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1"])
def test_no_text_of_the_csv_is_a_formula_and_no_number_is_touched(results: dict[str, Any], start: str) -> None:
    results["contrasts"][0] |= {"note": start, "arm": start, "estimate": -0.25}
    results["contrasts"][0]["subset"]["kind"] = start
    row = rows_of(results)[len(results["rates"])]
    assert row["note"] == row["arm"] == row["subset_kind"] == f"'{start.strip()}"
    assert row["estimate"] == "-0.25"


@pytest.mark.parametrize("attack", ATTACKS)
def test_csv_gives_any_text_back_on_one_line(results: dict[str, Any], attack: str) -> None:
    results["rates"][0]["arm"] = attack
    assert rows_of(results)[0]["arm"].removeprefix("'") == on_one_line(attack)
    assert len(as_csv(results).splitlines()) == 1 + len(results["rates"]) + len(results["contrasts"])


# Methods


def numbers_in(text: str) -> set[float]:
    return {float(found.replace(",", "")) for found in re.findall(r"(?<![\w.-])\d[\d,]*(?:\.\d+)?|(?<!\w)\.\d+", text)}


def numbers_of(value: Any) -> Iterator[float]:
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from numbers_of(part)
        yield float(len(value))
    elif isinstance(value, int | float):
        yield float(value)
    elif isinstance(value, str):
        yield from numbers_in(value)


def test_every_number_of_the_methods_is_one_of_the_results(results: dict[str, Any]) -> None:
    text = re.sub("`[^`]*`", "", methods(results))
    known = set(numbers_of(results)) | {100 * results["contrasts"][0]["level"]}
    known |= {round(one["degrees_of_freedom"], 1) for one in results["contrasts"] if one["degrees_of_freedom"]}
    known |= {sum(not one["declared"] for one in results["contrasts"])}
    # F - 1 and S - 1 of the degrees of freedom, sha256, and how many of its digits are shown.
    found = numbers_in(text.replace("sha256", "").replace("the first 12 digits", "").replace("− 1", ""))
    assert len(found) > 15
    assert found <= known


def test_the_methods_name_what_was_done(results: dict[str, Any]) -> None:
    text = methods(results)
    for said in (
        "compares 9 arms of one model, `bundled:smollm2-135m`",
        "Not all units are finished: `neutral` (failed).",
        "384 examples of 20 principles",
        "(rank 16) with AdamW (peak learning rate 0.002, 16 rows an update, 3 epochs)",
        "The 20 trainings made 72 updates each, over 95,160 to 103,160 tokens",
        "Seeds: 0, 1, 2.",
        "at most 64 new tokens",
        "Satterthwaite",
        "the 95% interval that covers families at these seeds: training noise is not covered",
        "`reason_only` − `what`: no interval: 3 of the at least 10 families needed.",
        "Declared in the study file: `why` − `swapped` in `follows_first_fact`",
        "Holm's correction is over the 2 declared contrasts with a p; 10 exploratory contrasts are uncorrected",
        "Run on cpu in bfloat16 with 1 thread, torch 2.13.0+cpu, transformers 5.23.0.",
        "policy `b2b2b2b2b2b2`",
    ):
        assert said in text
    assert "Judge" not in text
    assert "quick" not in text


@pytest.mark.parametrize(
    ("path", "clause"),
    [
        (("study", "stamp", "settings", "train", "rank"), "rank"),
        (("study", "stamp", "settings", "train"), "LoRA"),
        (("study", "stamp", "settings", "max_new_tokens"), "new tokens"),
        (("study", "stamp", "settings", "competence"), "competent"),
        (("study", "stamp", "settings", "exams"), "sat the exam"),
        (("study", "stamp", "policy"), "policy `"),
        (("checks", "twins"), "twins"),
        (("checks", "template_hash"), "chat template"),
        (("counts", "examples"), "is taught by"),
        (("counts", "items"), "the study has"),
        (("model", "threads"), "thread"),
        (("model", "torch"), "torch"),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else "",
)
def test_a_fact_that_results_lack_is_left_out(results: dict[str, Any], path: tuple[str, ...], clause: str) -> None:
    assert clause in methods(results)
    *outer, last = path
    record = results
    for key in outer:
        record = record[key]
    del record[last]
    assert clause not in methods(results)
    assert "None" not in methods(results)


def test_a_quick_run_a_judge_and_arms_that_are_no_twins_are_named(results: dict[str, Any]) -> None:
    results["study"]["left_out"] = ["96 of 480 items", "1 of 3 declared contrasts"]
    results["judge"] = {"name": "judges/one", "fingerprint": "f6" * 32}
    results["checks"]["not_twins"] = {"generic": {"rows_an_update": 31}}
    text = methods(results)
    assert "This was a quick run, of 96 of 480 items and 1 of 3 declared contrasts." in text
    assert "it was `judges/one`." in text
    assert "judge `f6f6f6f6f6f6`" in text
    assert "`generic` (31 rows an update)" in text


# Figures


def test_every_figure_of_the_page_is_a_file_that_stands_alone(results: dict[str, Any]) -> None:
    pytest.importorskip("matplotlib")
    files = figure_files(results)
    assert list(files) == [
        f"{name}.{format}"
        for name in (
            "declared-contrasts",
            "exploratory-contrasts-uncorrected",
            "the-gain-of-each-arm-over-the-lower-ones",
            "the-difference-from-near-to-far",
            "decisions-follows_first_fact-by-arm-own-format",
            "competence-of-the-trained-arms",
        )
        for format in ("svg", "png")
    ]
    assert len(page.drawings(results)) == 6
    for name, content in files.items():
        if name.endswith(".png"):
            assert content.startswith(b"\x89PNG")
            continue
        text = content.decode()
        root = ElementTree.fromstring(text)
        assert not re.search(r"var\(--|currentColor|#00000[1-4]", text)
        assert "font-family" in text
        assert "fill: #ffffff" in text
        assert root.find("{http://www.w3.org/2000/svg}title").text
    words = " ".join(ElementTree.fromstring(files["declared-contrasts.svg"]).itertext())
    assert "why − swapped" in words
    assert "+.23 [.05, .42]" in words
    assert "■ estimate with its 95% interval; ○ each seed; | each family" in words


def test_figure_files_have_the_same_bytes_whatever_the_users_style(results: dict[str, Any]) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    (drawing, *_) = page.drawings(results)
    plain_bytes = {format: drawing.file(format) for format in ("svg", "png")}
    with matplotlib.rc_context(
        {"lines.linewidth": 9, "font.family": "serif", "axes.prop_cycle": "cycler('color', 'r')"}
    ):
        assert {format: drawing.file(format) for format in ("svg", "png")} == plain_bytes


@pytest.mark.parametrize("attack", ["<script>alert(1)</script>", "../../etc/passwd", "$x_1^2$", "", "a" * 300])
def test_hostile_names_in_figures_are_text_and_no_paths(attack: str) -> None:
    pytest.importorskip("matplotlib")
    row = figures.Row(attack, attack, attack, 0.1)
    drawing = figures.draw("x", [figures.Panel(attack, [row])], figures.difference_axis([row]), title=attack)
    assert b"<script" not in drawing.file("svg")
    ElementTree.fromstring(drawing.file("svg"))


def test_figures_of_one_title_do_not_overwrite_each_other(
    results: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr("teachwhy.report.drawing.Drawing.file", lambda self, format: self.name.encode())
    row = figures.Row("a", "", "", 0.1)
    twice = [figures.draw(f"x-{n}", [figures.Panel("", [row])], figures.rate_axis(), title="../A b") for n in (1, 2)]
    monkeypatch.setattr("teachwhy.report.export.drawings", lambda results: twice)
    files = figure_files(results)
    assert files == {"a-b.svg": b"x-1", "a-b.png": b"x-1", "a-b-2.svg": b"x-2", "a-b-2.png": b"x-2"}


# The command


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """The folder of a study with a run of its untrained arms."""
    import tiny

    folder = tmp_path_factory.mktemp("reported")
    study = tiny.build_tiny_study(folder, tiny_model)
    run_study_here(study, arms=["base", "policy_in_prompt"], runs=folder / "runs")
    return folder


def test_report_prints_each_format_and_changes_no_result(teachwhy, reported: Path, tmp_path: Path) -> None:
    (run,) = (reported / "runs" / "tiny").iterdir()
    stored, written = (run / "results.json").read_text(), (run / "report.html").read_bytes()
    call = ("report", reported, "--runs", reported / "runs", "--format")
    assert teachwhy(*call, "json").out == stored
    assert teachwhy(*call, "csv").out.startswith("study,model,record,declared,arm,versus,")
    assert teachwhy(*call, "md").out.startswith("# Does the tiny model follow?\n\n")
    to_file = teachwhy(*call, "md", "--out", tmp_path / "new" / "report.md")
    assert to_file.out == ""
    assert f"wrote {tmp_path / 'new' / 'report.md'}" in to_file.err
    assert (tmp_path / "new" / "report.md").read_text() == teachwhy(*call, "md").out
    assert (run / "results.json").read_text() == stored
    assert (run / "report.html").read_bytes() == written, "the page fits, so nothing but html writes it anew"
    html = teachwhy(*call, "html", "--out", tmp_path / "page.html")
    assert f"report: {run / 'report.html'}" in html.out
    assert (tmp_path / "page.html").read_text() == (run / "report.html").read_text()


def test_report_writes_the_figures(teachwhy, reported: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    done = teachwhy("report", reported, "--runs", reported / "runs", "--format", "md", "--figures", tmp_path / "drawn")
    assert done.code == 0
    names = sorted(path.name for path in (tmp_path / "drawn").iterdir())
    assert names
    assert {f"wrote {tmp_path / 'drawn' / name}" for name in names} <= set(done.err.splitlines())
    assert not [name for name in names if not re.fullmatch(r"[\w-]+\.(svg|png)", name)]


def test_figures_without_matplotlib_are_refused(
    teachwhy, reported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = teachwhy("report", reported, "--runs", reported / "runs", "--figures", tmp_path / "drawn")
    assert_refused(done, "needs matplotlib", "pip install")


def test_an_unknown_format_is_refused_before_scoring(teachwhy, reported: Path) -> None:
    done = teachwhy("report", reported, "--runs", reported / "runs", "--format", "mdd")
    assert_refused(done, "no report format named 'mdd'", "Did you mean 'md'?", "--format")


# The citation


def test_the_citation_names_the_version_of_the_package() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert citation["version"] == project["version"] == teachwhy.__version__
    assert citation["license"] == project["license"]
    assert citation["cff-version"] == "1.2.0"
    assert {"authors", "message", "title"} <= set(citation)
