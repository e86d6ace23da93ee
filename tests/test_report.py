"""The page and the table of a run: everything said, nothing flattered, nothing let through unescaped."""

from __future__ import annotations

import copy
import re
import sys
from html.parser import HTMLParser
from typing import Any

import pytest
from report_sample import FAILURE, sample_results, sample_timings

from teachwhy.report import drawing, render_report, result_table
from teachwhy.report.planes import tick_labels
from teachwhy.report.wording import p_value, share, signed, unscored_share, verdict, warnings

SECTIONS = ("question", "verdict", "contrasts", "arms", "answers", "checks", "failures", "limits", "again")
VOID = {"meta", "link", "br", "hr", "img", "input", "path", "use"}


@pytest.fixture
def results() -> dict[str, Any]:
    return copy.deepcopy(sample_results())


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take most of the time of a page; a test of its words can do without."""
    monkeypatch.setattr(drawing, "matplotlib_found", lambda: False)


@pytest.fixture(scope="module")
def page() -> str:
    return render_report(copy.deepcopy(sample_results()), timings=sample_timings())


class Tags(HTMLParser):
    """Collects tags, ids and attributes, and refuses a tag closed out of turn."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def text_of(page: str) -> str:
    body = re.sub(r"<(style|svg)\b.*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", "", body).split())


def declared(results: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The results with their first declared contrast changed; the contrast is returned."""
    results["contrasts"][0] |= changes
    return results["contrasts"][0]


# The page as a whole


def test_all_sections_stand_in_order(page: str) -> None:
    places = [page.index(f'id="{section}"') for section in SECTIONS]
    assert places == sorted(places)


def test_page_is_well_formed_with_unique_ids_and_captions(page: str) -> None:
    tags = Tags(page)
    assert tags.open == []
    ids = [attributes["id"] for _, attributes in tags.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert len(tags.named("table")) == len(tags.named("caption")) > 8
    assert len(tags.named("h1")) == 1


def test_every_reference_inside_a_figure_is_met(page: str) -> None:
    ids = set(re.findall(r'\bid="([^"]+)"', page))
    used = set(re.findall(r'href="#([^"]+)"', page)) | set(re.findall(r"url\(#([^)]+)\)", page))
    assert used <= ids


def test_nothing_is_loaded_from_outside_and_no_script(page: str) -> None:
    assert "<script" not in page.lower()
    assert not re.search(r"https?:|//www|@import|url\((?!#)", page)
    for _, attributes in Tags(page).tags:
        assert "src" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        assert (attributes.get("href") or "#").startswith("#") or attributes["href"] == "answers.html"


@pytest.mark.usefixtures("undrawn")
def test_times_stand_in_one_place_only(results: dict[str, Any]) -> None:
    one = render_report(results, timings=sample_timings())
    other = render_report(results, timings={"units": {}, "written": "some other day"})
    start = one.index("<h3>Time taken</h3>")
    assert other[:start] == one[:start]
    assert "88.3" in one[start:]


def test_same_input_gives_same_bytes_whatever_the_users_style(results: dict[str, Any], page: str) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    with matplotlib.rc_context({"lines.linewidth": 9, "font.family": "serif", "svg.fonttype": "path"}):
        assert render_report(results, timings=sample_timings()) == page


def test_page_is_small(page: str) -> None:
    assert len(page.encode()) < 3_000_000


def test_markup_in_names_and_answers_is_escaped(results: dict[str, Any]) -> None:
    attack = "<script>alert(1)</script>"
    results["study"] |= {"name": attack, "question": attack, "about": attack, "limits": attack}
    results["answers"][0] |= {"answer": f"Reason: {attack}\nAction: {attack}", "prompt": attack, "item": attack}
    results["arms"][0] |= {"state": "failed", "failures": {f"{attack}/seed-none": attack}}
    declared(results, note=attack, covers=attack)
    renamed = {"base": attack, "why": "$x_1$ <b>&"}
    for name in "arms contrasts comparisons rates competence unscored training canaries answers".split():
        for record in results[name]:
            for field in {"name", "arm", "versus"} & set(record):
                record[field] = renamed.get(record[field], record[field])
    results["checks"]["own_system_prompt"] = attack
    page = render_report(results, timings={"units": {f"{attack}/seed-none": {"train": 1.0, "exams": 1.0}}})
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 14
    assert "$x_1$ &lt;b&gt;&amp;" in page
    Tags(page)


def test_without_matplotlib_the_page_says_so_and_keeps_its_tables(
    results: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    page = render_report(results, timings={})
    assert "<svg" not in page
    assert "matplotlib is not installed" in page
    assert "+.23" in text_of(page)


def test_figures_carry_words_and_follow_the_page_in_colour(page: str) -> None:
    images = [attributes for attributes in Tags(page).named("div") if attributes.get("role") == "img"]
    assert len(images) == 6  # declared, exploratory, ladder, distances, measure, competence
    assert all("why" in (image["aria-label"] or "") for image in images)
    assert "why − swapped (conflict, new wording): +.23 [.05, .42]" in (images[0]["aria-label"] or "")
    svg = "".join(re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL))
    assert not re.search(r"#[0-9a-f]{6}|font-family|DejaVu|<metadata|<style", svg)


@pytest.mark.usefixtures("undrawn")
def test_unfinished_study_still_has_a_page() -> None:
    results = copy.deepcopy(sample_results())
    for arm in results["arms"]:
        arm |= {"state": "not run", "seeds": [], "failures": {}}
    nothing = {"estimate": None, "low": None, "high": None, "p": None, "p_adjusted": None, "p_sign_flip": None}
    for contrast in results["contrasts"]:
        contrast |= nothing | {"per_seed": {}, "per_family": {}, "bounds": None, "items": 0, "families": 0, "seeds": 0}
        contrast["covers"] = "no interval: no family was scored at every seed"
    results |= {"rates": [], "competence": [], "unscored": [], "training": [], "canaries": [], "answers": []}
    said = text_of(render_report(results, timings={}))
    assert "Nothing could be compared: no family was scored at every seed." in said
    assert "Not finished" in said
    assert "not run" in result_table(results)


# What it says


def test_shown_difference_is_said_with_what_it_covers(results: dict[str, Any]) -> None:
    found = verdict(results["contrasts"][0], results)
    assert found.shown
    assert found.number == "+.23 [.05, .42]"
    said = " ".join([found.finding, *found.details])
    assert "A difference was shown: `why` scores higher than `swapped`" in said
    assert "neither better nor worse" in said
    assert "The 95% interval covers families and seeds." in said
    assert "(Holm over 2 declared contrasts)" in said
    assert "`swapped`: Another fact and reason that fit the same action." in said


def test_interval_over_zero_shows_no_difference(results: dict[str, Any]) -> None:
    found = verdict(declared(results, estimate=0.03, low=-0.05, high=0.12), results)
    assert not found.shown
    assert found.finding == "No difference was shown; the interval still allows from −.05 to +.12."


def test_holm_can_take_a_difference_back(results: dict[str, Any]) -> None:
    found = verdict(declared(results, p_adjusted=0.08), results)
    assert not found.shown
    assert "after Holm's correction over the declared contrasts p = .080, above .05" in found.finding


@pytest.mark.usefixtures("undrawn")
def test_contrast_without_interval_claims_nothing(results: dict[str, Any]) -> None:
    covers = "no interval: 3 of the at least 10 families needed"
    contrast = declared(results, low=None, high=None, p=None, p_adjusted=None, covers=covers)
    found = verdict(contrast, results)
    assert not found.shown
    assert found.number == "+.23"
    assert found.finding.startswith("No interval is claimed: 3 of the at least 10 families needed.")
    assert "No interval is claimed" in text_of(render_report(results, timings={}))


@pytest.mark.parametrize(
    ("higher", "estimate", "better"), [(True, 0.2, "why"), (True, -0.2, "swapped"), (False, 0.2, "swapped")]
)
def test_direction_of_the_metric_decides_what_is_better(
    results: dict[str, Any], higher: bool, estimate: float, better: str
) -> None:
    low, high = estimate - 0.1, estimate + 0.1
    found = verdict(declared(results, estimate=estimate, low=low, high=high, higher_is_better=higher), results)
    assert f"`{better}` does better than" in found.finding


def test_unscored_answers_that_could_undo_a_difference_are_named(results: dict[str, Any]) -> None:
    found = verdict(declared(results, unscored=40, bounds=(-0.1, 0.4)), results)
    assert "40 answers are unscored" in found.cautions[-1]
    assert "from −.10 to +.40" in found.cautions[-1]


@pytest.mark.usefixtures("undrawn")
def test_floor_warning_names_arms_and_distances_and_marks_the_contrast(results: dict[str, Any]) -> None:
    for record in results["competence"]:
        if record["arm"] == "why" and record["subset"]["distance"] == "new_wording":
            record |= {"rate": 0.62, "competent": False}
    notice = warnings(results)[0]
    assert notice.title == "Below the competence floor of .85"
    assert "`why`: .62 on agree, new wording" in notice.points
    assert "mean little" in notice.meaning
    said = text_of(render_report(results, timings={}))
    assert said.index("Below the competence floor of .85") < said.index("A difference was shown")
    assert "Below the competence floor: why (agree, new wording); so this contrast says little." in said


def test_no_warning_where_all_is_well(results: dict[str, Any]) -> None:
    for record in results["competence"]:
        record |= {"rate": 0.95, "competent": True}
    for arm in results["arms"]:
        arm |= {"state": "done", "failures": {}}
    for rate in results["rates"]:
        rate["unscored"] = 0
    assert warnings(results) == []


def test_rate_just_below_the_floor_is_not_rounded_onto_it(results: dict[str, Any]) -> None:
    results["competence"][0] |= {"rate": 0.8462, "at_least": 0.85, "competent": False}
    assert ".846" in warnings(results)[0].points[0]


def test_failed_arm_is_a_row_with_a_mark_and_its_cause(page: str) -> None:
    failures = page[page.index('id="failures"') : page.index('id="limits"')]
    assert '<tr class="failed"><th scope="row">✕ <code>neutral</code></th>' in failures
    assert "neutral/seed-2" in failures
    assert FAILURE.split("\n")[0] in failures
    assert "Failed arms" in text_of(page)


def test_unscored_answers_are_counted_by_cause(page: str, results: dict[str, Any]) -> None:
    failures = text_of(page[page.index('id="failures"') : page.index('id="limits"')])
    assert "no action marker" in failures
    base, what = results["arms"][0], results["arms"][2]
    lost = sum(rate["unscored"] for rate in results["rates"] if rate["arm"] == "base" and rate["format"] == "own")
    assert unscored_share(results, base) == lost / 320
    assert unscored_share(results, what) == 0
    assert any("`base`: 35% of its answers" in point for notice in warnings(results) for point in notice.points)


def test_arm_with_nothing_scored_is_wholly_unscored(results: dict[str, Any]) -> None:
    for rate in results["rates"]:
        if rate["arm"] == "why" and not rate["metric"].endswith("by_choice"):
            rate |= {"items": 0, "unscored": 240}
    assert unscored_share(results, results["arms"][5]) == 1


def test_preference_is_not_called_correctness_and_off_format_is_labelled(page: str) -> None:
    said = text_of(page)
    assert "It is a preference between facts, not correctness" in said
    assert 'off-format<span class="sub">generated' in page
    assert 'off-format<span class="sub">by choice' in page
    assert "Exploratory, uncorrected" in said


def test_answers_tell_reason_from_action_and_mark_decisions(page: str) -> None:
    answers = page[page.index('id="answers"') : page.index('id="checks"')]
    assert answers.count('class="item"') == 10
    assert answers.count('class="answer"') == 90
    assert '<span class="part-label">reason</span><span class="part-reason">Her tent is' in answers
    assert re.search(r'part-action">(Move|Leave) them', answers)
    assert '<span class="badge">gold</span>' in answers
    assert "unscored: no action marker" in answers
    assert "(nothing but spaces)" in answers


@pytest.mark.parametrize(
    ("chance", "low", "high", "said"),
    [(0.5, 0.44, 0.56, "at chance (.50)"), (0.5, None, None, "at chance (.50)"), (None, 0.44, 0.56, None)],
)
@pytest.mark.usefixtures("undrawn")
def test_two_arms_at_chance_support_no_conclusion(results, chance, low, high, said) -> None:
    contrast = next(one for one in results["contrasts"] if one["declared"])
    metric = next(one for one in results["metrics"] if one["name"] == contrast["metric"])
    metric["chance"] = chance
    contrast.update(low=-0.1, high=0.1)
    for side in contrast["sides"].values():
        side.update(estimate=0.51, low=low, high=high)
    text = text_of(render_report(results, timings=sample_timings()))
    assert (f"Both arms are {said}: this supports no conclusion." in text) == (said is not None)
    assert ("Both arms at chance or at the limit" in text) == (said is not None)


@pytest.mark.usefixtures("undrawn")
def test_a_wide_interval_that_holds_chance_is_not_at_chance(results) -> None:
    contrast = next(one for one in results["contrasts"] if one["declared"])
    next(one for one in results["metrics"] if one["name"] == contrast["metric"])["chance"] = 0.5
    for side in contrast["sides"].values():
        side.update(estimate=0.6, low=0.45, high=0.75)
    assert "at chance" not in text_of(render_report(results, timings=sample_timings()))


@pytest.mark.usefixtures("undrawn")
def test_a_quick_run_says_on_its_page_what_it_left_out(results) -> None:
    results["study"]["left_out"] = ["96 of 480 items", "1 of 3 declared contrasts"]
    text = text_of(render_report(results, timings=sample_timings()))
    assert "A quick run" in text
    assert "1 of 3 declared contrasts" in text


@pytest.mark.usefixtures("undrawn")
def test_two_arms_at_the_limit_support_no_conclusion(results) -> None:
    contrast = next(one for one in results["contrasts"] if one["declared"])
    metric = next(one for one in results["metrics"] if one["name"] == contrast["metric"])
    metric["higher_is_better"] = False
    for side in contrast["sides"].values():
        side.update(estimate=0.01, low=0.0, high=0.03)
    assert "at the limit of the measure" in text_of(render_report(results, timings=sample_timings()))


def test_the_arm_check_marks_what_should_not_have_moved(page: str) -> None:
    checks = text_of(page[page.index('id="checks"') : page.index('id="failures"')])
    assert "✕ 7.20" in checks  # the mention is shorter
    assert "0.00 *" in checks  # `what` has nothing beside its actions, as it declares
    assert "The two arms differ also in what they should not (words): see the arm check." in text_of(page)


def test_checks_say_what_is_matched_and_what_is_not(page: str) -> None:
    checks = text_of(page[page.index('id="checks"') : page.index('id="failures"')])
    assert "The same in all trained arms: words in the action, rows, updates." in checks
    assert "Not matched: words beside the action (0.0 to 21.7)" in checks
    assert "because the study declares it shared: system." in checks
    assert "item rule-03-agree-0" in checks
    assert "−0.872" in checks
    assert "e5" * 32 in checks


@pytest.mark.usefixtures("undrawn")
def test_own_system_prompt_of_the_template_is_named(results: dict[str, Any]) -> None:
    results["checks"]["own_system_prompt"] = "You are a helpful machine."
    said = text_of(render_report(results, timings={}))
    assert "The template writes its own system prompt" in said
    assert "You are a helpful machine." in said


def test_nothing_is_said_to_be_proved(page: str) -> None:
    assert not re.search(r"\bprove[sdn]?\b|significan|\bclearly\b", text_of(page), flags=re.IGNORECASE)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, ".50"), (1.0, "1.00"), (0.0, ".00"), (-0.05, "−.05"), (0.004, ".004"), (None, "–"), (-1.2, "−1.20")],
)
def test_numbers_have_no_leading_zero_and_keep_their_sign(value: float | None, text: str) -> None:
    assert share(value) == text


def test_signs_and_p_values() -> None:
    assert [signed(0.21), signed(-0.21), signed(0.0)] == ["+.21", "−.21", ".00"]
    assert [p_value(0.0004), p_value(0.0312), p_value(1.0), p_value(None)] == ["< .001", ".031", "1.000", "–"]


# The table of the command line


def test_table_fits_100_columns_in_plain_characters(results: dict[str, Any]) -> None:
    table = result_table(results)
    assert max(map(len, table.splitlines())) <= 100
    assert table.isascii()
    assert "\x1b" not in table


def test_table_has_contrasts_and_a_line_an_arm(results: dict[str, Any]) -> None:
    lines = result_table(results).splitlines()
    assert any(line.startswith("why - swapped") and "+.23" in line and "[.05, .42]" in line for line in lines)
    rows = {line.split()[0]: line.split() for line in lines[lines.index("Arms") :] if line}
    assert rows["neutral"][1] == "FAILED"
    assert rows["base"][1:] == ["done", "-", "-", ".41", ".39", "35%"]
    assert "!" in rows["shuffled"]
    assert set(rows) >= {arm["name"] for arm in results["arms"]}


def test_table_reads_no_markup_and_survives_long_names(results: dict[str, Any]) -> None:
    results["study"]["question"] = "Is [red]this[/red] read [/] as it stands?"
    results["arms"][2]["name"] = "a_name_that_goes_on_and_on_" * 4
    table = result_table(results)
    assert "Is [red]this[/red] read [/] as it stands?" in table
    assert max(map(len, table.splitlines())) <= 100


def test_labels_of_sizes_that_would_run_into_each_other_are_left_out():
    sizes = [296, 486, 586, 872, 960, 1428]
    assert tick_labels(sizes, 468) == ["296", "486", "586", "872", "", "1,428"]
    assert tick_labels(sizes, 176) == ["296", "486", "", "872", "", "1,428"]
    assert tick_labels([40], 100) == ["40"]
