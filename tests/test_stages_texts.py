"""The bundled documents: versions that differ only in what they teach, balanced, and apart from what is examined."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from teachwhy.data import VERSIONS, Document, read_documents
from teachwhy.policy import read_policy

STUDIES = Path(__file__).parent.parent / "studies"
COUNTING = read_documents([STUDIES / "stages" / "documents.jsonl"])
DEVELOPMENT = read_documents([STUDIES / "stages" / "dev" / "documents.jsonl"])
RUN = 8  # words


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())


def runs(text: str) -> set[tuple[str, ...]]:
    found = words(text)
    return {tuple(found[start : start + RUN]) for start in range(len(found) - RUN + 1)}


def items(path: Path) -> list[str]:
    return [json.loads(line)["prompt"] for line in path.read_text(encoding="utf-8").splitlines()]


def test_there_are_four_documents_and_a_story_for_every_rule() -> None:
    rules = read_policy(STUDIES / "swap" / "policy.md").ids
    for rule in rules:
        mine = [document for document in COUNTING if document.principle == rule]
        assert sorted(document.kind == "story" for document in mine) == [False] * 4 + [True]
    assert len(COUNTING) == 100
    assert len({document.kind for document in COUNTING} - {"story"}) >= 10
    assert not {document.principle for document in DEVELOPMENT} & set(rules)


@pytest.mark.parametrize("document", [*COUNTING, *DEVELOPMENT], ids=lambda document: document.id)
def test_versions_are_of_one_length_and_each_its_own(document: Document) -> None:
    lengths = [len(document.text(version).split()) for version in VERSIONS]
    assert max(lengths) <= 1.08 * min(lengths)
    assert min(lengths) >= 90
    assert len({document.text(version) for version in VERSIONS}) == 4
    assert document.question


def test_no_document_holds_what_is_examined() -> None:
    examined = [STUDIES / "swap" / "items.jsonl", STUDIES / "swap" / "dev" / "items.jsonl"]
    forbidden = {run for path in examined for prompt in items(path) for run in runs(prompt)}
    for document in (*COUNTING, *DEVELOPMENT):
        for version in VERSIONS:
            assert not runs(document.text(version)) & forbidden, document.id


def test_no_text_stands_twice() -> None:
    texts = [document.text(version) for document in (*COUNTING, *DEVELOPMENT) for version in VERSIONS]
    assert len(set(texts)) == len(texts)
