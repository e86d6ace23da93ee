"""Preference training by DPO: a thin subclass of TRL's DPOTrainer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import PrinterCallback, set_seed
from trl import DPOConfig, DPOTrainer

from ..models import keep_bfloat16
from .over_trl import Unannounced, left_as_it_was, refuse_adapted_head, take_out_reference
from .pairs import PairRow
from .reporters import Reporting
from .settings import TrainSettings, split_batch
from .supervised import FixedBatches, Keep, Report, Trained, usual_arguments


class PairTrainer(Unannounced, DPOTrainer):
    """TRL's DPOTrainer with pairs that are tokens already and planned batches.

    The reference is the network as it is handed over, with what it was taught before; where that stands in an adapter,
    TRL copies it. The log-probabilities it gives are computed once, before anything is trained, and the copy is taken
    out again.
    """

    def __init__(self, *args: Any, batches: Sequence[Sequence[int]], micro: int | None, **kwargs: Any) -> None:
        self.batches = batches
        self.micro = micro
        self.losses: list[float] = []
        super().__init__(*args, **kwargs)
        take_out_reference(self.model)

    def _prepare_dataset(self, dataset: Any, *args: Any) -> Any:
        """Its rows are tokens."""
        return dataset

    def _precompute_ref_logps(self, dataset: Any, *args: Any) -> Any:
        """The pairs with log-probabilities (nats) of both sides under the reference; nan where no batch visits a pair.

        They are computed in the very micro batches in which pairs are trained first, so that both round alike and
        training begins at a ratio of one. TRL would write them to a file.
        """
        keep_bfloat16(self.model)  # both sides of the ratio are to round alike
        found: dict[int, tuple[float, float]] = {}
        for part in [part for batch in self.batches for part in split_batch(batch, self.micro)]:
            if any(index not in found for index in part):
                inputs = self._prepare_inputs(self.data_collator([dataset[index] for index in part]))
                sides = torch.stack(self.compute_ref_log_probs(self.model, inputs), dim=1).tolist()
                found |= {index: both for index, both in zip(part, sides, strict=True) if index not in found}
        unread = (float("nan"), float("nan"))
        for side, name in enumerate(("ref_chosen_logps", "ref_rejected_logps")):
            dataset = dataset.add_column(name, [found.get(index, unread)[side] for index in range(len(dataset))])
        return dataset

    def get_train_dataloader(self) -> DataLoader[Any]:
        pairs: Any = self.train_dataset
        batches: Any = FixedBatches(self.batches, self.args.train_batch_size)
        return DataLoader(pairs, batch_sampler=batches, collate_fn=MicroPairs(self.data_collator, self.micro))

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """The gradient of one update, and its loss. inputs: its micro batches."""
        losses = []
        for part in inputs:
            losses.append(super().training_step(model, part))
        loss = torch.stack(losses).sum()
        self.losses.append(loss.item())
        return loss

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        share = inputs.pop("share")
        return super().compute_loss(model, inputs) * share


@dataclass(frozen=True)
class MicroPairs:
    """The pairs of one update to its micro batches, each collated, with its `share` of the pairs of the update.

    Where several processes train together each computes all of them: TRL gathers figures pair by pair and so asks for
    as many from every process, which a batch that is shared out does not give.
    """

    collate: Any
    micro: int | None

    def __call__(self, members: Sequence[Any]) -> list[dict[str, Any]]:
        parts = [[members[place] for place in part] for part in split_batch(range(len(members)), self.micro)]
        return [self.collate(part) | {"share": torch.tensor(len(part) / len(members))} for part in parts]


def train_preferences(
    network: Any,
    rows: Sequence[PairRow],
    batches: Sequence[Sequence[int]],
    settings: TrainSettings,
    *,
    beta: float,
    tokenizer: Any,
    seed: int,
    scratch: Path,
    reporting: Reporting | None = None,
    progress: Callable[[int, int, float], None] = lambda update, updates, loss: None,
    keep: Keep = MappingProxyType({}),
) -> Trained:
    """Train a network, or the adapter of a PEFT network, in place by DPO (Rafailov et al. 2023), one update a batch.

    The loss of a pair is -log sigmoid(beta * margin), in nats. Its margin is how much more likely the network makes
    `chosen` than the reference does, less the same of `rejected`, in nats of the whole response. The reference is the
    network as it is handed over.

    Errors (ModelError): an adapter on the output head.

    beta: how dear it is to leave the reference; the smaller, the further the network may go.
    tokenizer: with the token to pad with; TRL asks for it, and no text is tokenised.
    scratch, reporting, progress, keep: as `train_adapter` takes them.
    """
    refuse_adapted_head(network)
    set_seed(seed)
    arguments = DPOConfig(
        **usual_arguments(network, settings, len(batches), seed, scratch, reporting),
        beta=beta,
        precompute_ref_log_probs=True,
        max_length=None,
        disable_dropout=False,  # it would stay so in the network, for whatever is trained after this
        gradient_checkpointing=False,
        bf16=False,
        per_device_train_batch_size=settings.batch,
    )
    started = time.perf_counter()
    report = Report(progress, keep)
    network.eval()  # the reference is read without dropout
    with left_as_it_was(network):
        trainer = PairTrainer(
            model=network,
            args=arguments,
            train_dataset=as_dataset(rows),
            processing_class=tokenizer,
            callbacks=[report],
            batches=batches,
            micro=settings.micro_batch,
        )
        trainer.remove_callback(PrinterCallback)
        report.losses = trainer.losses
        network.train()
        trainer.train()
    if reporting:
        reporting.close()
    network.eval()
    visited = [rows[index] for batch in batches for index in batch]
    return Trained(
        losses=trainer.losses,
        updates=len(batches),
        tokens=sum(row.length for row in visited),
        trained_tokens=sum(row.trained for row in visited),
        seconds=time.perf_counter() - started,
        processes=trainer.accelerator.num_processes,
    )


def as_dataset(rows: Sequence[PairRow]) -> Dataset:
    """The pairs under the names that TRL reads."""
    columns = {"prompt_ids": "prompt", "chosen_ids": "chosen", "rejected_ids": "rejected"}
    return Dataset.from_dict({name: [list(getattr(row, field)) for row in rows] for name, field in columns.items()})
