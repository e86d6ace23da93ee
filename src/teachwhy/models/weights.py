"""What of a model is trained: a LoRA adapter on it, or its own weights; begun, saved and opened again in one way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import ModelError
from .adapters import Canary, attach_new, load_adapter, load_with_adapter, mean_log_probability
from .layers import decoder_layers
from .load import LanguageModel, ModelSource, load_model


@dataclass(frozen=True)
class Trainable:
    """What is trained of a model.

    lora: an adapter of this rank, alpha and targets; else the model's own weights. layers: of the last so many decoder
    layers alone; None: of all there is. four_bit: the base model below the adapter is kept in nf4.
    """

    lora: bool
    rank: int
    alpha: int
    targets: Sequence[str] | str
    layers: int | None
    four_bit: bool = False

    def attach(self, model: LanguageModel, seed: int) -> Any:
        """A PEFT network with a fresh adapter; the same seed gives the same weights."""
        return attach_new(model, rank=self.rank, alpha=self.alpha, targets=self.targets, seed=seed, layers=self.layers)


def load_for_training(
    source: ModelSource, trainable: Trainable, *, device: str, dtype: str
) -> tuple[LanguageModel, Any]:
    """The model and the network to train, with the weights that `load_weights` puts in still to come.

    A model's own weights are held in float32, whatever `dtype`: an update of 1e-5 is lost in the rounding of a
    bfloat16 weight. Products are then computed in bfloat16 where that is the `dtype`.
    """
    if trainable.four_bit:
        check_four_bit(device)
    if trainable.lora:
        model = load_model(source, device=device, dtype=dtype, for_training=True, four_bit=trainable.four_bit)
        return model, trainable.attach(model, seed=0)
    model = load_model(source, device=device, dtype="float32", for_training=True)
    train_own(model.network, trainable.layers)
    if dtype == "bfloat16":
        compute_in_bfloat16(model.network, device)
    return replace(model, dtype=dtype), model.network


def check_four_bit(device: str) -> None:
    """Refuse `quantize: 4bit` where it cannot be had. Errors (ModelError): no CUDA device, or no bitsandbytes."""
    if device != "cuda":
        raise ModelError(
            f"A model can be trained in 4 bits on a CUDA device only; this study would use {device}.",
            where="`train.quantize` in the study file",
            remedy="Take it out, or run on a machine with a CUDA device (and `device: auto` or `cuda`).",
        )
    if find_spec("bitsandbytes") is None:
        raise ModelError(
            "Training in 4 bits needs bitsandbytes, which is not installed.",
            where="`train.quantize` in the study file",
            remedy="pip install 'teachwhy[quantize]', or take `quantize` out.",
        )


def train_own(network: Any, layers: int | None) -> None:
    """Let gradients into a network's own weights: those of the last `layers` decoder layers, or all."""
    network.requires_grad_(layers is None)
    for layer in decoder_layers(network)[-layers:] if layers else []:
        layer.requires_grad_(True)


def compute_in_bfloat16(network: Any, device: str) -> None:
    """Run its forward pass under autocast, whoever calls it."""
    import torch

    network.forward = torch.autocast(device, dtype=torch.bfloat16)(network.forward)
    network.autocast_on = device


def keep_bfloat16(network: Any) -> None:
    """Autocast again, where something has since put a forward pass of its own in the place of the network's."""
    if device := vars(network).get("autocast_on"):
        compute_in_bfloat16(network, device)


def is_adapter(network: Any) -> bool:
    """Whether PEFT holds it."""
    return hasattr(network, "peft_config")


def load_weights(network: Any, folder: Path) -> None:
    """Put what was saved in `folder` into a network for training: an adapter, or a model's own weights.

    folder: of a training that ended, of a step-0 adapter, or of the base model itself.
    Errors (ModelError): weights of another shape.
    """
    if is_sharded(network):
        raise ModelError(
            "A network that is spread over several processes cannot go on from saved weights.",
            where=str(folder),
            remedy="With FSDP several processes teach one stage; use data parallel processes for more.",
        )
    if is_adapter(network):
        load_adapter(network, folder)
        return
    import torch

    try:
        saved = type(network).from_pretrained(str(folder), dtype=torch.float32, use_safetensors=True)
        network.load_state_dict(saved.state_dict())
    except Exception as error:
        raise ModelError(
            f"Saved weights do not fit this model: {str(error).splitlines()[0]}",
            where=str(folder),
            remedy="Delete that folder and run again.",
        ) from None


def is_sharded(network: Any) -> bool:
    """Whether every process holds a part of its weights alone (FSDP)."""
    from torch.distributed.tensor import DTensor

    return any(isinstance(weight, DTensor) for weight in network.parameters())


def save_trained(model: LanguageModel, network: Any, folder: str) -> None:
    """An adapter as PEFT saves it, or the whole model in float32 as transformers does, with its tokenizer.

    Where several processes hold a part of the weights each, all of them must call this, and the first writes.
    """
    import torch

    weights: dict[str, Any] = {}
    if is_sharded(network):
        weights = {"state_dict": gathered(network)}
        if torch.distributed.get_rank() > 0:
            return
    network.save_pretrained(folder, **weights)
    if not is_adapter(network):
        model.chat.tokenizer.save_pretrained(folder)


def gathered(network: Any) -> dict[str, Any]:
    """All weights of a sharded network, each once, on the CPU of the first process; nothing on the others."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    found = get_model_state_dict(network, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    once = dict([*network.named_parameters(), *network.named_buffers()])  # of tied weights, one
    return {name: weight for name, weight in found.items() if name in once}


def load_trained(
    source: ModelSource, folder: Path, *, device: str, dtype: str, probe: str
) -> tuple[LanguageModel, Canary]:
    """The model as trained in `folder`, ready to be examined, and the canary that proves it.

    Errors (ModelError): weights that cannot be read, or that say what the base model says.
    """
    if (folder / "config.json").is_file():
        return load_own(source, folder, device=device, dtype=dtype, probe=probe)
    return load_with_adapter(source, folder, device=device, dtype=dtype, probe=probe)


def load_own(source: ModelSource, folder: Path, *, device: str, dtype: str, probe: str) -> tuple[LanguageModel, Canary]:
    """The model with its own weights as trained. A network at a time is in memory."""

    def said(dtype: str, weights: Path | None) -> float:
        model = load_model(source, device=device, dtype=dtype, weights=weights)
        return mean_log_probability(model.network, model.chat.tokens(probe))

    base, exact = said(dtype, None), said("float32", folder)
    model = load_model(source, device=device, dtype=dtype, weights=folder)
    canary = Canary(base, exact, mean_log_probability(model.network, model.chat.tokens(probe)))
    if not canary.applied:
        raise ModelError(
            f"The trained weights are not applied: probe log-probability {base:.4f} (base), {exact:.4f} (trained, in "
            f"float32), {canary.merged:.4f} (as examined).",
            where=str(folder),
            remedy="If training changed nothing (learning rate 0?) there is nothing to examine. If rounding to the "
            "study's `dtype` lost it, write `dtype: float32`; else report a bug.",
        )
    return model, canary
