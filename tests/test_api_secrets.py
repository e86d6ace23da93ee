"""No key is ever shown or written down: not in errors, replies, journals or run folders, whoever repeats it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import chat_server
import pytest
from chat_server import ChatServer

from teachwhy.errors import ModelError, TeachwhyError, first_line
from teachwhy.evals import Request
from teachwhy.models import ApiChat, ApiModel, Asking, Reply
from teachwhy.redact import redacted, redacted_answer
from teachwhy.study.journal import Asked, Journal, put_to_api
from teachwhy.study.worker import run_step

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

NAME = "inspect:openai-api/local/scripted"
KEY = "planted-7Q2x9LmZ4vRt8Wc1"
ONCE = Asking(connections=2, retries=0, seconds=5)
PROMPT = ApiChat().prompt([{"role": "user", "content": "May I?"}])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    pytest.importorskip("inspect_ai")
    with chat_server.serving(lambda messages: f"The key is {KEY}.") as found:
        monkeypatch.setenv("LOCAL_BASE_URL", found.base_url)
        monkeypatch.setenv("LOCAL_API_KEY", KEY)
        yield found


def ask(**changes: Any) -> Reply:
    usual: dict[str, Any] = {"max_new_tokens": 16, "sampling": None, "on_reply": lambda place, reply: None}
    return ApiModel(NAME, ONCE).replies([PROMPT], **usual | changes)[0]


def without_key(text: str) -> bool:
    """Neither the key nor either end of it that a provider's mask leaves."""
    return KEY not in text and KEY[:6] not in text and KEY[-4:] not in text


# What a provider says


def test_a_refused_key_is_not_repeated(
    server: ChatServer, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    server.always = lambda messages: "echo 401"
    with caplog.at_level(logging.INFO), pytest.raises(ModelError, match="Incorrect key") as refused:
        ask()
    assert "***" in str(refused.value)
    told = [str(refused.value), repr(refused.value), *capfd.readouterr(), caplog.text]
    assert all(map(without_key, told))


@pytest.mark.parametrize("status", [400, 403, 429, 500])
def test_no_detail_of_a_failed_call_holds_the_key(status: int, server: ChatServer):
    server.always = lambda messages: f"echo {status}"
    reply = ask()
    assert not reply.came
    assert "Incorrect key ***" in reply.detail
    assert without_key(repr(reply))


@pytest.mark.parametrize(
    "address", ["http://user:{}/v1", "http://user:{}@host:{}/v1", "http://host:1/v1?key={}", "{}", "http://[{}"]
)
def test_a_base_url_that_holds_a_key_and_cannot_be_used(address: str, monkeypatch: pytest.MonkeyPatch):
    """Unlike the key, it stands in no variable that is called a secret."""
    pytest.importorskip("inspect_ai")
    monkeypatch.setenv("LOCAL_BASE_URL", address.format(KEY, KEY))
    monkeypatch.setenv("LOCAL_API_KEY", "none")
    try:
        said = repr(ask())
    except ModelError as error:
        said = str(error)
    assert without_key(said), said


def test_a_key_that_fits_no_header_is_not_shown(server: ChatServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOCAL_API_KEY", f"{KEY}\n")
    reply = ask()
    assert not reply.came
    assert without_key(repr(reply)), reply.detail


# What is written down


def test_neither_an_answer_nor_its_journal_holds_the_key(server: ChatServer, tmp_path: Path):
    request = Request("one", (), "plain", "subject", True)
    journal = Journal(tmp_path / "asked.jsonl")
    for fault in ("", "echo 500"):
        server.always = lambda messages, fault=fault: fault
        asked = Asked("arm", 16, sample=len(server.seen))
        put_to_api(ApiModel(NAME, ONCE), journal, asked, [request], [PROMPT], lambda done, total: None)
    assert [reply.text for reply in journal.known.values()] == ["The key is ***."]
    assert all(without_key(path.read_text()) for path in tmp_path.iterdir())
    assert Journal.read(journal.path).known == journal.known


def test_a_journal_tells_who_served_and_older_lines_are_read(tmp_path: Path):
    journal = Journal(tmp_path / "asked.jsonl")
    journal.add("new", Asked("arm", 16), "one", Reply("Yes.", provider="Alpha"))
    line = json.loads(journal.path.read_text())
    older = {name: value for name, value in line.items() if name != "provider"} | {"key": "old"}
    with journal.path.open("a") as stream:
        stream.write(json.dumps(older) + "\n")
    assert Journal.read(journal.path).known == {"new": Reply("Yes.", provider="Alpha"), "old": Reply("Yes.")}


def test_the_log_of_a_worker_that_fails_unforeseen_holds_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOCAL_API_KEY", KEY)

    def run(step: Any, tell: Any) -> None:
        raise RuntimeError(f"no good: {KEY}")

    worker: Any = SimpleNamespace(job=SimpleNamespace(run=tmp_path), run=run)
    step: Any = SimpleNamespace(unit=SimpleNamespace(name="base/seed-none"))
    told = run_step(worker, step, None)["failed"]
    log = (tmp_path / "logs" / "base-seed-none.txt").read_text()
    assert "no good: ***" in told
    assert "no good: ***" in log
    assert without_key(told + log)


# What counts as a key


@pytest.mark.parametrize(
    "name", ["OPENAI_API_KEY", "HF_TOKEN", "CLIENT_SECRET", "PGPASSWORD", "AWS_ACCESS_KEY_ID", "lower_api_key"]
)
def test_variables_whose_names_say_so_hold_secrets(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(name, "hush hush/1")
    assert redacted("a hush hush/1 b hush%20hush%2F1 c") == "a *** b *** c"
    monkeypatch.setenv(name, "hushes")
    assert redacted("a hushes b") == "a hushes b", "too short to be told from a word"


def test_other_variables_hold_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "hush-hush-1")
    monkeypatch.setenv("LOCAL_BASE_URL", "http://127.0.0.1:8000/v1")
    text = "hush-hush-1 at http://127.0.0.1:8000/v1"
    assert redacted(text) == text


@pytest.mark.parametrize(
    "key",
    [
        "sk-proj-Ab12Cd34Ef56",
        "sk-abcd********wxyz",
        "sk-ab...yz",
        "gsk_0123456789abcdef",
        "hf_AbCdEf123456",
        "AIzaSyA1234567890abcdefghijk",
        "AKIAIOSFODNN7EXAMPLE",
        "xa***45",
        "eyJhbGciOiJI.eyJzdWIiOiIx.c2ln",
    ],
)
def test_what_looks_like_a_key_is_taken_out_of_a_message(key: str):
    assert redacted(f"Incorrect API key provided: {key}, see /account") == (
        "Incorrect API key provided: ***, see /account"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer abc123def456", "Authorization: Bearer ***"),
        ("GET http://me:s3cret@host/v1", "GET http://***@host/v1"),
        ("/v1?api_key=abc123def456&x=1", "/v1?api_key=***&x=1"),
    ],
)
def test_what_stands_where_keys_do_is_taken_out(text: str, shown: str):
    assert redacted(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "Bearer authentication is required, basic authentication is not.",
        "The provider hf-inference-providers, hf_inference_providers or task-force-2024 is not known.",
        "max_tokens: 12345678 is too many at http://host:8000/v1; see sk-learn.",
    ],
)
def test_plain_messages_stay_as_they_are(text: str):
    assert redacted(text) == text


def test_a_case_about_a_key_keeps_it_and_a_weak_password_is_a_word(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("POSTGRES_PASSWORD", "postgres")
    monkeypatch.setenv("LOCAL_API_KEY", KEY)
    text = "The postgres log shows sk-live-1234567890 and Bearer abc123def456."
    assert redacted_answer(f"{text} {KEY}") == f"{text} ***"


def test_every_error_is_free_of_keys_also_where_it_is_cut(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOCAL_API_KEY", KEY)
    error = TeachwhyError(f"What {KEY}", where=f"where {KEY}", remedy=f"next {KEY}")
    assert without_key(str(error) + error.what + error.where + error.remedy)
    assert without_key(first_line(ValueError("x" * 290 + " " + KEY)))
