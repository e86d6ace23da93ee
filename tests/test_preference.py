"""Preference training on the tiny model: as plain TRL, from the network as it stands, and nothing left over."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from teachwhy.data import Pair
from teachwhy.errors import ModelError
from teachwhy.models import (
    LanguageModel,
    attach_new,
    find_model,
    load_for_training,
    load_model,
    load_weights,
    load_with_adapter,
)
from teachwhy.models.load import ModelSource
from teachwhy.train.pairs import PairRow, tokenize_pairs
from teachwhy.train.settings import TrainSettings, count_updates, plan_batches

RECIPE = TrainSettings(
    epochs=4, batch=3, learning_rate=0.01, warmup=0.2, schedule="linear", clip=0.5, rank=4, alpha=8, compile=False
)
BETA = 0.5
THINGS = ("door", "lamp", "stove", "gate", "roof", "well")
PAIRS = [
    Pair(
        id=thing,
        messages=[{"role": "user", "content": f"The {thing} has both."}],
        chosen=f"Keep the {thing} safe{'.' if number % 2 else ', since people sleep.'}",
        rejected=f"Leave it{' as it is, whoever may come' if number % 3 else ''}.",
        chosen_by="writer",
        rejected_by="writer",
    )
    for number, thing in enumerate(THINGS)
]


@pytest.fixture(scope="module")
def source(tiny_model: Path) -> ModelSource:
    return find_model(str(tiny_model), base_folder=tiny_model, say=print)


@pytest.fixture(scope="module")
def taught(source: ModelSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter that an earlier stage has changed: it is not the base model's equal, as that of step 0 is."""
    import torch

    folder = tmp_path_factory.mktemp("taught")
    network = attached(load_model(source, device="cpu", dtype="float32"))
    torch.manual_seed(1)
    for name, part in network.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(part, std=0.5)
    network.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def rows(source: ModelSource) -> list[PairRow]:
    return tokenize_pairs(PAIRS, rendered(source), load_model(source, device="cpu").chat, 512)


def rendered(source: ModelSource) -> Callable[[Any], str]:
    chat = load_model(source, device="cpu").chat
    return lambda example: chat.prompt([message.model_dump() for message in example.messages])


def attached(model: LanguageModel, targets: str | list[str] = "all-linear") -> Any:
    return attach_new(model, rank=RECIPE.rank, alpha=RECIPE.alpha, targets=targets, seed=0)


def loaded(source: ModelSource, adapter: Path, dtype: str = "float32") -> tuple[Any, Any]:
    """(network with the adapter, its tokenizer)."""
    model = load_model(source, device="cpu", dtype=dtype, for_training=True)
    network = attached(model)
    load_weights(network, adapter)
    return network, model.chat.tokenizer


def batches_of(rows: Sequence[PairRow], epochs: float = RECIPE.epochs) -> list[list[int]]:
    updates = count_updates(len(rows), batch=RECIPE.batch, epochs=epochs)
    return plan_batches([row.shared for row in rows], batch=RECIPE.batch, updates=updates, seed=0)


def train(network: Any, tokenizer: Any, rows: Sequence[PairRow], scratch: Path, **changes: Any) -> Any:
    from teachwhy.train.preference import train_preferences

    given = {"batches": batches_of(rows), "settings": RECIPE, "beta": BETA, "seed": 0, "scratch": scratch} | changes
    return train_preferences(network, rows, tokenizer=tokenizer, **given)


def margins(network: Any, rows: Sequence[PairRow]) -> list[float]:
    """For each pair the log-probability (nats) of `chosen` less that of `rejected`, without TRL."""
    import torch

    def log_probability(prompt: Sequence[int], response: Sequence[int]) -> float:
        ids = torch.tensor([[*prompt, *response]])
        with torch.no_grad():
            each = network(input_ids=ids).logits[0, :-1].float().log_softmax(-1).gather(1, ids[0, 1:, None])
        return each[-len(response) :].sum().item()

    return [log_probability(row.prompt, row.chosen) - log_probability(row.prompt, row.rejected) for row in rows]


def loss_of(margins: Sequence[float], reference: Sequence[float]) -> float:
    """The loss of Rafailov et al. (2023), equation 7, averaged over pairs."""
    apart = [BETA * (now - before) for now, before in zip(margins, reference, strict=True)]
    return sum(math.log1p(math.exp(-one)) for one in apart) / len(apart)


def test_the_loss_falls_from_where_the_network_stands_and_every_margin_rises(
    source: ModelSource, taught: Path, rows: list[PairRow], tmp_path: Path
) -> None:
    network, tokenizer = loaded(source, taught)
    before = margins(network, rows)
    with network.disable_adapter():
        of_base = margins(network, rows)
    told: list[tuple[int, int, float]] = []
    done = train(network, tokenizer, rows, tmp_path / "scratch", progress=lambda *update: told.append(update))
    after = margins(network, rows)
    assert done.losses[0] == pytest.approx(math.log(2), abs=1e-6), "the reference is the network itself"
    assert abs(loss_of(before, of_base) - math.log(2)) > 0.01, "which is not what the base model says"
    assert done.losses[-1] < 0.5
    assert all(now > then for now, then in zip(after, before, strict=True))
    assert told == [(number, 8, loss) for number, loss in enumerate(done.losses, 1)]
    assert (done.updates, len(batches_of(rows))) == (8, 8)
    assert done.tokens == 4 * sum(row.length for row in rows)
    assert done.trained_tokens == 4 * sum(row.trained for row in rows)
    assert not any((tmp_path / "scratch").iterdir())


def test_every_loss_is_that_of_the_paper(
    source: ModelSource, taught: Path, rows: list[PairRow], tmp_path: Path
) -> None:
    """Against log-probabilities read from the logits, of the network as it stands after each update."""
    network, tokenizer = loaded(source, taught)
    reference = margins(network, rows)
    batches = batches_of(rows)
    expected = [math.log(2)]

    def note(losses: Sequence[float]) -> None:
        if len(losses) < len(batches):
            following = batches[len(losses)]
            now = margins(network, [rows[index] for index in following])
            expected.append(loss_of(now, [reference[index] for index in following]))

    keep = dict.fromkeys(range(1, len(batches) + 1), note)
    done = train(network, tokenizer, rows, tmp_path, keep=keep)
    assert done.losses == pytest.approx(expected, abs=1e-4)


def trl_losses(source: ModelSource, taught: Path, rows: Sequence[PairRow], scratch: Path) -> list[float]:
    """The loss of every update of TRL's own DPOTrainer on the texts of the same pairs, in the same order."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    network, tokenizer = loaded(source, taught)
    prompt = rendered(source)
    order = [PAIRS[index] for batch in batches_of(rows) for index in batch]
    texts = [{"prompt": prompt(one.as_example()), "chosen": one.chosen, "rejected": one.rejected} for one in order]
    updates = len(batches_of(rows))
    arguments = DPOConfig(
        output_dir=str(scratch),
        beta=BETA,
        per_device_train_batch_size=RECIPE.batch,
        max_steps=updates,
        learning_rate=RECIPE.learning_rate,
        lr_scheduler_type=RECIPE.schedule,
        warmup_steps=round(RECIPE.warmup * updates),
        weight_decay=RECIPE.weight_decay,
        max_grad_norm=RECIPE.clip,
        optim="adamw_torch",
        train_sampling_strategy="sequential",
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    trainer = DPOTrainer(
        model=network, args=arguments, train_dataset=Dataset.from_list(texts), processing_class=tokenizer
    )
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def test_the_losses_are_those_of_plain_trl(
    source: ModelSource, taught: Path, rows: list[PairRow], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "1")  # plain TRL tells its makers that it was used; not there
    ours = train(*loaded(source, taught), rows, tmp_path / "ours").losses
    theirs = trl_losses(source, taught, rows, tmp_path / "theirs")
    assert ours == pytest.approx(theirs, abs=1e-4)
    assert ours[-1] < ours[0] - 0.2


def test_only_the_adapter_changes_and_nothing_of_trl_is_left(
    source: ModelSource, taught: Path, rows: list[PairRow], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from trl.trainer import base_trainer

    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(base_trainer, "send_telemetry", lambda *args, **kwargs: pytest.fail("TRL was told"))
    network, tokenizer = loaded(source, taught)
    before = {name: part.clone() for name, part in network.state_dict().items()}
    trainable = [name for name, part in network.named_parameters() if part.requires_grad]
    model = network.get_base_model()
    model.config.pad_token_id = model.generation_config.bos_token_id = None
    model.generation_config.eos_token_id = [1, 7]
    model.config.use_cache = False  # as every training leaves it
    held = (model.forward, model.config.to_dict(), model.generation_config.to_dict())
    train(network, tokenizer, rows, tmp_path / "scratch")
    after = network.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert list(after) == list(before)
    assert changed == set(trainable)
    assert all("lora_" in name for name in trainable)
    assert [name for name, part in network.named_parameters() if part.requires_grad] == trainable
    assert list(network.peft_config) == network.active_adapters == ["default"]
    assert (model.forward, model.config.to_dict(), model.generation_config.to_dict()) == held
    network.save_pretrained(tmp_path / "saved")
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == sorted(p.name for p in taught.iterdir())
    for name in ("adapter_config.json", "README.md"):
        assert (tmp_path / "saved" / name).read_bytes() == (taught / name).read_bytes()


def test_the_adapter_opens_in_plain_peft(
    source: ModelSource, taught: Path, rows: list[PairRow], tmp_path: Path
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    network, tokenizer = loaded(source, taught)
    train(network, tokenizer, rows, tmp_path / "scratch")
    network.save_pretrained(tmp_path / "saved")
    plain = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(source.folder), str(tmp_path / "saved"))
    assert margins(plain.eval(), rows) == pytest.approx(margins(network, rows), abs=1e-4)
    _, canary = load_with_adapter(source, tmp_path / "saved", device="cpu", dtype="float32", probe="The door has both.")
    assert canary.applied


def test_one_seed_trains_the_same_bytes_twice_whatever_the_network_was_used_for_before(
    source: ModelSource, taught: Path, rows: list[PairRow], tmp_path: Path
) -> None:
    saved = []
    network, tokenizer = loaded(source, taught)
    for name in ("first", "second"):
        load_weights(network, taught)
        train(network, tokenizer, rows, tmp_path / "scratch")
        network.save_pretrained(tmp_path / name)
        saved.append((tmp_path / name / "adapter_model.safetensors").read_bytes())
    other, tokenizer = loaded(source, taught)
    train(other, tokenizer, rows, tmp_path / "scratch")
    other.save_pretrained(tmp_path / "other")
    assert saved[0] == saved[1] == (tmp_path / "other" / "adapter_model.safetensors").read_bytes()
    assert saved[0] != (taught / "adapter_model.safetensors").read_bytes()


def test_what_is_kept_on_the_way_is_a_plain_adapter_of_that_moment(
    source: ModelSource, taught: Path, rows: list[PairRow], tmp_path: Path
) -> None:
    network, tokenizer = loaded(source, taught)
    seen: list[int] = []

    def save(losses: Sequence[float]) -> None:
        seen.append(len(losses))
        network.save_pretrained(tmp_path / str(len(losses)))

    train(network, tokenizer, rows, tmp_path / "scratch", keep={2: save, 8: save})
    network.save_pretrained(tmp_path / "end")
    assert seen == [2, 8]
    files = {name: sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("2", "8", "end")}
    assert files["2"] == files["8"] == files["end"]
    weights = {name: (tmp_path / name / "adapter_model.safetensors").read_bytes() for name in files}
    assert weights["2"] != weights["8"] == weights["end"]
    assert json.loads((tmp_path / "2" / "adapter_config.json").read_text())["r"] == RECIPE.rank


def test_a_batch_in_parts_is_the_batch_at_once(
    source: ModelSource, taught: Path, rows: list[PairRow], tmp_path: Path
) -> None:
    """Also the last batch of an epoch, which is smaller, and a batch that its parts do not divide evenly."""
    recipe = RECIPE.model_copy(update={"batch": 4})
    updates = count_updates(len(rows), batch=4, epochs=4)
    batches = plan_batches([row.shared for row in rows], batch=4, updates=updates, seed=0)
    assert {len(batch) for batch in batches} == {4, 2}
    found = []
    for micro in (None, 1, 3):
        network, tokenizer = loaded(source, taught)
        settings = recipe.model_copy(update={"micro_batch": micro})
        done = train(network, tokenizer, rows, tmp_path, settings=settings, batches=batches)
        found.append([*done.losses, *margins(network, rows)])
        assert len(done.losses) == len(batches)
    assert found[1] == pytest.approx(found[0], abs=1e-3)
    assert found[2] == pytest.approx(found[0], abs=1e-3)


def test_training_begins_at_a_ratio_of_one_in_bfloat16_too(
    source: ModelSource, taught: Path, rows: list[PairRow], tmp_path: Path
) -> None:
    """The reference reads a pair in the batch in which it is trained first, so both round alike."""
    done = train(*loaded(source, taught, "bfloat16"), rows, tmp_path)
    assert done.losses[0] == pytest.approx(math.log(2), abs=1e-6)


def test_own_weights_are_computed_in_bfloat16_past_trls_own_forward(
    source: ModelSource, rows: list[PairRow], tmp_path: Path
) -> None:
    """TRL puts a forward pass of its own in the place of the one under autocast."""
    import torch

    own = TrainSettings(adapter="none").trainable
    model, network = load_for_training(source, own, device="cpu", dtype="bfloat16")
    seen: set[torch.dtype] = set()
    layer = network.model.layers[0].mlp.up_proj
    layer.register_forward_hook(lambda module, inputs, output: seen.add(output.dtype))
    settings = RECIPE.model_copy(update={"adapter": "none", "learning_rate": 1e-4})
    done = train(network, model.chat.tokenizer, rows, tmp_path, settings=settings)
    assert done.losses[0] == pytest.approx(math.log(2), abs=1e-6)
    assert seen == {torch.bfloat16}
    assert layer.weight.dtype == torch.float32
    seen.clear()
    network(input_ids=torch.tensor([rows[0].prompt]))
    assert seen == {torch.bfloat16}, "as before the stage"


def test_a_models_own_weights_are_trained_from_where_they_stand(
    source: ModelSource, rows: list[PairRow], tmp_path: Path
) -> None:
    """Without an adapter too the reference is the network handed over, and no second model is read."""
    import torch

    model = load_model(source, device="cpu", dtype="float32")
    network = model.network
    torch.manual_seed(2)
    with torch.no_grad():
        for part in network.parameters():
            part.add_(torch.randn_like(part), alpha=0.05)
    before, forward = margins(network, rows), network.forward
    done = train(network, model.chat.tokenizer, rows, tmp_path / "scratch")
    assert done.losses[0] == pytest.approx(math.log(2), abs=1e-6)
    assert all(now > then for now, then in zip(margins(network, rows), before, strict=True))
    assert network.forward == forward


def test_a_part_of_an_epoch_reads_no_other_pair(
    source: ModelSource, taught: Path, rows: list[PairRow], tmp_path: Path
) -> None:
    batches = batches_of(rows, epochs=0.5)
    visited = [rows[index] for index in batches[0]]
    assert len(batches) == 1
    spoilt = [row if row in visited else PairRow(row.example, (10**6,), (10**6,), (10**6,)) for row in rows]
    done = train(*loaded(source, taught), spoilt, tmp_path, batches=batches)
    assert done.losses == [pytest.approx(math.log(2), abs=1e-6)]
    assert done.tokens == sum(row.length for row in visited)


def test_an_adapted_head_is_refused_and_nothing_is_left_behind(
    source: ModelSource, rows: list[PairRow], tmp_path: Path
) -> None:
    model = load_model(source, device="cpu", dtype="float32")
    network = attached(model, ["q_proj", "lm_head"])
    with pytest.raises(ModelError, match="output head"):
        train(network, model.chat.tokenizer, rows, tmp_path)
    assert list(network.peft_config) == ["default"]
