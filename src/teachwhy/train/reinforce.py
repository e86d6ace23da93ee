"""Reinforcement by GRPO: a thin subclass of TRL's GRPOTrainer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from datasets import Dataset
from torch.func import functional_call
from torch.utils.data import DataLoader
from transformers import PrinterCallback, TrainerCallback, set_seed
from trl import GRPOConfig, GRPOTrainer

from ..models import Chat, keep_bfloat16
from .over_trl import Unannounced, left_as_it_was, refuse_adapted_head
from .reporters import Reporting
from .settings import TrainSettings
from .supervised import FixedBatches, Keep, Trained, usual_arguments
from .tasks import LOWEST, Reward, TaskRow


@dataclass(frozen=True, kw_only=True)
class Reinforced(Trained):
    """rewards: the mean over the answers of every update. unread: share of all answers that could not be read.

    The losses tell nothing of what is learnt: where each answer serves one update they are 0 up to rounding, or the
    divergence from the reference where that counts.
    """

    rewards: list[float]
    unread: float


class AsItWas(torch.nn.Module):
    """A network with the adapter or weights that it has now, whatever is trained of it afterwards."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = [network]  # in a list, so that its weights are not taken for weights of this one
        named = network.named_parameters()
        self.held = {name: weight.detach().clone() for name, weight in named if weight.requires_grad}

    def forward(self, **inputs: Any) -> Any:
        return functional_call(self.network[0], self.held, kwargs=inputs)


class TaskTrainer(Unannounced, GRPOTrainer):
    """TRL's GRPOTrainer with prompts that are tokens already, in planned batches, each prompt answered `group` times.

    The reference is the network as it is handed over. TRL would make it a second adapter, which would be saved with the
    first at every checkpoint, or load the bare model anew; so its own divergence is off, and on again with this one.
    """

    def __init__(
        self, rows: Sequence[TaskRow], batches: Sequence[Sequence[int]], reward: Reward, kl: float, **kwargs: Any
    ) -> None:
        self.rows = rows
        self.batches = batches
        self.reward = reward
        self.losses: list[float] = []
        self.rewards: list[float] = []
        self.answers = 0
        self.unread = 0
        self.written = 0
        rewarded: Any = self.rewarded
        super().__init__(reward_funcs=[rewarded], train_dataset=as_dataset(rows), **kwargs)
        self.beta = kl
        self.ref_model: Any = AsItWas(self.model) if kl else None

    def get_train_dataloader(self) -> DataLoader[Any]:
        rows: Any = self.train_dataset
        group: Any = self.num_generations
        repeated = [[index for index in batch for _ in range(group)] for batch in self.batches]
        batches: Any = FixedBatches(repeated, self.args.train_batch_size)
        loader: DataLoader[Any] = DataLoader(rows, batch_sampler=batches, collate_fn=self.data_collator)
        prepared: DataLoader[Any] = self.accelerator.prepare(loader)
        return prepared

    def _tokenize_prompts(self, prompts: list[Any]) -> tuple[list[Any], None, dict[str, Any]]:
        """They are tokens."""
        return prompts, None, {}

    def _generate_single_turn(self, *args: Any, **kwargs: Any) -> Any:
        """With the last column of the prompts copied before the output head; `models.prefix.last_column` says why."""
        network: Any = self.model
        copying = network.get_output_embeddings().register_forward_pre_hook(
            lambda head, given: (given[0].contiguous(),)
        )
        try:
            return super()._generate_single_turn(*args, **kwargs)
        finally:
            copying.remove()

    def rewarded(
        self, completions: Sequence[str], completion_ids: Sequence[Sequence[int]], row: Sequence[int], **_: Any
    ) -> list[float]:
        """What the answers of one update are worth, noted down. completions: as text."""
        found = self.reward([self.rows[index] for index in row], completions)
        values = [LOWEST if value is None else value for value in found]
        self.rewards.append(sum(values) / len(values))
        self.answers += len(values)
        self.unread += sum(value is None for value in found)
        self.written += sum(map(len, completion_ids))
        return values

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        loss = super().compute_loss(*args, **kwargs)
        self.losses.append(loss.item())
        return loss


class ReportRewards(TrainerCallback):
    """Calls `progress(update, updates, mean reward)` after every update, and what `keep` has for that update."""

    def __init__(self, progress: Callable[[int, int, float], None], keep: Keep) -> None:
        self.progress = progress
        self.keep = keep
        self.losses: list[float] = []
        self.rewards: list[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.progress(state.global_step, state.max_steps, self.rewards[-1])
        if state.global_step in self.keep:
            self.keep[state.global_step](self.losses)


def train_reinforced(
    network: Any,
    rows: Sequence[TaskRow],
    batches: Sequence[Sequence[int]],
    settings: TrainSettings,
    reward: Reward,
    *,
    group: int,
    max_new_tokens: int,
    chat: Chat,
    seed: int,
    scratch: Path,
    temperature: float = 1.0,
    kl: float = 0.0,
    reporting: Reporting | None = None,
    progress: Callable[[int, int, float], None] = lambda update, updates, reward: None,
    keep: Keep = MappingProxyType({}),
) -> Reinforced:
    """Train a network, or the adapter of a PEFT network, in place by GRPO (Shao et al. 2024), one update a batch.

    The batch is of prompts, each answered `group` times by the network as it stands. The advantage of an answer is its
    reward less the mean of its group, over the group's standard deviation, and every token of it has that advantage.
    Each answer serves one update. A group whose answers are all worth the same teaches nothing.

    Errors (ModelError): an adapter on the output head.

    group: answers to each prompt, at least 2. max_new_tokens: an answer is cut after so many. temperature: what the
    logits are divided by, in drawing and in training. chat: of the model; its stop tokens end an answer and are learnt
    with it. kl: weight of the divergence (nats a token) from the reference, which is the network as it is handed over;
    with 0 there is none.
    scratch, reporting, keep: as `train_adapter` takes them. progress: is told the mean reward of each update.
    """
    refuse_adapted_head(network)
    set_seed(seed)
    arguments = GRPOConfig(
        **usual_arguments(network, settings, len(batches), seed, scratch, reporting),
        num_generations=group,
        max_completion_length=max_new_tokens,
        temperature=temperature,
        generation_kwargs={"eos_token_id": chat.stop_tokens},
        loss_type="grpo",
        gradient_checkpointing=False,
        bf16=False,
        per_device_train_batch_size=group * max(map(len, batches)),
    )
    started = time.perf_counter()
    report = ReportRewards(progress, keep)
    # Layers that were compiled for whole rows would be compiled again and again as answers grow.
    with left_as_it_was(network), torch.compiler.set_stance("force_eager"):
        trainer = TaskTrainer(
            model=network,
            args=arguments,
            processing_class=chat.tokenizer,
            callbacks=[report],
            rows=rows,
            batches=batches,
            reward=reward,
            kl=kl,
        )
        trainer.eos_token_ids = chat.stop_tokens
        keep_bfloat16(network)
        trainer.remove_callback(PrinterCallback)
        report.losses, report.rewards = trainer.losses, trainer.rewards
        network.train()
        trainer.train()
    if reporting:
        reporting.close()
    network.eval()
    read = group * sum(rows[index].length for batch in batches for index in batch)
    return Reinforced(
        losses=trainer.losses,
        updates=len(batches),
        tokens=read + trainer.written,
        trained_tokens=trainer.written,
        seconds=time.perf_counter() - started,
        rewards=trainer.rewards,
        unread=trainer.unread / trainer.answers,
    )


def as_dataset(rows: Sequence[TaskRow]) -> Dataset:
    """The prompts under the name that TRL reads, each with its place among the rows."""
    return Dataset.from_dict({"prompt": [list(row.ids) for row in rows], "row": list(range(len(rows)))})
