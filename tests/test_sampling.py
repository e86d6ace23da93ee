"""Words that are drawn: as likely as the model says, the same for the same seed, and greedy words as they were."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import test_scoring
from test_scoring import SHARED, naive_continuation, random_texts

from teachwhy.evals import ExamFormat, Request, answer_requests, as_record
from teachwhy.evals.runner import seed_of
from teachwhy.models import LanguageModel, Sampling, generate
from teachwhy.models.generate import batches_of

model, as_tokens = test_scoring.model, test_scoring.as_tokens  # fixtures
FORMAT = ExamFormat(reasons=True, place="first", reason_marker="Reason:", action_marker="Action:")


def shares_of(model: LanguageModel, tokens: list[int], temperature: float) -> list[float]:
    """The model's probabilities of the next token, from one pass over all before it."""
    import torch

    with torch.inference_mode():
        logits = model.network(input_ids=torch.tensor([tokens])).logits[0, -1].double()
    return (logits / temperature).softmax(-1).tolist()


def naive_draw(shares: list[float], draw: float) -> int:
    """The token in whose part of [0, 1) the number falls."""
    end = 0.0
    for token, share in enumerate(shares):
        end += share
        if draw < end:
            return token
    return len(shares) - 1


def naive_sample(model: LanguageModel, prompt: str, sampling: Sampling, index: int, new: int) -> list[int]:
    tokens = model.chat.tokens(prompt)
    length = len(tokens)
    for draw in sampling.draws(index, new):
        token = naive_draw(shares_of(model, tokens, sampling.temperature), draw)
        if token in model.chat.stop_tokens:
            break
        tokens.append(token)
    return tokens[length:]


@pytest.mark.usefixtures("as_tokens")
@pytest.mark.parametrize("opening", ["", SHARED], ids=["nothing shared", "shared prefix"])
def test_drawn_words_are_those_of_a_plain_pass_over_each_text_alone(model: LanguageModel, opening: str) -> None:
    prompts = [opening + text for text in random_texts(6, 9, 40)]
    sampling = Sampling(3.0, range(9))
    alone = [naive_sample(model, prompt, sampling, index, 8) for index, prompt in enumerate(prompts)]
    assert generate(model, prompts, max_new_tokens=8, sampling=sampling) == alone
    assert len({tuple(tokens) for tokens in alone}) == len(prompts)


@pytest.mark.usefixtures("as_tokens")
def test_a_seed_gives_its_words_in_whatever_batch_and_order(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = random_texts(7, 10, 40)
    together = generate(model, prompts, max_new_tokens=6, sampling=Sampling(2.0, range(10)))
    assert generate(model, prompts, max_new_tokens=6, sampling=Sampling(2.0, range(10))) == together
    assert generate(model, prompts[::-1], max_new_tokens=6, sampling=Sampling(2.0, range(9, -1, -1))) == together[::-1]
    assert generate(model, prompts, max_new_tokens=6, sampling=Sampling(2.0, range(10, 20))) != together
    monkeypatch.setitem(batches_of.__globals__, "BATCH_TOKENS", 100)
    assert generate(model, prompts, max_new_tokens=6, sampling=Sampling(2.0, range(10))) == together


@pytest.mark.usefixtures("as_tokens")
@pytest.mark.parametrize("temperature", [0.7, 2.0])
def test_words_are_drawn_as_often_as_they_are_likely(model: LanguageModel, temperature: float) -> None:
    """No token that is expected ten times is more than four binomial errors off, nor are the rarer ones together."""
    prompt, count = "The lamp is lit.", 4000
    sampling = Sampling(temperature, [seed_of(Request("item", "own", "", {}), sample) for sample in range(count)])
    found = generate(model, [prompt] * count, max_new_tokens=1, sampling=sampling)
    shares = shares_of(model, model.chat.tokens(prompt), temperature)
    expected: Counter[object] = Counter()
    drawn: Counter[object] = Counter()
    for token, share in enumerate(shares):
        expected[name_of(token, shares, count, model)] += share  # type: ignore[assignment]
    for tokens in found:
        drawn[name_of(tokens[0], shares, count, model) if tokens else "stop"] += 1
    assert len(expected) > 10
    for name, share in expected.items():
        error = math.sqrt(share * (1 - share) / count)
        assert abs(drawn[name] / count - share) <= 4 * error, name


def name_of(token: int, shares: list[float], count: int, model: LanguageModel) -> object:
    """The token itself, or what it is counted with."""
    if token in model.chat.stop_tokens:
        return "stop"
    return token if shares[token] * count >= 10 else "rare"


@pytest.mark.usefixtures("as_tokens")
def test_a_temperature_near_zero_is_greedy(model: LanguageModel) -> None:
    prompts = random_texts(8, 6, 40)
    greedy = generate(model, prompts, max_new_tokens=6)
    assert generate(model, prompts, max_new_tokens=6, sampling=Sampling(1e-6, range(6))) == greedy


def requests(count: int) -> tuple[list[Request], dict[str, str]]:
    prompts = {f"item-{number}": text for number, text in enumerate(random_texts(9, count, 30))}
    return [Request(name, "own", "Reason:", {"yes": "Yes.", "no": "No."}) for name in prompts], prompts


def test_answers_that_count_are_what_they_were(model: LanguageModel) -> None:
    asked, prompts = requests(5)
    answers = answer_requests(model, asked, prompts, FORMAT, max_new_tokens=6)
    assert answers == answer_requests(model, asked, prompts, FORMAT, max_new_tokens=6, temperature=0.0)
    assert all("sample" not in as_record(answer) for answer in answers)
    for answer in answers:
        greedy = naive_continuation(model, prompts[answer.item] + "Reason:", 6)
        stop = next((place for place, token in enumerate(greedy) if token in model.chat.stop_tokens), len(greedy))
        assert answer.text == "Reason:" + model.chat.text(greedy[:stop])


def test_what_is_drawn_for_an_item_hangs_on_it_and_the_sample_alone(model: LanguageModel) -> None:
    asked, prompts = requests(6)

    def answer(some: list[Request], sample: int) -> dict[str, str]:
        found = answer_requests(model, some, prompts, FORMAT, max_new_tokens=6, temperature=2.0, sample=sample)
        assert {one.sample for one in found} == {sample}
        return {one.item: one.text for one in found}

    first = answer(asked, 1)
    assert answer(asked, 1) == first
    assert answer(asked[::2], 1) == {request.item: first[request.item] for request in asked[::2]}
    second = answer(asked, 2)
    assert all(second[item] != text for item, text in first.items())
    seeds = {seed_of(request, sample) for request in asked for sample in (1, 2)}
    assert len(seeds) == 12
    assert max(seeds) < 2**64
