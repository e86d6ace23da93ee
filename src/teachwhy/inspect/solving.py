"""The solver: one sample's cases and all that follows from them, put to the model and the judge; answers kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from inspect_ai.model import ChatMessage, Model, ModelOutput, get_model, model_roles
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.util import collect

from ..errors import InputError
from ..evals import Answer, Exam, ExamFormat, Item, Request, as_record, check_apart, find_exam
from ..evals.honeypots import RunCase
from ..study.prepare import conversation
from .agents import Agents
from .arms import PLAIN
from .asking import OURS, Spoken, ask, scores_options
from .cases import messages_of, restored

LOT = "lot"  # in a sample's metadata: the place of its pair among those asked in both formats, and how many there are


@solver
def sit(exam: str, system: str = "", before: str = "", markers: Sequence[str] = ("Reason:", "Answer:")) -> Solver:
    """Ask a sample's cases, and what follows from the answers, until nothing does.

    exam: its name. system: the system prompt of cases without one. before: what stands before either. markers: how the
    reason and the action of an answer begin, in an exam that must tell them apart. The answers are kept in the sample's
    store, in the form in which a run folder has them.
    """
    found = find_exam(exam)

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        model, judge = get_model(), judge_of(found)
        format = format_of(model, found, markers, judged=judge is not None)
        lot = state.metadata.get(LOT)
        sample = state.epoch - 1
        asked = in_both(format, lot)
        sitting = Sitting(found, model, judge, format, asked, system, before, sample, Agents(before, sample))
        answers, conversations = await sitting.through([restored(case) for case in state.metadata["cases"]])
        state.messages = joined(conversations)
        if state.messages:
            state.output = ModelOutput.from_message(state.messages[-1])
        kept = {
            "format": asdict(format),
            "by_choice": scores_options(model),
            "canary": dict(getattr(model.api, "canary", {})),
            "answers": [as_record(answer) for answer in answers],
        }
        state.store.set(OURS, kept)
        return state

    return solve


@dataclass(frozen=True)
class Sitting:
    """A model that goes through an exam, and the judge that reads it.

    format: how it writes. asked: the same, with the share of the other format for this sample alone: none or all.
    sample: the number of this asking.
    """

    exam: Exam
    model: Model
    judge: Model | None
    format: ExamFormat
    asked: ExamFormat
    system: str
    before: str
    sample: int
    agents: Agents

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
            new = self.exam.follow_up(known, self.exam.heard(answers), self.format) if self.exam.follow_up else []
        return answers, conversations

    async def put(self, cases: Sequence[Item]) -> list[Spoken]:
        """The requests of these cases at once; first those to the model, as the local runner has it."""
        by_id = {case.id: case for case in cases}
        requests = self.exam.requests(cases, self.asked)
        ordered = sorted(requests, key=lambda request: request.by == "judge")
        if len(ordered) == 1:  # without a frame of its own in the transcript
            return [await self.ask(ordered[0], by_id[ordered[0].item])]
        return list(await collect(*(self.ask(request, by_id[request.item]) for request in ordered)))

    async def ask(self, request: Request, case: Item) -> Spoken:
        if request.by == "judge" and self.judge:
            return await ask(self.judge, request, conversation(case, None), PLAIN, sample=self.sample)
        if isinstance(case, RunCase) and not scores_options(self.model):
            return await self.agents.ask(self.model, case)
        messages = messages_of(case, self.system, self.before)
        return await ask(self.model, request, messages, self.format, tools=case.tools, sample=self.sample)


def format_of(model: Model, exam: Exam, markers: Sequence[str], *, judged: bool) -> ExamFormat:
    """An arm writes as it was taught; any other model plainly, but where the exam reads its reason apart."""
    own: ExamFormat | None = getattr(model.api, "exam_format", None)
    if own is None:
        reason, action = markers
        own = replace(PLAIN, reasons=True, reason_marker=reason, action_marker=action) if exam.needs_reasons else PLAIN
    check_apart(exam, own, model.name, "the study of that arm, field 'format.reason' or the arm's own `reason`")
    return replace(own, judged=judged)


def in_both(format: ExamFormat, lot: Sequence[int] | None) -> ExamFormat:
    """The format with a share of 1 where this sample's pair is of the share that is asked in both, and 0 where not."""
    if lot is None:
        return format
    place, pairs = lot
    return replace(format, off_share=float(place < round(format.off_share * pairs)))


def judge_of(exam: Exam) -> Model | None:
    """The model in the role `grader`. Errors: none, for an exam that cannot do without."""
    if "grader" in model_roles():
        return get_model(role="grader")
    if exam.needs_judge:
        raise InputError(
            f"The exam {exam.name!r} needs a judge.",
            remedy="Name one that is not the model under test: --model-role grader=MODEL. A study takes the untrained "
            "model of its run: grader=teachwhy/RUN_FOLDER:base.",
        )
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
    return len(one) <= len(later) and all(map(alike, one, later))


def alike(one: ChatMessage, other: ChatMessage) -> bool:
    return (one.role, one.content) == (other.role, other.content)
