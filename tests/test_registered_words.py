"""What page, Markdown and methods say of a registration: the state, what changed, and how many runs came before."""

from __future__ import annotations

import re
from typing import Any

import pytest
from report_sample import sample_results, sample_timings

from teachwhy.report import render_report
from teachwhy.report.export import as_markdown
from teachwhy.report.registered import of_contrasts, sentences, title

EARLY, CHANGED, LATE = (
    "registered before the run",
    "changed after registration",
    "registered after answers existed",
)


@pytest.fixture
def results() -> dict[str, Any]:
    return sample_results()


def registered(results: dict[str, Any], **changes: object) -> dict[str, Any]:
    return results | {"registration": results["registration"] | changes}


def test_the_sample_was_registered_before(results):
    assert title(results) == "Declared before the run"
    assert sentences(results) == [
        "Registered on 2026-11-20 09:00:00 UTC, before there were answers.",
        "No full run of this study was completed before.",
        "Rule of decision: A difference counts as shown where its interval excludes zero after Holm.",
    ]


@pytest.mark.parametrize(
    ("changes", "over", "said"),
    [
        (
            {"state": CHANGED, "changed": ["items", "seeds"]},
            "Declared, and changed",
            "Changed since it: `items`, `seeds`.",
        ),
        (
            {"state": LATE, "contrasts": [LATE] * 2},
            "Declared, and registered",
            "when there were answers already.",
        ),
        ({"state": "not registered", "registered": None}, "Declared in the study file", "the author's word alone."),
        ({"state": CHANGED, "dropped": 1}, "Declared, and changed", "declared no more: 1."),
        ({"runs_before": 1}, "Declared before", "1 full run of this study was completed before."),
        (
            {"runs_before": 3, "quick_runs_before": 2},
            "Declared before",
            "3 full runs of this study were completed before, and 2 quick ones.",
        ),
    ],
)
def test_each_state_has_its_words(results, changes, over, said):
    contrasts = {"contrasts": [CHANGED] * 2} if changes.get("state") == CHANGED else {}
    found = registered(results, **contrasts | changes)
    assert title(found).startswith(over)
    assert said in " ".join(sentences(found))


def test_a_contrast_that_stood_is_told_from_one_that_was_added(results):
    found = registered(results, state=CHANGED, changed=["contrasts"], contrasts=["declared before the run", CHANGED])
    assert "Changed since the last registration before any answers: `contrasts`." in sentences(found)
    page = render_report(found, timings=sample_timings())
    verdicts = re.findall(r'<div class="verdict.*?</div>', page, flags=re.DOTALL)
    assert [("Declared before the run." in one, "Changed after registration." in one) for one in verdicts] == [
        (True, False),
        (False, True),
    ]
    assert "<h3>Declared, and changed after registration</h3>" in page


def test_the_first_screen_says_whether_it_was_registered(results):
    none = "not registered"
    page = render_report(registered(results, state=none, contrasts=[none] * 2), timings=sample_timings())
    first = page[: page.index("<nav")]
    assert "Not registered: that the contrasts were declared before the run is the author&#39;s word alone." in first
    assert "Declared before the run" not in page


def test_results_from_before_there_were_registrations_are_shown_too(results):
    results = {name: value for name, value in results.items() if name != "registration"}
    assert (title(results), sentences(results), of_contrasts(results)) == ("Declared in the study file", [], ["", ""])
    assert "<h3>Declared in the study file</h3>" in render_report(results, timings=sample_timings())
    assert "### Declared in the study file" in as_markdown(results)


def test_a_rule_of_decision_is_text_wherever_it_stands(results):
    attack = "<script>alert(1)</script>"
    page = render_report(registered(results, decision_rule=attack, registered=attack), timings=sample_timings())
    assert attack not in page
    assert "&lt;script&gt;alert(1)" in page
