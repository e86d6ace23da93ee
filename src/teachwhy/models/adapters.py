"""LoRA adapters: one step-0 adapter a seed, applied and proved to be applied."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ModelError
from .load import LanguageModel, ModelSource, load_model

CANARY_TOLERANCE = 0.1


@dataclass(frozen=True)
class Canary:
    """Proof that what was trained is applied: mean log-probabilities (nats a token) of one probe text.

    base: of the base model; peft: with the adapter, through PEFT's own layers; merged: with the adapter merged in, as
    examined. Where the model's own weights were trained, peft: of those in float32; merged: as examined. Through vLLM,
    base and merged are by vLLM, which keeps the adapter beside the base model and merges nothing.
    """

    base: float
    peft: float
    merged: float

    @property
    def applied(self) -> bool:
        close = abs(self.merged - self.peft) <= CANARY_TOLERANCE * max(1.0, abs(self.peft))
        return close and self.base not in (self.peft, self.merged)


def attach_new(
    model: LanguageModel, *, rank: int, alpha: int, targets: Sequence[str] | str, seed: int, layers: int | None = None
) -> Any:
    """A PEFT network with a fresh adapter, on the last `layers` decoder layers or on all.

    The same seed gives the same weights to the bit. Errors (ModelError): targets the model does not have.
    """
    from peft import LoraConfig, get_peft_model
    from transformers import set_seed

    set_seed(seed)
    if layers is not None:
        targets = names_in_last_layers(model.network, targets, layers)
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=0.0,
        target_modules=targets if isinstance(targets, str) else list(targets),
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(model.network, config)
    except ValueError as error:
        raise ModelError(
            f"LoRA cannot be attached: {str(error).splitlines()[0]}",
            where="`train.targets` in the study file",
            remedy="Use `all-linear`, or names of this model's linear layers.",
        ) from None


def names_in_last_layers(network: Any, targets: Sequence[str] | str, layers: int) -> list[str]:
    """Full names of the linear layers to adapt in the last `layers` decoder layers."""
    from torch.nn import Linear

    total = network.config.num_hidden_layers
    last = {str(index) for index in range(total - layers, total)}
    return [
        name
        for name, module in network.named_modules()
        if isinstance(module, Linear)
        and last & set(name.split("."))
        and (targets == "all-linear" or name.rsplit(".", 1)[-1] in targets)
    ]


def load_adapter(network: Any, folder: Path) -> None:
    """Put the adapter weights saved in `folder` into a PEFT network of the same configuration."""
    from peft import load_peft_weights, set_peft_model_state_dict

    result: Any = set_peft_model_state_dict(network, load_peft_weights(str(folder), device="cpu"))
    if result.unexpected_keys:
        raise ModelError(
            "A saved adapter does not fit this model.",
            where=str(folder),
            remedy="Delete that folder and run again.",
        )


def load_with_adapter(
    source: ModelSource, folder: Path, *, device: str, dtype: str, probe: str
) -> tuple[LanguageModel, Canary]:
    """The model with the adapter of `folder` merged in, and the canary that proves it."""
    model = load_model(source, device=device, dtype=dtype)
    tokens = model.chat.tokens(probe)
    base = mean_log_probability(model.network, tokens)
    peft_network = open_adapter(model.network, folder)
    through_peft = mean_log_probability(peft_network, tokens)
    merged = peft_network.merge_and_unload(safe_merge=True)
    merged.eval()
    canary = Canary(base, through_peft, mean_log_probability(merged, tokens))
    if not canary.applied:
        raise ModelError(
            f"The adapter is not applied: probe log-probability {base:.4f} (base), {through_peft:.4f} (PEFT), "
            f"{canary.merged:.4f} (merged).",
            where=str(folder),
            remedy="If training changed nothing (learning rate 0?) there is nothing to examine; else report a bug.",
        )
    return LanguageModel(merged, model.chat, source, model.device, model.dtype), canary


def open_adapter(network: Any, folder: Path) -> Any:
    """A network with the adapter of `folder` in PEFT's own layers. Errors (ModelError): it cannot be read."""
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(network, str(folder))
    except Exception as error:
        raise ModelError(
            f"The adapter cannot be loaded: {str(error).splitlines()[0]}",
            where=str(folder),
            remedy="Delete that folder and run again; it will be trained anew.",
        ) from None


def mean_log_probability(network: Any, tokens: Sequence[int]) -> float:
    """Mean log-probability (nats) of each token after those before it."""
    mean = log_probabilities_of(network, tokens).double().mean().item()
    return mean if math.isfinite(mean) else float("nan")


def log_probabilities_of(network: Any, tokens: Sequence[int]) -> Any:
    """Log-probability (nats) of each token but the first after those before it: shape (tokens - 1,), float32."""
    import torch

    ids = torch.tensor([list(tokens)], device=next(network.parameters()).device)
    with torch.inference_mode():
        found = network(input_ids=ids).logits[0, :-1].float().log_softmax(-1)
    return found.gather(1, ids[0, 1:, None])[:, 0]
