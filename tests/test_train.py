"""Training on the tiny model in float32: the same as plain TRL, on the right tokens, and repeatable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teachwhy.errors import ModelError
from teachwhy.models import LanguageModel, attach_new, find_model, load_model, load_weights, load_with_adapter
from teachwhy.models.load import ModelSource
from teachwhy.study.run import prepare_job
from teachwhy.study.study_file import read_study
from teachwhy.train.settings import TrainSettings, count_updates, plan_batches
from teachwhy.train.tokens import TokenRow

RECIPE = TrainSettings(
    epochs=5, batch=3, learning_rate=0.01, warmup=0.2, schedule="linear", clip=0.5, rank=4, alpha=8, compile=False
)
PROBE = "<|im_start|>user\nThe door has both.<|im_end|>\n<|im_start|>assistant\nAction: Lock it."


@pytest.fixture(scope="module")
def source(tiny_model: Path) -> ModelSource:
    return find_model(str(tiny_model), base_folder=tiny_model, say=print)


@pytest.fixture(scope="module")
def step_zero(source: ModelSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("step0")
    network(load_model(source, device="cpu", dtype="float32"), seed=3).save_pretrained(folder)
    return folder


@pytest.fixture
def token_rows(tiny_study: Path, tmp_path: Path) -> dict[str, Sequence[TokenRow]]:
    """Arm -> its six rows as tokens."""
    return dict(prepare_job(read_study(tiny_study), tmp_path / "runs", print).prepared.token_rows)


def network(model: LanguageModel, *, seed: int = 0) -> Any:
    return attach_new(model, rank=RECIPE.rank, alpha=RECIPE.alpha, targets=RECIPE.targets, seed=seed)


def batches_of(rows: Sequence[TokenRow]) -> list[list[int]]:
    updates = count_updates(len(rows), batch=RECIPE.batch, epochs=RECIPE.epochs)
    return plan_batches([row.shared for row in rows], batch=RECIPE.batch, updates=updates, seed=0)


def train(source: ModelSource, step_zero: Path, rows: Sequence[TokenRow], scratch: Path) -> Any:
    """(trained network, losses) of one training from the step-0 adapter."""
    from teachwhy.train.supervised import train_adapter

    model = load_model(source, device="cpu", dtype="float32")
    trained = network(model)
    load_weights(trained, step_zero)
    done = train_adapter(
        trained, rows, batches_of(rows), RECIPE, pad_token=model.chat.pad_token, seed=0, scratch=scratch
    )
    return trained, done.losses


def trl_losses(source: ModelSource, step_zero: Path, rows: Sequence[TokenRow], scratch: Path) -> list[float]:
    """The loss of every update of TRL's own SFTTrainer on the same rows, in the same order, with the same recipe."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    model = load_model(source, device="cpu", dtype="float32")
    peft_network = network(model)
    load_weights(peft_network, step_zero)
    order = [rows[index] for batch in batches_of(rows) for index in batch]
    labels = [[i if weight else -100 for i, weight in zip(row.ids, row.weights, strict=True)] for row in order]
    data = Dataset.from_dict({"input_ids": [list(row.ids) for row in order], "labels": labels})
    updates = len(order) // RECIPE.batch
    arguments = SFTConfig(
        output_dir=str(scratch),
        per_device_train_batch_size=RECIPE.batch,
        max_steps=updates,
        learning_rate=RECIPE.learning_rate,
        lr_scheduler_type=RECIPE.schedule,
        warmup_steps=round(RECIPE.warmup * updates),
        weight_decay=RECIPE.weight_decay,
        max_grad_norm=RECIPE.clip,
        optim="adamw_torch",
        train_sampling_strategy="sequential",
        dataset_kwargs={"skip_prepare_dataset": True},
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    trainer = SFTTrainer(model=peft_network, args=arguments, train_dataset=data, processing_class=model.chat.tokenizer)
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def test_the_losses_are_those_of_plain_trl(
    source: ModelSource, step_zero: Path, token_rows: dict[str, Sequence[TokenRow]], tmp_path: Path
) -> None:
    rows = token_rows["why"]
    _, ours = train(source, step_zero, rows, tmp_path / "ours")
    theirs = trl_losses(source, step_zero, rows, tmp_path / "theirs")
    assert len(ours) == len(theirs) == 10
    assert ours == pytest.approx(theirs, abs=1e-4)
    assert sum(ours[-2:]) < sum(ours[:2]) - 0.2


def test_one_seed_trains_the_same_bytes_twice(
    source: ModelSource, step_zero: Path, token_rows: dict[str, Sequence[TokenRow]], tmp_path: Path
) -> None:
    saved = []
    for name in ("first", "second"):
        trained, _ = train(source, step_zero, token_rows["what"], tmp_path / "scratch")
        trained.save_pretrained(tmp_path / name)
        saved.append((tmp_path / name / "adapter_model.safetensors").read_bytes())
    assert saved[0] == saved[1]
    assert saved[0] != (step_zero / "adapter_model.safetensors").read_bytes()


def test_one_seed_makes_the_same_step_zero(source: ModelSource, step_zero: Path, tmp_path: Path) -> None:
    for seed in (3, 4):
        network(load_model(source, device="cpu", dtype="float32"), seed=seed).save_pretrained(tmp_path / str(seed))
    same, other = ((tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("3", "4"))
    assert same == (step_zero / "adapter_model.safetensors").read_bytes() != other


def loss_and_gradient(trained: Any, rows: Sequence[TokenRow], pad_token: int, scratch: Path) -> tuple[float, float]:
    """Loss of one batch, and the norm of its gradient."""
    from transformers import TrainingArguments

    from teachwhy.train.supervised import Collate, SegmentTrainer

    arguments = TrainingArguments(output_dir=str(scratch), use_cpu=True, report_to=[])
    trainer = SegmentTrainer(model=trained, args=arguments, batches=[])
    trained.zero_grad()
    loss = trainer.compute_loss(trained, Collate(pad_token)([(row, None) for row in rows]))
    loss.backward()
    gradients = [parameter.grad for parameter in trained.parameters() if parameter.grad is not None]
    squares = sum(float(gradient.square().sum()) for gradient in gradients)
    return loss.item(), squares**0.5


def test_only_trained_tokens_count(
    source: ModelSource, token_rows: dict[str, Sequence[TokenRow]], tmp_path: Path
) -> None:
    """The last token of a row is only ever a target: without weight it may be anything, with weight it may not."""
    model = load_model(source, device="cpu", dtype="float32")
    trained, pad = network(model), model.chat.pad_token
    row = token_rows["why"][0]
    assert row.weights[-1] > 0
    assert row.weights[0] == 0

    def loss(last_token: int, last_weight: float) -> tuple[float, float]:
        changed = replace(row, ids=(*row.ids[:-1], last_token), weights=(*row.weights[:-1], last_weight))
        return loss_and_gradient(trained, [changed, token_rows["why"][1]], pad, tmp_path)

    assert loss(5, 0.0) == loss(6, 0.0)
    assert loss(5, 1.0) != loss(6, 1.0)
    assert loss(5, 1.0)[1] > 0


def test_a_row_without_weight_moves_nothing(
    source: ModelSource, token_rows: dict[str, Sequence[TokenRow]], tmp_path: Path
) -> None:
    model = load_model(source, device="cpu", dtype="float32")
    trained, pad = network(model), model.chat.pad_token
    counted, other = token_rows["why"][:2]
    silent = replace(other, weights=(0.0,) * len(other.ids))
    together = loss_and_gradient(trained, [counted, silent], pad, tmp_path)
    assert together == pytest.approx(loss_and_gradient(trained, [counted], pad, tmp_path), rel=1e-5)


@pytest.mark.parametrize("first_seed", [True, False], ids=["first seed", "second seed"])
def test_training_above_the_trunk_is_training_the_whole(
    source: ModelSource, token_rows: dict[str, Sequence[TokenRow]], tmp_path: Path, first_seed: bool
) -> None:
    """With an adapter on the last layer alone, running the layer below once a row changes nothing but the time."""
    from teachwhy.train.supervised import train_adapter
    from teachwhy.train.trunk import Trunk

    rows = token_rows["why"]
    losses = []
    for split in (True, False):
        model = load_model(source, device="cpu", dtype="float32")
        upper = attach_new(model, rank=4, alpha=8, targets="all-linear", seed=0, layers=1)
        assert {name.split("layers.")[1][0] for name, part in upper.named_parameters() if part.requires_grad} == {"1"}
        trunk = Trunk(upper, layers=1) if split else None
        if trunk and not first_seed:
            trunk.hidden_states(rows, model.chat.pad_token)
        trained = train_adapter(
            upper, rows, batches_of(rows), RECIPE, pad_token=model.chat.pad_token, seed=0, scratch=tmp_path, trunk=trunk
        )
        losses.append(trained.losses)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert losses[0][-1] < losses[0][0]


def test_the_trunk_keeps_what_the_seeds_of_an_arm_share(
    source: ModelSource, token_rows: dict[str, Sequence[TokenRow]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder, for every worker; what does not fit there is made again."""
    import torch

    from teachwhy.train import trunk as trunk_module

    model = load_model(source, device="cpu", dtype="float32")
    upper = attach_new(model, rank=4, alpha=8, targets="all-linear", seed=0, layers=1)
    pad = model.chat.pad_token
    folder = tmp_path / "trunk"
    found = trunk_module.Trunk(upper, 1, folder).hidden_states(token_rows["why"], pad)
    assert [state.shape for state in found] == [(len(row.ids), 32) for row in token_rows["why"]]
    (kept,) = folder.iterdir()
    monkeypatch.setattr(trunk_module, "KEPT_BYTES", kept.stat().st_size + 1)
    other = trunk_module.Trunk(upper, 1, folder)
    other.hidden_states(token_rows["what"], pad)
    assert list(folder.iterdir()) == [kept]
    monkeypatch.setattr(other, "computed", None)
    again = other.hidden_states(token_rows["why"], pad)
    assert all(torch.equal(a, b) for a, b in zip(found, again, strict=True))
    with pytest.raises(TypeError):
        other.hidden_states(token_rows["what"], pad)


def test_the_action_has_its_share_of_every_row_that_has_more(tiny_study: Path, tmp_path: Path) -> None:
    study = read_study(tiny_study)
    train = RECIPE.model_copy(update={"action_share": 0.7})
    study = replace(study, settings=study.settings.model_copy(update={"train": train}))
    rows = prepare_job(study, tmp_path / "runs", print).prepared.token_rows
    bare, beside = rows["what"][0], rows["why"][0]
    assert sum(bare.weights) == pytest.approx(1)
    assert sum(beside.weights) == pytest.approx(1)
    action = bare.trained
    assert sum(beside.weights[-action:]) == pytest.approx(0.7)
    assert beside.trained > action


def test_the_adapter_opens_in_plain_peft_and_says_the_same(
    source: ModelSource, step_zero: Path, token_rows: dict[str, Sequence[TokenRow]], tmp_path: Path
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    trained, _ = train(source, step_zero, token_rows["why"], tmp_path / "scratch")
    trained.save_pretrained(tmp_path / "adapter")
    merged, canary = load_with_adapter(source, tmp_path / "adapter", device="cpu", dtype="float32", probe=PROBE)
    plain = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(source.folder), str(tmp_path / "adapter"))
    ids = torch.tensor([merged.chat.tokens(PROBE)])
    with torch.no_grad():
        ours, theirs = merged.network(input_ids=ids).logits, plain.eval()(input_ids=ids).logits
        untrained = AutoModelForCausalLM.from_pretrained(source.folder)(input_ids=ids).logits
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    assert (ours - untrained).abs().max() > 0.01
    assert canary.applied
    assert canary.merged == pytest.approx(canary.peft, abs=1e-4)
    assert canary.base != canary.peft


def test_the_canary_refuses_an_adapter_that_changes_nothing(source: ModelSource, step_zero: Path) -> None:
    with pytest.raises(ModelError, match="not applied"):
        load_with_adapter(source, step_zero, device="cpu", dtype="float32", probe=PROBE)


@given(
    lengths=st.lists(st.integers(1, 300), min_size=1, max_size=70),
    batch=st.integers(1, 20),
    epochs=st.integers(1, 4),
    seed=st.integers(0, 2**31 - 1),
)
@settings(deadline=None)
def test_every_epoch_visits_every_row_once(lengths: list[int], batch: int, epochs: int, seed: int) -> None:
    updates = count_updates(len(lengths), batch=batch, epochs=epochs)
    planned = plan_batches(lengths, batch=batch, updates=updates, seed=seed)
    assert planned == plan_batches(lengths, batch=batch, updates=updates, seed=seed)
    per_epoch = len(planned) // epochs
    assert len(planned) == epochs * per_epoch == epochs * -(-len(lengths) // batch)
    for start in range(0, len(planned), per_epoch):
        visits = Counter(index for part in planned[start : start + per_epoch] for index in part)
        assert visits == Counter(range(len(lengths)))
    assert max(map(len, planned)) <= batch


@given(share=st.floats(0.01, 3), seed=st.integers(0, 100))
@settings(deadline=None)
def test_a_part_of_an_epoch_is_the_beginning_of_a_whole_one(share: float, seed: int) -> None:
    lengths = [7, 3, 9, 9, 1, 4, 4, 8, 2, 6]
    updates = count_updates(len(lengths), batch=2, epochs=share)
    assert updates == max(1, round(5 * share))
    part = plan_batches(lengths, batch=2, updates=updates, seed=seed)
    assert part == plan_batches(lengths, batch=2, updates=20, seed=seed)[:updates]


def test_twin_arms_have_the_same_batches_and_seeds_have_others(token_rows: dict[str, Sequence[TokenRow]]) -> None:
    what, why, swapped = (token_rows[arm] for arm in ("what", "why", "swapped"))
    assert batches_of(what) == batches_of(why) == batches_of(swapped)
    lengths = [row.shared for row in what]
    assert plan_batches(lengths, batch=1, updates=6, seed=0) != plan_batches(lengths, batch=1, updates=6, seed=1)
