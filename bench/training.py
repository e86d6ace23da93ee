"""Training: teachwhy against TRL's SFTTrainer. Same rows in the same order, same step-0 adapter, same updates."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from teachwhy.models import attach_new
from teachwhy.models.load import LanguageModel
from teachwhy.train.tokens import TokenRow

from .work import Work

ROWS = 96


def new_adapter(work: Work, model: LanguageModel) -> Any:
    train = work.study.settings.train
    return attach_new(model, rank=train.rank, alpha=train.alpha, targets=train.targets, seed=0, layers=train.layers)


class OurTraining:
    """As a worker of `teachwhy run` trains: bfloat16, compiled layers and loss, the frozen trunk run once."""

    def __init__(self, work: Work) -> None:
        from teachwhy.train.compiled import compile_training, compiler_found
        from teachwhy.train.supervised import weighted_loss
        from teachwhy.train.trunk import Trunk

        self.settings = work.study.settings.train
        self.rows = work.token_rows(ROWS)
        self.batches = work.batches(self.rows)
        self.model = work.our_model("bfloat16", for_training=True)
        self.network = new_adapter(work, self.model)
        self.trunk = Trunk(self.network, self.settings.layers) if self.settings.layers else None
        self.loss = weighted_loss
        if compiler_found():
            self.loss = compile_training(self.network, weighted_loss)

    def run(self) -> dict[str, Any]:
        from teachwhy.train.supervised import train_adapter

        with tempfile.TemporaryDirectory() as scratch:
            started = time.perf_counter()
            trained = train_adapter(
                self.network,
                self.rows,
                self.batches,
                self.settings,
                pad_token=self.model.chat.pad_token,
                seed=0,
                scratch=Path(scratch),
                trunk=self.trunk,
                loss=self.loss,
            )
            seconds = time.perf_counter() - started
        return {"seconds": seconds, "tokens": trained.tokens, "losses": trained.losses}

    warm_up = run


class TrlTraining:
    """As a TRL user trains: bfloat16 model under bf16 autocast, float32 adapter, no packing.

    TRL would recompute activations by default (gradient checkpointing) to save memory; that is switched off, in its
    favour. The rows come tokenised, in the order of our batches, with labels on the tokens that we train.
    """

    def __init__(self, work: Work) -> None:
        self.work = work
        self.settings = work.study.settings.train
        self.rows = work.token_rows(ROWS)
        self.batches = work.batches(self.rows)
        model = LanguageModel(work.plain_network("bfloat16"), work.chat, work.source, "cpu", "bfloat16")
        self.network = new_adapter(work, model)
        for parameter in self.network.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()

    def run(self) -> dict[str, Any]:
        from datasets import Dataset
        from trl import SFTConfig, SFTTrainer

        visited = [self.rows[index] for batch in self.batches for index in batch]
        dataset = Dataset.from_list([labelled(row) for row in visited])
        settings = self.settings
        with tempfile.TemporaryDirectory() as scratch:
            arguments = SFTConfig(
                output_dir=scratch,
                num_train_epochs=1,
                train_sampling_strategy="sequential",
                per_device_train_batch_size=settings.batch,
                learning_rate=settings.learning_rate,
                lr_scheduler_type=settings.schedule,
                warmup_steps=round(settings.warmup * len(self.batches)),
                weight_decay=settings.weight_decay,
                max_grad_norm=settings.clip,
                optim="adamw_torch",
                bf16=True,
                gradient_checkpointing=False,
                packing=False,
                max_length=None,
                dataset_kwargs={"skip_prepare_dataset": True},
                save_strategy="no",
                logging_steps=1,
                report_to=[],
                disable_tqdm=True,
                use_cpu=True,
            )
            started = time.perf_counter()
            trainer = SFTTrainer(
                model=self.network, args=arguments, train_dataset=dataset, processing_class=self.work.chat.tokenizer
            )
            trainer.train()
            seconds = time.perf_counter() - started
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        return {"seconds": seconds, "tokens": sum(len(row.ids) for row in visited), "losses": losses}

    warm_up = run


def labelled(row: TokenRow) -> dict[str, list[int]]:
    labels = [token if weight else -100 for token, weight in zip(row.ids, row.weights, strict=True)]
    return {"input_ids": list(row.ids), "labels": labels}


def compare(ours: dict[str, Any], peer: dict[str, Any]) -> dict[str, float]:
    """How far the losses (nats a trained token) of the first run are apart."""
    return {
        "updates": len(ours["losses"]),
        "first_loss_ours": ours["losses"][0],
        "first_loss_peer": peer["losses"][0],
        "largest_loss_difference": largest_difference(ours["losses"], peer["losses"]),
    }


def largest_difference(ours: Sequence[float], peer: Sequence[float]) -> float:
    return max(abs(a - b) for a, b in zip(ours, peer, strict=True))
