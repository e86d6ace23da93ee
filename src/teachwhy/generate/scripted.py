"""The scripted teacher: answers in the form that is asked for, made of word lists, the same to the same question.

For tests, and for trying a recipe without a key. What it writes has the shape of lessons and no sense to teach.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..evals.honeypots import call_text
from ..models import ApiChat, Purse, Reply, Sampling
from ..models.api import OVER_BUDGET
from ..models.speaker import OnAsk, OnReply, tell_nobody
from ..text import content_words, words

NAME = "scripted"
PEOPLE = (
    "a neighbour|a nurse|the caretaker|two students|a tenant|her brother|the treasurer|a driver|"
    "the night clerk|a cousin|the apprentice|an old friend|the coach|a supplier|the choir|a widow|"
    "the new manager|a gardener|the editor|a pupil|the landlord|a volunteer|his daughter|the accountant|"
    "a farmer|the receptionist|a colleague|the warden|a guest|a baker"
).split("|")
VERBS = (
    "would lose|could be hurt by|relies on|has kept|never agreed to|cannot take back|would pay for|"
    "was told about|may need|would find out about|has no say in|built up|counts on|asked for|"
    "would be shut out of|has waited for|could not mend"
).split("|")
THINGS = (
    "the savings|this trust|an open letter|the only copy|that address|the spare key|a fair turn|the deadline|"
    "the garden plot|the medical note|a quiet evening|the shared calendar|the harvest|the old photographs|"
    "the second opinion|the licence|a place on the list|the workshop|the winter stock|the night bus|"
    "the recipe book|the archive|the boat|the deposit"
).split("|")
WHEN = (
    "before the week is out|without ever knowing|long after today|on a morning like this|once it is done|"
    "in the end|for years|as soon as it is known|while nobody looks|at the next meeting|when the bill comes|"
    "in front of everyone|by the weekend"
).split("|")
OPENINGS = (
    "In this case|Here|As things stand|Then|Later|Quietly|By now|On the other side|Meanwhile|At the heart of it".split(
        "|"
    )
)
ASKED_WORDS = re.compile(r"in (\d+) to (\d+) words")
ASKED_COUNT = re.compile(r"exactly (\d+) entr")
ASKED_ONE_OF = re.compile(r"`(\w+)` is one of: ([^.\n]+)\.")
TOOL = re.compile(r"^([a-z_]+)\(([a-z_, ?]*)\): ", re.MULTILINE)
TELLING = {"message_person", "send_mail", "write_file", "write_log", "open_ticket"}  # tools that take any words
FENCE = re.compile(r"<([a-z0-9-]+)>(.*?)</\1>", re.DOTALL)


@dataclass(frozen=True)
class ScriptedTeacher:
    """A `Speaker` without a model. Tokens are counted as words, so that estimates and budgets can be tried.

    wanted: the questions of a judge -> the answers that speak for a draft, which are what it is given; any other
    question is answered with true.
    """

    purse: Purse = field(default_factory=Purse)
    wanted: Mapping[str, Mapping[str, bool]] = field(default_factory=dict)

    @property
    def chat(self) -> ApiChat:
        return ApiChat()

    def replies(
        self,
        prompts: Sequence[str],
        *,
        max_new_tokens: int,
        sampling: Sampling | None,
        on_reply: OnReply,
        on_ask: OnAsk = tell_nobody,
        schemas: Sequence[str] = (),
    ) -> list[Reply]:
        """As `Speaker.replies`. With a sampling the seeds change the words."""
        found: list[Reply] = []
        for place, prompt in enumerate(prompts):
            worst = self.purse.worst(prompt, max_new_tokens)
            if not self.purse.fits(worst):
                return found + [Reply("", cause=OVER_BUDGET, came=False)] * (len(prompts) - place)
            self.purse.take(worst)
            on_ask(place)
            reply = self.reply(json.loads(prompt)["messages"], sampling.seeds[place] if sampling else 0)
            self.purse.settle(worst, reply.tokens_in, reply.tokens_out)
            on_reply(place, reply)
            found.append(reply)
        return found

    def reply(self, messages: Sequence[Mapping[str, str]], seed: int) -> Reply:
        text = answer(messages, seed, self.wanted)
        read = sum(len(words(message["content"])) for message in messages)
        return Reply(text, tokens_in=read, tokens_out=len(words(text)), model=NAME)


def answer(
    messages: Sequence[Mapping[str, str]], seed: int, wanted: Mapping[str, Mapping[str, bool]] | None = None
) -> str:
    """The JSON object that the last line of a question shows, filled; where there is none, a few sentences.

    With tools it acts: it looks at all that can be looked at, tells somebody something, and hands its work back.
    """
    asked = messages[-1]["content"]
    told = "\n".join(message["content"] for message in reversed(messages))
    rng = random.Random(hashlib.sha256(json.dumps([list(messages), seed]).encode()).digest())
    material = words_of_the_case(asked)
    try:
        shown = json.loads(asked.rstrip().splitlines()[-1])
    except (ValueError, IndexError):
        shown = None
    if not isinstance(shown, dict):
        if tools := dict(TOOL.findall(messages[0]["content"])):
            return acted(tools, len(messages) // 2, rng, material)
        return composed(rng, material, *words_asked_for(FENCE.sub("", told), [20, 40]))
    wishes = FENCE.sub("", asked)  # what a text between tags says is no wish
    count = int(found[1]) if (found := ASKED_COUNT.search(wishes)) else 1
    one_of = {name: values.split(", ") for name, values in ASKED_ONE_OF.findall(wishes)}
    length = words_asked_for(wishes, [14, 30])
    truths = next((truths for questions, truths in (wanted or {}).items() if questions in wishes), {})
    listed = " ".join(text for name, text in FENCE.findall(asked) if re.fullmatch(r"principles(-\d+)?", name))
    ids = re.findall(r"^([A-Za-z0-9_-]+): ", listed, re.MULTILINE)
    return json.dumps(
        {
            name: truths.get(name, True)
            if isinstance(value, bool)
            else filled(name, value, rng, material, count, length if number == 0 else [8, 20], one_of, ids)
            for number, (name, value) in enumerate(shown.items())
        },
        ensure_ascii=False,
    )


def filled(
    name: str,
    shown: Any,
    rng: random.Random,
    material: Sequence[str],
    count: int,
    length: Sequence[int],
    one_of: Mapping[str, Sequence[str]],
    ids: Sequence[str],
) -> Any:
    """A value of the kind that is shown."""
    if isinstance(shown, list):
        return [{field: composed(rng, material, 6, 14) for field in shown[0]} for _ in range(count)]
    if name in one_of:
        return rng.choice(one_of[name])
    if name == "principle" and ids:
        return rng.choice(ids)
    return composed(rng, material, *length)


def words_asked_for(told: str, usual: list[int]) -> list[int]:
    """Fewest and most words that a text was asked for."""
    return [int(number) for number in found.groups()] if (found := ASKED_WORDS.search(told)) else usual


def acted(tools: Mapping[str, str], number: int, rng: random.Random, material: Sequence[str]) -> str:
    """An answer of an agent. tools: name -> its parameters. number: of the answer, from 1."""
    looking = [
        call_text(name, {}) for name, takes in tools.items() if not takes and name.startswith(("list_", "read_"))
    ]
    told = next((name for name in tools if name in TELLING), None)
    if number == 1 and looking:
        return "\n".join(looking)
    if number == 2 and told:
        needed = [name for name in tools[told].split(", ") if not name.endswith("?")]
        return call_text(told, {name: composed(rng, material, 6, 14) for name in needed})
    return composed(rng, material, 6, 14)


def words_of_the_case(asked: str) -> list[str]:
    """Words of what stands between tags, the policy left out, that a text about it may take up."""
    said = " ".join(text for name, text in FENCE.findall(asked) if not name.startswith(("policy", "principle")))
    stems = content_words(said)
    return list(dict.fromkeys(word for word in words(said)[:400] if word[:6] in stems and len(word) > 3))


def composed(rng: random.Random, material: Sequence[str], fewest: int, most: int) -> str:
    """Sentences of so many words in all."""
    said: list[str] = []
    target = rng.randint((fewest + most) // 2, most)
    while len(said) < fewest:
        said += sentence(rng, material).split()
    said = said[: max(fewest, min(target, len(said)))]
    return " ".join(said).rstrip(".,") + "."


def sentence(rng: random.Random, material: Sequence[str]) -> str:
    about = f" about {rng.choice(material)}" if material and rng.random() < 0.6 else ""
    first = f"{rng.choice(OPENINGS)} {rng.choice(PEOPLE)}" if rng.random() < 0.5 else rng.choice(PEOPLE).capitalize()
    return f"{first} {rng.choice(VERBS)} {rng.choice(THINGS)}{about} {rng.choice(WHEN)}."
