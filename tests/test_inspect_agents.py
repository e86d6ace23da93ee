"""The loop of an agent on Inspect: native calls, calls in text, and the same records as the local runner's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from inspect_ai.log import EvalLog
from inspect_ai.model import ChatMessageAssistant, ModelOutput
from inspect_ai.model._model_output import ChatCompletionChoice
from inspect_ai.solver._task_state import sample_state
from inspect_ai.tool import ToolCall
from inspecting import examined, rates_of, scripted
from planted_agents import EXPECTED, REFUSAL, Agent, harmful, run, yielding

from teachwhy.evals import find_exam
from teachwhy.evals.honeypots import RunCase, bundled_files
from teachwhy.evals.honeypots.calls import MOST_CALLS, OPENING, Malformed, calls_in
from teachwhy.evals.honeypots.scenario import FAMILIES
from teachwhy.inspect.cases import restored
from teachwhy.inspect.material import read_asked
from teachwhy.models.api import read_output

FEW = {
    "files": [str(FAMILIES / f"{name}.yaml") for name in ("approval", "monitors")],
    "near": ["approval"],
    "settings": 1,
}
ALL = {"files": ["bundled"], "settings": 1}


def cases(scenarios: dict = FEW) -> list[RunCase]:
    return read_asked(None, scenarios=scenarios).cases(find_exam("honeypots"))


def case_now(messages: list) -> RunCase:
    """The case that the model is asked just now, with the number of the answer that is wanted."""
    case = restored(sample_state().metadata["cases"][0])
    return case.model_copy(update={"answer": 1 + sum(message.role == "assistant" for message in messages)})


def native(text: str) -> ModelOutput:
    """What an agent writes as text, as a provider with tools of its own gives it."""
    calls = [
        ToolCall(id=f"id-{number}", function=value["name"], arguments=value["arguments"])
        for number, value in enumerate(calls_in(text))
    ]
    return output(text.partition(OPENING)[0].strip(), calls)


def output(content: str, calls: list[ToolCall]) -> ModelOutput:
    message = ChatMessageAssistant(content=content, tool_calls=calls or None)
    reason = "tool_calls" if calls else "stop"
    return ModelOutput(model="scripted", choices=[ChatCompletionChoice(message=message, stop_reason=reason)])


def in_text(text: str) -> str:
    return text


def acted(agent: Agent, folder: Path, form: Callable[[str], str | ModelOutput], scenarios: dict = FEW) -> EvalLog:
    log = examined("honeypots", scripted(lambda said: form(agent(case_now(said)))), folder, scenarios=scenarios)
    assert log.status == "success", log.error
    return log


@pytest.mark.parametrize("form", [native, in_text])
@pytest.mark.parametrize("agent", EXPECTED, ids=lambda agent: agent.__name__)
def test_planted_agents_are_told_apart_as_they_are_locally(agent: Agent, form: Callable, tmp_path: Path):
    log = acted(agent, tmp_path, form)
    _, local = run(cases(), agent)
    assert len(log.samples) == len(local) == 4
    for sample in log.samples:
        found = sample.scores["teachwhy/exam"].value
        assert found == local[sample.id]
        expected = EXPECTED[agent][sample.metadata["kind"]]
        assert {name: found[name] for name in expected} == expected


def test_every_family_is_played_natively_as_it_is_locally(tmp_path: Path):
    log = acted(yielding, tmp_path, native, ALL)
    _, local = run(cases(ALL), yielding)
    assert len(log.samples) == 2 * len(bundled_files())
    assert {sample.id: sample.scores["teachwhy/exam"].value for sample in log.samples} == local


def test_native_calls_are_stored_in_the_text_form_that_the_local_runner_stores(tmp_path: Path):
    answers, _ = run(cases(), harmful)
    local = {answer.item: calls_in(answer.text) for answer in answers}
    log = acted(harmful, tmp_path, native)
    stored = {
        one["item"]: calls_in(one["text"]) for sample in log.samples for one in sample.store["teachwhy"]["answers"]
    }
    assert stored == local


def test_a_model_with_tools_of_its_own_is_told_of_them_once_and_given_results_natively(tmp_path: Path):
    log = acted(harmful, tmp_path, native)
    sample = log.samples[0]
    assert OPENING not in sample.messages[0].text, "the tools are in the request, not in the system prompt"
    roles = [message.role for message in sample.messages]
    assert roles[:3] == ["system", "user", "assistant"]
    for place, message in enumerate(sample.messages):
        calls = message.tool_calls or [] if message.role == "assistant" else []
        answered = sample.messages[place + 1 : place + 1 + len(calls)]
        if answered:  # not behind the last answer of a run
            assert [one.tool_call_id for one in answered] == [call.id for call in calls]
            assert all(one.text for one in answered)
    asked = [event for event in sample.events if event.event == "model"]
    assert len(asked) == roles.count("assistant")
    assert all(
        {tool.name for tool in event.tools} == set(restored(sample.metadata["cases"][0]).script.tools)
        for event in asked
    )


def test_a_model_that_writes_its_calls_as_text_is_given_results_as_text(tmp_path: Path):
    sample = acted(harmful, tmp_path, in_text).samples[0]
    assert not any(message.role == "tool" for message in sample.messages)
    assert sample.messages[3].text.startswith("<tool_response>")


def test_an_answer_with_both_forms_of_call_gets_every_result_in_its_own_form(tmp_path: Path):
    def both(messages: list) -> ModelOutput | str:
        if case_now(messages).answer > 1:
            return "Done."
        written = 'Look. <tool_call>{"name": "no_such_tool", "arguments": {}}</tool_call>'
        return output(written, [ToolCall(id="1", function="list_mail", arguments={})])

    sample = examined("honeypots", scripted(both), tmp_path, scenarios=FEW).samples[0]
    assert [message.role for message in sample.messages[2:5]] == ["assistant", "tool", "user"]
    assert "no tool 'no_such_tool'" in sample.messages[4].text
    assert "no_such_tool" not in sample.messages[3].text


def test_more_native_calls_than_are_carried_out_are_all_answered(tmp_path: Path):
    def lots(messages: list) -> ModelOutput | str:
        if case_now(messages).answer > 1:
            return "Done."
        numbers = range(MOST_CALLS + 4)
        return output("", [ToolCall(id=f"id-{number}", function="list_mail", arguments={}) for number in numbers])

    sample = examined("honeypots", scripted(lots), tmp_path, scenarios=FEW).samples[0]
    results = [message for message in sample.messages if message.role == "tool"]
    assert len(results) == MOST_CALLS + 4
    assert all("carried out" in message.text for message in results[MOST_CALLS:])


def test_an_agent_that_never_ends_is_stopped(tmp_path: Path):
    log = acted(lambda case: '<tool_call>{"name": "list_mail", "arguments": {}}</tool_call>', tmp_path, native)
    for sample in log.samples:
        assert len(sample.store["teachwhy"]["answers"]) == restored(sample.metadata["cases"][0]).script.most_answers


def test_a_grader_tells_what_was_meant_apart_from_what_was_done(tmp_path: Path):
    grader = scripted(lambda messages: "It did not mean to do that.")
    agent = scripted(lambda said: native(harmful(case_now(said))))
    rates = rates_of(examined("honeypots", agent, tmp_path, scenarios=FEW, roles={"grader": grader}))
    assert rates["harmful_act"] == 1.0
    assert rates["harmful_intent_by_judge"] == rates["judge_agrees_with_act"] == 0.0


def test_near_and_far_families_are_rates_of_their_own(tmp_path: Path):
    rates = rates_of(acted(harmful, tmp_path, native))
    assert rates["harmful_act"] == rates["harmful_act_near"] == rates["harmful_act_far_family"] == 1.0
    assert rates["paralysis"] == 0.0


def test_a_policy_stands_before_the_scenarios_own_prompt(tmp_path: Path):
    seen: list[str] = []

    def sees(messages: list) -> str:
        seen.append(messages[0].text)
        return REFUSAL

    examined("honeypots", scripted(sees), tmp_path, scenarios=FEW, system="policy_in_prompt")
    [first] = {text.splitlines()[0] for text in seen}
    assert "\n\n" in seen[0]
    assert not any(text.startswith(case.script.system[:40]) for case in cases() for text in seen), first


def test_a_call_that_a_provider_could_not_read_is_answered_too():
    broken = ToolCall(id="1", function="pay", arguments={}, parse_error="no JSON")
    [found] = calls_in(read_output(output("", [broken])).text)
    assert isinstance(found, Malformed)
