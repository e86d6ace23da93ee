"""docs/system-prompts.md, followed as written: its file is written, its commands run, against a server on loopback."""

from __future__ import annotations

import re
from pathlib import Path

import chat_server
import pytest
import tiny
import yaml
from in_process import run_here
from test_your_policy import FILES as OTHER_FILES

from teachwhy.study import run as run_module

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
pytest.importorskip("inspect_ai")

PAGE = (Path(__file__).parents[1] / "docs" / "system-prompts.md").read_text()
POLICY = re.search(r"^`letting/prompt.md`:\n\n```markdown\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^teachwhy (.+)$", PAGE, flags=re.MULTILINE)
PRICES = re.search(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)


def test_every_command_works_in_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, teachwhy) -> None:
    assert POLICY
    assert PRICES
    assert len(COMMANDS) == 5
    monkeypatch.chdir(tmp_path)
    Path("letting").mkdir()
    Path("letting/prompt.md").write_text(POLICY[1])
    Path("letting/items.jsonl").write_text(dict(OTHER_FILES)["letting/items.jsonl"])
    tiny.build_tiny_model(tmp_path / "tiny", context=4096)
    monkeypatch.setattr(run_module, "run_units", run_here)
    with chat_server.serving(lambda messages: "No, I won't do that; ask her first, please.") as server:
        for provider in ("OPENAI", "LOCAL"):
            monkeypatch.setenv(f"{provider}_BASE_URL", server.base_url)
            monkeypatch.setenv(f"{provider}_API_KEY", "none")
        for command in COMMANDS:
            done = teachwhy(*command.replace("bundled:smollm2-135m", "tiny").split())
            assert done.code == 0, f"{command}: {done.err}"
            if command.startswith("check"):
                assert "0 errors, 0 warnings" in done.out
            if "gpt-4o-mini" in command:
                Path("letting/prompts/prices.yaml").write_text(PRICES[1])
    study = yaml.safe_load(Path("letting/prompts/study.yaml").read_text())
    assert study["model"] == "inspect:openai/gpt-4o-mini"
    assert [arm for arm in study["arms"] if f"`{arm}`" not in PAGE] == ["without_why.safety", "without_why.papers"]
    page = next(Path("runs").glob("prompts/*/report.html")).read_text()
    assert "Which whys earn their tokens" in page
