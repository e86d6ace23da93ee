"""Pairs of responses: read, refused where something other than what they do sets them apart, and as tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from teachwhy.data import read_pairs
from teachwhy.errors import CheckError, InputError
from teachwhy.models import find_model, load_chat
from teachwhy.models.load import ModelSource
from teachwhy.train.pairs import tokenize_pairs

PAIR = {
    "id": "door-1",
    "principle": "door",
    "prompt": "Night falls.",
    "chosen": "Lock it.",
    "rejected": "Leave it.",
    "chosen_by": "writer-1",
    "rejected_by": "writer-1",
}
TURN = {"role": "user", "content": "Night falls."}


def answer(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def written(folder: Path, *lines: dict[str, Any]) -> list[Path]:
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return [path]


def test_a_pair_is_read_with_its_short_forms(tmp_path: Path) -> None:
    plain = {name: value for name, value in PAIR.items() if name not in ("prompt", "principle")}
    long = plain | {"id": "door-2", "messages": [TURN], "rule": "door", "system": "Be kind.", "note": "for the reader"}
    short, other = read_pairs(written(tmp_path, PAIR, long))
    assert (short.messages, short.principle) == (other.messages, other.principle)
    example = other.as_example()
    assert (example.id, example.system, example.messages, example.action) == (
        "door-2",
        "Be kind.",
        other.messages,
        "Lock it.",
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rejected_by": "writer-2"}, ["'door-1'", "'writer-1' wrote `chosen`", "'writer-2' `rejected`", "one model"]),
        ({"rejected": " Lock it.\n"}, ["'door-1'", "are one text"]),
        ({"chosen": " "}, ["'chosen'", "blank"]),
        ({"chosen_by": None}, ["'chosen_by' is missing", "rejected_by"]),
        ({"prefered": "x"}, ["no field named 'prefered'", "Valid: ", "chosen"]),
        ({"prompt": None}, ["'messages' is missing"]),
        ({"id": "door-0"}, ["used twice"]),
    ],
)
def test_a_pair_that_teaches_something_else_is_refused_by_name(
    tmp_path: Path, changes: dict[str, Any], said: list[str]
) -> None:
    wrong = {name: value for name, value in (PAIR | changes).items() if value is not None}
    paths = written(tmp_path, PAIR | {"id": "door-0"}, wrong)
    with pytest.raises(InputError) as refused:
        read_pairs(paths)
    for part in (*said, f"{paths[0]}, line 2"):
        assert part in str(refused.value)


BOTH = {"chosen": [answer("Lock it.")], "rejected": [answer("Leave it.")]}


@pytest.mark.parametrize(
    "line",
    [
        {"prompt": "Night falls.", "chosen": "Lock it.", "rejected": "Leave it."},
        {"prompt": [TURN], **BOTH},
        {"chosen": [TURN, answer("Lock it.")], "rejected": [TURN, answer("Leave it.")]},
        {"prompt": [TURN], **BOTH, "tools": [{"name": "bolt"}]},
    ],
    ids=["texts", "chat", "chat without a prompt", "tools"],
)
def test_the_preference_format_of_trl_is_read(tmp_path: Path, line: dict[str, Any]) -> None:
    (pair,) = read_pairs(written(tmp_path, line))
    assert (pair.id, pair.chosen, pair.rejected) == ("pairs-1", "Lock it.", "Leave it.")
    assert [message.model_dump() for message in pair.messages] == [TURN]
    assert pair.chosen_by == pair.rejected_by == "not said"
    assert pair.tools == line.get("tools")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"prompt": [TURN], "chosen": [TURN], "rejected": [answer("No.")]}, "`chosen` does not end with an assistant"),
        ({"prompt": [TURN], "chosen": [answer("No.")], "rejected": []}, "`rejected` does not end with an assistant"),
        ({"chosen": "Lock it.", "rejected": "Leave it."}, "after at least one other message"),
        ({"prompt": [TURN], "chosen": [answer("No.")], "rejected": 3}, "`rejected` does not end"),
        ({"chosen": [TURN, answer("a")], "rejected": [{**TURN, "content": "x"}, answer("b")]}, "the same conversation"),
        ({"prompt": [{"role": "user"}], **BOTH}, "'messages.0.content' is missing"),
        ({"prompt": "x", "chosen": "a", "rejected": "b", "chosen_by": "w"}, "'not said' `rejected`"),
    ],
)
def test_a_line_of_trl_that_is_no_pair_is_refused(tmp_path: Path, line: dict[str, Any], said: str) -> None:
    paths = written(tmp_path, line)
    with pytest.raises(InputError) as refused:
        read_pairs(paths)
    assert said in str(refused.value)
    assert f"{paths[0]}, line 1" in str(refused.value)


@pytest.fixture(scope="module")
def source(tiny_model: Path) -> ModelSource:
    return find_model(str(tiny_model), base_folder=tiny_model, say=print)


def test_a_pair_as_tokens_is_what_its_texts_are(tmp_path: Path, source: ModelSource) -> None:
    chat = load_chat(source)
    (pair,) = read_pairs(written(tmp_path, PAIR | {"system": "Be kind."}))

    def prompt(example: Any) -> str:
        return chat.prompt([{"role": "system", "content": example.system}, example.messages[0].model_dump()])

    (row,) = tokenize_pairs([pair], prompt, chat, 512)
    sides = [chat.tokenizer.decode([*row.prompt, *side]) for side in (row.chosen, row.rejected)]
    opening = (
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nNight falls.<|im_end|>\n<|im_start|>assistant\n"
    )
    assert sides == [f"{opening}Lock it.<|im_end|>", f"{opening}Leave it.<|im_end|>"]
    assert row.example == "door-1"
    assert row.content() == [list(row.prompt), list(row.chosen), list(row.rejected)]
    assert row.trained == len("Lock it.") + len("Leave it.") + 2
    assert row.length == 2 * len(row.prompt) + row.trained
    assert row.shared == len(row.prompt) + len("Leave it.") + 1
    with pytest.raises(CheckError, match=rf"has {row.shared} tokens .* holds {row.shared - 1}"):
        tokenize_pairs([pair], prompt, chat, row.shared - 1)
    assert tokenize_pairs([pair], prompt, chat, row.shared) == tokenize_pairs([pair], prompt, chat, 0) == [row]
