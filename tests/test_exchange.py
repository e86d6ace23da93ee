"""Lessons in the formats of others: nothing that a format holds is lost, what it cannot hold is said or refused."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from teachwhy.cli import app
from teachwhy.data import Document, Example, Message, Pair
from teachwhy.data.exchange import FORMATS, Telling, export_lessons, import_lessons
from teachwhy.errors import InputError
from teachwhy.policy import parse_policy

ODD = (
    "{{prompt}} {braces} <|im_end|> [INST] {% raw %}",
    "\x01\x1b[31m\r\n\ttabs\u2028line\x85end ",
    "\u202eعلى اليمين ‏שלום",
    "👩🏽‍🚒 e\u0301 \ufeff",
    "x" * 20_000,
    '</tool_call> "quoted" \\n \\u0000',
)
TEXTS = st.one_of(
    st.sampled_from(ODD),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: text.strip()),
)
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "x": [None, 1.5, {}]}}}
ROLES = st.sampled_from(["user", "assistant"])
CALL = '<tool_call>{"name": "look", "arguments": {"at": "the {door}"}}</tool_call>'
HERE = Path(__file__).parent.parent / "studies"


def some(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


def messages() -> st.SearchStrategy[list[Message]]:
    turn = st.builds(Message, role=ROLES, content=TEXTS)
    return st.lists(turn, min_size=1, max_size=3)


ABOUT = {"principle": st.sampled_from(["", "door"]), "domain": st.just("house") | st.just(""), "note": some(TEXTS)}
CASE = {**ABOUT, "system": some(TEXTS), "tools": some(st.just([TOOL])), "messages": messages()}
EXAMPLES = st.builds(
    Example, id=TEXTS, **CASE, decision=some(st.just("help")), action=TEXTS, reason=some(TEXTS), neutral=some(TEXTS)
)
PAIRS = st.builds(
    Pair, id=TEXTS, **CASE, chosen=st.just("Open it."), rejected=TEXTS, chosen_by=st.just("w"), rejected_by=st.just("w")
).filter(lambda pair: pair.rejected.strip() != "Open it.")
DOCUMENTS = st.builds(
    Document, id=TEXTS, principle=ABOUT["principle"], kind=TEXTS, question=some(TEXTS), why=TEXTS, swapped=some(TEXTS)
)
PLAIN = {"system": None, "tools": None, "messages": [Message(role="user", content="{hello}\r\n ")]}
FOR_EXAMPLES = [name for name, one in FORMATS.items() if "example" in one.kinds and "prompt-only" not in name]
FOR_PAIRS = [name for name, one in FORMATS.items() if one.kinds == ("pair",) and name != "trl-preference-implicit-text"]
MANY = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))


def written(path: Path, lines: Sequence[Any]) -> Path:
    path.write_bytes(b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines))
    return path


def there_and_back(folder: Path, record: Any, name: str, **choices: Any) -> Any:
    """The record as the format gives it back."""
    own = written(folder / "own.jsonl", [record.model_dump()])
    out = written(folder / "out.jsonl", export_lessons(own, name, Telling(), **choices).lines)
    [fields] = import_lessons(out, name).lines
    return type(record).model_validate(fields)


@pytest.mark.parametrize("name", FOR_EXAMPLES)
@MANY
@given(example=EXAMPLES)
def test_an_example_comes_back_with_all_that_the_format_holds(tmp_path: Path, name: str, example: Example) -> None:
    example = example.model_copy(update=PLAIN if name.endswith("-text") else {})
    back = there_and_back(tmp_path, example, name)
    held = ("system", "tools", "messages", "action")
    assert {field: getattr(back, field) for field in held} == {field: getattr(example, field) for field in held}
    if FORMATS[name].columns:
        assert there_and_back(tmp_path, example, name, keep_fields=True) == example


@pytest.mark.parametrize("name", [*FOR_PAIRS, "trl-unpaired-preference"])
@MANY
@given(pair=PAIRS)
def test_a_pair_comes_back_with_all_that_the_format_holds(tmp_path: Path, name: str, pair: Pair) -> None:
    pair = pair.model_copy(update=PLAIN if name.endswith("-text") else {})
    back = there_and_back(tmp_path, pair, name)
    held = ("system", "tools", "messages", "chosen", "rejected")
    assert {field: getattr(back, field) for field in held} == {field: getattr(pair, field) for field in held}
    assert back.chosen_by == "not said"
    if FORMATS[name].columns:
        assert there_and_back(tmp_path, pair, name, keep_fields=True) == pair


@MANY
@given(document=DOCUMENTS)
def test_a_document_comes_back_with_its_text(tmp_path: Path, document: Document) -> None:
    name = "trl-language-modeling-text"
    assert there_and_back(tmp_path, document, name).why == document.why
    assert there_and_back(tmp_path, document, name, keep_fields=True) == document


@MANY
@given(example=EXAMPLES)
def test_a_prompt_comes_back_where_its_response_is_kept_beside_it(tmp_path: Path, example: Example) -> None:
    assert there_and_back(tmp_path, example, "trl-prompt-only", keep_fields=True) == example


EXAMPLE = {
    "id": "door-1",
    "principle": "door",
    "system": "Be kind.",
    "tools": [TOOL],
    "prompt": "Night falls.",
    "decision": "lock",
    "action": "I lock it. Then I sleep.",
    "mention": "It is night.",
    "reason": "Thieves come by night. They frighten people.",
}


def exported(folder: Path, record: dict[str, Any], name: str, **telling: Any) -> tuple[dict[str, Any], list[str]]:
    moved = export_lessons(written(folder / "own.jsonl", [record]), name, Telling(**telling))
    return moved.lines[0], moved.said


def test_the_response_is_what_the_arm_writes(tmp_path: Path) -> None:
    def response(**telling: Any) -> str:
        return str(exported(tmp_path, EXAMPLE, "hf-chat", **telling)[0]["messages"][-1]["content"])

    reason = "It is night. Thieves come by night. They frighten people."
    assert response() == EXAMPLE["action"]
    assert response(arm="why") == f"{reason}\n{EXAMPLE['action']}"
    assert response(arm="why", reason="last") == f"{EXAMPLE['action']}\n{reason}"
    woven = "I lock it. It is night. Then I sleep. Thieves come by night. They frighten people."
    assert response(arm="why", reason="woven") == woven
    marked = response(arm="why", markers=("Reason:", "Action:"), reason_names_fact=True)
    assert marked == f"Reason: {EXAMPLE['reason']}\nAction: {EXAMPLE['action']}"


def test_what_is_lost_is_said_field_by_field(tmp_path: Path) -> None:
    lost = ["id", "principle", "decision"]
    _, said = exported(tmp_path, EXAMPLE, "openai-chat")
    assert said == [f"{name}: not in the file (1 of 1)" for name in [*lost, "reason", "mention"]]
    for reason in ("first", "woven"):
        _, said = exported(tmp_path, EXAMPLE, "openai-chat", arm="why", reason=reason)
        apart = [f"{name}: in the response, not apart from it (1 of 1)" for name in ("action", "reason", "mention")]
        assert said == [f"{name}: not in the file (1 of 1)" for name in lost] + apart
    _, said = exported(tmp_path, EXAMPLE, "trl-prompt-completion", arm="masked_why")
    assert said[-2:] == [
        "the loss: the arm does not train the reason, the format trains all (1 of 1)",
        "`--keep-fields` keeps fields as columns of their own",
    ]
    _, said = exported(tmp_path, EXAMPLE, "trl-prompt-only")
    assert "action: not in the file (1 of 1)" in said


def test_an_arm_that_shows_the_policy_has_it_before_the_system_prompt(tmp_path: Path) -> None:
    policy = parse_policy("## door: Doors\nRule: Lock it.\nWhy: Thieves.\n", Path("policy.md"))
    line, _ = exported(tmp_path, EXAMPLE, "hf-chat", arm="policy_in_prompt", policy=policy)
    assert line["messages"][0]["content"] == "Follow this policy.\nLock it. Why: Thieves.\n\nBe kind."
    assert line["messages"][-1]["content"] == EXAMPLE["action"]
    for telling, said in (({"arm": "policy_in_prompt"}, "--policy"), ({"arm": "base"}, "teaches nothing")):
        with pytest.raises(InputError, match=said):
            exported(tmp_path, EXAMPLE, "hf-chat", **telling)


AGENT = EXAMPLE | {
    "messages": [
        {"role": "user", "content": "Is it shut?"},
        {"role": "assistant", "content": f"I look.\n{CALL}\n{CALL}"},
        {"role": "tool", "content": "It is open."},
        {"role": "tool", "content": "Still open."},
    ],
    "action": CALL,
}
del AGENT["prompt"]


def test_calls_are_fields_in_the_formats_of_openai_and_text_again_at_home(tmp_path: Path) -> None:
    line, _ = exported(tmp_path, AGENT, "openai-finetune")
    _, _, called, first, second, last = line["messages"]
    assert (called["content"], called["weight"], len(called["tool_calls"])) == ("I look.", 0, 2)
    assert [call["id"] for call in called["tool_calls"]] == [first["tool_call_id"], second["tool_call_id"]]
    assert (last["content"], last["weight"]) == (None, 1)
    assert json.loads(last["tool_calls"][0]["function"]["arguments"]) == {"at": "the {door}"}
    back = there_and_back(tmp_path, Example(**AGENT), "openai-finetune")
    assert (back.messages, back.action) == (Example(**AGENT).messages, CALL)
    kept = AGENT | {"messages": AGENT["messages"][:3]}
    with pytest.raises(InputError, match="answers no call"):
        exported(tmp_path, kept, "openai-chat")


def test_lines_of_openai_fit_the_types_of_its_own_package(tmp_path: Path) -> None:
    from openai.types.chat import (
        ChatCompletionAssistantMessageParam,
        ChatCompletionFunctionToolParam,
        ChatCompletionSystemMessageParam,
        ChatCompletionToolMessageParam,
        ChatCompletionUserMessageParam,
    )
    from pydantic import TypeAdapter

    types: dict[str, Any] = {
        "system": ChatCompletionSystemMessageParam,
        "user": ChatCompletionUserMessageParam,
        "assistant": ChatCompletionAssistantMessageParam,
        "tool": ChatCompletionToolMessageParam,
    }
    bare = AGENT | {"tools": [TOOL["function"]]}
    pair = {"id": "p", **{name: bare[name] for name in ("system", "tools", "messages")}, "chosen": "Shut it.",
            "rejected": CALL, "chosen_by": "w", "rejected_by": "w"}  # fmt: skip
    chat, finetune = (exported(tmp_path, bare, name)[0] for name in ("openai-chat", "openai-finetune"))
    preference, _ = exported(tmp_path, pair, "openai-preference")
    said = [*chat["messages"], *preference["input"]["messages"]]
    said += preference["preferred_output"] + preference["non_preferred_output"]
    said += [{name: value for name, value in one.items() if name != "weight"} for one in finetune["messages"]]
    assert len(said) == 6 + 5 + 2 + 6
    for message in said:
        kind = types[message["role"]]
        TypeAdapter(kind).validate_python(message)
        assert set(message) <= set(kind.__annotations__)
    for tools in (chat["tools"], finetune["tools"], preference["input"]["tools"]):
        TypeAdapter(ChatCompletionFunctionToolParam).validate_python(tools[0])
    assert set(preference) == {"input", "preferred_output", "non_preferred_output"}


def test_what_is_written_for_trl_is_what_trl_reads(tmp_path: Path) -> None:
    datasets, trl = pytest.importorskip("datasets"), pytest.importorskip("trl")

    other = EXAMPLE | {"id": "door-2", "tools": [{"name": "ring", "parameters": {"often": 3}}]}
    examples = written(tmp_path / "examples.jsonl", [EXAMPLE, other, AGENT | {"id": "door-3"}])
    pair = {
        "prompt": "Night falls.",
        "chosen": "Lock it.",
        "rejected": "Leave it.",
        "chosen_by": "w",
        "rejected_by": "w",
    }
    pairs = written(tmp_path / "pairs.jsonl", [pair | {"id": f"p-{n}", "system": "Be kind."} for n in range(2)])
    plain = written(tmp_path / "plain.jsonl", [pair | {"id": f"p-{n}"} for n in range(2)])

    def loaded(path: Path, name: str, **choices: Any) -> Any:
        out = written(tmp_path / f"{name}.jsonl", export_lessons(path, name, Telling(), **choices).lines)
        return datasets.load_dataset("json", data_files=str(out), split="train", cache_dir=str(tmp_path / "cache"))

    for name in ("trl-language-modeling", "trl-prompt-only", "trl-prompt-completion", "trl-unpaired-preference"):
        rows = loaded(examples, name, keep_fields=True)
        assert all(map(trl.is_conversational, rows))
        assert [json.loads(row["tools"]) for row in rows] == [one["tools"] for one in (EXAMPLE, other, AGENT)]
        assert rows["reason"] == [EXAMPLE["reason"]] * 3
    explicit, implicit = loaded(pairs, "trl-preference"), loaded(pairs, "trl-preference-implicit")
    assert all(map(trl.is_conversational, explicit))
    assert [trl.extract_prompt(row) for row in implicit] == list(explicit)
    by_trl = trl.unpair_preference_dataset(explicit)
    ours = loaded(pairs, "trl-unpaired-preference")
    assert sorted(map(json.dumps, by_trl)) == sorted(map(json.dumps, ours))
    texts = list(loaded(plain, "trl-preference-text"))
    assert texts[0] == {"prompt": "Night falls.", "chosen": "Lock it.", "rejected": "Leave it."}
    assert not any(map(trl.is_conversational, texts))
    assert loaded(plain, "trl-preference-implicit-text")[0]["chosen"] == "Night falls.Lock it."
    turned = trl.maybe_convert_to_chatml(loaded(examples, "sharegpt")[0])
    assert turned["messages"][-1]["content"] == EXAMPLE["action"]


USER, ANSWER = {"role": "user", "content": "Night falls."}, {"role": "assistant", "content": "I lock it."}


def imported(folder: Path, name: str, *lines: Any) -> tuple[list[dict[str, Any]], list[str]]:
    moved = import_lessons(written(folder / "file.jsonl", lines), name)
    return moved.lines, moved.said


def test_what_is_read_otherwise_than_it_stands_is_counted(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "Night "}, {"type": "text", "text": "falls."}]
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": '{"at": "the {door}"}'}}
    line = {
        "messages": [
            {"role": "developer", "content": "Be kind."},
            {"role": "user", "content": parts, "name": "Ann"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "1", "content": "Open."},
            {"role": "assistant", "content": "Oh.", "refusal": None},
            USER,
            {"role": "assistant", "content": "", "refusal": "I will not.", "weight": 1},
        ],
        "parallel_tool_calls": False,
        "score": 3,
    }
    [example], said = imported(tmp_path, "openai-finetune", line)
    assert (example["system"], example["action"], example["id"]) == ("Be kind.", "I will not.", "file-1")
    assert [message["content"] for message in example["messages"]][:2] == ["Night falls.", CALL]
    assert said == [
        "`name` of a message left out (1)",
        "`refusal` read as the message's text (1)",
        "`tool_call_id` of a message left out (1)",
        "chat with earlier answers of the assistant: they are read, the last alone is taught (1)",
        "column `parallel_tool_calls` left out (1)",
        "column `score` left out (1)",
        "parts of a message joined into one text (1)",
        "role `developer` read as `system` (1)",
        "tool call written as text (1)",
    ]


def test_turns_of_from_and_value_are_read(tmp_path: Path) -> None:
    turns = [("human", "Shut?"), ("function_call", CALL[11:-12]), ("observation", "Open."), ("gpt", "Now it is.")]
    line = {"conversations": [{"from": role, "value": text} for role, text in turns], "system": "Be kind.", "tools": ""}
    [example], _ = imported(tmp_path, "sharegpt", line)
    assert [message["role"] for message in example["messages"]] == ["user", "assistant", "tool"]
    assert (example["messages"][1]["content"], example["system"]) == (CALL, "Be kind.")


def test_labelled_responses_are_paired_by_their_prompt(tmp_path: Path) -> None:
    def line(prompt: str, text: str, label: Any) -> dict[str, Any]:
        return {"prompt": prompt, "completion": text, "label": label}

    lines = [line("A", "1", False), line("B", "2", True), line("A", "3", True), line("A", "4", False)]
    [pair], said = imported(tmp_path, "trl-unpaired-preference", *lines)
    assert (pair["chosen"], pair["rejected"], pair["messages"][0]["content"]) == ("3", "1", "A")
    assert "labelled response without one of the other label to the same prompt left out (2)" in said
    with pytest.raises(InputError, match="no pair can be made"):
        imported(tmp_path, "trl-unpaired-preference", *lines[:2])
    with pytest.raises(InputError, match=r"line 1, field 'label'"):
        imported(tmp_path, "trl-unpaired-preference", line("A", "1", "yes"))


def chat(*before: Any, **last: Any) -> dict[str, Any]:
    return {"messages": [*before, ANSWER | last]}


@pytest.mark.parametrize(
    ("name", "line", "said"),
    [
        ("openai-chat", chat({"role": "user", "content": [{"type": "image_url"}]}), "image_url.*messages.0.content.0"),
        ("openai-chat", chat(USER, audio={"id": "1"}), "sound.*messages.1.audio"),
        ("openai-chat", chat(USER, function_call={"name": "x"}), "messages.1.function_call.*tool_calls"),
        ("openai-chat", chat(USER) | {"functions": [{}]}, "field 'functions'"),
        ("openai-chat", chat(USER, content=" "), "empty.*line 1, field 'messages.1.content'"),
        ("openai-chat", chat(USER, content=7), "neither a text nor.*messages.1.content"),
        ("openai-chat", chat(USER, tool_calls=[{"type": "custom"}]), "no function.*messages.1.tool_calls.0"),
        ("openai-chat", chat(USER, tool_calls=3), "no list.*messages.1.tool_calls"),
        ("openai-chat", chat(USER, tool_calls=[{"function": {"name": "x", "arguments": "{"}}]), "no JSON object"),
        ("openai-finetune", chat(USER, weight=0), "teaches nothing.*messages.1.weight"),
        ("hf-chat", {"messages": [USER]}, "does not end with an assistant"),
        ("hf-chat", {"messages": [ANSWER]}, "does not end with an assistant"),
        ("hf-chat", {"messages": "hello"}, "no list of messages.*field 'messages'"),
        ("hf-chat", {"messages": ["hello"]}, "no object.*messages.0"),
        ("hf-chat", chat(USER | {"role": "bot"}), "no role 'bot'.*Roles: .*user"),
        ("hf-chat", chat(USER | {"role": ["user"]}), "no role.*messages.0.role"),
        ("hf-chat", {"prompt": "x"}, "has no messages"),
        ("hf-chat", chat(USER) | {"images": ["a.png"]}, "more than text.*field 'images'"),
        ("hf-chat", chat(USER) | {"tools": "[}"}, "no list of tool definitions.*field 'tools'"),
        ("hf-chat", chat(USER) | {"reason": 3}, "line 1, field 'reason'"),
        ("trl-prompt-only", {"prompt": "x"}, "no response.*field 'action'"),
        ("trl-prompt-completion", {"prompt": "x"}, "'completion' is missing"),
        ("trl-prompt-completion", {"prompt": 3, "completion": "x"}, "neither a text.*prompt.0.content"),
        ("trl-preference", {"chosen": "a b", "rejected": "a c"}, "do not say where"),
        ("trl-preference", {"prompt": "a", "chosen": "b"}, "Two sides"),
        ("trl-preference", {"prompt": "a", "chosen": "b", "rejected": "b"}, "are one text"),
        ("trl-language-modeling-text", {"text": None}, "`text` is no text"),
        ("openai-preference", {"input": 3}, "`input` is no object"),
        ("openai-preference", {"input": {"messages": [USER]}, "preferred_output": [ANSWER]}, "non_preferred_output"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_its_place(tmp_path: Path, name: str, line: Any, said: str) -> None:
    with pytest.raises(InputError, match=rf"(?s){said}"):
        imported(tmp_path, name, line)


def test_results_in_another_order_than_their_calls_are_refused(tmp_path: Path) -> None:
    calls = [{"id": one, "function": {"name": "look", "arguments": {}}} for one in "ab"]
    results = [{"role": "tool", "tool_call_id": one, "content": one} for one in "ba"]
    with pytest.raises(InputError, match=r"(?s)another order.*messages.2.tool_call_id"):
        imported(tmp_path, "hf-chat", chat(USER, {"role": "assistant", "tool_calls": calls}, *results))


NAMES = (
    "messages conversations role content from value type text tool_calls function name arguments id weight tools "
    "prompt completion chosen rejected label input preferred_output non_preferred_output system action reason refusal "
    "tool_call_id audio user assistant"
).split()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(line=st.dictionaries(st.sampled_from(NAMES), JSON, max_size=5))
def test_no_line_breaks_the_reader(tmp_path: Path, name: str, line: dict[str, Any]) -> None:
    """Whatever stands in a line, it is read or refused."""
    file = written(tmp_path / "file.jsonl", [line])
    with contextlib.suppress(InputError):
        assert import_lessons(file, name).lines


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--to", "trl"], "Valid: hf-chat"),
        (["--to", "trl-preference"], "holds no example; it takes: pair"),
        (["--to", "openai-chat", "--keep-fields"], "no room for further fields"),
        (["--to", "trl-prompt-completion-text"], "without `-text`"),
        (["--to", "hf-chat", "--arm", "wy"], "Did you mean 'why'"),
        (["--to", "hf-chat", "--arm", "swapped"], "needs the field 'swapped'"),
        (["--to", "hf-chat", "--reason", "middle"], "first, last, woven"),
    ],
)
def test_an_export_that_cannot_be_says_why(tmp_path: Path, arguments: list[str], said: str) -> None:
    own = written(tmp_path / "own.jsonl", [EXAMPLE])
    result = CliRunner().invoke(app, ["export", str(own), *arguments, "--out", str(tmp_path / "out.jsonl")])
    assert said in str(result.exception)
    assert isinstance(result.exception, InputError)
    assert not (tmp_path / "out.jsonl").exists()


def test_the_commands_write_and_say_what_is_lost(tmp_path: Path) -> None:
    own, out, back = written(tmp_path / "own.jsonl", [EXAMPLE]), tmp_path / "out.jsonl", tmp_path / "back.jsonl"
    kept = ["--to", "hf-chat", "--arm", "why", "--keep-fields", "--out", str(out)]
    result = CliRunner().invoke(app, ["export", str(own), *kept])
    assert (result.exit_code, result.output) == (0, f"wrote {out}: 1 lines\n")
    result = CliRunner().invoke(app, ["import", str(out), "--from", "hf-chat", "--out", str(back)])
    assert result.exit_code == 0
    assert Example(**json.loads(back.read_text())) == Example(**EXAMPLE)
    result = CliRunner().invoke(app, ["import", str(out), "--from", "hf-chat", "--out", str(out)])
    assert "written over" in str(result.exception)


def test_shipped_documents_go_out_as_texts_and_as_chats(tmp_path: Path) -> None:
    file = HERE / "stages" / "documents.jsonl"
    texts = export_lessons(file, "trl-language-modeling-text", Telling(version="neutral"))
    chats = export_lessons(file, "openai-chat", Telling())
    first = json.loads(file.read_text(encoding="utf-8").splitlines()[0])
    assert texts.lines[0] == {"text": first["neutral"]}
    assert [message["content"] for message in chats.lines[0]["messages"]] == [first["question"], first["why"]]
    assert any(line.startswith("kind: not in the file") for line in chats.said)
