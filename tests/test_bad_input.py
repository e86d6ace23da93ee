"""Bad input as a user would produce it: exit code 2, no traceback, the place, what to do next, nothing lost."""

from __future__ import annotations

import errno
import json
import os
import shutil
import struct
import sys
from pathlib import Path

import pytest
import tiny
import yaml

from teachwhy.errors import RunError, TeachwhyError
from teachwhy.study.folder import folder_error, write_text
from teachwhy.study.unit import save_folder

THINKING = tiny.TEMPLATE.replace("assistant\n{% endif", "assistant\n<think>\n{% endif")


def assert_refused(done, *said: str) -> None:
    """The command failed as it should, and its message holds all of `said`."""
    message = " ".join(done.err.split())
    assert done.code == 2, done
    assert "Traceback" not in done.err
    assert "next: " in done.err, done.err
    for part in said:
        assert part in message, done.err


def edit_line(path: Path, line: int, **fields: object) -> None:
    """Change fields of one JSONL line, counted from 1; a field that is None is taken out."""
    lines = path.read_text().splitlines()
    record = json.loads(lines[line - 1]) | fields
    lines[line - 1] = json.dumps({name: value for name, value in record.items() if value is not None})
    path.write_text("\n".join(lines) + "\n")


def edit_study(path: Path, **fields: object) -> None:
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | fields, sort_keys=False))


# ---- the bytes of a file

JSONL = ("examples.jsonl", "items.jsonl")
BYTES = [
    (b"", "empty"),
    (b"\n \n", "empty"),
    ("Prüfung".encode("latin-1"), "not UTF-8"),
    ("text\n".encode("utf-16"), "not UTF-8"),
    ("text\n".encode("utf-16-le"), "null bytes"),
    (b"a\0b\n", "null bytes"),
    (b"x" * 10_000_000, "10,000,000 bytes"),
]


@pytest.mark.parametrize("file", ["study.yaml", "policy.md", *JSONL])
@pytest.mark.parametrize(("content", "said"), BYTES, ids=[said + str(number) for number, (_, said) in enumerate(BYTES)])
def test_bytes_that_are_no_text(teachwhy, tiny_study, file, content, said):
    (tiny_study.parent / file).write_bytes(content)
    assert_refused(teachwhy("check", tiny_study), said, str(tiny_study.parent / file))


def test_the_line_of_a_wrong_encoding_is_named(teachwhy, tiny_study):
    policy = tiny_study.parent / "policy.md"
    policy.write_bytes(tiny.POLICY.replace("night falls", "Nächte").encode("latin-1"))
    assert_refused(teachwhy("check", policy), "line 7", "Save it again as UTF-8")


@pytest.mark.parametrize("file", ["study.yaml", "policy.md", *JSONL])
def test_windows_line_ends_and_a_byte_order_mark_work(teachwhy, tiny_study, file):
    path = tiny_study.parent / file
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert teachwhy("check", tiny_study).code == 0


@pytest.mark.parametrize("file", ["policy.md", *JSONL])
def test_a_file_that_is_missing_or_a_folder(teachwhy, tiny_study, file):
    path = tiny_study.parent / file
    path.unlink()
    assert_refused(teachwhy("check", tiny_study), "does not exist", str(path))
    path.mkdir()
    assert_refused(teachwhy("check", tiny_study), "is a folder", str(path))


@pytest.mark.parametrize("command", ["run", "plan", "status", "report", "show", "check"])
def test_a_study_that_is_not_there(teachwhy, tmp_path, command):
    assert_refused(teachwhy(command, tmp_path / "none.yaml"), "does not exist", "none.yaml")
    assert_refused(teachwhy(command, tmp_path / ("n" * 300)), "n" * 300)
    (tmp_path / "empty").mkdir()
    target = tmp_path / "empty"
    assert_refused(teachwhy(command, target), str(target / "study.yaml"))


def test_a_file_that_may_not_be_read(teachwhy, tiny_study, monkeypatch):
    def forbidden(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", forbidden)
    assert_refused(teachwhy("check", tiny_study), "Permission denied", str(tiny_study))


# ---- lines of examples and items


@pytest.mark.parametrize("file", JSONL)
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"id": "x", ', "is not JSON"),
        ('{"id": "x"} {"id": "y"}', "Extra data"),
        ("{'id': 'x'}", "is not JSON"),
        ("[1, 2]", "not an object"),
        ('"text"', "not an object"),
        ('{"id": "x", "note": NaN}', "NaN is not a JSON value"),
        ('{"id": "x", "note": -Infinity}', "-Infinity is not a JSON value"),
        ('{"id": ' + "[" * 200_000, "nested too deeply"),
        ('{"id": ' + "9" * 5000 + "}", "cannot be read"),
        ('{"id": "x", "id": "y"}', "'id' stands twice"),
        (r'{"id": "x", "prompt": "half \ud83d"}', "half a character"),
        ('{"id": "x", "prompt": "a\tb"}', "Invalid control character"),
    ],
)
def test_lines_that_are_no_json_object(teachwhy, tiny_study, file, line, said):
    path = tiny_study.parent / file
    path.write_text(path.read_text() + "\n" + line + "\n")
    number = len(path.read_text().splitlines())
    assert_refused(teachwhy("check", tiny_study), said, f"{path}, line {number}")


@pytest.mark.parametrize(
    ("file", "line", "fields", "said"),
    [
        ("examples.jsonl", 3, {"mentoin": "It is."}, "no field named 'mentoin' Did you mean 'mention'?"),
        ("examples.jsonl", 3, {"id": "door-0"}, "'door-0' is used twice first stands in examples.jsonl, line 1"),
        ("examples.jsonl", 2, {"id": None}, "'id' is missing line 2"),
        ("examples.jsonl", 2, {"action": None}, "'action' is missing"),
        ("examples.jsonl", 2, {"action": "  "}, "blank 'action'"),
        ("examples.jsonl", 2, {"action": 3}, "valid string 'action'"),
        ("examples.jsonl", 2, {"prompt": ""}, "blank 'messages.0.content'"),
        ("examples.jsonl", 2, {"prompt": ["a"]}, "valid string"),
        ("examples.jsonl", 2, {"prompt": None, "messages": []}, "at least 1 item 'messages'"),
        ("examples.jsonl", 2, {"messages": [{"role": "user", "content": "a"}]}, "`prompt` or `messages`, not both"),
        ("examples.jsonl", 2, {"prompt": None, "messages": [{"role": "usr", "content": "a"}]}, "'messages.0.role'"),
        (
            "examples.jsonl",
            2,
            {"prompt": None, "messages": [{"role": "user", "text": "a"}]},
            "content' is missing Fields: content, role",
        ),
        (
            "examples.jsonl",
            2,
            {"prompt": None, "messages": [{"role": "user", "content": "a", "contents": "b"}]},
            "no field named 'contents' Did you mean 'content'? 'messages.0.contents'",
        ),
        ("examples.jsonl", 2, {"rule": "door"}, "`rule` or `principle`, not both"),
        ("examples.jsonl", 2, {"principle": "dor"}, "principles that the policy does not have: dor"),
        ("examples.jsonl", 4, {"swapped": None}, "'swapped' needs the field 'swapped', which example 'lamp-1'"),
        ("examples.jsonl", 4, {"reason": None}, "'why' needs the field 'reason', which example 'lamp-1'"),
        ("items.jsonl", 1, {"gold": "maybe"}, "'maybe' has no text in `answers`"),
        ("items.jsonl", 1, {"facts": None}, "give `gold`, or `facts`"),
        (
            "items.jsonl",
            1,
            {"facts": {"A": {"states": "x", "decision": "perhaps"}}},
            "'perhaps' has no text in `answers`",
        ),
        ("items.jsonl", 1, {"facts": {"A": {"sates": "x", "decision": "yes"}}}, "'facts.A.s"),
        ("items.jsonl", 1, {"answers": {"yes": "Go."}}, "'answers'"),
        ("items.jsonl", 1, {"answers": {"yes": "Help.", "no": "Do not help."}}, "'yes' stands inside that of 'no'"),
        ("items.jsonl", 1, {"answers": {"yes": "Go.", "no": "..."}}, "'no' stands inside"),
        ("items.jsonl", 1, {"distance": "seen_wordings"}, "`distance` is 'seen_wordings'; valid: plain"),
        ("items.jsonl", 1, {"distance": None}, "'distance' is missing"),
        ("items.jsonl", 1, {"pair": "alone"}, "not shared by exactly two items: alone, door-conflict"),
        ("items.jsonl", 1, {"id": "door-conflict-1"}, "'door-conflict-1' is used twice line 2"),
        ("items.jsonl", 1, {"principle": "nobody"}, "principles that the policy does not have: nobody"),
        ("items.jsonl", 1, {"family": ""}, "blank 'family'"),
    ],
)
def test_fields_that_do_not_fit(teachwhy, tiny_study, file, line, fields, said):
    edit_line(tiny_study.parent / file, line, **fields)
    done = teachwhy("check", tiny_study)
    assert_refused(done)
    for word in said.split():
        assert word in done.err, done.err


def test_a_chat_file_must_end_with_an_answer(teachwhy, tiny_study):
    path = tiny_study.parent / "examples.jsonl"
    path.write_text('{"messages": [{"role": "user", "content": "a"}]}\n')
    assert_refused(teachwhy("check", tiny_study), "does not end with an assistant message", "line 1")
    path.write_text('{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": null}]}\n')
    assert_refused(teachwhy("check", tiny_study), "no text content", "line 1")


# ---- the study file


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: [tiny\n", "line 2"),
        ("name: tiny\n arms: [why]\n", "line 2"),
        ("name: tiny\n\tarms: [why]\n", "line 2"),
        ("- a\n- b\n", "not a mapping"),
        ("just words\n", "not a mapping"),
        ("# nothing but a remark\n", "'name' is missing"),
        ("name: tiny\nname: other\n", "'name' stands twice"),
        ("name: tiny\ntrain:\n  rank: 4\n  rank: 8\n", "'rank' stands twice"),
        ("name: 2024-13-45\n", "month must be in 1..12"),
        ("name: tiny\x07\n", "special characters are not allowed"),
        ("name: tiny\n1: 2\n", "1"),
        ("? [a, b]\n: c\n", "line 1"),
        ("name: *nobody\n", "undefined alias"),
        ("name: !!python/name:os.system\n", "line 1"),
        ("name: tiny\n---\nname: other\n", "line 2"),
        ("name: " + "[" * 1500, "nested too deeply"),
    ],
)
def test_yaml_that_cannot_be_read(teachwhy, tiny_study, text, said):
    tiny_study.write_text(text)
    assert_refused(teachwhy("check", tiny_study), said, str(tiny_study))


CONTRAST = {"arm": "why", "versus": "swapped", "metric": "follows_first_fact"}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"arm": ["why"]}, "no field named 'arm' Did you mean 'arms'?"),
        ({"name": None}, "valid string 'name'"),
        ({"name": "a/b"}, "'name'"),
        ({"name": ".."}, "'name'"),
        ({"arms": ["base", "wy"]}, "no arm named 'wy' Did you mean 'why'? 'arms'"),
        ({"arms": "why"}, "valid list 'arms'"),
        ({"arms": []}, "at least 1 item 'arms'"),
        ({"arms": ["why", "why", "swapped"]}, "Two arms are named 'why'"),
        ({"arms": ["why", {"arm": "swapped", "name": "../out"}]}, "'arms.1.name'"),
        ({"arms": ["why", "swapped", {"arm": "what", "name": "step0"}]}, "cannot be named 'step0'"),
        ({"arms": [{"arm": "why", "reson": "last"}, "swapped"]}, "no field named 'reson' Did you mean 'reason'?"),
        ({"arms": [{"arm": "why", "reason": "middle"}, "swapped"]}, "first|last 'arms.0.reason'"),
        ({"arms": [{"name": "mine"}, "swapped"]}, "'arms.0.arm' is missing"),
        ({"seeds": ["one"]}, "'seeds.0' integer"),
        ({"seeds": 3}, "'seeds' list"),
        ({"seeds": []}, "'seeds'"),
        ({"seeds": [0.5]}, "'seeds.0' integer"),
        ({"seeds": [-1]}, "'seeds.0' greater than or equal to 0"),
        ({"seeds": [2**40]}, "'seeds.0' less than"),
        ({"seeds": [1, 1]}, "seed stands twice"),
        (
            {"train": {"learning_rat": 1}},
            "no field named 'learning_rat' Did you mean 'learning_rate'? 'train.learning_rat'",
        ),
        ({"train": {"learning_rate": -1}}, "'train.learning_rate' greater than 0"),
        ({"train": {"learning_rate": "fast"}}, "'train.learning_rate' number"),
        ({"train": {"learning_rate": float("nan")}}, "'train.learning_rate'"),
        ({"train": {"epochs": float("inf")}}, "'train.epochs' finite"),
        ({"train": {"epochs": 0}}, "'train.epochs'"),
        ({"train": {"batch": 2.5}}, "'train.batch' integer"),
        ({"train": {"schedule": "cosin"}}, "'train.schedule' cosine"),
        ({"train": None}, "'train'"),
        ({"train": []}, "'train'"),
        ({"max_new_tokens": -4}, "'max_new_tokens'"),
        ({"max_new_tokens": 5000}, "max_new_tokens the model holds 512"),
        ({"workers": 0}, "'workers'"),
        ({"level": 2}, "'level' less than 1"),
        ({"device": "gpu"}, "'device' cuda"),
        ({"dtype": "fp32"}, "'dtype' float32"),
        ({"exams": ["decision"]}, "no exam named 'decision' Did you mean 'decisions'?"),
        ({"shared": ["sytem"]}, "no shareable text named 'sytem' Did you mean 'system'?"),
        ({"contrasts": [CONTRAST | {"arm": "neutral"}]}, "no arm in this study named 'neutral' 'contrasts.0'"),
        ({"contrasts": [CONTRAST | {"versus": "swaped"}]}, "Did you mean 'swapped'? 'contrasts.0'"),
        ({"contrasts": [CONTRAST | {"metric": "follows"}]}, "no metric named 'follows'"),
        ({"contrasts": [CONTRAST | {"exam": "honeypots"}]}, "no exam in this study named 'honeypots'"),
        ({"contrasts": [CONTRAST | {"subset": {"knd": "agree"}}]}, "Did you mean 'kind'?"),
        ({"contrasts": [CONTRAST | {"subset": {"kind": "conflct"}}]}, "Did you mean 'conflict'? 'contrasts.0'"),
        ({"exploratory": [CONTRAST | {"subset": {"distance": "near"}}]}, "'near' seen_wording 'exploratory.0'"),
        ({"contrasts": {"arm": "why"}}, "'contrasts' list"),
        ({"competence": {"at_least": 2}}, "'competence.at_least'"),
        ({"competence": {"metric": "corect"}}, "no metric named 'corect' Did you mean 'correct'? 'competence'"),
        ({"examples": "examples.jsonl"}, "valid list 'examples'"),
        ({"examples": ["example.jsonl"]}, "does not exist example.jsonl"),
        ({"examples": ["examples.jsonl", "examples.jsonl"]}, "'door-0' is used twice"),
        ({"items": []}, "'items'"),
        ({"items": [""]}, "is a folder"),
        ({"policy": "a\0b"}, "null"),
        ({"model": "./nowhere"}, "no model at this path ./nowhere"),
        ({"model": "bundled:smolm2"}, "no bundled model named 'smolm2' Did you mean 'smollm2-135m'?"),
        ({"model": "policy.md"}, "neither a model folder config.json policy.md"),
        ({"model": "x" * 300}, "x" * 300),
        ({"model": 3}, "'model' string"),
        ({"format": {"reason_marker": 3}}, "'format.reason_marker'"),
        ({"format": {"place": "last"}}, "no field named 'place' 'format.place' Valid: action_marker"),
    ],
    ids=str,
)
def test_study_files_that_do_not_fit(teachwhy, tiny_study, fields, said):
    edit_study(tiny_study, **fields)
    done = teachwhy("plan", tiny_study, "--no-measure")
    assert_refused(done)
    for word in said.split():
        assert word in done.err, done.err


def test_a_device_that_is_not_here(teachwhy, tiny_study, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    edit_study(tiny_study, device="cuda")
    assert_refused(teachwhy("plan", tiny_study, "--no-measure"), "no cuda device", "device: auto")


# ---- the policy


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("Why: A stranger on the path may fall and be hurt.\n", "", "'lamp' has no `Why:`"),
        ("Why: A stranger on the path may fall and be hurt.", "Why:", "'lamp' has no `Why:`"),
        ("Rule: Light", "rule: Light", "'lamp' has no `Rule:`"),
        ("## lamp: The lamp", "## The lamp", "has no id"),
        ("\n## lamp: The lamp", "## The lamp", "has no id"),
        ("## lamp: The lamp", "##lamp: The lamp", "has no id"),
        ("## lamp: The lamp", "## door: The lamp", "Two principles have the id 'door'; the first stands on line 6"),
        ("Follow these rules.\n---", "Follow these rules.", "never closed"),
        ("title: House rules", "title: [House rules", "line 3"),
        ("title: House rules", "title: a\ntitle: b", "'title' stands twice"),
    ],
)
def test_policies_that_do_not_hold(teachwhy, tiny_study, before, after, said):
    policy = tiny_study.parent / "policy.md"
    assert before in tiny.POLICY
    policy.write_text(tiny.POLICY.replace(before, after))
    assert_refused(teachwhy("plan", tiny_study), said, f"{policy}, line ")
    alone = teachwhy("check", policy)
    assert alone.code == 2
    assert said in alone.out + alone.err


def test_a_policy_without_principles(teachwhy, tiny_study):
    policy = tiny_study.parent / "policy.md"
    policy.write_text("# Rules\n\nBe good.\n")
    assert_refused(teachwhy("plan", tiny_study), "no principle", str(policy))


# ---- the checks before training


def test_training_text_that_overlaps_the_items(teachwhy, tiny_study):
    run_of_nine = "one two three four five six seven eight nine"
    edit_line(tiny_study.parent / "examples.jsonl", 2, prompt=f"Well, {run_of_nine}.")
    edit_line(tiny_study.parent / "items.jsonl", 5, prompt=f"And then: {run_of_nine}!")
    done = teachwhy("run", tiny_study, "--runs", tiny_study.parent / "runs")
    assert_refused(done, "example door-1 / item lamp-conflict-0", "one two three four five six seven eight", "shared")
    assert not (tiny_study.parent / "runs").exists()


def test_an_item_that_repeats_the_policy(teachwhy, tiny_study):
    edit_line(tiny_study.parent / "items.jsonl", 5, prompt="Light the lamp when guests are coming; otherwise keep it.")
    assert_refused(teachwhy("check", tiny_study), "policy lamp / item lamp-conflict-0")


def test_a_row_longer_than_the_context(teachwhy, tiny_study):
    edit_line(tiny_study.parent / "examples.jsonl", 2, prompt="so " * 300)
    assert_refused(teachwhy("check", tiny_study), "the model's context holds 512", "door-1", "Shorten the example")


def test_an_item_longer_than_the_context(teachwhy, tiny_study):
    edit_line(tiny_study.parent / "items.jsonl", 2, prompt="so " * 300)
    assert_refused(teachwhy("check", tiny_study), "the model holds 512", "door-conflict-1")


def test_one_principle_cannot_be_shuffled(teachwhy, tiny_study):
    for line in range(1, 7):
        edit_line(tiny_study.parent / "examples.jsonl", line, principle="door")
    edit_study(tiny_study, arms=["why", "swapped", "shuffled", "what"])
    assert_refused(teachwhy("check", tiny_study), "at least two principles", "shuffled")


# ---- the command line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--arms", "wy"), "no arm in this study named 'wy' Did you mean 'why'?"),
        (("--arms", "why,neutral"), "no arm in this study named 'neutral'"),
        (("--seeds", "7"), "no seed in this study named '7' Valid: 0, 1"),
        (("--seeds", "-1"), "no seed in this study named '-1'"),
        (("--model", "./nowhere"), "no model at this path"),
    ],
)
@pytest.mark.parametrize("command", ["run", "plan"])
def test_options_that_do_not_fit(teachwhy, tiny_study, command, arguments, said):
    done = teachwhy(command, tiny_study, *arguments)
    assert_refused(done)
    for word in said.split():
        assert word in done.err


def test_options_that_cannot_be_read(teachwhy, tiny_study):
    for arguments in (("--seeds", "a"), ("--seed", "1"), ("--arms",)):
        done = teachwhy("plan", tiny_study, *arguments)
        assert done.code == 2
        assert arguments[0] in done.err
        assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--arm", "base"), "no trained arm named 'base'"),
        (("--arm", "wy"), "Did you mean 'why'?"),
        (("--row", "7"), "no row 7; the arm 'why' has 6"),
    ],
)
def test_rows_that_cannot_be_shown(teachwhy, tiny_study, arguments, said):
    assert_refused(teachwhy("show", tiny_study, *arguments), said)


def test_asking_where_nothing_is_trained(teachwhy, tiny_study, tmp_path):
    runs = tmp_path / "runs"
    assert_refused(teachwhy("ask", tmp_path / "nowhere", "Hello?"), "neither a run folder nor a study", "nowhere")
    assert_refused(teachwhy("ask", tiny_study, "Hello?", "--arms", "why", "--runs", runs), "No arm", "trained yet")
    broken = runs / "tiny" / "1234"
    broken.mkdir(parents=True)
    for text in ("{", "[]", "{}"):
        (broken / "study.json").write_text(text)
        assert_refused(teachwhy("ask", broken, "Hello?"), "record is broken", str(broken / "study.json"))
    (broken / "study.json").write_text('{"study_file": "/nowhere/study.yaml", "model": "x"}')
    assert_refused(teachwhy("ask", broken, "Hello?"), "no longer where it was", "/nowhere/study.yaml")


def test_a_report_of_a_study_that_never_ran(teachwhy, tiny_study, tmp_path):
    assert_refused(teachwhy("report", tiny_study, "--runs", tmp_path / "runs"), "no run yet", "teachwhy run")


def test_a_starter_is_not_written_over_anything(teachwhy, tmp_path):
    (tmp_path / "policy.md").write_text("mine")
    assert_refused(teachwhy("init", tmp_path), "a study here already", str(tmp_path / "policy.md"))
    assert (tmp_path / "policy.md").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["policy.md"]
    assert_refused(teachwhy("init", tmp_path / "policy.md" / "deeper"), "policy.md")


def test_a_library_that_is_not_installed(teachwhy, tiny_study, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert_refused(teachwhy("plan", tiny_study), "needs transformers", "pip install 'teachwhy[train]'")


def test_an_interrupted_run_says_how_to_go_on(teachwhy, tiny_study, monkeypatch):
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("teachwhy.study.run_study", interrupted)
    done = teachwhy("run", tiny_study)
    assert done.code == 130
    assert "run the same command again" in done.err


# ---- the model


@pytest.fixture
def own_model(tiny_study, tiny_model) -> Path:
    """A copy of the tiny model that a test may break, and that its study names."""
    copy = shutil.copytree(tiny_model, tiny_study.parent / "model")
    edit_study(tiny_study, model="model")
    return copy


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_weights_that_are_cut_short_or_broken(teachwhy, tiny_study, own_model):
    weights = own_model / "model.safetensors"
    cut(weights)
    assert_refused(teachwhy("run", tiny_study), "broken or cut short", str(weights))
    weights.write_bytes(b"not weights at all")
    assert_refused(teachwhy("run", tiny_study), "broken or cut short", str(weights))
    weights.write_bytes(struct.pack("<Q", 2**62) + b"{}")
    assert_refused(teachwhy("run", tiny_study), "broken or cut short", str(weights))
    weights.rename(own_model / "pytorch_model.bin")
    assert_refused(teachwhy("run", tiny_study), "no .safetensors file", str(own_model))


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"model_type": "nobody-knows"}'])
def test_a_broken_model_configuration(teachwhy, tiny_study, own_model, content):
    (own_model / "config.json").write_text(content)
    assert_refused(teachwhy("run", tiny_study), "config.json", str(own_model))


@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json"])
def test_a_broken_tokenizer(teachwhy, tiny_study, own_model, file):
    cut(own_model / file)
    assert_refused(teachwhy("run", tiny_study), "tokenizer", str(own_model))


def test_a_model_folder_that_is_none(teachwhy, tiny_study, own_model):
    (own_model / "config.json").unlink()
    assert_refused(teachwhy("run", tiny_study), "no config.json", str(own_model))


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF" + bytes(100), b"not a model"])
def test_a_broken_gguf_file(teachwhy, tiny_study, monkeypatch, tmp_path, content):
    monkeypatch.setenv("TEACHWHY_CACHE", str(tmp_path / "cache"))
    (tiny_study.parent / "model.gguf").write_bytes(content)
    edit_study(tiny_study, model="model.gguf")
    assert_refused(teachwhy("run", tiny_study), "cannot be read as a GGUF model", "model.gguf")


def test_a_template_that_opens_a_thinking_block(teachwhy, tiny_study, own_model):
    (own_model / "chat_template.jinja").write_text(THINKING)
    assert_refused(teachwhy("run", tiny_study), "opens a <think> block", str(own_model))


def test_templates_that_cannot_be_used(teachwhy, tiny_study, own_model):
    template = own_model / "chat_template.jinja"
    template.write_text("{% for message in messages %}")
    assert_refused(teachwhy("run", tiny_study), "cannot render", str(own_model))
    template.write_text("{{ raise_exception('System role not supported') }}")
    assert_refused(teachwhy("run", tiny_study), "System role not supported", str(own_model))
    template.write_text("{{ raise_exception('') }}")
    assert_refused(teachwhy("run", tiny_study), "cannot render", str(own_model))
    template.unlink()
    assert_refused(teachwhy("run", tiny_study), "no chat template", str(own_model))


def test_a_tokenizer_without_an_end(teachwhy, tiny_study, own_model):
    settings = json.loads((own_model / "tokenizer_config.json").read_text())
    del settings["eos_token"]
    (own_model / "tokenizer_config.json").write_text(json.dumps(settings))
    assert_refused(teachwhy("run", tiny_study), "eos_token", str(own_model))


# ---- the run folder


def full(*arguments: object, **options: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def read_only(*arguments: object, **options: object) -> None:
    raise OSError(errno.EROFS, "Read-only file system")


def run_folder(study: Path) -> Path:
    """The run folder of a study, with something in it that must not be lost."""
    from teachwhy.study import prepare_job, read_study

    folder = prepare_job(read_study(study), study.parent / "runs", print).run
    (folder / "train" / "why" / "seed-0").mkdir(parents=True)
    (folder / "train" / "why" / "seed-0" / "kept.txt").write_text("hours of work")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("fault", "said"), [(full, "no space left"), (read_only, "cannot be written to")], ids=["full", "read-only"]
)
@pytest.mark.parametrize("call", ["os.fsync", "pathlib.Path.mkdir"])
def test_storage_that_refuses_loses_nothing(teachwhy, tiny_study, monkeypatch, fault, said, call):
    folder = run_folder(tiny_study)
    before = contents(folder)
    with monkeypatch.context() as patched:
        patched.setattr(call, fault)
        done = teachwhy("run", tiny_study, "--runs", folder.parent.parent)
    assert_refused(done, said, str(folder))
    after = contents(folder)
    after.pop(".lock", None)
    assert after == before


def test_runs_where_no_folder_can_be(teachwhy, tiny_study):
    assert_refused(teachwhy("run", tiny_study, "--runs", tiny_study), str(tiny_study), "--runs")
    if os.path.isdir("/proc/self"):
        assert_refused(teachwhy("run", tiny_study, "--runs", "/proc/runs"), "/proc/runs", "--runs")


def test_a_run_folder_of_another_study(teachwhy, tiny_study):
    folder = run_folder(tiny_study)
    for record in ('{"stamp": {}}', "[]"):
        (folder / "study.json").write_text(record)
        done = teachwhy("run", tiny_study, "--runs", folder.parent.parent)
        assert_refused(done, "belongs to another study", str(folder))
        assert (folder / "study.json").read_text() == record


def test_a_file_stays_whole_where_its_successor_cannot_be_written(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    write_text(path, "old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="no space left"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["results.json"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        Exception("Error while serializing: I/O error: No space left on device (os error 28)"),  # safetensors
    ],
)
def test_an_adapter_stays_whole_where_its_successor_cannot_be_written(tmp_path, error):
    def fail(place: str) -> None:
        Path(place, "part").write_text("half")
        raise error

    folder = tmp_path / "seed-0"
    save_folder(folder, lambda place: Path(place, "adapter").write_text("old"), "train.json", {"stamp": "old"})
    with pytest.raises(RunError, match="no space left"):
        save_folder(folder, fail, "train.json", {"stamp": "new"})
    assert contents(folder)["adapter"] == b"old"
    assert os.listdir(tmp_path) == ["seed-0"]


def test_every_fault_of_storage_says_what_to_do():
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EPERM, errno.EIO, errno.ENAMETOOLONG):
        error: TeachwhyError = folder_error(OSError(number, os.strerror(number)), Path("here"))
        assert error.where == "here"
        assert error.remedy
