"""Registration: what it freezes, what a run then says of it, and what cannot be passed off as declared before."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
from bad_input import assert_refused, edit_line, edit_study
from in_process import SILENT, run_here

from teachwhy.errors import InputError
from teachwhy.study import read_study, register_study, run_study
from teachwhy.study import run as run_module
from teachwhy.study.history import Begun
from teachwhy.study.register import Entry, differing, read_entries, registration_state

ONE, TWO = ({"arm": "why", "versus": other, "metric": "follows_first_fact"} for other in ("what", "swapped"))
UNTRAINED = {"arm": "policy_in_prompt", "versus": "base", "metric": "follows_first_fact"}
FACTS = {"items": "aa", "seeds": [0, 1], "contrasts": [ONE]}


def entry(when: str = "monday", answers_before: int = 0, **facts: object) -> Entry:
    return Entry(
        when=when,
        study="tiny",
        model="m",
        facts=FACTS | facts,
        decision_rule="in words",
        changed=[],
        answers_before=answers_before,
        teachwhy="0",
        previous="",
    ).sealed()


def state(entries: list[Entry], begun: Begun, **facts: object) -> dict[str, Any]:
    return registration_state(entries, FACTS | facts, begun)


def stood(*entries: Entry) -> Begun:
    """A run folder that began under these registrations, with no answers beside it."""
    return Begun({one.hash: 0 for one in entries}, runs_before=2, quick_runs_before=1)


# The pure function


def test_the_same_facts_registered_before_any_answer():
    first = entry()
    assert state([first], stood(first)) == {
        "state": "registered before the run",
        "registered": "monday",
        "decision_rule": "in words",
        "changed": [],
        "contrasts": ["declared before the run"],
        "dropped": 0,
        "runs_before": 2,
        "quick_runs_before": 1,
    }


def test_no_registration_says_nothing_but_the_runs_before():
    found = state([], Begun(runs_before=3))
    assert (found["state"], found["registered"], found["contrasts"]) == ("not registered", None, ["not registered"])
    assert found["runs_before"] == 3


def test_a_contrast_that_was_added_is_told_from_one_that_stood():
    found = state([first := entry()], stood(first), contrasts=[ONE, TWO])
    assert (found["state"], found["changed"]) == ("changed after registration", ["contrasts"])
    assert found["contrasts"] == ["declared before the run", "changed after registration"]


def test_dropping_a_contrast_is_counted_since_holm_grows_kinder_by_it():
    found = state([first := entry(contrasts=[ONE, TWO])], stood(first))
    assert (found["state"], found["dropped"]) == ("changed after registration", 1)


def test_where_the_items_changed_no_contrast_is_what_was_declared():
    found = state([first := entry()], stood(first), items="bb")
    assert found["changed"] == ["items"]
    assert found["contrasts"] == ["changed after registration"]


@pytest.mark.parametrize(
    ("late", "begun"),
    [
        (entry(answers_before=4), lambda late: stood(late)),  # by its own count
        (entry(), lambda late: Begun()),  # written when this folder had begun
        (entry(), lambda late: Begun({late.hash: 4})),  # another folder had answers from before it
    ],
)
def test_a_registration_after_answers_is_none_from_before(late, begun):
    found = state([late], begun(late))
    assert found["state"] == "registered after answers existed"
    assert found["contrasts"] == ["registered after answers existed"]


def test_registering_again_after_answers_keeps_what_was_declared_before_them():
    first, second = entry(), entry("tuesday", answers_before=4, contrasts=[ONE, TWO])
    begun = Begun({first.hash: 0, second.hash: 4})
    found = state([first, second], begun, contrasts=[ONE, TWO])
    assert (found["state"], found["registered"]) == ("registered after answers existed", "tuesday")
    assert found["changed"] == ["contrasts"]
    assert found["contrasts"] == ["declared before the run", "registered after answers existed"]
    assert state([first, second], begun)["state"] == "registered before the run", "back to what was declared first"


def test_of_several_registrations_before_the_answers_the_last_one_binds():
    first, second = entry(), entry("tuesday", contrasts=[TWO])
    found = state([first, second], stood(first, second))
    assert (found["state"], found["contrasts"]) == ("changed after registration", ["changed after registration"])


def test_a_quick_run_that_leaves_something_out_is_not_what_was_registered():
    found = registration_state([first := entry()], FACTS, stood(first), whole=False)
    assert (found["state"], found["changed"]) == ("not registered", [])


def test_a_setting_that_an_older_version_did_not_know_is_no_change_while_it_is_null():
    assert differing(FACTS, FACTS | {"new": None}) == []
    assert differing(FACTS, FACTS | {"new": 1, "items": "b"}) == ["items", "new"]


# The command


def test_registering_freezes_content_and_contrasts(teachwhy, tiny_study):
    done = teachwhy("register", tiny_study, "--decision-rule", "Above .1 with its interval.")
    assert done.code == 0, done.err
    assert "1 declared contrasts" in done.out
    (one,) = read_entries(tiny_study.parent / "registration.json")
    assert one.hash[:8] in done.out
    assert (one.study, one.changed, one.answers_before, one.previous) == ("tiny", [], 0, "")
    assert one.decision_rule == "Above .1 with its interval."
    assert one.facts["contrasts"] == [
        {**TWO, "exam": "decisions", "format": "own", "subset": {"kind": "conflict"}, "margin": None, "level": 0.95}
    ]
    assert one.facts["seeds"] == [0, 1]
    assert all(len(one.facts[name]) == 64 for name in ("policy", "examples", "items", "model"))


def test_the_rule_is_the_options_or_the_studys_or_the_pages(tiny_study):
    def rule() -> str:
        register_study(tiny_study, say=SILENT)
        return read_entries(tiny_study.parent / "registration.json")[-1].decision_rule

    edit_study(tiny_study, level=0.9)
    assert "90% interval" in rule()
    assert "not above 0.1" in rule()
    edit_study(tiny_study, decision_rule="Mine.")
    assert rule() == "Mine."


def test_registering_again_adds_an_entry_that_names_what_changed(tiny_study):
    register_study(tiny_study, say=SILENT)
    edit_line(tiny_study.parent / "items.jsonl", 1, prompt="Here is a door with A, without B.")
    edit_study(tiny_study, seeds=[0, 1, 2], margin=0.1)
    said = register_study(tiny_study, say=SILENT)
    first, second = read_entries(tiny_study.parent / "registration.json")
    assert second.changed == ["contrasts", "items", "seeds"], "a margin belongs to the contrasts"
    assert f"changed since the registration of {first.when}: contrasts, items, seeds" in said
    assert second.previous == first.hash


def test_registering_what_did_not_change_writes_nothing(tiny_study):
    register_study(tiny_study, say=SILENT)
    before = (tiny_study.parent / "registration.json").read_bytes()
    edit_study(tiny_study, exploratory=[], limits="Few items.", quick={"arms": ["why"]}, workers=1)
    assert "nothing changed since the registration" in register_study(tiny_study, say=SILENT)
    assert (tiny_study.parent / "registration.json").read_bytes() == before


def test_studies_of_one_folder_share_the_file_and_not_the_entries(tiny_study):
    register_study(tiny_study, say=SILENT)
    other = tiny_study.with_name("other.yaml")
    other.write_text(tiny_study.read_text().replace("name: tiny", "name: other"))
    register_study(other, say=SILENT)
    register_study(tiny_study, say=SILENT)
    entries = read_entries(tiny_study.parent / "registration.json")
    assert [(one.study, one.changed) for one in entries] == [("tiny", []), ("other", [])]


def test_a_study_without_contrasts_has_nothing_to_register(teachwhy, tiny_study):
    edit_study(tiny_study, contrasts=[])
    assert_refused(teachwhy("register", tiny_study), "declares no contrast", "field 'contrasts'")


@pytest.mark.parametrize(
    "edit",
    [
        lambda entries: entries[1:],
        lambda entries: [entries[0] | {"answers_before": 1}, *entries[1:]],
        lambda entries: [entries[1], entries[0]],
        lambda entries: [{name: value for name, value in entries[0].items() if name != "when"}],
        lambda entries: {"entries": entries},
        lambda entries: "nothing",
    ],
)
def test_an_edited_registration_stops_register_and_run(teachwhy, tiny_study, tmp_path, edit):
    register_study(tiny_study, say=SILENT)
    edit_study(tiny_study, seeds=[0])
    register_study(tiny_study, say=SILENT)
    file = tiny_study.parent / "registration.json"
    file.write_text(json.dumps(edit(json.loads(file.read_text()))))
    for command in (("register", tiny_study), ("run", tiny_study, "--runs", tmp_path / "runs", "--arms", "base")):
        assert_refused(teachwhy(*command), str(file))


def test_a_margin_of_a_contrast_wins_over_the_studys(tmp_path):
    contrasts = [ONE | {"margin": 0.2}, TWO]
    study = read_study(tiny.build_tiny_study(tmp_path / "study", "model", contrasts=contrasts, margin=0.1))
    assert [study.margin(contrast) for contrast in study.settings.contrasts] == [0.2, 0.1]
    with pytest.raises(InputError, match="greater than 0"):
        read_study(tiny.build_tiny_study(tmp_path / "study", "model", margin=0))


# From end to end


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tiny_study: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Runs a tiny study of untrained arms without processes; returns what its page is told of the registration."""
    monkeypatch.setattr(run_module, "run_units", run_here)
    contrasts = {"contrasts": [UNTRAINED], "exploratory": [UNTRAINED]}
    edit_study(tiny_study, arms=["base", "policy_in_prompt"], seeds=[0], max_new_tokens=4, **contrasts)

    def call(**options: Any) -> dict[str, Any]:
        done = run_study(tiny_study, **{"runs": tmp_path / "runs", "say": SILENT} | options)
        assert json.loads((done.folder / "results.json").read_text()) == done.results
        return done.results["registration"]

    return call


def register(study: Path, tmp_path: Path) -> str:
    return register_study(study, runs=tmp_path / "runs", say=SILENT)


def log(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "runs" / "tiny" / "log.jsonl").read_text().splitlines()]


def test_registered_run_and_then_changed(run, tiny_study, tmp_path):
    register(tiny_study, tmp_path)
    first = run()
    assert (first["state"], first["contrasts"]) == ("registered before the run", ["declared before the run"])
    assert first["runs_before"] == 0
    assert run() == first, "the run itself is not before itself"
    edit_study(tiny_study, exploratory=[])
    looked = run()
    assert looked["state"] == "registered before the run", "another exploratory look changes nothing declared"
    assert looked["runs_before"] == 1
    edit_study(tiny_study, contrasts=[UNTRAINED | {"subset": {"kind": "conflict"}}])
    changed = run()
    assert (changed["state"], changed["changed"]) == ("changed after registration", ["contrasts"])
    assert changed["runs_before"] == 2
    said = register(tiny_study, tmp_path)
    assert "6 units of this study had answers already" in said
    assert run()["state"] == "registered after answers existed"
    assert [(line["quick"], len(line["contrasts"])) for line in log(tmp_path)] == [(False, 64)] * 3
    assert len({line["run"] for line in log(tmp_path)}) == 3
    assert log(tmp_path)[0]["contrasts"] == log(tmp_path)[1]["contrasts"] != log(tmp_path)[2]["contrasts"]


def test_run_and_then_registered(run, tiny_study, tmp_path):
    assert run(arms=["base"])["state"] == "not registered"
    register(tiny_study, tmp_path)
    assert read_entries(tiny_study.parent / "registration.json")[0].answers_before == 1
    late = run()
    assert late["state"] == "registered after answers existed"
    assert late["runs_before"] == 0, "what was stopped half-way was no full run"


def test_a_registration_that_looked_into_another_runs_folder_comes_late_all_the_same(run, tiny_study, tmp_path):
    run(arms=["base"])
    edit_study(tiny_study, level=0.9)
    register_study(tiny_study, runs=tmp_path / "elsewhere", say=SILENT)
    assert read_entries(tiny_study.parent / "registration.json")[0].answers_before == 0
    assert run(arms=["base"])["state"] == "registered after answers existed"


def test_a_run_folder_that_was_made_before_but_holds_no_answers_takes_a_registration(
    run, tiny_study, tmp_path, monkeypatch
):
    with monkeypatch.context() as patched:
        patched.setattr(run_module, "run_units", lambda *arguments: {})
        assert run()["state"] == "not registered"
    register(tiny_study, tmp_path)
    assert run()["state"] == "registered before the run"


def test_more_seeds_than_were_registered_are_a_change(run, tiny_study, tmp_path):
    register(tiny_study, tmp_path)
    assert run(arms=["base"])["state"] == "registered before the run"
    edit_study(tiny_study, seeds=[0, 1])
    assert run(arms=["base"])["changed"] == ["seeds"]


def test_quick_runs_are_counted_apart(run, tiny_study, tmp_path):
    edit_study(tiny_study, quick={"arms": ["policy_in_prompt", "base"], "items": 4})
    register(tiny_study, tmp_path)
    assert run(quick=True)["state"] == "not registered", "it leaves items out"
    assert (log(tmp_path)[0]["quick"], len(log(tmp_path))) == (True, 1)
    found = run()
    assert (found["state"], found["runs_before"], found["quick_runs_before"]) == ("registered before the run", 0, 1)


def test_a_killed_and_resumed_run_ends_in_the_same_bytes(run, tiny_study, tmp_path):
    edit_study(tiny_study, arms=["base", "what"], contrasts=[UNTRAINED | {"arm": "what"}], exploratory=[])
    register(tiny_study, tmp_path)
    run(runs=tmp_path / "calm")
    run(arms=["base"])
    run(arms=["what"])
    run()
    calm, stopped = (next((tmp_path / name).glob("tiny/*/results.json")) for name in ("calm", "runs"))
    assert calm.read_bytes() == stopped.read_bytes()


def test_another_models_answers_do_not_make_a_registration_late(run, tiny_study, tmp_path):
    run(arms=["base"], model=str(tiny.build_tiny_model(tmp_path / "other", context=600)))
    register(tiny_study, tmp_path)
    assert run(arms=["base"])["state"] == "registered before the run"


def test_a_deleted_run_folder_counts_by_its_line_in_the_log(run, tiny_study, tmp_path):
    run()
    shutil.rmtree(next((tmp_path / "runs").glob("tiny/*/evals")).parent)
    register(tiny_study, tmp_path)
    assert read_entries(tiny_study.parent / "registration.json")[0].answers_before == 2
    assert run()["state"] == "registered after answers existed"


def test_nor_does_deleting_it_help_who_registers_with_another_runs_folder(run, tiny_study, tmp_path):
    run()
    shutil.rmtree(next((tmp_path / "runs").glob("tiny/*/evals")).parent)
    register_study(tiny_study, runs=tmp_path / "elsewhere", say=SILENT)
    assert run()["state"] == "registered after answers existed"


def test_a_run_that_was_registered_may_be_deleted_and_made_again(run, tiny_study, tmp_path):
    register(tiny_study, tmp_path)
    run()
    shutil.rmtree(next((tmp_path / "runs").glob("tiny/*/evals")).parent)
    edit_study(tiny_study, exploratory=[])
    assert run()["state"] == "registered before the run"


def test_a_lost_record_is_taken_as_a_run_that_began_before(run, tiny_study, tmp_path):
    register(tiny_study, tmp_path)
    run(arms=["base"])
    next((tmp_path / "runs").glob("tiny/*/study.json")).unlink()
    assert run(arms=["base"])["state"] == "registered after answers existed"


def test_a_half_written_log_is_swept_and_a_broken_one_is_named(run, tiny_study, tmp_path):
    folder = tmp_path / "runs" / "tiny"
    folder.mkdir(parents=True)
    (folder / ".log.jsonl.1.tmp").write_text('{"run": "a')
    run()
    assert not list(folder.glob(".*.tmp"))
    (folder / "log.jsonl").write_text('{"run": "a')
    edit_study(tiny_study, level=0.9)
    with pytest.raises(InputError, match="not JSON") as caught:
        run()
    assert "log.jsonl, line 1" in str(caught.value)
