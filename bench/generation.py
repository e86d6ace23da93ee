"""Greedy generation: teachwhy in batches against transformers' `generate`, one prompt after another."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from teachwhy.models import generate

from .work import Work

PROMPTS = 64
MAX_NEW_TOKENS = 48
WARM_UP = 2


class OurGeneration:
    def __init__(self, work: Work) -> None:
        self.prompts = work.prompts("base", PROMPTS)
        self.model = work.our_model("bfloat16")

    def warm_up(self) -> dict[str, Any]:
        return self.write(self.prompts[:WARM_UP])

    def run(self) -> dict[str, Any]:
        return self.write(self.prompts)

    def write(self, prompts: Sequence[str]) -> dict[str, Any]:
        started = time.perf_counter()
        texts = generate(self.model, prompts, max_new_tokens=MAX_NEW_TOKENS)
        return {"seconds": time.perf_counter() - started, "texts": texts}


class PlainGeneration:
    def __init__(self, work: Work) -> None:
        self.prompts = work.prompts("base", PROMPTS)
        self.chat = work.chat
        self.network = work.plain_network("bfloat16")

    def warm_up(self) -> dict[str, Any]:
        return self.write(self.prompts[:WARM_UP])

    def run(self) -> dict[str, Any]:
        return self.write(self.prompts)

    def write(self, prompts: Sequence[str]) -> dict[str, Any]:
        started = time.perf_counter()
        texts = [self.continuation(prompt) for prompt in prompts]
        return {"seconds": time.perf_counter() - started, "texts": texts}

    def continuation(self, prompt: str) -> str:
        import torch

        ids = torch.tensor([self.chat.tokens(prompt)])
        output = self.network.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=MAX_NEW_TOKENS,
            do_sample=False,
            eos_token_id=self.chat.stop_tokens,
            pad_token_id=self.chat.pad_token,
        )
        return self.chat.text(output[0, ids.shape[1] :].tolist())


def compare(ours: dict[str, Any], peer: dict[str, Any]) -> dict[str, float]:
    """The share of prompts with the same text: in bfloat16 a batch rounds differently than one row does."""
    same = [a == b for a, b in zip(ours["texts"], peer["texts"], strict=True)]
    return {"prompts": len(same), "share_equal": sum(same) / len(same)}
