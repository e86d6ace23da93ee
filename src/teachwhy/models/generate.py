"""Greedy generation in batches, with the prefix that all prompts share computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .load import LanguageModel
from .prefix import SharedPrefix, split_shared_prefix

BATCH_TOKENS = 6_000
LARGEST_BATCH = 128


def generate(
    model: LanguageModel,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    progress: Callable[[int], None] = lambda done: None,
) -> list[str]:
    """The model's greedy continuation of each rendered prompt, in the order given, without special tokens.

    Prompts of like length go together, so that little is padded. A continuation ends at the end of the turn or after
    max_new_tokens tokens.
    """
    token_lists = [model.chat.tokens(prompt) for prompt in prompts]
    prefix, rests = split_shared_prefix(model, token_lists)
    order = sorted(range(len(prompts)), key=lambda index: len(rests[index]))
    answers = [""] * len(prompts)
    done = 0
    for batch in batches_of(order, rests, max_new_tokens + len(prefix.tokens)):
        continuations = continue_batch(model, prefix, [rests[index] for index in batch], max_new_tokens)
        for index, tokens in zip(batch, continuations, strict=True):
            answers[index] = model.chat.text(tokens)
        done += len(batch)
        progress(done)
    return answers


def batches_of(order: Sequence[int], rests: Sequence[Sequence[int]], extra: int) -> list[list[int]]:
    """Indices in batches of at most BATCH_TOKENS tokens (padding and `extra` for each row counted in)."""
    batches: list[list[int]] = []
    for index in order:
        size = len(rests[index]) + extra
        if batches and len(batches[-1]) < LARGEST_BATCH and (len(batches[-1]) + 1) * size <= BATCH_TOKENS:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def continue_batch(
    model: LanguageModel, prefix: SharedPrefix, rests: Sequence[Sequence[int]], max_new_tokens: int
) -> list[list[int]]:
    """New tokens of each row, cut before the token that ends it."""
    import torch

    width = max(len(rest) for rest in rests)
    pad = model.chat.pad_token
    padded = torch.tensor([[pad] * (width - len(rest)) + list(rest) for rest in rests], device=model.device)
    present = torch.tensor([[0] * (width - len(rest)) + [1] * len(rest) for rest in rests], device=model.device)
    cache = prefix.cache_for(len(rests))
    before = torch.ones((len(rests), len(prefix.tokens)), dtype=present.dtype, device=model.device)
    arguments: dict[str, Any] = {"past_key_values": cache} if cache is not None else {}
    head = torch.tensor([prefix.tokens] * len(rests), device=model.device, dtype=padded.dtype).reshape(len(rests), -1)
    with torch.inference_mode():
        output = model.network.generate(
            input_ids=torch.cat([head, padded], 1),
            attention_mask=torch.cat([before, present], 1),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            eos_token_id=model.chat.stop_tokens,
            pad_token_id=pad,
            **arguments,
        )
    new = output[:, head.shape[1] + width :].tolist()
    return [cut(tokens, model.chat.stop_tokens) for tokens in new]


def cut(tokens: Sequence[int], stops: Sequence[int]) -> list[int]:
    """The tokens before the first stop token."""
    ends = [place for place, token in enumerate(tokens) if token in stops]
    return list(tokens[: ends[0]] if ends else tokens)
