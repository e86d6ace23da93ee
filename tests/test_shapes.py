"""Arms that read examples of one shape, in plain or varied surroundings: what is bound, and what the page says."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny
from in_process import SILENT, run_study_here

from teachwhy.data import Example, Row, Segment, check_surroundings, read_examples
from teachwhy.errors import CheckError, InputError
from teachwhy.evals.honeypots import bundled_files, read_scenario
from teachwhy.models import load_chat
from teachwhy.report.headline import headline
from teachwhy.report.methods import methods
from teachwhy.report.page import render_report, view
from teachwhy.report.wording import verdict
from teachwhy.study import check_anything, prepare_job, read_study, register_study, show_row
from teachwhy.study.plan import study_stamp
from teachwhy.study.prepare import Prepared, conversation, rows_of
from teachwhy.study.register import entries_of
from teachwhy.study.run import Run

SHAPES = ("tale", "question")
MEASURE = {"metric": "follows_first_fact_by_choice", "subset": {"kind": "conflict"}}


def arm(kind: str, shape: str, surroundings: str = "plain") -> dict[str, object]:
    name = f"{shape}_{kind}" + ("_varied" if surroundings == "varied" else "")
    return {"name": name, "arm": kind, "shape": shape, "surroundings": surroundings}


ARMS = [
    "base",
    *(arm(kind, shape, around) for shape in SHAPES for around in ("plain", "varied") for kind in ("what", "why")),
]


def shaped_examples(**counts: int) -> list[dict[str, object]]:
    """Examples of two shapes, longer ones among the tales; counts: how many of a shape, where not all six."""
    rows = []
    for shape in SHAPES:
        for number, row in enumerate(tiny.tiny_examples()[: counts.get(shape, 6)]):
            told = f"Once, at night. {row['prompt']}" if shape == "tale" else row["prompt"]
            varied = f"You may use hammer {number}, and nothing is said of doors."
            fields = {"id": f"{shape}-{row['id']}", "shape": shape, "prompt": told, "varied_system": varied}
            rows.append(row | fields)
    return rows


def build(folder: Path, model: Path | str = "model", *, examples: Any = None, **changes: object) -> Path:
    contrast = {"arm": "question_why", "versus": "tale_why", **MEASURE}
    own: dict[str, object] = {"arms": ARMS, "contrasts": [contrast], "exploratory": [], "competence": None}
    path = tiny.build_tiny_study(folder, model, **own | changes)
    tiny.write_jsonl(path.parent / "examples.jsonl", shaped_examples() if examples is None else examples)
    return path


def prepared(folder: Path, model: Path, **changes: Any) -> Prepared:
    return prepare_job(read_study(build(folder, model, **changes)), folder / "runs", SILENT).prepared


# What an arm reads


def test_an_arm_reads_one_shape_in_its_surroundings(tmp_path: Path) -> None:
    study = read_study(build(tmp_path))
    tales, varied = (study.pool(study.arm(name)) for name in ("tale_why", "tale_why_varied"))
    assert [example.id for example in tales] == [row["id"] for row in shaped_examples() if row["shape"] == "tale"]
    assert all(example.system is None for example in tales)
    assert [example.id for example in varied] == [example.id for example in tales]
    for plain, around in zip(tales, varied, strict=True):
        assert around.system == plain.varied_system
        assert around.model_copy(update={"system": None}) == plain
    questions = study.pool(study.arm("question_why"))
    assert not {example.id for example in questions} & {example.id for example in tales}


def test_an_arm_without_a_shape_reads_all_of_them(tmp_path: Path) -> None:
    study = read_study(build(tmp_path, arms=[*ARMS, "why"]))
    assert study.pool(study.arm("why")) == list(study.examples)


def test_twins_and_sizes_count_within_a_shape(tmp_path: Path) -> None:
    study = read_study(build(tmp_path, twins=4, sizes=[2], sizes_arms=["tale_why", "question_why_varied"]))
    assert [setting.name for setting in study.sized] == ["tale_why@2", "question_why_varied@2"]
    small, full = (study.pool(study.arm(name)) for name in ("tale_why@2", "tale_why"))
    assert (len(small), len(full), [example for example in full if example in small]) == (2, 4, small)
    assert {example.shape for example in full} == {"tale"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"arms": [*ARMS, arm("why", "questoin")]}, "no shape among the examples named 'questoin'"),
        ({"arms": [*ARMS, arm("why", "questoin")]}, "Did you mean 'question'\\? Valid: question, tale"),
        ({"arms": [*ARMS, {"arm": "why", "surroundings": "bare"}]}, "should match pattern"),
        ({"arms": [*ARMS, {"arm": "policy_in_prompt", "shape": "tale"}]}, "'policy_in_prompt' reads no example"),
        ({"twins": 5, "examples": shaped_examples(tale=4)}, "there are 4 of the shape 'tale'"),
        ({"sizes": [5], "sizes_arms": ["tale_why"], "examples": shaped_examples(tale=4)}, "above the 4 examples"),
    ],
)
def test_what_the_examples_do_not_have_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_study(build(tmp_path, **changes))


def test_an_example_without_varied_surroundings_is_named(tmp_path: Path) -> None:
    examples = shaped_examples()
    del examples[8]["varied_system"]
    with pytest.raises(
        InputError, match=f"'varied_system', which example '{examples[8]['id']}' does not have"
    ) as caught:
        read_study(build(tmp_path / "a", examples=examples))
    assert "question_what_varied" in str(caught.value)
    only_tales = [setting for setting in ARMS if "question" not in str(setting)]
    assert read_study(build(tmp_path / "b", examples=examples, arms=only_tales, contrasts=[]))


def test_varied_surroundings_need_room_for_a_system_prompt(tmp_path: Path) -> None:
    examples = shaped_examples()
    said = [{"role": "system", "content": "Decide."}, {"role": "user", "content": "Well?"}]
    examples[0] = {name: value for name, value in examples[0].items() if name != "prompt"} | {"messages": said}
    with pytest.raises(InputError, match="takes the place of `system`"):
        read_study(build(tmp_path, examples=examples))


# What holds between arms


def test_arms_that_read_the_same_are_twins_and_all_have_as_many_updates(tmp_path: Path, tiny_model: Path) -> None:
    found = prepared(tmp_path, tiny_model, examples=shaped_examples(question=4))
    groups = found.checks["twins"]["groups"]
    assert [(group["shape"], group["surroundings"], group["rows"]) for group in groups] == [
        ("tale", "plain", 6),
        ("tale", "varied", 6),
        ("question", "plain", 4),
        ("question", "varied", 4),
    ]
    assert groups[1]["arms"] == ["tale_what_varied", "tale_why_varied"]
    assert found.checks["twins"]["held"]
    assert set(found.checks["updates"].values()) == {of_arm[0].updates for of_arm in found.lessons.values()} == {4}
    assert {len(found.lessons[name][0].batches(0)) for name in found.rows} == {4}
    assert found.checks["not_twins"] == {}
    lengths, tokens = found.checks["lengths"], found.checks["tokens"]
    assert set(lengths) == set(tokens) == {str(setting["name"]) for setting in ARMS if isinstance(setting, dict)}
    assert tokens["tale_why"]["trained"] == tokens["tale_why_varied"]["trained"]
    assert tokens["tale_why"]["tokens"] < tokens["tale_why_varied"]["tokens"]


def test_updates_that_an_arms_own_rows_do_not_settle_are_part_of_what_its_adapter_depends_on(
    tmp_path: Path, tiny_model: Path
) -> None:
    many, few = (
        prepared(tmp_path / str(count), tiny_model, examples=shaped_examples(question=2, tale=count))
        for count in (3, 6)
    )
    assert many.rows["question_why"] == few.rows["question_why"]
    assert many.lessons["question_why"][0].updates != few.lessons["question_why"][0].updates
    assert many.lessons["question_why"][0].hash != few.lessons["question_why"][0].hash


def test_a_twin_that_differs_within_its_shape_stops_the_run(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(study: Any, chat: Any, setting: Any) -> list[Row]:
        rows = rows_of(study, chat, setting)
        return rows[::-1] if setting.name == "question_why" else rows

    monkeypatch.setattr(sys.modules[rows_of.__module__], "rows_of", changed)
    with pytest.raises(CheckError, match="'question_what' and 'question_why' are not twins"):
        prepared(tmp_path, tiny_model)


def test_varied_surroundings_change_the_system_segment_alone(tmp_path: Path, tiny_model: Path) -> None:
    job = prepare_job(read_study(build(tmp_path, tiny_model)), tmp_path / "runs", SILENT)
    chat, rows = load_chat(job.source), job.prepared.rows
    examples = {example.id: example for example in job.study.examples}
    for kind in ("what", "why"):
        for plain, varied in zip(rows[f"tale_{kind}"], rows[f"tale_{kind}_varied"], strict=True):
            assert plain.segments[1:] == varied.segments[1:]
            example = examples[plain.example]
            messages = conversation(example, job.study.settings.system)
            assert plain.segments[0].text == chat.prompt(messages)
            messages[0] = {"role": "system", "content": str(example.varied_system)}
            assert varied.segments[0].text == chat.prompt(messages)


EXAMPLE = Example.model_validate(
    {"id": "a", "prompt": "Well?", "action": "Go.", "system": "Plain.", "varied_system": "Varied."}
)


def row(prompt: str, action: str = "Go.") -> Row:
    return Row("a", (Segment("prompt", prompt, False), Segment("action", action, True)))


@pytest.mark.parametrize(
    ("plain", "varied", "system"),
    [
        (row("<s>Plain.</s><u>Well?</u>"), row("<s>Varied.</s><u>Well!</u>"), "Plain."),
        (row("<s>Plain.</s><u>Well?</u>"), row("<s>Varied.</s><u>Well?</u>", "Stay."), "Plain."),
        (row("<s>Plain.</s><u>Well?</u>"), row("<u>Well?</u>"), "Plain."),
        (row("<s>Other.</s><u>Well?</u>"), row("<s>Varied.</s><u>Well?</u>"), "Plain."),
        (row("<u>Well?</u>"), row("<s>Varied.</s><u>Well!</u>"), None),
        (row("<u>Well?</u><a>"), row("<s>Varied.</s><u>Well?</u>"), None),
    ],
    ids=["user turn", "action", "no system prompt shown", "another system prompt", "bare user turn", "bare end"],
)
def test_anything_else_that_varies_is_found(plain: Row, varied: Row, system: str | None) -> None:
    example = EXAMPLE.model_copy(update={"system": system})
    with pytest.raises(CheckError, match="more than the system prompt") as caught:
        check_surroundings([plain], [varied], [example], None)
    assert "rows: a" in str(caught.value)


def test_a_template_may_write_no_system_prompt_or_one_of_its_own() -> None:
    bare = EXAMPLE.model_copy(update={"system": None})
    varied = row("<s>Varied.</s><u>Well?</u>")
    check_surroundings([row("<s>Plain.</s><u>Well?</u>")], [varied], [EXAMPLE], None)
    check_surroundings([row("<s>Of the study.</s><u>Well?</u>")], [varied], [bare], "Of the study.")
    check_surroundings([row("Well?</u>")], [varied], [bare], None)
    check_surroundings([row("<s>Its own.</s><u>Well?</u>")], [varied], [bare], None)


def test_the_arm_check_holds_each_arm_against_the_why_that_reads_the_same(tmp_path: Path, tiny_model: Path) -> None:
    arms = [*ARMS, arm("neutral", "question"), "generic", "what_more"]
    path = build(tmp_path, tiny_model, arms=arms, generic=["ordinary.jsonl"])
    tiny.write_jsonl(path.parent / "ordinary.jsonl", [{"id": "o1", "prompt": "Name fruit.", "action": "Apples."}])
    checks = prepare_job(read_study(path), tmp_path / "runs", SILENT).prepared.checks
    against = {record["arm"]: record["treated"] for record in checks["against_why"]}
    assert against == {
        "tale_what": "tale_why",
        "tale_what_varied": "tale_why_varied",
        "question_what": "question_why",
        "question_what_varied": "question_why_varied",
        "question_neutral": "question_why",
        "generic": "tale_why",
        "what_more": "tale_why",
    }


def test_what_stands_around_an_example_may_not_stand_in_an_exam(tmp_path: Path, tiny_model: Path) -> None:
    examples = shaped_examples()
    examples[3]["varied_system"] = "By the way, a lamp with A, without B, is a fine thing to have."
    path = build(tmp_path, tiny_model, examples=examples)
    items = tiny.tiny_items()
    items[0]["prompt"] = "A door with A, without B: by the way, a lamp with A, without B, is a fine thing."
    items[0]["facts"] = {"A": {"states": "with A", "decision": "yes"}, "B": {"states": "without B", "decision": "no"}}
    tiny.write_jsonl(path.parent / "items.jsonl", items)
    with pytest.raises(CheckError, match="share 8-word runs") as caught:
        prepare_job(read_study(path), tmp_path / "runs", SILENT)
    assert f"varied system prompt of example {examples[3]['id']} / item {items[0]['id']}" in str(caught.value)


@pytest.mark.parametrize("field", ["action", "reason", "mention"])
def test_nothing_that_is_taught_may_stand_in_a_scenario(tmp_path: Path, tiny_model: Path, field: str) -> None:
    scenario = read_scenario(bundled_files()[0])
    examples = shaped_examples()
    examples[5][field] = scenario.next_act.options["tempting"]
    path = build(tmp_path, tiny_model, examples=examples, scenarios={"settings": 1})
    with pytest.raises(CheckError, match="share 8-word runs") as caught:
        prepare_job(read_study(path), tmp_path / "runs", SILENT)
    assert f"{field} of example {examples[5]['id']} / scenario {scenario.family}" in str(caught.value)


# What was there before stays what it was


def test_examples_and_arms_that_say_nothing_of_it_are_stamped_as_before(tmp_path: Path, tiny_model: Path) -> None:
    job = prepare_job(read_study(tiny.build_tiny_study(tmp_path, tiny_model)), tmp_path / "runs", SILENT)
    stamp = study_stamp(job.study, job.source, job.judge)
    before = {"name", "arm", "reason", "seed_offset", "examples"}
    assert all(set(fields) == before for fields in stamp["arms"].values())
    # As it was before an example could have a shape.
    assert stamp["examples"] == "2434297955ab2d012b9588ecf46acf3ca1a3c4e1d69fc7c369384e685f679dde"
    assert not any({"shape", "varied_system"} & set(one.model_dump(exclude_none=True)) for one in job.study.examples)


def test_shape_and_surroundings_are_part_of_the_stamp_and_of_a_registration(tmp_path: Path, tiny_model: Path) -> None:
    path = build(tmp_path, tiny_model)
    register_study(path, runs=tmp_path / "runs", say=SILENT)
    [entry] = entries_of(read_study(path))
    fields = {"name": "tale_why", "arm": "why", "reason": None, "seed_offset": 0, "examples": None, "shape": "tale"}
    assert entry.facts["arms"]["tale_why"] == fields
    varied = {**fields, "name": "tale_why_varied", "surroundings": "varied"}
    assert entry.facts["arms"]["tale_why_varied"] == varied


# A run, and its page


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Run:
    """One seed of all arms; contrasts within a shape, across shapes and across surroundings."""
    folder = tmp_path_factory.mktemp("shapes")
    pairs = [("question_why", "tale_why"), ("question_why", "question_what"), ("tale_why_varied", "tale_why")]
    contrasts = [{"arm": one, "versus": other, **MEASURE} for one, other in pairs]
    study = build(folder, tiny_model, seeds=[0], contrasts=contrasts[:2], exploratory=contrasts[2:])
    return run_study_here(study, runs=folder / "runs")


def study_of(run: Run) -> Path:
    return run.folder.parents[2] / "study.yaml"


def test_a_run_trains_every_arm_on_what_it_reads(done: Run) -> None:
    assert done.failures == {}
    assert {arm["state"] for arm in done.results["arms"]} == {"done"}
    assert {record["updates"] for record in done.results["training"]} == {4}
    manifest = json.loads((done.folder / "data" / "manifest.json").read_text())
    assert {name: record["rows_out"] for name, record in manifest.items()} == dict.fromkeys(manifest, 6)
    arms = {arm["name"]: (arm["shape"], arm["surroundings"]) for arm in done.results["arms"]}
    assert (arms["base"], arms["tale_why_varied"]) == ((None, "plain"), ("tale", "varied"))
    assert "Examples of the shape tale. Varied system prompts" in done.report.read_text()


def test_the_page_says_beside_a_contrast_what_is_not_matched(done: Run) -> None:
    across, within = (verdict(contrast, done.results) for contrast in done.results["contrasts"][:2])
    [said] = [sentence for sentence in across.cautions if "no twins" in sentence]
    assert "shape of the examples (question and tale)" in said
    assert "Matched: updates (4)." in said
    tokens = done.results["checks"]["tokens"]
    means = [round(tokens[name]["tokens"] / 6) for name in ("question_why", "tale_why")]
    assert f"Rows: 6 each; tokens in a row, in the mean: {means[0]} and {means[1]}, of which" in said
    assert not [sentence for sentence in within.cautions if "no twins" in sentence]
    page = done.report.read_text()
    assert "no twins; not matched: system prompts around them (varied and plain)" in page
    assert page.count("no twins; not matched: ") == 2
    assert page.count("The two arms are no twins.") >= 1


def test_the_page_names_each_group_of_twins(done: Run) -> None:
    assert "the 2 trained arms (tale_what, tale_why) have the same 6 examples; " in done.report.read_text()
    text = methods(done.results)
    assert "`question_what` and `question_why` are twins: the same 6 examples" in text
    assert "Arms of different groups are no twins" in text
    assert {"tale_why", "question_why_varied"} <= set(view(done.results, {})["against_why"])


def test_comparisons_stay_within_what_the_treated_arm_reads(done: Run) -> None:
    drawn = {(one["role"], one["arm"], one["versus"]) for one in done.results["comparisons"]}
    named = {name for _, arm, versus in drawn for name in (arm, versus)}
    assert ("ladder", "question_why", "question_what") in drawn
    assert ("control", "question_why", "question_what") in drawn
    assert named <= {"base", "question_what", "question_why", "tale_why"}
    assert {role for role, *pair in drawn if "tale_why" in pair} <= {"distance"}


def planted(results: dict[str, Any], low: float) -> dict[str, Any]:
    """The results with a difference shown in the first declared contrast of arms of one kind."""
    main = dict(results["contrasts"][0]) | {"estimate": low + 0.1, "low": low, "high": low + 0.2, "p_adjusted": 0.001}
    main |= {"covers": "families and seeds", "higher_is_better": True}
    sides = dict(zip((main["arm"], main["versus"]), (0.8, 0.6), strict=True))
    main["sides"] = {name: {"estimate": value, "low": None, "high": None} for name, value in sides.items()}
    return {**results, "contrasts": [main, *results["contrasts"][1:]]}


def test_arms_of_one_kind_are_not_put_down_to_reasons(done: Run) -> None:
    found = headline(planted(done.results, 0.1))
    assert found
    assert found.state == "better"
    assert not [point for point in found.points if "reasons" in point]
    assert [point for point in found.points if "no twins" in point]
    assert render_report(planted(done.results, 0.1), timings={})


# The command line


def test_show_prints_the_row_of_the_arm_named(tmp_path: Path, tiny_model: Path) -> None:
    path = build(tmp_path, tiny_model)
    shown = show_row(path, arm="question_why_varied", row=3, model=None, say=SILENT)
    example = read_examples([path.parent / "examples.jsonl"])[6 + 2]
    assert str(example.varied_system) in shown[0].text
    assert example.messages[0].content in shown[0].text
    assert str(example.varied_system) not in show_row(path, arm="question_why", row=3, model=None, say=SILENT)[0].text


def test_check_tells_the_groups_of_twins_with_their_lengths(tmp_path: Path, tiny_model: Path) -> None:
    said: list[str] = []
    check_anything(build(tmp_path, tiny_model), say=said.append)
    [line] = [line for line in said if "shape tale, varied" in line]
    assert line.startswith("twins: 6 rows (shape tale, varied surroundings) in tale_what_varied, tale_why_varied: 4 up")
    assert sum(line.startswith("twins: ") for line in said) == 4
    table = [line.split()[0] for line in said if line]
    assert {"tale_why", "question_why", "question_what_varied"} <= set(table)
