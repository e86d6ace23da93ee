"""Generation in batches, greedy or drawn, with the prefix that all prompts share computed once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .load import LanguageModel
from .past import kept_by, reading_on
from .prefix import SharedPrefix, last_column, split_shared_prefix
from .sampling import Choose, Sampling, chooser
from .schema import held

# Small batches waste a CPU: a step for 256 rows takes a third longer than one for 128. But two workers at exams of 220
# rows each, beside what training left in them, went over 6 GiB together.
BATCH_TOKENS = 28_000
LARGEST_BATCH = 160
LEAVING = 0.75


@dataclass(frozen=True)
class Ended:
    """Rows whose generation has ended, with the keys and values of what they read behind the shared prefix and wrote.

    rows: which prompts they are. new: their new tokens. cache: of the whole batch, to be read before the next rows
    end; places: their rows in it, shape (rows,). present: attention mask over the cache's columns, shape (rows,
    columns). start: the column of the first new token. before: the token before it, and position: its position, both
    of shape (rows,). prefix: what all prompts share; it is not in the cache.
    """

    rows: list[int]
    new: list[list[int]]
    cache: Any
    places: Any
    present: Any
    start: int
    before: Any
    position: Any
    prefix: SharedPrefix


def generate(
    model: LanguageModel,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    sampling: Sampling | None = None,
    schemas: Sequence[str] = (),
    on_batch: Callable[[Sequence[int]], None] = lambda batch: None,
    on_ended: Callable[[Ended], None] | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> list[str]:
    """The model's continuation of each rendered prompt, in the order given, without special tokens.

    Prompts of like length go together, so that little is padded. A continuation ends at the end of the turn or after
    max_new_tokens tokens. sampling: None for the likeliest token at every step. schemas: the JSON schema that each is
    held to, "" for none; nothing where all write as they like. on_batch: told which prompts are about to be continued.
    on_ended: called with rows as they end, for whoever wants to read on from their cache.
    """
    token_lists = [model.chat.tokens(prompt) for prompt in prompts]
    prefix, rests = split_shared_prefix(model, token_lists)
    order = sorted(range(len(prompts)), key=lambda index: len(rests[index]))
    answers = [""] * len(prompts)
    done = 0
    for batch in batches_of(order, rests, max_new_tokens):
        on_batch(batch)
        choose = chooser(sampling, batch, max_new_tokens)
        if any(schemas):
            choose = held(choose, [schemas[index] for index in batch], model.chat)
        for ended in continue_batch(model, prefix, [rests[index] for index in batch], max_new_tokens, choose):
            ended = replace(ended, rows=[batch[row] for row in ended.rows])
            for index, tokens in zip(ended.rows, ended.new, strict=True):
                answers[index] = model.chat.text(tokens)
            if on_ended:
                on_ended(ended)
        del ended  # and with it the cache, before the next batch makes its own
        done += len(batch)
        progress(done)
    return answers


def batches_of(
    order: Sequence[int], rests: Sequence[Sequence[int]], extra: int, largest: int = LARGEST_BATCH
) -> list[list[int]]:
    """Indices in the fewest batches of at most BATCH_TOKENS tokens (padding and `extra` for each row counted in).

    The largest batch is as small as that number allows: it is what sets the memory that an exam takes.
    """
    fewest = packed(order, rests, extra, largest)
    even = math.ceil(len(order) / max(1, len(fewest)))
    tried = (packed(order, rests, extra, rows) for rows in range(even, largest))
    return next((batches for batches in tried if len(batches) == len(fewest)), fewest)


def packed(order: Sequence[int], rests: Sequence[Sequence[int]], extra: int, largest: int) -> list[list[int]]:
    """Indices in batches, each filled to its bound before the next begins."""
    batches: list[list[int]] = []
    for index in order:
        size = len(rests[index]) + extra
        if batches and len(batches[-1]) < largest and (len(batches[-1]) + 1) * size <= BATCH_TOKENS:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def continue_batch(
    model: LanguageModel, prefix: SharedPrefix, rests: Sequence[Sequence[int]], max_new_tokens: int, choose: Choose
) -> Iterator[Ended]:
    """The rows of a batch as they end, each with its new tokens, cut before the token that ends it.

    Rows that have ended leave the batch once they are a quarter of it, so that a few long answers are not paid for
    by all.
    """
    import torch

    from .roomy_cache import roomy_cache

    ids, present, positions = padded_left(model, len(prefix.tokens), rests)
    start, before, position = present.shape[1], ids[:, -1], positions[:, -1] + 1
    cache = roomy_cache(model.network)
    stops = torch.tensor(model.chat.stop_tokens, device=model.device)
    rows = torch.arange(len(rests), device=model.device)
    going = torch.ones_like(rows, dtype=torch.bool)
    new: list[list[int]] = [[] for _ in rests]
    for step in range(1, max_new_tokens + 1):
        with torch.inference_mode():
            output = model.network(
                input_ids=ids,
                attention_mask=present,
                position_ids=positions,
                use_cache=True,
                logits_to_keep=last_column(model),
                **reading_on(cache),
                **prefix.arguments,
            )
            cache, chosen = kept_by(output), choose(output.logits[:, -1], rows, step - 1)
        for row, token in zip(rows.tolist(), chosen.tolist(), strict=True):
            new[row].append(token)
        going &= ~torch.isin(chosen, stops)
        if step == max_new_tokens:
            going[:] = False
        ids, positions = chosen[:, None], positions[:, -1:] + 1
        if going.sum() <= LEAVING * len(going):
            leaving, staying = (~going).nonzero()[:, 0], going.nonzero()[:, 0]
            places = rows[leaving].tolist()
            yield Ended(
                rows=places,
                new=[cut(new[place], model.chat.stop_tokens) for place in places],
                cache=cache,
                places=leaving,
                present=present[leaving],
                start=start,
                before=before[rows[leaving]],
                position=position[rows[leaving]],
                prefix=prefix,
            )
            if not len(staying):
                return
            cache.batch_select_indices(staying)  # in place, a layer at a time: a copy of the whole is gigabytes
            ids, positions, present = ids[staying], positions[staying], present[staying]
            rows, going = rows[staying], going[staying]
        present = torch.cat([present, torch.ones_like(ids)], 1)


def padded_left(model: LanguageModel, past: int, rests: Sequence[Sequence[int]]) -> tuple[Any, Any, Any]:
    """Token ids, attention mask and positions, each of shape (rows, width). past: tokens of the shared prefix."""
    import torch

    width = max(len(rest) for rest in rests)
    gaps = torch.tensor([width - len(rest) for rest in rests], device=model.device)
    pad = model.chat.pad_token
    ids = torch.tensor([[pad] * (width - len(rest)) + list(rest) for rest in rests], device=model.device)
    columns = torch.arange(width, device=model.device) - gaps[:, None]
    present = (columns >= 0).long()
    positions = past + columns.clamp(min=0)
    return ids, present, positions


def cut(tokens: Sequence[int], stops: Sequence[int]) -> list[int]:
    """The tokens before the first stop token."""
    ends = [place for place, token in enumerate(tokens) if token in stops]
    return list(tokens[: ends[0]] if ends else tokens)
