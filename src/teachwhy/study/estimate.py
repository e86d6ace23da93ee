"""What asking a model behind an API will take: tokens, from the prompts and a few measured answers, and dollars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import ModelError
from ..evals import Request, find_exam
from ..models import ApiModel, Price, Reply
from .behind_api import askable
from .job import Job
from .journal import Asked, Journal, journal_path, put_to_api
from .plan import Unit


@dataclass(frozen=True)
class Estimate:
    """requests: all; open: those without an answer yet. tokens_in, tokens_out: of the open ones. price: None, unknown.

    measured: answers that the estimate rests on. spent: dollars on what is answered. counted: whether the provider says
    how many tokens it took; where not, four characters are taken for one.
    """

    requests: int
    open: int
    tokens_in: float
    tokens_out: float
    measured: int
    spent: float
    price: Price | None
    counted: bool = True

    @property
    def dollars(self) -> float | None:
        return self.price.cost(self.tokens_in, self.tokens_out) if self.price else None

    def lines(self, model: str, prices: str) -> list[str]:
        """In words."""
        by = (
            "as the provider counts them" if self.counted else "four characters taken for one: the provider counts none"
        )
        said = [
            f"{self.requests:,} answers, {self.requests - self.open:,} of them here already",
            f"about {self.tokens_in:,.0f} tokens to be read and {self.tokens_out:,.0f} to be written for the others "
            f"(from {self.measured} measured answers, {by})",
        ]
        if self.dollars is None:
            return [
                *said,
                f"no price of {model!r} in {prices}, so no dollars: write one there for an estimate or a budget",
            ]
        return [*said, f"about ${self.dollars:,.2f} at the price in {prices}; ${self.spent:,.2f} spent so far"]


@dataclass(frozen=True)
class Pile:
    """The requests of one arm in one exam, of every sample. times: how many come of each, with those that follow."""

    asked: Asked
    requests: Sequence[Request]
    prompts: Sequence[str]
    samples: int
    times: float

    def open(self, model: str, journal: Journal) -> list[str]:
        """The prompts that have no answer yet, one a sample."""
        return [
            prompt
            for sample in range(self.samples)
            for request, prompt in zip(self.requests, self.prompts, strict=True)
            if self.of_sample(sample).key(model, request.item, prompt) not in journal.known
        ]

    def of_sample(self, sample: int) -> Asked:
        return Asked(self.asked.arm, self.asked.max_new_tokens, self.asked.temperature, sample)


def piles(job: Job, units: Sequence[Unit]) -> list[Pile]:
    """What is asked at first, arm by arm and exam by exam."""
    settings, found = job.study.settings, []
    sampling = settings.sampling
    for unit in units:
        prompts = job.prepared.prompts[unit.arm.name]
        asked = Asked(unit.arm.name, settings.max_new_tokens, sampling.temperature if sampling else 0.0)
        for name in settings.exams:
            exam = find_exam(name)
            requests = list(filter(askable, exam.requests(job.prepared.cases[name], job.study.exam_format(unit.arm))))
            written = [prompts[request.item] for request in requests]
            found.append(Pile(asked, requests, written, sampling.samples if sampling else 1, exam.asked_a_case))
    return found


def silent(job: Job, reply: Reply) -> ModelError:
    """Nothing was heard of a model, so nothing is begun."""
    return ModelError(
        f"The model {job.source.folder!r} did not answer once: {reply.cause}.",
        where=reply.detail,
        remedy="Ask again later; or check the base URL and the network; or raise the budget.",
    )


def estimate(job: Job, units: Sequence[Unit]) -> Estimate:
    """Ask the first request of every arm and exam, which the run will not ask again, and reckon the rest from it.

    Errors (ModelError): the provider cannot be asked.
    """
    journal = Journal.read(journal_path(job.run.parent, job.source.fingerprint))
    job.purse.spent = journal.cost(job.purse.price)
    model = ApiModel(job.source.name, job.asking, job.purse)
    every = piles(job, units)
    asked: list[tuple[str, Reply]] = []
    for pile in every:
        said = put_to_api(model, journal, pile.asked, pile.requests[:1], pile.prompts[:1], lambda done, total: None)
        asked += [(prompt, one.reply) for prompt, one in zip(pile.prompts, said, strict=False)]
    heard = [(prompt, reply) for prompt, reply in asked if reply.came]
    if asked and not heard:
        raise silent(job, asked[0][1])
    counted = any(reply.tokens_in for _, reply in heard)
    read = [reply.tokens_in if counted else len(prompt) / 4 for prompt, reply in heard]
    wrote = [reply.tokens_out if counted else len(reply.text) / 4 for _, reply in heard]
    a_character = sum(read) / max(1, sum(len(prompt) for prompt, _ in heard))
    an_answer = sum(wrote) / max(1, len(wrote))
    still = [(pile.times, pile.open(model.name, journal)) for pile in every]
    return Estimate(
        requests=sum(len(pile.requests) * pile.samples for pile in every),
        open=sum(len(prompts) for _, prompts in still),
        tokens_in=a_character * sum(times * len(prompt) for times, prompts in still for prompt in prompts),
        tokens_out=an_answer * sum(times * len(prompts) for times, prompts in still),
        measured=len(heard),
        spent=journal.cost(job.purse.price),
        price=job.purse.price,
        counted=counted,
    )
