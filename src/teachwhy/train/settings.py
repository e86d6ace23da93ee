"""The recipe of supervised training, and the batches it makes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..models import Trainable

# Fields that came after the first adapters, with what they were before: left out of stamps while they say nothing else.
LATER = {"micro_batch": None, "adapter": "lora", "quantize": None}
OF_ADAPTERS = {"rank", "alpha", "targets"}


class TrainSettings(BaseModel):
    """Fine-tuning of a LoRA adapter or of a model's own weights; the same for every arm and seed of a study."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    epochs: float = Field(3, gt=0, description="Passes over the rows; a part of one is allowed.")
    batch: int = Field(16, gt=0, description="Rows in one optimizer update.")
    micro_batch: int | None = Field(
        None, gt=0, description="Rows that are computed at once, and their gradients added up; null: the whole batch."
    )
    learning_rate: float = Field(5e-4, gt=0, description="Peak learning rate of AdamW.")
    warmup: float = Field(0.1, ge=0, le=1, description="Share of updates over which the rate rises from 0.")
    schedule: str = Field("linear", pattern="^(linear|cosine|constant_with_warmup)$", description="How the rate falls.")
    beta2: float = Field(
        0.999, ge=0, lt=1, description="How slowly AdamW forgets old gradients: .999 over 1000 updates, .95 over 20."
    )
    weight_decay: float = Field(0.0, ge=0)
    clip: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    adapter: str = Field(
        "lora",
        pattern="^(lora|none)$",
        description="What is trained: a LoRA adapter, or (none) the model's own weights, which take far lower rates.",
    )
    rank: int = Field(16, gt=0, description="Rank of the LoRA adapter.")
    alpha: int = Field(32, gt=0, description="Scale of the adapter: its output is multiplied by alpha / rank.")
    targets: str | list[str] = Field("all-linear", description="Linear layers that get an adapter.")
    layers: int | None = Field(
        None, gt=0, description="Train this many last decoder layers only, which is much faster; null: all."
    )
    quantize: str | None = Field(
        None, pattern="^4bit$", description="Keep the base model in 4 bits below the adapter (QLoRA), on CUDA only."
    )
    action_share: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Share of the loss that the action has beside a reason, in all arms alike; null: by tokens.",
    )
    compile: bool | None = Field(None, description="torch.compile; null uses it where a compiler is found and it pays.")
    report_to: list[str] = Field(
        default_factory=list, description="Where the loss is reported too, by names that transformers knows."
    )

    @model_validator(mode="after")
    def quantize_below_an_adapter(self) -> TrainSettings:
        if self.quantize and self.adapter == "none":
            raise ValueError("weights in 4 bits cannot be trained themselves, so `quantize` needs `adapter: lora`")
        return self

    @property
    def trainable(self) -> Trainable:
        lora, four_bit = self.adapter == "lora", self.quantize == "4bit"
        return Trainable(lora, self.rank, self.alpha, self.targets, self.layers, four_bit)

    def recipe(self) -> dict[str, Any]:
        """What is trained depends on this: everything but where the loss is reported, and what has no part in it."""
        out = {"report_to"} | (OF_ADAPTERS if self.adapter == "none" else set())
        fields = self.model_dump(mode="json", exclude=out)
        return {name: value for name, value in fields.items() if name not in LATER or value != LATER[name]}


def count_updates(rows: int, *, batch: int, epochs: float) -> int:
    return max(1, round(-(-rows // batch) * epochs))


def plan_batches(lengths: Sequence[int], *, batch: int, updates: int, seed: int) -> list[list[int]]:
    """Row indices of every update, in order; depends on nothing but its arguments.

    Each epoch shuffles the rows, sorts windows of eight batches by length so that little is padded, and shuffles the
    batches. `lengths` must be the same for twin arms (they are those of prompt and action), so the order is too.
    Errors (ValueError): no rows.
    """
    if not lengths:
        raise ValueError("there are no rows to plan updates of")
    rng = random.Random(seed)
    planned: list[list[int]] = []
    while len(planned) < updates:
        order = list(range(len(lengths)))
        rng.shuffle(order)
        window = batch * 8
        epoch: list[list[int]] = []
        for start in range(0, len(order), window):
            near = sorted(order[start : start + window], key=lambda index: lengths[index])
            epoch += [near[first : first + batch] for first in range(0, len(near), batch)]
        rng.shuffle(epoch)
        planned += epoch
    return planned[:updates]


def split_batch(batch: Sequence[int], micro: int | None, *, process: int = 0, processes: int = 1) -> list[list[int]]:
    """The micro batches of one update that one of several processes takes, at most `micro` rows each.

    All processes have equally many, since they wait for each other; those that one lacks rows for are empty. Rows are
    dealt in turn, so that neighbours, which are of like length, are computed at the same time.
    """
    most = -(-len(batch) // processes)
    size = min(micro or most, most)
    own = list(batch[process::processes])
    return [own[start : start + size] for start in range(0, most, size)]
