"""Broken models and storage that refuses: said with the place and what to do next, and nothing is lost."""

from __future__ import annotations

import errno
import json
import os
import shutil
import struct
from pathlib import Path

import pytest
import tiny
from bad_input import assert_refused, edit_study

from teachwhy.errors import RunError, TeachwhyError
from teachwhy.study.folder import folder_error, write_text
from teachwhy.study.unit import save_folder

THINKING = tiny.TEMPLATE.replace("assistant\n{% endif", "assistant\n<think>\n{% endif")

# ---- the model


@pytest.fixture
def own_model(tiny_study, tiny_model) -> Path:
    """A copy of the tiny model that a test may break, and that its study names."""
    copy = shutil.copytree(tiny_model, tiny_study.parent / "model")
    edit_study(tiny_study, model="model")
    return copy


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_weights_that_are_cut_short_or_broken(teachwhy, tiny_study, own_model):
    weights = own_model / "model.safetensors"
    cut(weights)
    assert_refused(teachwhy("run", tiny_study), "broken or cut short", str(weights))
    weights.write_bytes(b"not weights at all")
    assert_refused(teachwhy("run", tiny_study), "broken or cut short", str(weights))
    weights.write_bytes(struct.pack("<Q", 2**62) + b"{}")
    assert_refused(teachwhy("run", tiny_study), "broken or cut short", str(weights))
    weights.rename(own_model / "pytorch_model.bin")
    assert_refused(teachwhy("run", tiny_study), "no .safetensors file", str(own_model))


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"model_type": "nobody-knows"}'])
def test_a_broken_model_configuration(teachwhy, tiny_study, own_model, content):
    (own_model / "config.json").write_text(content)
    assert_refused(teachwhy("run", tiny_study), "config.json", str(own_model))


@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json"])
def test_a_broken_tokenizer(teachwhy, tiny_study, own_model, file):
    cut(own_model / file)
    assert_refused(teachwhy("run", tiny_study), "tokenizer", str(own_model))


def test_a_model_folder_that_is_none(teachwhy, tiny_study, own_model):
    (own_model / "config.json").unlink()
    assert_refused(teachwhy("run", tiny_study), "no config.json", str(own_model))


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF" + bytes(100), b"not a model"])
def test_a_broken_gguf_file(teachwhy, tiny_study, monkeypatch, tmp_path, content):
    monkeypatch.setenv("TEACHWHY_CACHE", str(tmp_path / "cache"))
    (tiny_study.parent / "model.gguf").write_bytes(content)
    edit_study(tiny_study, model="model.gguf")
    assert_refused(teachwhy("run", tiny_study), "cannot be read as a GGUF model", "model.gguf")


def test_a_template_that_opens_a_thinking_block(teachwhy, tiny_study, own_model):
    (own_model / "chat_template.jinja").write_text(THINKING)
    assert_refused(teachwhy("run", tiny_study), "opens a <think> block", str(own_model))


def test_templates_that_cannot_be_used(teachwhy, tiny_study, own_model):
    template = own_model / "chat_template.jinja"
    template.write_text("{% for message in messages %}")
    assert_refused(teachwhy("run", tiny_study), "cannot render", str(own_model))
    template.write_text("{{ raise_exception('System role not supported') }}")
    assert_refused(teachwhy("run", tiny_study), "System role not supported", str(own_model))
    template.write_text("{{ raise_exception('') }}")
    assert_refused(teachwhy("run", tiny_study), "cannot render", str(own_model))
    template.unlink()
    assert_refused(teachwhy("run", tiny_study), "no chat template", str(own_model))


def test_a_tokenizer_without_an_end(teachwhy, tiny_study, own_model):
    settings = json.loads((own_model / "tokenizer_config.json").read_text())
    del settings["eos_token"]
    (own_model / "tokenizer_config.json").write_text(json.dumps(settings))
    assert_refused(teachwhy("run", tiny_study), "eos_token", str(own_model))


# ---- the run folder


def full(*arguments: object, **options: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def read_only(*arguments: object, **options: object) -> None:
    raise OSError(errno.EROFS, "Read-only file system")


def run_folder(study: Path) -> Path:
    """The run folder of a study, with something in it that must not be lost."""
    from teachwhy.study import prepare_job, read_study

    folder = prepare_job(read_study(study), study.parent / "runs", print).run
    (folder / "train" / "why" / "seed-0").mkdir(parents=True)
    (folder / "train" / "why" / "seed-0" / "kept.txt").write_text("hours of work")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("fault", "said"), [(full, "no space left"), (read_only, "cannot be written to")], ids=["full", "read-only"]
)
@pytest.mark.parametrize("call", ["os.fsync", "pathlib.Path.mkdir"])
def test_storage_that_refuses_loses_nothing(teachwhy, tiny_study, monkeypatch, fault, said, call):
    folder = run_folder(tiny_study)
    before = contents(folder)
    with monkeypatch.context() as patched:
        patched.setattr(call, fault)
        done = teachwhy("run", tiny_study, "--runs", folder.parent.parent)
    assert_refused(done, said, str(folder))
    after = contents(folder)
    after.pop(".lock", None)
    assert after == before


def test_runs_where_no_folder_can_be(teachwhy, tiny_study):
    assert_refused(teachwhy("run", tiny_study, "--runs", tiny_study), str(tiny_study), "--runs")
    if os.path.isdir("/proc/self"):
        assert_refused(teachwhy("run", tiny_study, "--runs", "/proc/runs"), "/proc/runs", "--runs")


def test_a_run_folder_of_another_study(teachwhy, tiny_study):
    folder = run_folder(tiny_study)
    for record in ('{"stamp": {}}', "[]"):
        (folder / "study.json").write_text(record)
        done = teachwhy("run", tiny_study, "--runs", folder.parent.parent)
        assert_refused(done, "belongs to another study", str(folder))
        assert (folder / "study.json").read_text() == record


def test_a_file_stays_whole_where_its_successor_cannot_be_written(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    write_text(path, "old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="no space left"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["results.json"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        Exception("Error while serializing: I/O error: No space left on device (os error 28)"),  # safetensors
    ],
)
def test_an_adapter_stays_whole_where_its_successor_cannot_be_written(tmp_path, error):
    def fail(place: str) -> None:
        Path(place, "part").write_text("half")
        raise error

    folder = tmp_path / "seed-0"
    save_folder(folder, lambda place: Path(place, "adapter").write_text("old"), "train.json", {"stamp": "old"})
    with pytest.raises(RunError, match="no space left"):
        save_folder(folder, fail, "train.json", {"stamp": "new"})
    assert contents(folder)["adapter"] == b"old"
    assert os.listdir(tmp_path) == ["seed-0"]


def test_every_fault_of_storage_says_what_to_do():
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EPERM, errno.EIO, errno.ENAMETOOLONG):
        error: TeachwhyError = folder_error(OSError(number, os.strerror(number)), Path("here"))
        assert error.where == "here"
        assert error.remedy
