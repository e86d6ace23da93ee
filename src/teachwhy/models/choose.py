"""Choice scoring: the mean log-probability per token of each full option after a prefix."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .generate import Ended, batches_of, padded_left
from .load import LanguageModel
from .past import kept_by, reading_on
from .prefix import SharedPrefix, last_column, split_shared_prefix

# Each token of an option needs a row of logits over the whole vocabulary, in float32.
LARGEST_CHOICE_BATCH = 48


@dataclass(frozen=True)
class Choice:
    """One prefix (rendered text up to where the option begins) and its options as full texts."""

    prefix: str
    options: tuple[str, ...]


def score_choices(
    model: LanguageModel, choices: Sequence[Choice], *, progress: Callable[[int], None] = lambda done: None
) -> list[list[float]]:
    """For each choice the mean log-probability (nats a token) of each option; higher is likelier.

    Each prefix is run once and its keys and values serve all its options; the output head is computed only at the
    options' own tokens. Options are tokenised apart from the prefix, as training rows are.
    """
    prefixes = [model.chat.tokens(choice.prefix) for choice in choices]
    options = [[model.chat.tokens(option) for option in choice.options] for choice in choices]
    shared, rests = split_shared_prefix(model, prefixes)
    order = sorted(range(len(choices)), key=lambda index: len(rests[index]))
    scores: list[list[float]] = [[] for _ in choices]
    done = 0
    extra = max((len(option) for group in options for option in group), default=0)
    for batch in batches_of(order, rests, extra, LARGEST_CHOICE_BATCH):
        found = score_batch(model, shared, [rests[i] for i in batch], [options[i] for i in batch])
        for index, values in zip(batch, found, strict=True):
            scores[index] = values
        done += len(batch)
        progress(done)
    return scores


def score_batch(
    model: LanguageModel,
    shared: SharedPrefix,
    rests: Sequence[Sequence[int]],
    options: Sequence[Sequence[Sequence[int]]],
) -> list[list[float]]:
    """Scores of one batch. The prefixes are padded on the left, so that every option begins in the same column."""
    import torch

    ids, present, positions = padded_left(model, len(shared.tokens), rests)
    with torch.inference_mode():
        start = model.network(
            input_ids=ids,
            attention_mask=present,
            position_ids=positions,
            use_cache=True,
            logits_to_keep=last_column(model),
            **shared.arguments,
        )
        first = start.logits[:, 0].float().log_softmax(-1)
        return score_options(model, shared, kept_by(start), first, present, positions[:, -1], options)


def score_after(
    model: LanguageModel, ended: Ended, rows: Sequence[int], keep: Sequence[int], options: Sequence[Sequence[str]]
) -> list[list[float]]:
    """Scores of options after the first tokens of answers just written, from the cache of their writing.

    rows: places in `ended`; keep: how many of the new tokens of each stand before its options. The same as
    `score_choices` after prompt and kept tokens, without reading them again.
    """
    tokens = [[model.chat.tokens(option) for option in group] for group in options]
    scores: list[list[float]] = []
    for first in range(0, len(rows), LARGEST_CHOICE_BATCH):
        part = slice(first, first + LARGEST_CHOICE_BATCH)
        scores += score_rows_after(model, ended, rows[part], keep[part], tokens[part])
    return scores


def score_rows_after(
    model: LanguageModel,
    ended: Ended,
    rows: Sequence[int],
    keep: Sequence[int],
    options: Sequence[Sequence[Sequence[int]]],
) -> list[list[float]]:
    """The last kept token is read once more, for what may follow it; its column and all behind it are masked."""
    import torch

    before = ended.before.tolist()
    last = [ended.new[row][kept - 1] if kept else before[row] for row, kept in zip(rows, keep, strict=True)]
    chosen, kept = torch.tensor([list(rows), list(keep)], device=model.device)
    columns = torch.arange(ended.present.shape[1], device=model.device)
    present = ended.present[chosen] * (columns < ended.start + kept[:, None] - 1)
    present = torch.cat([present, torch.ones_like(present[:, :1])], 1)
    position = ended.position[chosen] + kept - 1
    with torch.inference_mode():
        output = model.network(
            input_ids=torch.tensor(last, device=model.device)[:, None],
            attention_mask=present,
            position_ids=position[:, None],
            use_cache=True,
            logits_to_keep=last_column(model),
            **reading_on(select_rows(ended.cache, ended.places[chosen])),
            **ended.prefix.arguments,
        )
        first = output.logits[:, 0].float().log_softmax(-1)
        return score_options(model, ended.prefix, kept_by(output), first, present, position, options)


def select_rows(cache: Any, rows: Any) -> Any:
    """A cache of its own with these rows (indices, shape (rows,)) of another."""
    selected = copy.copy(cache)
    selected.layers = [copy.copy(layer) for layer in cache.layers]
    selected.batch_select_indices(rows)
    return selected


def score_options(
    model: LanguageModel,
    prefix: SharedPrefix,
    cache: Any,
    first: Any,
    present: Any,
    last_position: Any,
    options: Sequence[Sequence[Sequence[int]]],
) -> list[list[float]]:
    """Scores given the cache of what stands before the options; it is used up.

    first: log-probabilities of the option's first token, shape (rows, vocabulary). present: attention mask of the
    prefixes, shape (rows, past). last_position: position of each prefix's last token, shape (rows,).
    """
    import torch

    flat = [option for group in options for option in group]
    owner = torch.tensor([row for row, group in enumerate(options) for _ in group], device=model.device)
    width = max(len(option) for option in flat)
    pad = model.chat.pad_token
    ids = torch.tensor([list(option) + [pad] * (width - len(option)) for option in flat], device=model.device)
    real = torch.tensor([[1] * len(option) + [0] * (width - len(option)) for option in flat], device=model.device)
    log_probabilities = torch.zeros(ids.shape, device=model.device)
    log_probabilities[:, 0] = first[owner].gather(1, ids[:, :1])[:, 0]
    if width > 1:
        cache.reorder_cache(owner)
        steps = torch.arange(1, width, device=model.device)
        logits = model.network(
            input_ids=ids[:, :-1],
            attention_mask=torch.cat([present[owner], real[:, :-1]], 1),
            position_ids=last_position[owner][:, None] + steps,
            use_cache=True,
            **reading_on(cache),
            **prefix.arguments,
        ).logits
        for row, wanted in enumerate(ids[:, 1:, None]):  # in float32, all rows at once take 0.75 GiB more
            log_probabilities[row, 1:] = logits[row].float().log_softmax(-1).gather(1, wanted)[:, 0]
    means = ((log_probabilities * real).sum(1) / real.sum(1)).tolist()
    found: list[list[float]] = [[] for _ in options]
    for row, mean in zip(owner.tolist(), means, strict=True):
        found[row].append(mean)
    return found
