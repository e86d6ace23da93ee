"""A scripted teacher with faults put in, that writes down every answer it gave, and a run of it that can be killed."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from teachwhy.generate import Order, write_lessons
from teachwhy.generate.scripted import ScriptedTeacher
from teachwhy.models import Reply

TIME_OUT, RATE_LIMIT, CUT = "time-out", "rate limit", "connection lost"
BROKEN, REFUSAL = '{"reason": "It would', "I'm sorry, but I can't help with that."
AT_ONCE = 8


@dataclass(frozen=True)
class FaultyTeacher(ScriptedTeacher):
    """Of all calls, 10% time out, 5% meet a rate limit and 1% a cut stream, anew at every sending; of all answers 5%
    are broken JSON and 2% refusals, the same whenever they are asked for. One call in 200 hangs for a while first.

    log: a file to which each answer's prompt is written at the moment it is given: what was bought.
    """

    log: Path = Path(os.devnull)
    sent: dict[str, int] = field(default_factory=dict)
    pause: float = 0.0

    def replies(
        self, prompts, *, max_new_tokens, sampling, on_reply, on_ask=lambda place: None, schemas=()
    ) -> list[Reply]:
        found: dict[int, Reply] = {}
        for start in range(0, len(prompts), AT_ONCE):
            batch = range(start, min(start + AT_ONCE, len(prompts)))
            for place in batch:
                on_ask(place)
            for place in sorted(batch, key=lambda place: chance("order", prompts[place])):
                seed = sampling.seeds[place] if sampling else 0
                found[place] = self.one(prompts[place], seed)
                on_reply(place, found[place])
        return [found[place] for place in range(len(prompts))]

    def one(self, prompt: str, seed: int) -> Reply:
        key = f"{prompt} {seed}"
        self.sent[key] = self.sent.get(key, 0) + 1
        met = chance("transport", os.getpid(), self.sent[key], key)
        time.sleep(self.pause)
        if met < 0.005:
            time.sleep(0.2)
        for share, cause in ((0.10, TIME_OUT), (0.15, RATE_LIMIT), (0.16, CUT)):
            if met < share:
                return Reply("", cause=cause, came=False)
        with self.log.open("a") as stream:
            stream.write(hashlib.sha256(key.encode()).hexdigest() + "\n")
        told = chance("answer", key)
        if told < 0.05:
            return Reply(BROKEN)
        if told < 0.07:
            return Reply(REFUSAL)
        return self.reply(json.loads(prompt)["messages"], seed)


def chance(*parts: object) -> float:
    """A number in [0, 1) that hangs on its parts alone."""
    return int(hashlib.sha256(repr(parts).encode()).hexdigest()[:12], 16) / 16**12


def run(order: Order, log: Path, pause: float) -> None:
    """A generation with the faulty teacher in the place of the scripted one."""
    from teachwhy.generate import open_teacher

    open_teacher.ScriptedTeacher = lambda purse, wanted: FaultyTeacher(purse, wanted, log=log, pause=pause)
    write_lessons(order, lambda text: print(text, flush=True))


def main(arguments: Sequence[str]) -> None:
    recipe, policy, out, log, count = arguments
    run(Order(recipe, Path(policy), "scripted", Path(out), count=int(count)), Path(log), pause=0.003)


if __name__ == "__main__":
    main(sys.argv[1:])
