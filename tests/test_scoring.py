"""Choice scoring and generation in batches give what a plain pass over each text alone gives."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from teachwhy.models import (
    Chat,
    Choice,
    Ended,
    LanguageModel,
    find_model,
    generate,
    load_model,
    score_after,
    score_choices,
)
from teachwhy.models.attention import FAMILIES, allow_shared_prefix
from teachwhy.models.generate import BATCH_TOKENS, batches_of, cut
from teachwhy.models.prefix import WORTH_SHARING, shared_length, split_shared_prefix

SHARED = "The policy that every prompt begins with, word by word. "
CASES = ("A dog.", "Two dogs bark at the gate.", "x", "The lamp is lit, is it not?", "Why?")
OPTIONS = (" yes", " no", " perhaps another day", "!")


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> LanguageModel:
    """The tiny model with larger weights: as it is, it says its last token again whatever stands before."""
    import torch

    model = load_model(find_model(str(tiny_model), base_folder=Path("."), say=print), device="cpu", dtype="float32")
    with torch.no_grad():
        for name, weight in model.network.named_parameters():
            weight.mul_(12 if "proj" in name else 1)
    return model


@pytest.fixture
def as_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers as tokens: bytes that are no UTF-8 would look alike as text."""
    monkeypatch.setattr(Chat, "text", lambda self, tokens: list(tokens))


def naive_score(model: LanguageModel, prefix: str, option: str) -> float:
    """Mean log-probability of the option's tokens from one pass over the whole text."""
    import torch

    before, after = model.chat.tokens(prefix), model.chat.tokens(option)
    with torch.inference_mode():
        found = model.network(input_ids=torch.tensor([before + after])).logits[0].double().log_softmax(-1)
    places = range(len(before) - 1, len(before) + len(after) - 1)
    return float(sum(found[place, token] for place, token in zip(places, after, strict=True)) / len(after))


def naive_continuation(model: LanguageModel, prompt: str, new: int) -> list[int]:
    """Greedy tokens, each from a full pass over all before it; stop tokens end nothing."""
    import torch

    tokens = model.chat.tokens(prompt)
    length = len(tokens)
    with torch.inference_mode():
        for _ in range(new):
            tokens.append(int(model.network(input_ids=torch.tensor([tokens])).logits[0, -1].argmax()))
    return tokens[length:]


def random_texts(seed: int, count: int, longest: int) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices("abcdefgh .", k=rng.randint(1, longest))) for _ in range(count)]


@pytest.mark.parametrize("opening", ["", SHARED], ids=["nothing shared", "shared prefix"])
@pytest.mark.parametrize("options", [OPTIONS, ("a", "b"), ("a", "longer by far")], ids=["mixed", "single", "uneven"])
def test_choice_scores_equal_a_plain_pass(model: LanguageModel, opening: str, options: tuple[str, ...]) -> None:
    choices = [Choice(opening + case, options) for case in CASES]
    prefix, _ = split_shared_prefix(model, [model.chat.tokens(choice.prefix) for choice in choices])
    assert len(prefix.tokens) == (len(model.chat.tokens(SHARED)) if opening else 0)
    expected = [[naive_score(model, choice.prefix, option) for option in choice.options] for choice in choices]
    for found, wanted in zip(score_choices(model, choices), expected, strict=True):
        assert found == pytest.approx(wanted, abs=1e-5)


def test_choices_of_different_numbers_of_options(model: LanguageModel) -> None:
    choices = [Choice(text, OPTIONS[: 2 + index % 3]) for index, text in enumerate(random_texts(1, 9, 30))]
    for choice, found in zip(choices, score_choices(model, choices), strict=True):
        assert found == pytest.approx(
            [naive_score(model, choice.prefix, option) for option in choice.options], abs=1e-5
        )


def test_scores_do_not_depend_on_the_batches(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    choices = [Choice(SHARED + text, OPTIONS) for text in random_texts(2, 12, 40)]
    together = score_choices(model, choices)
    monkeypatch.setitem(batches_of.__globals__, "BATCH_TOKENS", 300)
    seen: list[int] = []
    in_parts = score_choices(model, choices, progress=seen.append)
    assert len(seen) > 1
    assert seen[-1] == len(choices)
    for a, b in zip(together, in_parts, strict=True):
        assert a == pytest.approx(b, abs=1e-5)


def test_one_choice_alone_and_none(model: LanguageModel) -> None:
    assert score_choices(model, []) == []
    assert score_choices(model, [Choice(SHARED, (" yes",))])[0] == pytest.approx(
        [naive_score(model, SHARED, " yes")], abs=1e-5
    )


@pytest.mark.parametrize(("narrow", "copy"), [(0, 2**24), (0, 1), (100, 1)], ids=["copied", "by row", "all scores"])
def test_every_way_of_attending_to_the_prefix(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch, narrow: int, copy: int
) -> None:
    choices = [Choice(SHARED + text, OPTIONS) for text in CASES]
    whole = score_choices(model, choices)
    monkeypatch.setattr("teachwhy.models.attention.NARROW", narrow)
    monkeypatch.setattr("teachwhy.models.attention.LARGEST_COPY", copy)
    for a, b in zip(score_choices(model, choices), whole, strict=True):
        assert a == pytest.approx(b, abs=1e-5)


def network_of(family: str, vocabulary: int, **more: Any) -> Any:
    """A tiny random network of another family."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    config = AutoConfig.for_model(
        family,
        **{
            "vocab_size": vocabulary,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "max_position_embeddings": 256,
            "pad_token_id": 1,
            "bos_token_id": 0,
            "eos_token_id": 1,
            "sliding_window": None,
        }
        | more,
    )
    network = AutoModelForCausalLM.from_config(config).eval()
    allow_shared_prefix(network)
    return network


@pytest.mark.parametrize("family", FAMILIES)
def test_prefix_of_every_family(model: LanguageModel, as_tokens: None, family: str) -> None:
    """Choices and continuations behind a prefix kept once are those of a plain pass over the whole text."""
    other = replace(model, network=network_of(family, model.network.config.vocab_size))
    prompts = [SHARED + case for case in CASES]
    assert split_shared_prefix(other, [model.chat.tokens(prompt) for prompt in prompts])[0].tokens
    for prompt, found in zip(prompts, score_choices(other, [Choice(p, OPTIONS) for p in prompts]), strict=True):
        assert found == pytest.approx([naive_score(other, prompt, option) for option in OPTIONS], abs=1e-5)
    alone = [cut(naive_continuation(other, prompt, 6), model.chat.stop_tokens) for prompt in prompts]
    assert generate(other, prompts, max_new_tokens=6) == alone


@pytest.mark.parametrize(("family", "more"), [("mistral", {"sliding_window": 16}), ("nemotron", {})])
def test_other_families_read_the_prefix_with_every_row(model: LanguageModel, family: str, more: dict[str, Any]) -> None:
    other = replace(model, network=network_of(family, model.network.config.vocab_size, **more))
    prompts = [SHARED + case for case in CASES]
    assert not split_shared_prefix(other, [model.chat.tokens(prompt) for prompt in prompts])[0].tokens
    for prompt, found in zip(prompts, score_choices(other, [Choice(p, OPTIONS) for p in prompts]), strict=True):
        assert found == pytest.approx([naive_score(other, prompt, option) for option in OPTIONS], abs=1e-5)


@pytest.mark.parametrize("opening", ["", SHARED], ids=["nothing shared", "shared prefix"])
def test_batched_generation_equals_one_by_one(model: LanguageModel, as_tokens: None, opening: str) -> None:
    prompts = [opening + text for text in [*CASES, *random_texts(3, 7, 40)]]
    alone = [cut(naive_continuation(model, prompt, 8), model.chat.stop_tokens) for prompt in prompts]
    assert len({tuple(tokens) for tokens in alone}) == len(prompts)
    assert generate(model, prompts, max_new_tokens=8) == alone


def test_generation_is_in_order_whatever_the_batches(
    model: LanguageModel, as_tokens: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = random_texts(4, 10, 40)
    together = generate(model, prompts, max_new_tokens=6)
    monkeypatch.setitem(batches_of.__globals__, "BATCH_TOKENS", 100)
    seen: list[int] = []
    assert generate(model, prompts, max_new_tokens=6, progress=seen.append) == together
    assert len(seen) > 1


def test_rows_end_one_after_another(model: LanguageModel, as_tokens: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that have ended leave the batch; those that stay must go on as if alone."""
    prompts = random_texts(5, 20, 40)
    free = [naive_continuation(model, prompt, 8) for prompt in prompts]
    stops = [free[0][1], free[1][2], free[2][3], free[3][4]]
    monkeypatch.setitem(model.chat.__dict__, "stop_tokens", stops)
    expected = [cut(tokens, stops) for tokens in free]
    lengths = [len(tokens) for tokens in expected]
    assert len(set(lengths)) > 3
    assert lengths.count(8) >= 2
    assert generate(model, prompts, max_new_tokens=8) == expected


def test_cut_keeps_what_stands_before_the_first_stop() -> None:
    assert cut([5, 6, 1, 7, 1], [1, 2]) == [5, 6]
    assert cut([5, 6], [1]) == [5, 6]
    assert cut([1, 5], [1]) == []


def test_batches_hold_every_row_once_within_the_limit() -> None:
    rests: Sequence[Sequence[int]] = [[0] * length for length in (1, 5, 900, 30, 5999, 7000)]
    order = sorted(range(len(rests)), key=lambda index: len(rests[index]))
    batches = batches_of(order, rests, 10)
    assert [index for batch in batches for index in batch] == order
    for batch in batches:
        padded = len(batch) * (max(len(rests[index]) for index in batch) + 10)
        assert len(batch) == 1 or padded <= BATCH_TOKENS


def test_batches_are_as_few_as_can_be_and_then_as_even_as_can_be() -> None:
    alike = [[0] * 5 for _ in range(440)]
    assert [len(batch) for batch in batches_of(range(440), alike, 10, largest=256)] == [220, 220]
    assert [len(batch) for batch in batches_of(range(256), alike, 10, largest=256)] == [256]
    longest_last = [[0] * 40] * 200 + [[0] * 190] * 160  # 140 of the long ones fill a batch
    sizes = [len(batch) for batch in batches_of(range(360), longest_last, 10, largest=256)]
    assert len(sizes) == 3
    assert max(sizes) < 200
    assert batches_of([], [], 10) == []


def test_shared_length_leaves_a_token_of_each() -> None:
    assert shared_length([]) == 0
    assert shared_length([[1, 2, 3], [1, 2, 3]]) == 2
    assert shared_length([[1, 2, 3, 4], [1, 2]]) == 1
    assert shared_length([[1, 2, 9], [1, 2, 8, 7]]) == 2
    assert shared_length([[5], [6]]) == 0
    assert WORTH_SHARING > 1


@pytest.mark.parametrize("opening", ["", SHARED], ids=["nothing shared", "shared prefix"])
def test_options_after_what_was_written_equal_a_plain_pass(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch, opening: str
) -> None:
    """The cache of the writing serves for the options, at any place of the answer, before its first token too."""
    import torch

    prompts = [opening + text for text in [*CASES, *random_texts(6, 9, 30)]]
    free = [naive_continuation(model, prompt, 6) for prompt in prompts]
    monkeypatch.setitem(model.chat.__dict__, "stop_tokens", [free[0][2], free[1][4]])
    scored: list[int] = []

    def check(ended: Ended) -> None:
        keep = [row % (len(new) + 1) for row, new in zip(ended.rows, ended.new, strict=True)]
        found = score_after(model, ended, range(len(keep)), keep, [OPTIONS] * len(keep))
        for row, new, kept, scores in zip(ended.rows, ended.new, keep, found, strict=True):
            before = model.chat.tokens(prompts[row]) + new[:kept]
            for option, score in zip(OPTIONS, scores, strict=True):
                after = model.chat.tokens(option)
                with torch.inference_mode():
                    logits = model.network(input_ids=torch.tensor([before + after])).logits[0].double()
                likely = logits.log_softmax(-1)[len(before) - 1 : -1]
                wanted = likely[range(len(after)), after].mean().item()
                assert score == pytest.approx(wanted, abs=1e-5)
        scored.extend(ended.rows)

    generate(model, prompts, max_new_tokens=6, on_ended=check)
    assert sorted(scored) == list(range(len(prompts)))


def test_a_cache_with_room_holds_what_a_copied_one_does(model: LanguageModel) -> None:
    import torch
    from transformers import DynamicCache

    from teachwhy.models.roomy_cache import ROOM, roomy_cache

    roomy, copied = roomy_cache(model.network), DynamicCache(config=model.network.config)
    generator = torch.Generator().manual_seed(0)
    for step, columns in enumerate([5, 1, 1, ROOM, 1, 2 * ROOM, 1]):
        states = torch.randn(2, 4, 2, columns, 8, generator=generator)
        for cache in (roomy, copied):
            cache.update(states[0], states[1], 0)
        if step in (2, 4):  # rows leave, and others are said twice
            for cache in (roomy, copied):
                cache.batch_select_indices(torch.tensor([0, 2, 3]))
                cache.reorder_cache(torch.tensor([2, 0, 0, 1]))
        assert torch.equal(roomy.layers[0].keys, copied.layers[0].keys)
        assert torch.equal(roomy.layers[0].values, copied.layers[0].values)
        assert roomy.get_seq_length() == copied.get_seq_length()
