"""docs/your-policy.md, followed as written: its files are written, its commands run, on a tiny model."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import tiny

PAGE = (Path(__file__).parents[1] / "docs" / "your-policy.md").read_text()
FILES = re.findall(r"^`(letting/[\w.-]+)`:.*?^```\w+\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^teachwhy (.+)$", PAGE, flags=re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files of the page and a tiny model in the place of the embedded one."""
    monkeypatch.chdir(tmp_path)
    Path("letting").mkdir()
    for name, text in FILES:
        Path(name).write_text(text.replace("bundled:smollm2-135m", str(tmp_path / "model")))
    tiny.build_tiny_model(tmp_path / "model", context=2048)
    return tmp_path


def test_the_page_has_every_file_of_a_study() -> None:
    names = [name for name, _ in FILES]
    assert names == ["letting/policy.md", "letting/examples.jsonl", "letting/items.jsonl", "letting/study.yaml"]
    assert len(COMMANDS) == 8


@pytest.mark.usefixtures("folder")
@pytest.mark.usefixtures("here")
def test_every_command_works_in_its_order(teachwhy) -> None:
    for command in COMMANDS:
        words = command.split()
        if "path/to/model.gguf" in words:
            continue
        words += ["--no-measure"] if words[0] == "plan" else []
        done = teachwhy(*words)
        assert done.code == 0, f"{command}: {done.err}"
        if words[0] == "check":
            assert "0 errors, 0 warnings" in done.out
    page = next(Path("runs").glob("letting/*/report.html")).read_text()
    assert "pair_accuracy" in page
    results = json.loads(next(Path("runs").glob("letting/*/results.json")).read_text())
    assert results["registration"]["state"] == "registered before the run"
