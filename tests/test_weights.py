"""A model's own weights: trained where asked and nowhere else, saved for plain transformers, examined as trained."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import test_preference_stage as preferences
import test_reinforce_stage as reinforcement
import tiny
from bad_input import assert_refused
from in_process import run_here, run_study_here
from test_reinforce_stage import lively_model as lively_model
from test_run import adapters, arm_of

from teachwhy.errors import InputError, ModelError
from teachwhy.evals.rewards import Reward
from teachwhy.inspect.arms import load_arm
from teachwhy.models import (
    Trainable,
    check_four_bit,
    find_model,
    load_for_training,
    load_model,
    load_trained,
    load_weights,
    save_trained,
    weights,
)
from teachwhy.models.load import ModelSource
from teachwhy.study import run as run_module
from teachwhy.study import run_study
from teachwhy.study.ask import ask_run
from teachwhy.study.run import Run, prepare_job
from teachwhy.study.study_file import read_study
from teachwhy.train.settings import TrainSettings, count_updates, plan_batches
from teachwhy.train.tokens import TokenRow

RECIPE = TrainSettings(adapter="none", epochs=4, batch=3, learning_rate=3e-3, clip=0.5, compile=False)
OWN = RECIPE.trainable
PROBE = "<|im_start|>user\nThe door has both.<|im_end|>\n<|im_start|>assistant\nAction: Lock it."
SILENT: Callable[[str], None] = lambda text: None  # noqa: E731


@pytest.fixture(scope="module")
def source(tiny_model: Path) -> ModelSource:
    return find_model(str(tiny_model), base_folder=tiny_model, say=print)


@pytest.fixture
def rows(tiny_study: Path, tmp_path: Path) -> Sequence[TokenRow]:
    return prepare_job(read_study(tiny_study), tmp_path / "runs", print).prepared.token_rows["why"]


def train(loaded: Any, rows: Sequence[TokenRow], scratch: Path, trunk: Any = None, **changes: Any) -> list[float]:
    """The losses of a training of (model, network) as it stands."""
    from teachwhy.train.supervised import train_adapter

    model, network = loaded
    settings = RECIPE.model_copy(update=changes)
    updates = count_updates(len(rows), batch=settings.batch, epochs=settings.epochs)
    batches = plan_batches([row.shared for row in rows], batch=settings.batch, updates=updates, seed=0)
    pad = model.chat.pad_token
    return train_adapter(network, rows, batches, settings, pad_token=pad, seed=0, scratch=scratch, trunk=trunk).losses


def loaded(source: ModelSource, trainable: Trainable = OWN, dtype: str = "float32") -> Any:
    return load_for_training(source, trainable, device="cpu", dtype=dtype)


def base_weights(source: ModelSource) -> dict[str, Any]:
    return dict(load_model(source, device="cpu", dtype="float32").network.named_parameters())


def moved(source: ModelSource, network: Any) -> set[str]:
    """The names of the weights that are not those of the base model to the last bit."""
    import torch

    base = base_weights(source)
    found = dict(network.named_parameters())
    assert found.keys() == base.keys()
    return {name for name, weight in found.items() if not torch.equal(weight.detach(), base[name])}


def test_all_weights_are_trained_and_the_loss_falls(
    source: ModelSource, rows: Sequence[TokenRow], tmp_path: Path
) -> None:
    model, network = loaded(source)
    losses = train((model, network), rows, tmp_path)
    assert losses[-1] < losses[0] - 0.2
    assert moved(source, network) == set(base_weights(source))


def test_with_layers_the_last_ones_alone_are_trained(
    source: ModelSource, rows: Sequence[TokenRow], tmp_path: Path
) -> None:
    """The same whether the layers below are run once a row or with every batch."""
    from teachwhy.train.trunk import Trunk

    last = {name for name in base_weights(source) if ".layers.1." in name}
    assert last
    losses = []
    for split in (True, False):
        model, network = loaded(source, replace(OWN, layers=1))
        trunk = Trunk(network, layers=1) if split else None
        losses.append(train((model, network), rows, tmp_path, trunk, layers=1))
        assert moved(source, network) == last
    assert losses[0][-1] < losses[0][0]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_every_training_starts_from_the_base_model_and_comes_to_the_same_bytes(
    source: ModelSource, rows: Sequence[TokenRow], tmp_path: Path
) -> None:
    """Also the second one of a worker, which keeps its network; and of a stage that goes on from another."""
    model, network = loaded(source)
    saved, losses = [], []
    for name in ("first", "second"):
        load_weights(network, Path(source.folder))
        assert not moved(source, network)
        losses.append(train((model, network), rows, tmp_path / "scratch"))
        save_trained(model, network, str(tmp_path / name))
        saved.append((tmp_path / name / "model.safetensors").read_bytes())
    assert saved[0] == saved[1]
    assert losses[0] == losses[1]
    load_weights(network, Path(source.folder))
    load_weights(network, tmp_path / "first")
    assert train((model, network), rows, tmp_path / "scratch")[0] < losses[0][-1]


def test_what_is_saved_opens_in_plain_transformers_and_is_what_the_exam_sees(
    source: ModelSource, rows: Sequence[TokenRow], tmp_path: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, network = loaded(source)
    train((model, network), rows, tmp_path / "scratch")
    save_trained(model, network, str(tmp_path / "saved"))
    examined, canary = load_trained(source, tmp_path / "saved", device="cpu", dtype="float32", probe=PROBE)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    ids = AutoTokenizer.from_pretrained(tmp_path / "saved")(PROBE, return_tensors="pt")["input_ids"]
    assert ids.tolist() == [examined.chat.tokens(PROBE)]
    with torch.no_grad():
        ours, theirs = examined.network(input_ids=ids).logits, plain(input_ids=ids).logits
    torch.testing.assert_close(ours, theirs)
    assert canary.applied
    assert canary.base < canary.peft == canary.merged, "it was taught to say this"
    assert find_model(str(tmp_path / "saved"), base_folder=tmp_path, say=print).fingerprint != source.fingerprint


def test_the_canary_refuses_weights_that_are_those_of_the_base(source: ModelSource, tmp_path: Path) -> None:
    model, network = loaded(source)
    save_trained(model, network, str(tmp_path / "saved"))
    with pytest.raises(ModelError, match="not applied"):
        load_trained(source, tmp_path / "saved", device="cpu", dtype="float32", probe=PROBE)


def test_updates_that_bfloat16_would_round_away_are_kept(
    source: ModelSource, rows: Sequence[TokenRow], tmp_path: Path
) -> None:
    """Products are in bfloat16, the weights are not."""
    import torch

    model, network = loaded(source, dtype="bfloat16")
    assert model.dtype == "bfloat16"
    ids = torch.tensor([model.chat.tokens(PROBE)])
    assert network(input_ids=ids).logits.dtype == torch.bfloat16
    losses = train((model, network), rows, tmp_path, learning_rate=1e-5)
    assert losses[-1] < losses[0]
    base = base_weights(source)
    name = "model.layers.0.mlp.up_proj.weight"
    weight = dict(network.named_parameters())[name].detach()
    assert weight.dtype == torch.float32
    changed = weight != base[name]
    assert changed.float().mean() > 0.9
    assert (weight.bfloat16() == base[name].bfloat16())[changed].float().mean() > 0.3, "what rounding would lose"
    save_trained(model, network, str(tmp_path / "saved"))
    load_weights(network, Path(source.folder))
    load_weights(network, tmp_path / "saved")
    assert torch.equal(dict(network.named_parameters())[name].detach(), weight)


def test_stamps_tell_own_weights_from_an_adapter_and_leave_out_what_has_no_part_in_them() -> None:
    lora = RECIPE.model_copy(update={"adapter": "lora"})
    assert not {"adapter", "quantize"} & lora.recipe().keys(), "as before there was a choice"
    assert RECIPE.recipe() != lora.recipe()
    assert RECIPE.model_copy(update={"rank": 7}).recipe() == RECIPE.recipe()
    assert lora.model_copy(update={"rank": 7}).recipe() != lora.recipe()
    assert lora.model_copy(update={"quantize": "4bit"}).recipe() == {**lora.recipe(), "quantize": "4bit"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Run:
    folder = tmp_path_factory.mktemp("own")
    recipe = {"adapter": "none", "epochs": 4, "batch": 3, "learning_rate": 3e-3, "compile": False}
    study = tiny.build_tiny_study(folder, tiny_model, train=recipe, arms=["base", "what", "why", "swapped"], seeds=[0])
    return run_study_here(study, runs=folder / "runs")


def test_a_study_of_own_weights_runs_from_end_to_end(finished: Run) -> None:
    assert finished.failures == {}
    assert arm_of(finished.results, "why")["state"] == "done"
    assert not (finished.folder / "train" / "step0").exists(), "all arms start from the base model itself"
    assert not adapters(finished.folder)
    for canary in finished.results["canaries"]:
        assert canary["base"] != canary["merged"] == canary["peft"]
    files = json.loads((finished.folder / "train" / "why" / "seed-0" / "train.json").read_text())["files"]
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= files.keys()
    page = finished.report.read_text()
    assert "fine-tuning of the model&#39;s own weights" in page or "fine-tuning of the model's own weights" in page
    said = dict(ask_run(finished.folder, "The door has both.", arms=None, seed=None, runs=Path(), say=SILENT))
    assert said.keys() == {"base", "what", "why", "swapped"}
    why = load_arm(f"{finished.folder}:why:0")
    assert why.canary["base"] != why.canary["merged"]


def test_weights_that_were_damaged_are_trained_again(finished: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "run_units", run_here)
    weights = finished.folder / "train" / "what" / "seed-0" / "model.safetensors"
    before = weights.read_bytes()
    weights.write_bytes(before[:-1] + b"\x00\x00")
    said: list[str] = []
    study, runs = finished.folder.parents[2] / "study.yaml", finished.folder.parents[1]
    again = run_study(study, runs=runs, say=said.append)
    assert again.failures == {}
    assert [text for text in said if "not as written" in text and text.startswith("what/seed-0")]
    assert weights.read_bytes() == before
    assert again.results == finished.results


@pytest.mark.parametrize("missing", ["CUDA", "bitsandbytes"])
def test_four_bits_are_refused_where_they_cannot_be_had(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "find_spec", lambda name: None if missing == "bitsandbytes" else object())
    with pytest.raises(ModelError, match="on a CUDA device only" if missing == "CUDA" else "not installed") as refused:
        check_four_bit("cpu" if missing == "CUDA" else "cuda")
    assert "train.quantize" in refused.value.where
    assert refused.value.remedy
    monkeypatch.setattr(weights, "find_spec", lambda name: object())
    check_four_bit("cuda")


def test_a_study_in_four_bits_is_refused_before_it_begins(
    tmp_path: Path, tiny_model: Path, teachwhy: Callable[..., Any]
) -> None:
    study = tiny.build_tiny_study(tmp_path / "study", tiny_model, train={"quantize": "4bit"})
    assert_refused(teachwhy("run", study, "--runs", tmp_path / "runs"), "CUDA device only", "train.quantize")
    assert not (tmp_path / "runs").exists()
    own = tiny.build_tiny_study(tmp_path / "study", tiny_model, train={"quantize": "4bit", "adapter": "none"})
    assert_refused(teachwhy("check", own), "`quantize` needs `adapter: lora`", "'train'")


def test_own_weights_go_through_every_kind_of_stage(
    tmp_path: Path, lively_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each from where the one before it ended, and the references of DPO and GRPO are what they began with."""
    recipe = {"adapter": "none", "epochs": 2, "batch": 3, "learning_rate": 1e-3, "compile": False}
    trees = reinforcement.TREES | {"kl": 0.1, "metrics": ["correct_by_choice"]}
    stages = [reinforcement.EXAMPLES, preferences.PREFERENCE, trees]
    study = reinforcement.build(tmp_path / "study", lively_model, *stages, train=recipe)
    tiny.write_jsonl(study.parent / "pairs.jsonl", preferences.pairs())
    monkeypatch.setattr(run_module, "run_units", run_here)
    monkeypatch.setattr(Reward, "of", lambda self, case, answer: answer.text.count("e") / (1 + len(answer.text)))
    done = run_study(study, arms=["acted"], runs=tmp_path / "runs", say=SILENT)
    assert done.failures == {}
    train = done.folder / "train"
    first = json.loads((train / "acted@preference" / "seed-0" / "train.json").read_text())["losses"][0]
    assert first == pytest.approx(math.log(2), abs=1e-5), "its reference is what it began with"
    saved = {file.parent.parent.name: file.read_bytes() for file in train.rglob("model.safetensors")}
    assert saved.keys() == {"acted@examples", "acted@preference", "acted"}
    assert len(set(saved.values())) == 3


def test_a_stage_that_takes_a_batch_at_once_refuses_micro_batches(tmp_path: Path, tiny_model: Path) -> None:
    study = reinforcement.build(tmp_path, tiny_model, train={"batch": 3, "micro_batch": 1, "compile": False})
    with pytest.raises(InputError, match="'reinforce' computes each batch at once"):
        reinforcement.prepared(study)
