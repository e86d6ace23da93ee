"""The solver: one sample's cases and all that follows from them, put to the model and the judge; answers kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from inspect_ai.model import ChatMessage, Model, get_model, model_roles
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.util import collect

from ..errors import InputError
from ..evals import Answer, Exam, ExamFormat, Item, as_record, find_exam
from ..study.prepare import conversation
from .asking import OURS, Spoken, ask, scores_options
from .cases import messages_of, restored

PLAIN = ExamFormat(reasons=False, place="first", reason_marker="", action_marker="", off_share=0.0)


@solver
def sit(exam: str, system: str = "", before: str = "") -> Solver:
    """Ask a sample's cases, and what follows from the answers, until nothing does.

    exam: its name. system: the system prompt of cases without one. before: what stands before either. The answers are
    kept in the sample's store, in the form that a run folder keeps them in.
    """
    found = find_exam(exam)

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        sitting = Sitting(found, get_model(), judge_of(get_model(), found), system, before, state.epoch - 1)
        answers, conversations = await sitting.through([restored(case) for case in state.metadata["cases"]])
        state.messages = joined(conversations)
        state.store.set(OURS, {"format": asdict(sitting.format), "answers": [as_record(answer) for answer in answers]})
        return state

    return solve


class Sitting:
    """A model that goes through an exam, and the judge that reads it."""

    def __init__(self, exam: Exam, model: Model, judge: Model | None, system: str, before: str, sample: int) -> None:
        self.exam, self.model, self.judge, self.sample = exam, model, judge, sample
        self.system, self.before = system, before
        self.format = format_of(model, judge is not None)

    async def through(self, first: Sequence[Item]) -> tuple[list[Answer], list[list[ChatMessage]]]:
        """All answers, and the conversations in which they were given: `Exam.sit`, for models that are waited for."""
        known: dict[str, Item] = {}
        answers: list[Answer] = []
        conversations: list[list[ChatMessage]] = []
        new = list(first)
        while new:
            known |= {case.id: case for case in new}
            spoken = await self.put(new)
            answers += [one.answer for one in spoken]
            conversations += [one.messages for one in spoken if one.messages]
            new = self.exam.follow_up(known, answers, self.format) if self.exam.follow_up else []
        return answers, conversations

    async def put(self, cases: Sequence[Item]) -> list[Spoken]:
        """The requests of these cases at once; first those to the model, as the local runner has it."""
        by_id = {case.id: case for case in cases}
        requests = self.exam.requests(cases, self.format)
        requests = sorted(requests, key=lambda request: request.by == "judge")
        asked = []
        for request in requests:
            case = by_id[request.item]
            if request.by == "judge":
                assert self.judge is not None
                asked.append(ask(self.judge, request, conversation(case, None), PLAIN, self.sample))
            else:
                messages = messages_of(case, self.system, self.before)
                asked.append(ask(self.model, request, messages, self.format, self.sample))
        return list(await collect(*asked))


def format_of(model: Model, judged: bool) -> ExamFormat:
    """An arm writes as it was taught; any other model plainly."""
    own: ExamFormat = getattr(model.api, "exam_format", PLAIN)
    return ExamFormat(**{**vars(own), "judged": judged})


def judge_of(model: Model, exam: Exam) -> Model | None:
    """The model in the role `grader`; where an exam cannot do without, the untrained model of the arm's run."""
    if "grader" in model_roles():
        return get_model(role="grader")
    return None


def joined(conversations: Sequence[Sequence[ChatMessage]]) -> list[ChatMessage]:
    """All messages of a sample for whoever reads it; a conversation that goes on in a later one stands there alone."""
    kept = [
        one
        for place, one in enumerate(conversations)
        if not any(goes_on(one, later) for later in conversations[place + 1 :])
    ]
    return [message for one in kept for message in one]


def goes_on(one: Sequence[ChatMessage], later: Sequence[ChatMessage]) -> bool:
    return [said(message) for message in one] == [said(message) for message in later[: len(one)]]


def said(message: ChatMessage) -> tuple[str, Any]:
    return message.role, message.content
