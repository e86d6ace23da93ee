"""A teacher: questions in, fields out. What was answered before is not asked again, and every failure has its cause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..errors import listed
from ..models import Reply, Sampling, Speaker
from ..models.api import FILTERED, GIVEN_UP, OVER_BUDGET, TOO_LONG
from ..text import fingerprint
from .answers import Answers
from .reading import MALFORMED, Fits, Form, Read, read_answer, read_whole

TRIES = 3  # answers to one question
ROUNDS = 8  # sendings: what never came costs nothing, and a lesson given up for it would be missing by chance
AGAIN_TEMPERATURE = 0.7  # the likeliest words, asked for again, would only come again
FOR_GOOD = (FILTERED, TOO_LONG)  # would only come again
UNFIT, NEVER_CAME = "does not serve", "never came"
Messages = tuple[Mapping[str, str], ...]


@dataclass(frozen=True)
class Question:
    """One thing asked of a teacher.

    draft: id of the lesson it is for. form: what the answer is to look like; None for the text as it is. fits: what is
    wrong with the values, None where nothing is. sample: sets it apart from the same question asked again.
    """

    draft: str
    messages: Messages
    form: Form | None
    fits: Fits = lambda values: None
    sample: int = 0


@dataclass(frozen=True)
class Manner:
    """How all questions of a stage are asked. temperature: 0 for the likeliest words."""

    stage: str
    max_new_tokens: int
    temperature: float


@dataclass
class Usage:
    """What a stage took in this run, found or bought: questions, and the replies that it took to answer them."""

    questions: int = 0
    replies: int = 0
    tokens_in: int = 0
    tokens_out: int = 0


class Stopped(Exception):
    """Nothing more can be asked in this run: the budget is spent, or the teacher no longer answers."""


def schema_of(question: Question, manner: Manner) -> str:
    """The JSON schema of what is asked for, "" where no form is."""
    return question.form.schema(manner.max_new_tokens) if question.form else ""


def told_why(question: Question, read: Read | None) -> Question:
    """A question that is asked anew says at its head what was wrong with the answer before."""
    if question.form is None or read is None or read.cause not in (UNFIT, MALFORMED):
        return question
    *earlier, last = question.messages
    head = f"An answer to this did not serve: {read.detail}. Mind that this time."
    return replace(question, messages=(*earlier, {**last, "content": f"{head}\n\n{last['content']}"}))


@dataclass
class Teacher:
    """A model that is asked, with its answers so far.

    name: as it was given. identity: of what answers under that name, where more is known of it than the name, such as
    its weights. made_for: of the order that answers are asked for. pinned: the provider that must serve it, part of
    every key. held: whether it can be held to the form that is asked for. troubles: how often each failure was met, by
    stage and cause; used: what each stage took; tell: is told of every answer that comes.
    """

    name: str
    speaker: Speaker
    answers: Answers
    pinned: str = ""
    identity: str = ""
    made_for: str = ""
    held: bool = False
    troubles: Counter[tuple[str, str]] = field(default_factory=Counter)
    used: dict[str, Usage] = field(default_factory=dict)
    tell: Callable[[str], None] = lambda stage: None

    def ask(self, questions: Sequence[Question], manner: Manner) -> list[Read]:
        """What was read of the answer to each question, in order; asked anew where it is of no use, up to three times.

        What never came is sent again more often. Errors: `Stopped`.
        """
        usage = self.used.setdefault(manner.stage, Usage())
        usage.questions += len(questions)
        found: dict[int, Read] = {}
        came: dict[int, Read] = {}  # what is asked hangs on answers alone: what was lost on the way changes no prompt
        samples = dict.fromkeys(range(len(questions)), 0)
        for _ in range(ROUNDS):
            places = [
                place for place in samples if place not in found or self.worth_asking(found[place], samples[place])
            ]
            if not places:
                break
            asked = [told_why(question, came.get(place)) for place, question in enumerate(questions)]
            replies = self.tried(asked, places, samples, manner)
            for place, reply in replies.items():
                found[place] = self.read(questions[place], reply, manner.stage)
                usage.replies += 1
                usage.tokens_in += reply.tokens_in
                usage.tokens_out += reply.tokens_out
                if reply.came:  # what never came is asked for again under the same key
                    came[place] = found[place]
                    samples[place] += 1
        causes = {read.cause or "" for read in found.values()}
        if found and all(cause.startswith(NEVER_CAME) for cause in causes):
            raise Stopped(f"nothing came of {len(found)} questions: {listed(sorted(causes))}")
        return [found[place] for place in range(len(questions))]

    @staticmethod
    def worth_asking(read: Read, answers: int) -> bool:
        """Whether a question is asked anew. answers: that came of it so far."""
        return bool(read.cause) and read.cause not in FOR_GOOD and answers < TRIES

    def tried(
        self, questions: Sequence[Question], places: Sequence[int], samples: Mapping[int, int], manner: Manner
    ) -> dict[int, Reply]:
        """One round: the questions of these places, those whose answer was of no use at a temperature of their own."""
        first = [place for place in places if not samples[place]]
        again = [place for place in places if samples[place]]
        warmer = replace(manner, temperature=max(manner.temperature, AGAIN_TEMPERATURE))
        return {
            place: reply
            for asked, how in ((first, manner), (again, warmer))
            for place, reply in zip(
                asked,
                self.replies([questions[place] for place in asked], [samples[place] for place in asked], how),
                strict=True,
            )
        }

    def read(self, question: Question, reply: Reply, stage: str) -> Read:
        if not reply.came:
            read = Read(None, f"{NEVER_CAME}: {reply.cause}", reply.detail)
        elif question.form is None:
            read = read_whole(reply)
        else:
            read = read_answer(reply, question.form)
        if read.values is not None and (fault := question.fits(read.values)):
            read = Read(None, UNFIT, fault)
        if read.cause:
            self.troubles[stage, read.cause] += 1
        return read

    def replies(self, questions: Sequence[Question], samples: Sequence[int], manner: Manner) -> list[Reply]:
        """A reply to each question, those that are known and the others asked for together."""
        prompts = [self.speaker.chat.prompt(question.messages) for question in questions]
        keys = [
            self.key(prompt, question, manner, sample)
            for prompt, question, sample in zip(prompts, questions, samples, strict=True)
        ]
        known = {key: reply for key in dict.fromkeys(keys) if (reply := self.answers.known(key))}
        first: dict[str, int] = {}
        for place, key in enumerate(keys):
            if key not in known:
                first.setdefault(key, place)
        asked = [(key, prompts[place], questions[place]) for key, place in first.items()]
        known |= self.put(asked, [samples[place] for place in first.values()], manner)
        return [known[key] for key in keys]

    def put(self, asked: Sequence[tuple[str, str, Question]], again: Sequence[int], manner: Manner) -> dict[str, Reply]:
        """Ask what is not known yet, and write down each call as it goes out and comes back. Errors: `Stopped`."""

        def on_ask(place: int) -> None:
            key, _, question = asked[place]
            self.answers.send(
                key,
                stage=manner.stage,
                draft=question.draft,
                teacher=self.name,
                made_for=self.made_for,
                again=again[place],
            )

        def on_reply(place: int, reply: Reply) -> None:
            self.answers.receive(asked[place][0], in_whole_characters(reply))
            self.tell(manner.stage)

        seeds = tuple(int(key[:7], 16) for key, _, _ in asked)
        sampling = Sampling(manner.temperature, seeds) if manner.temperature else None
        replies = self.speaker.replies(
            [prompt for _, prompt, _ in asked],
            max_new_tokens=manner.max_new_tokens,
            sampling=sampling,
            on_reply=on_reply,
            on_ask=on_ask,
            schemas=[schema_of(question, manner) for *_, question in asked],
        )
        stopped = next((reply.cause for reply in replies if reply.cause in (OVER_BUDGET, GIVEN_UP)), None)
        if stopped:
            raise Stopped(stopped)
        return {key: in_whole_characters(reply) for (key, _, _), reply in zip(asked, replies, strict=True)}

    def key(self, prompt: str, question: Question, manner: Manner, again: int) -> str:
        """Of all that an answer depends on. again: how often an answer of no use came before."""
        told = [
            self.identity or self.name,
            self.pinned,
            prompt,
            manner.max_new_tokens,
            manner.temperature,
            question.sample,
            again,
        ]
        told += [schema_of(question, manner)] if self.held else []
        return fingerprint(told)


def in_whole_characters(reply: Reply) -> Reply:
    """A reply as it can be written down: half a character (a lone surrogate) is escaped."""
    return replace(reply, text=reply.text.encode("utf-8", "backslashreplace").decode())
