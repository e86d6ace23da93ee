"""Arms of a run as models of Inspect: by name, in batches, in exams as the local runner has them, and with tools."""

from __future__ import annotations

import math
from pathlib import Path

import anyio
import pytest
from inspect_ai import Task
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageAssistant, ChatMessageTool, ChatMessageUser, GenerateConfig, get_model
from inspect_ai.scorer import includes
from inspect_ai.solver import generate, use_tools
from inspect_ai.tool import ToolCall, ToolInfo, ToolParams, tool
from inspect_ai.util import JSONSchema
from inspecting import examined, run, tiny_run

from teachwhy.inspect.arms import PLAIN, Arm, load_arm
from teachwhy.inspect.batches import Batches, Said, Wish
from teachwhy.inspect.provider import conversation, cut_at
from teachwhy.inspect.tool_text import described, read_calls
from teachwhy.study import Run
from teachwhy.study.noise import read_answers
from teachwhy.study.unit import TOO_LONG


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Run:
    return tiny_run(tmp_path_factory.mktemp("ran"), tiny_model)


@pytest.mark.parametrize(
    ("name", "unit"), [("why:0", "why/seed-0"), ("policy_in_prompt", "policy_in_prompt/seed-none")]
)
def test_an_arm_sits_an_exam_as_in_its_own_run(ran: Run, tmp_path: Path, name: str, unit: str):
    """The same words, and the same log-probabilities but for the last digits, which hang on the batch."""
    study = ran.folder.parents[2] / "study"
    log = examined("decisions", f"teachwhy/{ran.folder}:{name}", tmp_path, study=str(study))
    assert log.status == "success", log.error
    found = {(one["item"], one["format"]): one for sample in log.samples for one in sample.store["teachwhy"]["answers"]}
    stored = read_answers(ran.folder / "evals" / unit / "decisions.jsonl")
    assert len(stored) == len(found) == 12 + 6
    for answer in stored:
        one = found[answer.item, answer.format]
        assert one["text"] == answer.text
        assert one["choice"] == pytest.approx(dict(answer.choice), abs=1e-4)


def test_a_run_of_an_agent_that_outgrows_an_arms_context_ends_there(ran: Run, tmp_path: Path):
    """The tiny model holds 512 bytes, and a scenario has more: as its own runner would, it says so."""
    few = {"files": ["bundled"], "settings": 1}
    log = examined("honeypots", f"teachwhy/{ran.folder}:base", tmp_path, scenarios=few)
    assert log.status == "success", log.error
    [record] = log.samples[0].store["teachwhy"]["answers"]
    assert record["cause"] == TOO_LONG
    assert log.samples[0].output is not None
    assert all(math.isnan(value) for value in log.samples[0].scores["teachwhy/exam"].value.values())


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("{run}:wy:0", "Did you mean 'why'?"),
        ("{run}:why", "needs a seed"),
        ("{run}:why:7", "no seed in this study named '7'"),
        ("{run}:why:x", "not a whole number"),
        ("{run}:base:0", "is not trained, so it has no seed"),
        ("{run}/elsewhere:why:0", "There is no run folder of this name."),
    ],
)
def test_a_name_that_stands_for_nothing_is_told_plainly(ran: Run, name: str, told: str):
    with pytest.raises(PrerequisiteError) as error:
        get_model(f"teachwhy/{name.format(run=ran.folder)}")
    assert told in str(error.value.message)


def test_a_model_can_be_named_without_a_run(tiny_model: Path):
    assert load_arm(str(tiny_model)).format == PLAIN
    output = anyio.run(get_model(f"teachwhy/{tiny_model}").generate, "Hello")
    assert output.usage.input_tokens > 10
    assert output.stop_reason in ("stop", "model_length"), "nobody said how long"


async def ask(model, text: str, **config) -> object:
    return await model.generate(text, config=GenerateConfig(**config))


def test_length_temperature_seed_and_ends(tiny_model: Path):
    async def asked() -> None:
        model = get_model(f"teachwhy/{tiny_model}")
        short = await ask(model, "Hello", max_tokens=3)
        assert short.usage.output_tokens <= 3
        assert short.stop_reason == ("max_tokens" if short.usage.output_tokens == 3 else "stop")
        drawn = [
            (await ask(model, "Hello", max_tokens=20, temperature=1.0, seed=seed)).completion for seed in (1, 1, 2)
        ]
        assert drawn[0] == drawn[1] != drawn[2]
        free = [(await ask(model, "Hello", max_tokens=20, temperature=1.0)).completion for _ in range(2)]
        assert free[0] != free[1], "without a seed every asking is another draw"
        full = await ask(model, "x" * 600, max_tokens=20)
        assert (full.completion, full.stop_reason) == ("", "model_length")

    anyio.run(asked)


def test_stop_sequences_end_an_answer():
    assert cut_at("one END two STOP three", ["STOP", "END"]) == ("one ", True)
    assert cut_at("one two", ["STOP"]) == ("one two", False)


def test_requests_that_wait_together_are_one_batch(tiny_model: Path):
    batches: list[list[str]] = []

    def run_batch(arm: Arm, wishes: list[Wish]) -> list[Said]:
        batches.append([wish.prompt for wish in wishes])
        if wishes[0].temperature:
            raise ValueError("this batch fails")
        return [Said(wish.prompt.upper(), 1, False) for wish in wishes]

    async def asked() -> None:
        queue = Batches(load_arm(str(tiny_model)), run_batch)
        found: dict[str, object] = {}

        async def put(prompt: str, temperature: float) -> None:
            try:
                found[prompt] = (await queue.put(Wish(prompt, 5, temperature))).text
            except ValueError as error:
                found[prompt] = error

        async with anyio.create_task_group() as group:
            for prompt, temperature in (("a", 0.0), ("b", 0.0), ("c", 1.0), ("d", 0.0)):
                group.start_soon(put, prompt, temperature)
        assert (found["a"], found["b"], found["d"]) == ("A", "B", "D")
        assert isinstance(found["c"], ValueError), "only its own batch fails"

    anyio.run(asked)
    assert batches == [["a", "b", "d"], ["c"]]


# Tools


def weather() -> ToolInfo:
    schema = ToolParams(
        properties={"city": JSONSchema(type="string", description="Where."), "days": JSONSchema(type="integer")}
    )
    schema.required = ["city"]
    return ToolInfo(name="weather", description="What the weather will be.", parameters=schema)


def test_tools_are_described_in_words():
    text = described([weather()])
    assert "weather(city, days?): What the weather will be." in text
    assert "  city: string (Where.)" in text
    assert described([]) == ""


def test_calls_are_read_back_and_those_that_cannot_be_say_why():
    said, calls = read_calls(
        'Let me look. <tool_call>{"name": "weather", "arguments": {"city": "Ulm"}}</tool_call>'
        '<tool_call>{"name": "weather", "arguments": [1]}</tool_call><tool_call>weather</tool_call>'
    )
    assert said == "Let me look."
    assert (calls[0].function, calls[0].arguments, calls[0].parse_error) == ("weather", {"city": "Ulm"}, None)
    assert len({call.id for call in calls}) == 3
    assert "must be an object" in calls[1].parse_error
    assert "no JSON" in calls[2].parse_error
    assert read_calls("plain words") == ("plain words", [])


def test_a_conversation_with_tools_becomes_turns_of_a_chat():
    call = ToolCall(id="1", function="weather", arguments={"city": "Ulm"})
    messages = [
        ChatMessageUser(content="Will it rain?"),
        ChatMessageAssistant(content="I look.", tool_calls=[call]),
        ChatMessageTool(content="Rain.", tool_call_id="1", function="weather"),
        ChatMessageTool(content="Wind.", tool_call_id="2", function="weather"),
    ]
    told = conversation(messages, "The policy.", "The tools.")
    assert [one["role"] for one in told] == ["system", "user", "assistant", "user"]
    assert told[0]["content"] == "The policy.\n\nThe tools."
    assert told[2]["content"] == 'I look.\n<tool_call>{"name": "weather", "arguments": {"city": "Ulm"}}</tool_call>'
    assert told[3]["content"].count("<tool_response>") == 2


@tool
def lookup():
    async def execute(city: str) -> str:
        """Look up the weather.

        Args:
            city: Where.
        """
        return f"In {city} it rains."

    return execute


def test_a_task_of_others_with_a_tool_runs_on_an_arm(ran: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The tiny model cannot call, so its words are put in: a call, and then what came of it."""
    import teachwhy.inspect.batches as batches

    prompts: list[str] = []

    def say(arm: Arm, wishes: list[Wish]) -> list[Said]:
        prompts.extend(wish.prompt for wish in wishes)
        called = "In Ulm it rains." in wishes[0].prompt
        text = "It rains." if called else '<tool_call>{"name": "lookup", "arguments": {"city": "Ulm"}}</tool_call>'
        return [Said(text, 5, False) for _ in wishes]

    monkeypatch.setattr(batches, "go_on", say)
    task = Task(
        dataset=[Sample(input="Will it rain in Ulm?", target="rains")],
        solver=[use_tools(lookup()), generate()],
        scorer=includes(),
    )
    log = run(task, f"teachwhy/{ran.folder}:base", tmp_path)
    assert log.status == "success", log.error
    [sample] = log.samples
    assert [message.role for message in sample.messages] == ["user", "assistant", "tool", "assistant"]
    assert sample.messages[1].tool_calls[0].arguments == {"city": "Ulm"}
    assert sample.scores["includes"].value == "C"
    assert all("lookup(city)" in prompt for prompt in prompts)


def test_a_task_of_others_runs_on_what_an_arm_really_says(ran: Run, tmp_path: Path):
    task = Task(
        dataset=[Sample(input=f"Say {word}.", target="x") for word in ("one", "two", "three")], scorer=includes()
    )
    log = run(task, f"teachwhy/{ran.folder}:why:0", tmp_path, max_tokens=8)
    assert log.status == "success", log.error
    assert all(sample.output.usage.output_tokens <= 8 for sample in log.samples)
    assert all(sample.output.stop_reason in ("stop", "max_tokens") for sample in log.samples)
