"""Choice scoring: teachwhy against lm-evaluation-harness (`hf` model, batches of 16) on the same tokens."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from teachwhy.models import Choice, score_choices

from .work import Work

WARM_UP = 4
PEER_BATCH = 16


class OurScoring:
    def __init__(self, work: Work, arm: str, prompts: int, dtype: str = "bfloat16") -> None:
        self.choices = work.choices(arm, prompts)
        self.model = work.our_model(dtype)

    def warm_up(self) -> dict[str, Any]:
        return self.score(self.choices[:WARM_UP])

    def run(self) -> dict[str, Any]:
        return self.score(self.choices)

    def score(self, choices: Sequence[Choice]) -> dict[str, Any]:
        started = time.perf_counter()
        scores = score_choices(self.model, choices)
        seconds = time.perf_counter() - started
        return {"seconds": seconds, "scores": [score for group in scores for score in group]}


class LmEvalScoring:
    """Asks through `_loglikelihood_tokens`, the step behind `loglikelihood`.

    `loglikelihood` tokenises context and option as one text and cuts it at the length of the context's own tokens;
    teachwhy tokenises them apart, as it does in training. Only handing over the tokens makes both score the same ones.
    """

    def __init__(self, work: Work, arm: str, prompts: int, dtype: str = "bfloat16") -> None:
        from lm_eval.models.huggingface import HFLM

        self.choices = work.choices(arm, prompts)
        self.chat = work.chat
        self.peer = HFLM(
            pretrained=work.plain_network(dtype), tokenizer=work.chat.tokenizer, batch_size=PEER_BATCH, device="cpu"
        )

    def warm_up(self) -> dict[str, Any]:
        return self.score(self.choices[:WARM_UP])

    def run(self) -> dict[str, Any]:
        return self.score(self.choices)

    def score(self, choices: Sequence[Choice]) -> dict[str, Any]:
        started = time.perf_counter()
        requests = [
            (None, self.chat.tokens(choice.prefix), self.chat.tokens(option))
            for choice in choices
            for option in choice.options
        ]
        answers = self.peer._loglikelihood_tokens(requests, disable_tqdm=True)
        seconds = time.perf_counter() - started
        scores = [total / len(option) for (total, _), (_, _, option) in zip(answers, requests, strict=True)]
        return {"seconds": seconds, "scores": scores}


def compare(ours: dict[str, Any], peer: dict[str, Any]) -> dict[str, float]:
    """How far the scores (nats a token) are apart."""
    apart = [abs(a - b) for a, b in zip(ours["scores"], peer["scores"], strict=True)]
    return {"requests": len(apart), "largest_difference": max(apart), "mean_difference": sum(apart) / len(apart)}
