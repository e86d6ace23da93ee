"""Micro batches: a batch in parts gives the loss and the adapter of the batch at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teachwhy.models import attach_new, find_model, load_model
from teachwhy.models.load import ModelSource
from teachwhy.study.run import prepare_job
from teachwhy.study.study_file import read_study
from teachwhy.train.settings import TrainSettings, count_updates, plan_batches, split_batch
from teachwhy.train.tokens import TokenRow

RECIPE = TrainSettings(epochs=3, batch=8, learning_rate=0.01, clip=0.5, rank=4, alpha=8, compile=False)


@pytest.fixture(scope="module")
def source(tiny_model: Path) -> ModelSource:
    return find_model(str(tiny_model), base_folder=tiny_model, say=print)


def rows_of(study_path: Path, runs: Path, action_share: float | None) -> list[TokenRow]:
    """Twelve rows, half of them long and half short: their batches of eight are a whole one and a half one."""
    study = read_study(study_path)
    train = study.settings.train.model_copy(update={"action_share": action_share})
    study = replace(study, settings=study.settings.model_copy(update={"train": train}))
    rows = prepare_job(study, runs, print).prepared.token_rows
    return [*rows["what"], *rows["why"]]


def trained(
    source: ModelSource, rows: Sequence[TokenRow], micro: int | None, scratch: Path
) -> tuple[list[float], list[tuple[int, float]], dict[str, Any]]:
    """Losses, what `progress` was told, and the adapter of one training."""
    from peft import get_peft_model_state_dict

    from teachwhy.train.supervised import train_adapter

    settings = RECIPE.model_copy(update={"micro_batch": micro})
    model = load_model(source, device="cpu", dtype="float32")
    network = attach_new(model, rank=4, alpha=8, targets="all-linear", seed=0)
    updates = count_updates(len(rows), batch=settings.batch, epochs=settings.epochs)
    batches = plan_batches([row.shared for row in rows], batch=settings.batch, updates=updates, seed=0)
    assert sorted(map(len, batches)) == [4, 4, 4, 8, 8, 8]
    told: list[tuple[int, float]] = []
    done = train_adapter(
        network,
        rows,
        batches,
        settings,
        pad_token=model.chat.pad_token,
        seed=0,
        scratch=scratch,
        progress=lambda update, updates, loss: told.append((update, loss)),
    )
    return done.losses, told, get_peft_model_state_dict(network)


@pytest.mark.parametrize("action_share", [None, 0.7], ids=["by tokens", "with a share for the action"])
def test_a_batch_in_parts_is_the_batch_at_once(
    source: ModelSource, tiny_study: Path, tmp_path: Path, action_share: float | None
) -> None:
    rows = rows_of(tiny_study, tmp_path / "runs", action_share)
    assert len({len(row.ids) for row in rows}) > 2
    assert len({row.trained for row in rows}) > 2
    losses, _, adapter = trained(source, rows, None, tmp_path)
    assert losses[-1] < losses[0]
    for micro in (1, 3):
        in_parts, told, other = trained(source, rows, micro, tmp_path)
        assert in_parts == pytest.approx(losses, abs=1e-5)
        assert told == list(enumerate(in_parts, start=1)), "one loss an update"
        assert adapter.keys() == other.keys()
        for name, weights in adapter.items():
            assert (weights - other[name]).abs().max() < 1e-4, name


def test_the_mean_is_over_the_tokens_of_the_whole_batch_and_not_over_its_parts(
    source: ModelSource, tiny_study: Path, tmp_path: Path
) -> None:
    """Else a token of a short row would weigh more than one of a long row."""
    rows = rows_of(tiny_study, tmp_path / "runs", None)
    short, long = min(rows, key=lambda row: row.trained), max(rows, key=lambda row: row.trained)
    assert long.trained > 2 * short.trained
    pair = loss_of(source, [short, long], 1, tmp_path)
    alone = [loss_of(source, [row], None, tmp_path) for row in (short, long)]
    by_tokens = (alone[0] * short.trained + alone[1] * long.trained) / (short.trained + long.trained)
    assert pair == pytest.approx(by_tokens, abs=1e-6)
    assert abs(pair - sum(alone) / 2) > 1e-4


def loss_of(source: ModelSource, rows: Sequence[TokenRow], micro: int | None, scratch: Path) -> float:
    """The first loss of a training on one batch."""
    from teachwhy.train.supervised import train_adapter

    settings = RECIPE.model_copy(update={"micro_batch": micro})
    model = load_model(source, device="cpu", dtype="float32")
    network = attach_new(model, rank=4, alpha=8, targets="all-linear", seed=0)
    batches = [list(range(len(rows)))]
    pad = model.chat.pad_token
    return train_adapter(network, rows, batches, settings, pad_token=pad, seed=0, scratch=scratch).losses[0]


@given(rows=st.integers(1, 40), micro=st.none() | st.integers(1, 50), processes=st.integers(1, 9))
def test_every_row_is_taken_once_and_all_processes_have_equally_many_parts(
    rows: int, micro: int | None, processes: int
) -> None:
    batch = list(range(100, 100 + rows))
    parts = [split_batch(batch, micro, process=process, processes=processes) for process in range(processes)]
    assert sorted(row for own in parts for part in own for row in part) == batch
    assert len({len(own) for own in parts}) == 1
    assert all(len(part) <= (micro or rows) for own in parts for part in own)
    assert all(parts[0]), "the first process has something to do in each"
    assert split_batch(batch, None) == [batch]


def test_stamps_know_micro_batches_only_where_there_are_any() -> None:
    assert "micro_batch" not in RECIPE.recipe()
    assert RECIPE.model_copy(update={"micro_batch": 2}).recipe() == {**RECIPE.recipe(), "micro_batch": 2}
