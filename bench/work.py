"""What both sides of a comparison are given: rows, prompts and choices of the bundled study, and its model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from teachwhy.data import find_arm
from teachwhy.models import Chat, Choice, LanguageModel, ModelSource, find_model, load_chat, load_model
from teachwhy.models.load import model_context
from teachwhy.study import Study, read_study
from teachwhy.study.prepare import item_prompts, writing
from teachwhy.train.settings import count_updates, plan_batches
from teachwhy.train.tokens import TokenRow, tokenize_rows

TRAINED_ARM = "why"


@dataclass(frozen=True)
class Work:
    """folder: of the study. share: how much of the full work to do, in (0, 1]."""

    folder: Path
    share: float

    @cached_property
    def study(self) -> Study:
        return read_study(self.folder)

    @cached_property
    def source(self) -> ModelSource:
        return find_model(self.study.settings.model, base_folder=self.study.folder, say=print)

    @cached_property
    def chat(self) -> Chat:
        return load_chat(self.source)

    def our_model(self, dtype: str, *, for_training: bool = False) -> LanguageModel:
        """The model as teachwhy loads it."""
        return load_model(self.source, device="cpu", dtype=dtype, for_training=for_training)

    def plain_network(self, dtype: str, attention: str | None = None) -> Any:
        """The model as transformers loads it, with its usual attention unless another is named."""
        import torch
        from transformers import AutoModelForCausalLM

        wanted = getattr(torch, dtype)
        return AutoModelForCausalLM.from_pretrained(
            self.source.folder, dtype=wanted, attn_implementation=attention
        ).eval()

    def prompts(self, arm: str, count: int) -> list[str]:
        """Rendered conversations of `count` items, spread evenly over the study's."""
        found = item_prompts(self.study, self.chat, self.study.arm(arm), self.study.items)
        return [found[item.id] for item in evenly(self.study.items, self.scaled(count))]

    def choices(self, arm: str, count: int) -> list[Choice]:
        """The same prompts, up to where the action begins, each with the item's actions as options."""
        marker = self.study.settings.format.action_marker
        items = evenly(self.study.items, self.scaled(count))
        return [
            Choice(prompt + marker, tuple(f" {action}" for action in item.answers.values()))
            for prompt, item in zip(self.prompts(arm, count), items, strict=True)
        ]

    def scaled(self, count: int) -> int:
        return max(2, round(count * self.share))

    def token_rows(self, count: int) -> list[TokenRow]:
        """`count` rows of one arm, in whole batches. Every trained token weighs the same, as in TRL."""
        arm = self.study.arm(TRAINED_ARM)
        rows = find_arm(arm.arm).rows(self.study.pool(arm), writing(self.study, self.chat, arm))
        batch = self.study.settings.train.batch
        chosen = evenly(rows, max(1, self.scaled(count) // batch) * batch)
        return tokenize_rows(chosen, self.chat, model_context(self.source), arm.name)

    def batches(self, rows: Sequence[TokenRow]) -> list[list[int]]:
        train = self.study.settings.train
        updates = count_updates(len(rows), batch=train.batch, epochs=train.epochs)
        return plan_batches([row.shared for row in rows], batch=train.batch, updates=updates, seed=0)


def evenly(values: Sequence[Any], count: int) -> list[Any]:
    """`count` of the values, evenly spaced, in their order; all of them where there are fewer."""
    count = min(count, len(values))
    return [values[index * len(values) // count] for index in range(count)]


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
