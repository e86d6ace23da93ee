"""Requests that wait for a model at the same time, taken together: one batch at a time, in a thread of its own."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import anyio
import anyio.to_thread

from ..evals import Answer, ExamFormat, Request, answer_requests
from ..models import Ended, Sampling, generate
from ..text import fingerprint
from .arms import Arm

GATHERING = 0.05  # seconds in which requests of other samples may come


@dataclass(frozen=True)
class Wish:
    """What is wanted of the model after a rendered prompt.

    max_tokens: the longest answer. temperature: 0 for the likeliest words. seed: of what is drawn; None: anything.
    request, format, sample: of an exam's request; without one the model just goes on.
    """

    prompt: str
    max_tokens: int
    temperature: float = 0.0
    seed: int | None = None
    request: Request | None = None
    format: ExamFormat | None = None
    sample: int = 0


@dataclass(frozen=True)
class Said:
    """What came of a wish. text: new words, and in an exam the opening before them. cut: whether it was to be longer.

    tokens: how many were written; where an exam scores options, as many as its text has.
    """

    text: str
    tokens: int
    cut: bool
    answer: Answer | None = None


@dataclass
class Waiting:
    wish: Wish
    said: Said | None = None
    error: Exception | None = None

    @property
    def served(self) -> bool:
        return self.said is not None or self.error is not None


class Batches:
    """A model's queue. Whoever has its turn takes all who wait along, so the others find themselves served."""

    def __init__(self, arm: Arm, run: Callable[[Arm, Sequence[Wish]], list[Said]] | None = None) -> None:
        self.arm = arm
        self.run = run or grant
        self.waiting: list[Waiting] = []
        self.turn = anyio.Lock()

    async def put(self, wish: Wish) -> Said:
        mine = Waiting(wish)
        self.waiting.append(mine)
        async with self.turn:
            if not mine.served:
                await anyio.sleep(GATHERING)
                batch, self.waiting = self.waiting, []
                await anyio.to_thread.run_sync(self.serve, batch)
        if mine.error is not None:
            raise mine.error
        assert mine.said is not None
        return mine.said

    def serve(self, batch: Sequence[Waiting]) -> None:
        """Every one of the batch gets what came of its wish, or the error that stopped it."""
        for group in grouped(batch):
            try:
                for one, said in zip(group, self.run(self.arm, [one.wish for one in group]), strict=True):
                    one.said = said
            except Exception as error:
                for one in group:
                    one.error = error


def grouped(batch: Sequence[Waiting]) -> list[list[Waiting]]:
    """Wishes that one call can grant: alike in all but prompt, seed and request, and with one prompt an item."""
    groups: list[tuple[Wish, dict[str, str], list[Waiting]]] = []
    for one in batch:
        wish = one.wish
        alike = replace(wish, prompt="", seed=None, request=None)
        item = wish.request.item if wish.request else ""
        for key, prompts, group in groups:
            if key == alike and (not item or prompts.get(item, wish.prompt) == wish.prompt):
                prompts[item] = wish.prompt
                group.append(one)
                break
        else:
            groups.append((alike, {item: wish.prompt}, [one]))
    return [group for _, _, group in groups]


def grant(arm: Arm, wishes: Sequence[Wish]) -> list[Said]:
    """All of these wishes in batches of the model. They are alike but for prompt, seed and request."""
    return sit(arm, wishes) if wishes[0].format else go_on(arm, wishes)


def sit(arm: Arm, wishes: Sequence[Wish]) -> list[Said]:
    """Requests of an exam, answered as the local runner answers them."""
    first = wishes[0]
    assert first.format is not None
    requests = [wish.request for wish in wishes if wish.request]
    answers = answer_requests(
        arm.model,
        requests,
        {request.item: wish.prompt for request, wish in zip(requests, wishes, strict=True)},
        first.format,
        max_new_tokens=first.max_tokens,
        temperature=first.temperature,
        sample=first.sample,
    )
    written = [
        len(arm.model.chat.tokens(answer.text.removeprefix(request.opening))) if request.write else 0
        for request, answer in zip(requests, answers, strict=True)
    ]
    return [
        Said(answer.text, tokens, tokens >= first.max_tokens, answer)
        for answer, tokens in zip(answers, written, strict=True)
    ]


def go_on(arm: Arm, wishes: Sequence[Wish]) -> list[Said]:
    """The model's words after each prompt."""
    first = wishes[0]
    lengths = dict.fromkeys(range(len(wishes)), 0)

    def note_length(ended: Ended) -> None:
        lengths.update(zip(ended.rows, map(len, ended.new), strict=True))

    texts = generate(
        arm.model,
        [wish.prompt for wish in wishes],
        max_new_tokens=first.max_tokens,
        sampling=Sampling(first.temperature, [seed_of(wish) for wish in wishes]) if first.temperature else None,
        on_ended=note_length,
    )
    return [Said(text, lengths[place], lengths[place] >= first.max_tokens) for place, text in enumerate(texts)]


def seed_of(wish: Wish) -> int:
    """A seed gives a prompt the same words every time; without one they are drawn anew, as of any provider."""
    if wish.seed is None:
        return random.SystemRandom().getrandbits(64)
    return int(fingerprint(["wish", wish.seed, wish.prompt])[:16], 16)
