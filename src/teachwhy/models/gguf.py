"""Turn a `.gguf` file into a folder with safetensors weights, configuration and tokenizer, once per file."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from teachwhy.errors import ModelError
from teachwhy.models.cache import build_once

MAGIC = b"GGUF"

# Weights are kept in bfloat16: it is what training computes in, half the size of float32, and what most models were
# trained in (SmolLM2's norms come out unchanged). Rounding the unpacked weights moves SmolLM2's answers by about 1e-4
# nats a token, a twentieth of what computing in bfloat16 does; and a float32 run starts from the same model.
DTYPE = "bfloat16"


def convert_gguf(path: Path, *, say: Callable[[str], None]) -> Path:
    """The folder in the cache that holds the model of the file `path`, converted the first time it is asked for.

    The folder is keyed by the content of the file, so a changed file is converted again; the file itself is only
    read. say: told what takes long. Raises ModelError for a file that is missing, broken or of an architecture that
    transformers cannot read, and for a cache that is full or cannot be written.
    """
    path = path.expanduser().absolute()
    digest = _content_hash(path)
    name = re.sub(r"[^\w.]+", "-", path.stem.lower())[:60]
    return build_once(
        f"{name}-{digest[:8]}",
        lambda folder: write_folder(path, folder, source={"file": path.name, "sha256": digest}, say=say),
        needs=4 * path.stat().st_size,  # the usual four-bit weights grow about threefold as bfloat16
        say=say,
    )


def write_folder(path: Path, folder: Path, *, source: dict[str, Any], say: Callable[[str], None]) -> None:
    """Write the model of the file `path` into the empty `folder`, and `source` with the versions used beside it."""
    require_libraries()
    say(f"Converting {path.name} to safetensors, once; about a minute for a small model.")
    header = _read_header(path)
    if any(tensor.name == "rope_freqs.weight" for tensor in header.tensors):
        say(f"{path.name} scales its position frequencies; transformers reads them unscaled, so answers may differ.")
    model, tokenizer = _read_model(path)
    _split_digits(tokenizer, header)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for weights in folder.glob("*.safetensors"):
        shutil.copymode(folder / "config.json", weights)  # written for the owner alone, but caches may be shared
    stamp = {
        **source,
        "bytes": path.stat().st_size,
        "dtype": DTYPE,
        "versions": {library: version(library) for library in ("transformers", "torch", "gguf")},
    }
    (folder / "source.json").write_text(json.dumps(stamp, indent=2) + "\n", encoding="utf-8")


def require_libraries() -> None:
    """Raise ModelError, naming them, when libraries that reading a GGUF file takes are not installed."""
    missing = [name for name in ("torch", "transformers", "accelerate", "gguf") if find_spec(name) is None]
    if missing:
        raise ModelError(
            f"Reading a GGUF file needs {', '.join(missing)}.", remedy="Install them: pip install 'teachwhy[train]'"
        )


def _content_hash(path: Path) -> str:
    """The sha256 of a file that must begin as a GGUF file does."""
    try:
        with path.open("rb") as handle:
            start = handle.read(16)
            if not start.startswith(MAGIC):
                raise _unreadable(path, f"it starts with {start!r}, not with {MAGIC!r}")
            handle.seek(0)
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(
            f"The model file cannot be read: {error.strerror}.",
            where=str(path),
            remedy="Check the path that `model:` gives.",
        ) from error


def _read_header(path: Path) -> Any:
    """The `gguf.GGUFReader` of the file; building it finds files that end too early."""
    from gguf import GGUFReader

    try:
        return GGUFReader(path)
    except Exception as error:  # a broken file surfaces as whatever numpy makes of it
        raise _unreadable(path, f"it is broken or cut short ({error})") from error


def _read_model(path: Path) -> tuple[Any, Any]:
    """The model, in bfloat16 on the CPU, and its tokenizer, as transformers reads them from the file."""
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    load: Any = transformers.AutoModelForCausalLM.from_pretrained
    options: dict[str, Any] = {"dtype": getattr(torch, DTYPE), "output_loading_info": True}
    # Recent versions otherwise keep the weights packed and mark the model as quantised: it could be neither saved
    # nor trained. Earlier ones always unpack.
    if hasattr(transformers, "GgufConfig"):
        options["quantization_config"] = transformers.GgufConfig(dequantize=True)
    # A folder of its own, or transformers would prefer a tokenizer.json that lies beside the file.
    with TemporaryDirectory() as alone:
        (Path(alone) / "model.gguf").symlink_to(path)
        try:
            model, loading = load(alone, gguf_file="model.gguf", **options)
            tokenizer = transformers.AutoTokenizer.from_pretrained(alone, gguf_file="model.gguf")
        except Exception as error:  # transformers raises every kind here
            raise _unreadable(path, f"transformers {transformers.__version__} says: {error}") from error
    if loading["missing_keys"]:  # transformers would leave them random and go on
        raise _unreadable(path, f"it lacks the weights {', '.join(sorted(loading['missing_keys'])[:5])}")
    return model, tokenizer


def _split_digits(tokenizer: Any, header: Any) -> None:
    """Make the tokenizer of a SmolLM model split off every digit before it merges.

    The file asks for it by name and the model was trained so, but transformers (up to 5.23 at least) passes over
    that name: a line break or space before a number would become other tokens than the model knows.
    """
    from tokenizers import pre_tokenizers

    field = header.get_field("tokenizer.ggml.pre")
    if field is not None and field.contents() == "smollm":
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )


def _unreadable(path: Path, why: str) -> ModelError:
    return ModelError(
        f"The file cannot be read as a GGUF model: {why}.",
        where=str(path),
        remedy="Fetch the file again and compare its size and hash with the publisher's, "
        "or give `model:` the folder of a safetensors model.",
    )
