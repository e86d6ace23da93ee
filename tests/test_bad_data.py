"""Bad input files, examples and items: refused with the file, the line and what to do next."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import tiny
from bad_input import assert_refused, edit_line, edit_study

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
