"""Models behind an API, over real HTTP on loopback: every fault told apart, so many at once, no purse overdrawn."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import chat_server
import pytest
from chat_server import ChatServer

from teachwhy.errors import ModelError
from teachwhy.models import (
    ApiChat,
    ApiModel,
    Asking,
    LocalSpeaker,
    Price,
    Purse,
    Reply,
    Sampling,
    Speaker,
    find_model,
    full_name,
    load_model,
    read_price,
)
from teachwhy.models.api import cause_of
from teachwhy.models.names import PROVIDERS, is_api, service_name

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
pytest.importorskip("inspect_ai")

NAME = "inspect:openai-api/local/scripted"
QUICK = Asking(connections=3, retries=0, seconds=1)
Serve = Callable[..., AbstractContextManager[ChatServer]]


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> Serve:
    """A server that the provider finds by its environment variables, as a user's own would be."""

    @contextmanager
    def serve(reply: Any = lambda messages: f"You said {messages[-1]['content']}.", **settings: Any) -> Any:
        with chat_server.serving(reply, **settings) as server:
            monkeypatch.setenv("LOCAL_BASE_URL", server.base_url)
            monkeypatch.setenv("LOCAL_API_KEY", "none")
            yield server

    return serve


def prompts(count: int) -> list[str]:
    return [
        ApiChat().prompt([{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"word-{number}"}])
        for number in range(count)
    ]


def replies(model: ApiModel, asked: list[str], **changes: Any) -> list[Reply]:
    usual: dict[str, Any] = {"max_new_tokens": 16, "sampling": None, "on_reply": lambda place, reply: None}
    return model.replies(asked, **usual | changes)


def ask_one(fault: str, serving: Serve, asking: Asking = QUICK) -> tuple[Reply, ChatServer]:
    with serving(always=lambda messages: fault) as server:
        return replies(ApiModel(NAME, asking), prompts(1))[0], server


# What is asked and answered


def test_answers_come_in_order_with_their_tokens_and_the_name_that_answered(serving: Serve):
    told: dict[int, Reply] = {}
    with serving() as server:
        found = replies(ApiModel(NAME, QUICK), prompts(7), on_reply=told.__setitem__)
    assert [reply.text for reply in found] == [f"You said word-{number}." for number in range(7)]
    assert found == [told[place] for place in range(7)], "each was told as it came"
    assert {(reply.tokens_in, reply.tokens_out, reply.model) for reply in found} == {(3, 3, "scripted-2026-01-01")}
    assert all(reply.came and reply.cause is None and not reply.cut for reply in found)
    assert server.seen[0]["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (server.seen[0]["max_tokens"], server.seen[0]["temperature"]) == (16, 0)


def test_a_temperature_is_passed_on(serving: Serve):
    with serving() as server:
        replies(ApiModel(NAME, QUICK), prompts(1), sampling=Sampling(0.7, ()))
    assert server.seen[0]["temperature"] == 0.7


def test_what_is_under_way_is_told_before_it_is_sent(serving: Serve):
    asked: list[int] = []
    ahead: list[bool] = []

    def reply(messages: Any) -> str:
        ahead.append(int(messages[-1]["content"].removeprefix("word-")) in asked)
        return "Yes."

    with serving(reply) as server:
        replies(ApiModel(NAME, QUICK), prompts(7), on_ask=asked.append)
        assert asked == list(range(7))
        assert ahead == [True] * 7
        price = Price(input=1000, output=10_000)
        replies(ApiModel(NAME, QUICK, Purse(price, limit=0.0)), prompts(7), on_ask=asked.append)
    assert len(asked) == len(server.seen) == 7, "what the purse does not reach is not on its way"


def test_at_most_so_many_are_asked_at_once(serving: Serve):
    def slowly(messages: Any) -> str:
        time.sleep(0.2)  # a busy machine may need as long to send the next
        return "Yes."

    with serving(slowly) as server:
        replies(ApiModel(NAME, Asking(connections=2)), prompts(6))
        assert server.most_at_once == 2
        replies(ApiModel(NAME, Asking(connections=3)), prompts(9))
    assert server.most_at_once == 3, "an earlier asking does not limit a later one"


def test_a_local_model_behind_a_server_says_what_it_says_itself(serving: Serve, tiny_model: Path):
    source = find_model(str(tiny_model), base_folder=tiny_model, say=print)
    local = LocalSpeaker(load_model(source, device="cpu", dtype="float32"))

    def ask(speaker: Speaker, prompts: list[str]) -> list[str]:
        order: list[tuple[str, int]] = []
        found = speaker.replies(
            prompts,
            max_new_tokens=12,
            sampling=None,
            on_ask=lambda place: order.append(("asked", place)),
            on_reply=lambda place, reply: order.append(("told", place)),
        )
        assert sorted(order) == [(what, place) for what in ("asked", "told") for place in range(len(prompts))]
        assert all(order.index(("asked", place)) < order.index(("told", place)) for place in range(len(prompts)))
        return [reply.text for reply in found]

    talks = [[{"role": "user", "content": text}] for text in ("May I?", "Where is the lamp?", "Go on.")]
    with serving(lambda messages: ask(local, [local.chat.prompt(messages)])[0]) as _:
        served = ask(ApiModel(NAME, Asking(connections=1)), [ApiChat().prompt(talk) for talk in talks])
    said = ask(local, [local.chat.prompt(talk) for talk in talks])
    assert any(said)
    assert [text.strip() for text in served] == [text.strip() for text in said]


# Faults


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("429", "rate limit"),
        ("500", "server error"),
        ("slow", "time-out"),
        ("stall", "time-out"),
        ("not json", "malformed answer"),
        ("not a completion", "malformed answer"),
        ("page", "server error"),
    ],
)
def test_what_never_came_says_why(fault: str, cause: str, serving: Serve):
    reply, server = ask_one(fault, serving)
    assert (reply.text, reply.cause, reply.came) == ("", cause, False)
    assert reply.detail
    assert len(server.seen) == 1, "without retries the provider's own library asks no second time either"


def test_a_rate_limit_that_outlasts_every_retry_is_one(serving: Serve, monkeypatch: pytest.MonkeyPatch):
    import tenacity
    from inspect_ai.model import ModelAPI

    monkeypatch.setattr(ModelAPI, "retry_wait", lambda api: tenacity.wait_none())
    reply, server = ask_one("429", serving, Asking(retries=2, seconds=20))
    assert (reply.cause, reply.came) == ("rate limit", False)
    assert "planted 429" in reply.detail
    assert len(server.seen) >= 3


def test_the_provider_openai_itself_is_asked(monkeypatch: pytest.MonkeyPatch):
    with chat_server.serving(lambda messages: "Hello.") as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        assert replies(ApiModel("inspect:openai/gpt-4o-mini", QUICK), prompts(1))[0].text == "Hello."
    assert server.seen[0]["model"] == "gpt-4o-mini"


@pytest.mark.parametrize("fault", ["drop", "cut"])
def test_a_connection_that_breaks_is_no_time_out(fault: str, serving: Serve):
    reply, server = ask_one(fault, serving, Asking(retries=0, seconds=20))
    assert (reply.cause, reply.came) == ("connection lost", False)
    assert len(server.seen) == 1


def test_an_answer_stopped_by_a_filter_came_and_is_no_act(serving: Serve):
    reply, server = ask_one("filter", serving)
    assert (reply.text, reply.cause, reply.came) == ("", "stopped by the provider's filter", True)
    assert len(server.seen) == 1, "it is not asked again"


def test_a_cut_answer_is_an_answer_and_an_empty_one_is_none(serving: Serve):
    cut, _ = ask_one("length", serving)
    assert (cut.text, cut.cause, cut.cut, cut.came) == ("You said word-0.", None, True, True)
    empty, _ = ask_one("empty length", serving)
    assert (empty.text, empty.cause, empty.cut, empty.came) == ("", "cut off before anything was said", True, True)


def test_a_malformed_tool_call_is_written_down_as_such(serving: Serve):
    reply, _ = ask_one("tool", serving)
    assert reply.cause is None
    opening, _, rest = reply.text.partition("<tool_call>")
    assert opening == ""
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(rest.removesuffix("</tool_call>"))
    assert "send_mail" in rest


def test_tools_of_an_item_are_the_providers_own_and_calls_come_back_as_text(serving: Serve):
    tool = {"type": "function", "function": {"name": "look", "description": "Look.", "parameters": {"type": "object"}}}
    prompt = ApiChat().prompt([{"role": "user", "content": "Look."}], [tool])
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": '{"where": "here"}'}}
    with serving(always=lambda messages: "good tool") as server:
        chat_server.GOOD_CALL.update(call)
        reply = replies(ApiModel(NAME, QUICK), [prompt])[0]
    assert server.seen[0]["tools"][0]["function"]["name"] == "look"
    assert reply.text == '<tool_call>{"arguments":{"where":"here"},"name":"look"}</tool_call>'


@pytest.mark.parametrize("faults", [["429", "429"], ["500"], ["drop"], ["cut"]])
def test_a_fault_that_passes_is_tried_again(faults: list[str], serving: Serve):
    with serving(faults=list(faults)) as server:
        found = replies(ApiModel(NAME, Asking(retries=1, seconds=20)), prompts(1))
    assert found[0].text == "You said word-0."
    assert len(server.seen) == len(faults) + 1


@pytest.mark.parametrize(("fault", "remedy"), [("401", "key"), ("404", "name")])
def test_a_wrong_key_or_name_stops_at_once(fault: str, remedy: str, serving: Serve):
    with serving(always=lambda messages: fault) as server, pytest.raises(ModelError) as refused:
        replies(ApiModel(NAME, QUICK), prompts(50))
    assert len(server.seen) <= QUICK.connections
    assert remedy in refused.value.remedy


def test_one_fault_among_many_spoils_no_other(serving: Serve):
    with serving(always=lambda messages: "not json" if messages[-1]["content"] == "word-4" else "") as _:
        found = replies(ApiModel(NAME, QUICK), prompts(9))
    assert [reply.cause for reply in found] == [None] * 4 + ["malformed answer"] + [None] * 4


def test_many_failures_in_a_row_end_it(serving: Serve):
    with serving(always=lambda messages: "not json") as server:
        found = replies(ApiModel(NAME, Asking(connections=2, retries=0, give_up_after=5)), prompts(60))
    assert 5 <= len(server.seen) <= 7
    assert {reply.cause for reply in found} == {"malformed answer", "not asked: too many requests in a row failed"}
    assert not any(reply.came for reply in found)


def test_a_missing_key_and_an_unknown_provider_are_told_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NOWHERE_API_KEY", raising=False)
    with pytest.raises(ModelError, match="NOWHERE_API_KEY"):
        replies(ApiModel("inspect:openai-api/nowhere/model", QUICK), prompts(1))
    with pytest.raises(ModelError, match="not recognized"):
        replies(ApiModel("inspect:no-such-provider/model", QUICK), prompts(1))


def test_causes_are_told_by_status_first_and_then_by_the_kind_of_error():
    assert cause_of(429, ["RetryError", "RateLimitError"]) == "rate limit"
    assert cause_of(503, ["APITimeoutError"]) == "time-out", "a gateway's status does not hide that time ran out"
    assert cause_of(400, ["BadRequestError"]) == "request not accepted"
    assert cause_of(None, ["ReadTimeout"]) == "time-out"
    assert cause_of(None, ["APIConnectionError"]) == "connection lost"
    assert cause_of(None, ["KeyError"]) == "malformed answer"


# Who served it

ROUTED = "inspect:openrouter/maker/scripted"


@pytest.fixture
def routing(serving: Serve, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """The server in OpenRouter's place."""

    @contextmanager
    def serve(**settings: Any) -> Any:
        with serving(**settings) as server:
            monkeypatch.setenv("OPENROUTER_BASE_URL", server.base_url)
            monkeypatch.setenv("OPENROUTER_API_KEY", "none")
            yield server

    return serve


def test_who_served_each_call_is_known_where_the_api_says_so(routing: Serve):
    def besides(messages: Any) -> dict[str, Any]:
        time.sleep(0.2)  # so that several are under way
        return {"provider": f"Server of {messages[-1]['content']}"}

    with routing() as silent:
        assert replies(ApiModel(ROUTED, QUICK), prompts(1))[0].provider == "openrouter"
    with routing(besides=besides) as server:
        found = replies(ApiModel(ROUTED, QUICK), prompts(9))
    assert [reply.provider for reply in found] == [f"Server of word-{place}" for place in range(9)]
    assert server.most_at_once > 1
    assert all("provider" not in body for body in silent.seen + server.seen)


def test_where_nothing_is_said_it_is_the_one_that_was_asked(serving: Serve):
    with serving() as _:
        assert replies(ApiModel(NAME, QUICK), prompts(1))[0].provider == "local"
    assert service_name("inspect:openai/gpt") == "openai"


def test_a_provider_is_pinned_and_no_other_may_serve(routing: Serve):
    with routing(besides=lambda messages: {"provider": "Alpha"}) as server:
        found = replies(ApiModel(ROUTED, Asking(retries=0, provider="Alpha")), prompts(1))
    assert server.seen[0]["provider"] == {"order": ["Alpha"], "allow_fallbacks": False}
    assert found[0].provider == "Alpha"


@pytest.mark.parametrize("name", [NAME, "inspect:openai-api/openrouter/model", "inspect:openai/gpt-4o-mini"])
def test_a_provider_cannot_be_pinned_where_there_is_no_choice(name: str, serving: Serve):
    with serving() as server, pytest.raises(ModelError, match="only OpenRouter leaves a choice") as refused:
        replies(ApiModel(name, Asking(provider="Alpha")), prompts(1))
    assert not server.seen
    assert "inspect:openrouter/" in refused.value.remedy


@pytest.mark.parametrize(("code", "cause"), [(429, "rate limit"), (500, "server error"), (402, "request not accepted")])
def test_an_error_inside_an_answer_is_told_apart_as_one_by_status_is(code: int, cause: str, routing: Serve):
    with routing(always=lambda messages: f"inside {code}") as server:
        reply = replies(ApiModel(ROUTED, QUICK), prompts(1))[0]
    assert (reply.text, reply.cause, reply.came) == ("", cause, False)
    assert f"planted inside {code}" in reply.detail
    assert len(server.seen) == 1


# Money


def test_a_purse_stops_before_it_is_overdrawn_and_never_asks_what_it_cannot_pay(serving: Serve):
    price = Price(input=1000, output=10_000)
    asked = prompts(20)
    one = Purse(price).worst(asked[0], 16)
    purse = Purse(price, limit=3.5 * one)
    with serving() as server:
        found = replies(ApiModel(NAME, QUICK, purse), asked)
    heard = [reply for reply in found if reply.came]
    assert 3 <= len(heard) < 20
    assert len(server.seen) == len(heard)
    assert purse.spent == pytest.approx(sum(price.cost(reply.tokens_in, reply.tokens_out) for reply in heard))
    assert purse.spent <= purse.limit
    assert purse.reserved == pytest.approx(0)
    assert {reply.cause for reply in found if not reply.came} == {"not asked: the budget is spent"}


def test_an_answer_costs_at_most_what_was_set_aside_for_it(serving: Serve):
    price = Price(input=1, output=4)
    prompt = prompts(1)[0]
    with serving() as _:
        reply = replies(ApiModel(NAME, QUICK), [prompt])[0]
    assert price.cost(reply.tokens_in, reply.tokens_out) <= Purse(price).worst(prompt, 16)


def test_prices_are_read_by_the_name_that_inspect_has(tmp_path: Path):
    path = tmp_path / "prices.yaml"
    assert read_price(path, NAME) is None
    path.write_text("openai-api/local/scripted: {input: 1.5, output: 6}\n")
    assert read_price(path, NAME) == Price(input=1.5, output=6)
    assert read_price(path, "inspect:openai/other") is None
    path.write_text("openai/model: {input: 1.5}\n")
    with pytest.raises(Exception, match="output") as refused:
        read_price(path, NAME)
    assert str(path) in str(refused.value)


# Names


def test_only_the_prefix_makes_a_name_one_behind_an_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = find_model(NAME, base_folder=tmp_path, say=print)
    assert source.behind_api
    assert source.folder == "openai-api/local/scripted"
    assert not is_api("openai/gpt-oss-20b"), "in a study file that is the model at Hugging Face, as it always was"
    monkeypatch.chdir(tmp_path)
    assert full_name("openai/gpt-oss-20b") == "inspect:openai/gpt-oss-20b", "what is typed for `teachwhy prompt`"
    (tmp_path / "openai" / "gpt-oss-20b").mkdir(parents=True)
    assert full_name("openai/gpt-oss-20b") == "openai/gpt-oss-20b", "a folder of that name is meant"
    for name in ("hub:openai/gpt-oss-20b", "bundled:smollm2-135m", "HuggingFaceTB/SmolLM2-135M", "model.gguf", NAME):
        assert full_name(name) == name


def test_the_providers_that_are_known_are_those_of_inspect():
    from inspect_ai.model._providers import providers

    known = Path(providers.__file__).read_text(encoding="utf-8")
    assert all(f'name="{provider}"' in known for provider in PROVIDERS)


def test_answers_that_come_beside_a_fatal_one_are_told_since_they_were_paid_for(monkeypatch):
    def fault(messages) -> str:
        return "404" if messages[-1]["content"] == "2" else "slow" if messages[-1]["content"] == "1" else ""

    with chat_server.serving(lambda messages: "yes", always=fault) as server:
        monkeypatch.setenv("LOCAL_BASE_URL", server.base_url)
        monkeypatch.setenv("LOCAL_API_KEY", "none")
        model = ApiModel("inspect:openai-api/local/scripted", Asking(connections=2, retries=0, seconds=30))
        prompts = [model.chat.prompt([{"role": "user", "content": str(number)}]) for number in (1, 2)]
        told: dict[int, str] = {}
        with pytest.raises(ModelError):
            model.replies(
                prompts, max_new_tokens=8, sampling=None, on_reply=lambda place, reply: told.update({place: reply.text})
            )
    assert told[0] == "yes"
