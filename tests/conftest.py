"""What the tests share: the tiny model, a fresh tiny study, and the command line as a user meets it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import browser as browsers
import in_process
import pytest
import tiny
from hypothesis import settings

from teachwhy import cli
from teachwhy.study import run as run_module

# Several threads for matrices of 32 columns only wait for one another, above all where tests run side by side.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A busy machine must not fail a test, and the examples are the same every time.
settings.register_profile("steady", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("steady")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tiny model; built once, only to be read."""
    return tiny.build_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="session")
def roomy_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with room for a document or a long system prompt, one token a character."""
    return tiny.build_tiny_model(tmp_path_factory.mktemp("model") / "roomy", context=8192)


@pytest.fixture
def tiny_study(tmp_path: Path, tiny_model: Path) -> Path:
    """The study.yaml of a tiny study of this test's own."""
    return tiny.build_tiny_study(tmp_path / "study", tiny_model)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, for one file of tests: its driver runs an event loop that others should not meet."""
    if lacking := browsers.missing():
        pytest.skip(f"No browser test: {lacking}.")
    with browsers.launched() as launched:
        yield launched


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Units of this test are done in its own process."""
    monkeypatch.setattr(run_module, "run_units", in_process.run_here)


@dataclass(frozen=True)
class Done:
    """How a command ended: exit code, standard output and standard error."""

    code: int
    out: str
    err: str


@pytest.fixture
def teachwhy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Runs `teachwhy ARGUMENTS` through its entry point, in this process."""

    def call(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["teachwhy", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        return Done(code, *capsys.readouterr())

    return call
