"""Find a model by the name in the study file and load it, from safetensors or GGUF only."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ModelError, first_line
from ..text import fingerprint
from .attention import allow_shared_prefix
from .bundled import fetch_bundled
from .chat import Chat
from .gguf import convert_gguf
from .names import BUNDLED_PREFIX, HUB_PREFIX, is_api, provider_name


@dataclass(frozen=True)
class ModelSource:
    """Where a model's files are. folder: a local folder, or a Hugging Face id. fingerprint: of its content.

    Of a model behind an API nothing is known but its name, which is all that its fingerprint is of.
    """

    name: str
    folder: str
    fingerprint: str
    trust_remote_code: bool = False

    @property
    def behind_api(self) -> bool:
        return is_api(self.name)


@dataclass(frozen=True)
class LanguageModel:
    """A loaded causal language model with its tokenizer's chat format."""

    network: Any
    chat: Chat
    source: ModelSource
    device: str
    dtype: str


def find_model(
    name: str, *, base_folder: Path, say: Callable[[str], None], trust_remote_code: bool = False
) -> ModelSource:
    """Resolve the `model:` field: `bundled:<name>`, a `.gguf` file, a local folder, or a Hugging Face id.

    `inspect:<provider>/<name>` is a model behind an API. `hub:<id>` is a Hugging Face id whatever paths there are.
    Relative paths are tried from `base_folder` (the study's) and then from the current folder. Only the first use of
    a bundled model and a Hugging Face id need the network.
    """
    if name.startswith(BUNDLED_PREFIX):
        folder = fetch_bundled(name.removeprefix(BUNDLED_PREFIX), say=say)
        return ModelSource(name, str(folder), folder_fingerprint(folder))
    if is_api(name):
        return ModelSource(name, provider_name(name), fingerprint(["inspect", provider_name(name)]))
    if name.startswith(HUB_PREFIX):
        return on_hub(name, name.removeprefix(HUB_PREFIX), trust_remote_code)
    for path in (base_folder / name, Path(name)):
        if path.is_file() and path.suffix == ".gguf":
            folder = convert_gguf(path, say=say)
            return ModelSource(name, str(folder), folder_fingerprint(folder))
        if path.is_dir() and (path / "config.json").is_file():
            check_weights(path)
            return ModelSource(name, str(path.resolve()), folder_fingerprint(path), trust_remote_code)
        if path.exists():
            raise ModelError(
                "This is neither a model folder (it has no config.json) nor a .gguf file.",
                where=str(path),
                remedy="Give a folder saved by transformers, a .gguf file, or a Hugging Face id.",
            )
    if name.endswith(".gguf") or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelError("There is no model at this path.", where=name, remedy="Check `model:` in the study file.")
    return on_hub(name, name, trust_remote_code)


def on_hub(name: str, identifier: str, trust_remote_code: bool) -> ModelSource:
    commit = hub_commit(identifier, trust_remote_code)
    return ModelSource(name, identifier, fingerprint(["hub", identifier, commit]), trust_remote_code)


def check_weights(folder: Path) -> None:
    """Refuse a folder whose weights are absent or cut short; only the head of each file is read."""
    from safetensors import SafetensorError, safe_open

    remedy = "Fetch or save the model again; weights are read from .safetensors (or one .gguf file) only."
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelError("This model folder has no .safetensors file.", where=str(folder), remedy=remedy)
    for file in files:
        try:
            with safe_open(str(file), framework="numpy"):
                pass
        except (SafetensorError, OSError) as error:
            raise ModelError(
                f"This file of the model is broken or cut short: {first_line(error)}.", where=str(file), remedy=remedy
            ) from None


def folder_fingerprint(folder: Path) -> str:
    """sha256 over the names and contents of the files that decide what the model says."""
    total = hashlib.sha256()
    wanted = {".safetensors", ".json", ".jinja", ".model", ".txt"}
    for file in sorted(path for path in folder.iterdir() if path.suffix in wanted and path.name != "source.json"):
        total.update(file.name.encode())
        with file.open("rb") as stream:
            total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()


def hub_commit(name: str, trust_remote_code: bool) -> str:
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(name, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"The model {name!r} cannot be had: {first_line(error)}",
            where="`model:` in the study file",
            remedy="Check the id and the network, or give a local folder, a .gguf file or bundled:smollm2-135m.",
        ) from None
    return str(getattr(config, "_commit_hash", None) or "unknown")


def choose_device(device: str) -> str:
    """`auto` takes cuda, then mps, then cpu. Errors (ModelError): a device that is not here."""
    import torch

    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return next(name for name, found in here.items() if found)
    if not here[device]:
        raise ModelError(
            f"torch finds no {device} device on this machine.",
            where="`device:` in the study file",
            remedy="Write `device: auto`, or install a torch that was built for it.",
        )
    return device


def choose_dtype(dtype: str, device: str) -> str:
    """`auto` takes bfloat16 where the hardware multiplies it, float32 elsewhere."""
    import torch

    if dtype != "auto":
        return dtype
    if device == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    fast = device == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return "bfloat16" if fast else "float32"


def load_model(
    source: ModelSource,
    *,
    device: str = "auto",
    dtype: str = "auto",
    for_training: bool = False,
    weights: Path | None = None,
    four_bit: bool = False,
) -> LanguageModel:
    """Load network and tokenizer. Errors (ModelError): broken or missing files, a template that cannot be used.

    weights: a folder that holds other weights of the same model. four_bit: keep them as nf4 and compute in `dtype`,
    as in QLoRA (Dettmers and others 2023, arXiv:2305.14314).
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    chosen_device = choose_device(device)
    chosen_dtype = choose_dtype(dtype, chosen_device)
    chat = load_chat(source)
    folder = str(weights or source.folder)
    try:
        network: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, chosen_dtype),
            # On CPUs the backward pass of the fused attention is several times slower than that of the plain one.
            attn_implementation="eager" if for_training and chosen_device == "cpu" else "sdpa",
            trust_remote_code=source.trust_remote_code,
            use_safetensors=True,
            **(as_four_bit(chosen_device, chosen_dtype) if four_bit else {}),
        )
    except Exception as error:
        raise ModelError(
            f"The model cannot be loaded: {first_line(error)}",
            where=folder,
            remedy="Delete that folder and run again; it will be trained anew."
            if weights
            else "The files may be broken or incomplete; fetch or save the model again (safetensors only).",
        ) from None
    if not (four_bit or (for_training and spread_later())):
        network.to(chosen_device)
    network.eval()
    if not for_training:
        allow_shared_prefix(network)
    return LanguageModel(network, chat, source, chosen_device, chosen_dtype)


def spread_later() -> bool:
    """Whether accelerate will spread the network over the GPUs of several processes (FSDP), none of which holds it."""
    return os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


def as_four_bit(device: str, dtype: str) -> dict[str, Any]:
    """What transformers takes to load a model through bitsandbytes, on the device where it is to stay."""
    import torch
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, dtype),
    )
    return {"quantization_config": config, "device_map": {"": device}}


def load_chat(source: ModelSource) -> Chat:
    """The tokenizer and chat format alone, for what needs no weights."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(source.folder, trust_remote_code=source.trust_remote_code)
    except Exception as error:
        raise ModelError(
            f"The tokenizer cannot be loaded: {first_line(error)}",
            where=source.folder,
            remedy="The folder needs tokenizer.json and tokenizer_config.json beside the weights.",
        ) from None
    return Chat(tokenizer)


def model_context(source: ModelSource) -> int:
    """How many tokens the model's context holds."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(source.folder, trust_remote_code=source.trust_remote_code)
    except Exception as error:
        raise ModelError(
            f"The model's configuration cannot be read: {first_line(error)}",
            where=source.folder,
            remedy="The folder needs a whole config.json.",
        ) from None
    return int(getattr(config, "max_position_embeddings", 0) or 2048)
