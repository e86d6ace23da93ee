"""Supervised fine-tuning of a LoRA adapter: a thin subclass of transformers' Trainer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from accelerate import PartialState
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments, set_seed

from .reporters import SILENT, Reporting
from .settings import TrainSettings, split_batch
from .tokens import TokenRow
from .trunk import Trunk

IGNORED = -100  # what cross_entropy passes over


@dataclass(frozen=True)
class Trained:
    """What one training came to. losses: of every update, in nats per trained token. seconds: wall time.

    processes: how many trained it together.
    """

    losses: list[float]
    updates: int
    tokens: int
    trained_tokens: int
    seconds: float
    processes: int = 1


Member = tuple[TokenRow, torch.Tensor | None]
Loss = Callable[..., torch.Tensor]  # of the arguments of `weighted_loss`
# Update -> what is called after it with the losses so far, to save the network as it then stands.
Keep = Mapping[int, Callable[[Sequence[float]], None]]


class Rows(Dataset[Member]):
    """Rows, each with the hidden states that enter the first adapted layer where these were computed beforehand."""

    def __init__(self, rows: Sequence[TokenRow], hidden: Sequence[torch.Tensor] | None) -> None:
        self.rows = rows
        self.hidden = hidden

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Member:
        return self.rows[index], self.hidden[index] if self.hidden is not None else None


class FixedBatches:
    """The planned batches, as the batch sampler of a DataLoader."""

    def __init__(self, batches: Sequence[Sequence[int]], batch_size: int) -> None:
        self.batches = batches
        self.batch_size = batch_size
        self.drop_last = False

    def __iter__(self) -> Iterator[Sequence[int]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


class Collate:
    """Rows to one batch, padded on the right.

    ids, weights and attention_mask have the shape (rows, length); inputs_embeds, where the trunk was run beforehand,
    (rows, length, hidden size).
    """

    def __init__(self, pad_token: int) -> None:
        self.pad_token = pad_token

    def __call__(self, members: Sequence[Member]) -> dict[str, torch.Tensor]:
        rows = [row for row, _ in members]
        length = max(len(row.ids) for row in rows)
        ids = torch.full((len(rows), length), self.pad_token)
        attention_mask = torch.zeros((len(rows), length), dtype=torch.long)
        weights = torch.zeros((len(rows), length))
        for index, row in enumerate(rows):
            size = len(row.ids)
            ids[index, :size] = torch.tensor(row.ids)
            weights[index, :size] = torch.tensor(row.weights)
            attention_mask[index, :size] = 1
        batch = {"ids": ids, "weights": weights, "attention_mask": attention_mask}
        hidden = [states for _, states in members if states is not None]
        return batch | ({"inputs_embeds": pad_sequence(hidden, batch_first=True)} if hidden else {})


@dataclass(frozen=True)
class MicroBatches:
    """The rows of one update to the micro batches that this process takes of them, each collated.

    Where there are several, each holds `whole`: what all weights of the update come to, by which its loss is divided.
    Gradients are averaged over processes, so every process has its part of that alone.
    """

    collate: Callable[[Sequence[Member]], dict[str, torch.Tensor]]
    micro: int | None
    process: int
    processes: int

    def __call__(self, members: Sequence[Member]) -> list[dict[str, torch.Tensor]]:
        parts = split_batch(range(len(members)), self.micro, process=self.process, processes=self.processes)
        if len(parts) == self.processes == 1:
            return [self.collate(members)]
        whole = torch.tensor(sum(sum(row.weights[1:]) for row, _ in members) / self.processes)
        nothing = [silent(min(members, key=lambda member: len(member[0].ids)))]
        found = [[members[place] for place in part] or nothing for part in parts]
        return [self.collate(part) | {"whole": whole} for part in found]


def silent(member: Member) -> Member:
    """The same row, counting nothing: what a process computes that has no row, while others do."""
    row, hidden = member
    return replace(row, weights=(0.0,) * len(row.weights)), hidden


def weighted_loss(
    logits: torch.Tensor, targets: torch.Tensor, shares: torch.Tensor, whole: torch.Tensor | None = None
) -> torch.Tensor:
    """Weighted mean cross-entropy, in nats. logits: shape (rows, columns, vocabulary); the others (rows, columns).

    whole: what the sum is divided by, where these rows are a part of an update; None: their own weights.
    """
    each = cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="none", ignore_index=IGNORED)
    return (each * shares.flatten()).sum() / (shares.sum() if whole is None else whole)


class SegmentTrainer(Trainer):
    """transformers' Trainer with planned batches, and the output head computed only where a token is trained.

    The loss is the weighted mean cross-entropy (nats) of a batch; with equal weights, that of plain TRL. An update is
    one step of the Trainer, whatever the number of its micro batches and of processes: the Trainer's own accumulation
    takes equally many of each update, and the last batch of an epoch may be smaller.
    """

    def __init__(
        self,
        *args: Any,
        batches: Sequence[Sequence[int]],
        micro: int | None = None,
        loss: Loss = weighted_loss,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.batches = batches
        self.micro = micro
        self.losses: list[float] = []
        self.loss = loss

    def get_train_dataloader(self) -> DataLoader[Member]:
        rows: Any = self.train_dataset
        batches: Any = FixedBatches(self.batches, self.args.train_batch_size)
        accelerator = self.accelerator
        collate: Any = self.data_collator
        parts = MicroBatches(collate, self.micro, accelerator.process_index, accelerator.num_processes)
        return DataLoader(rows, batch_sampler=batches, collate_fn=parts)

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """The gradient of one update, and its loss. inputs: its micro batches."""
        losses = []
        for part in inputs:
            losses.append(super().training_step(model, part))
        loss = torch.stack(losses).sum()
        self.losses.append(self.accelerator.reduce(loss, "mean").item())
        return loss

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        weights = inputs["weights"][:, 1:]
        columns = (weights > 0).any(0).nonzero()[:, 0]
        entry = "inputs_embeds" if "inputs_embeds" in inputs else "input_ids"
        outputs = model(
            **{entry: inputs.get("inputs_embeds", inputs["ids"])},
            attention_mask=inputs["attention_mask"],
            logits_to_keep=columns,
            use_cache=False,
        )
        shares = weights[:, columns]
        targets = inputs["ids"][:, 1:][:, columns].masked_fill(shares == 0, IGNORED)
        loss = self.loss(outputs.logits, targets, shares, inputs.get("whole"))
        return (loss, outputs) if return_outputs else loss


class Report(TrainerCallback):
    """Calls `progress(update, updates, loss)` after every update, and what `keep` has for that update."""

    def __init__(self, progress: Callable[[int, int, float], None], keep: Keep) -> None:
        self.progress = progress
        self.keep = keep
        self.losses: list[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.progress(state.global_step, state.max_steps, self.losses[-1])
        if state.global_step in self.keep:
            self.keep[state.global_step](self.losses)


def in_whole(trunk: Trunk | None, call: Callable[[Sequence[float]], None], losses: Sequence[float]) -> None:
    """The call, with the layers of a network that is split under their own names again."""
    with trunk.whole() if trunk else nullcontext():
        call(losses)


def train_adapter(
    network: Any,
    rows: Sequence[TokenRow],
    batches: Sequence[Sequence[int]],
    settings: TrainSettings,
    *,
    pad_token: int,
    seed: int,
    scratch: Path,
    trunk: Trunk | None = None,
    loss: Loss = weighted_loss,
    reporting: Reporting | None = None,
    progress: Callable[[int, int, float], None] = lambda update, updates, loss: None,
    keep: Keep = MappingProxyType({}),
) -> Trained:
    """Train the adapter of a PEFT network in place, one update a batch.

    trunk: where given, the frozen layers below the adapter are run once a row instead of once a visit.
    loss: `weighted_loss`, perhaps compiled.
    scratch: a folder that the Trainer may name but is not asked to write to.
    reporting: where every loss is reported too; it changes nothing that is trained.
    keep: what is called after certain updates; it changes nothing that is trained either.
    """
    set_seed(seed)
    arguments = TrainingArguments(
        **usual_arguments(network, settings, len(batches), seed, scratch, reporting),
        per_device_train_batch_size=settings.batch,
    )
    started = time.perf_counter()
    report = Report(progress, {update: partial(in_whole, trunk, kept) for update, kept in keep.items()})
    trainer = SegmentTrainer(
        model=network,
        args=arguments,
        train_dataset=Rows(rows, trunk.hidden_states(rows, pad_token) if trunk else None),
        data_collator=Collate(pad_token),
        callbacks=[report],
        batches=batches,
        micro=settings.micro_batch,
        loss=loss,
    )
    trainer.remove_callback(PrinterCallback)
    report.losses = trainer.losses
    network.train()
    with trunk.above() if trunk else nullcontext():
        trainer.train()
    if reporting:
        reporting.close()
    network.eval()
    visited = [rows[index] for batch in batches for index in batch]
    return Trained(
        losses=trainer.losses,
        updates=len(batches),
        tokens=sum(len(row.ids) for row in visited),
        trained_tokens=sum(row.trained for row in visited),
        seconds=time.perf_counter() - started,
        processes=trainer.accelerator.num_processes,
    )


def usual_arguments(
    network: Any, settings: TrainSettings, updates: int, seed: int, scratch: Path, reporting: Reporting | None
) -> dict[str, Any]:
    """What trainers of every kind are told alike."""
    return {
        **(reporting.arguments() if reporting else {"output_dir": str(scratch), **SILENT}),
        "max_steps": updates,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": settings.schedule,
        "warmup_steps": round(settings.warmup * updates),
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.clip,
        "optim": "adamw_torch_fused",
        "adam_beta2": settings.beta2,
        "save_strategy": "no",
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "seed": seed,
        "use_cpu": on_cpu(network),
    }


def on_cpu(network: Any) -> bool:
    """Where a network is trained: where it lies, but for one that accelerate will spread over the processes' GPUs."""
    if torch.distributed.is_initialized():
        return bool(PartialState().device.type == "cpu")
    return bool(next(network.parameters()).device.type == "cpu")
