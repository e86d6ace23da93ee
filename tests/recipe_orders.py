"""Orders for recipes with the tiny policy and items, and what lies in the folder when they are done."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tiny
from in_process import SILENT

from teachwhy.generate import Order, find_recipe, write_lessons

COUNT = 30


def orders_in(folder: Path, given: Sequence[dict[str, Any]]) -> Callable[..., Order]:
    """Makes an order for a recipe. given: the examples, where it starts from some."""
    (folder / "policy.md").write_text(tiny.POLICY)
    tiny.write_jsonl(folder / "items.jsonl", items())
    tiny.write_jsonl(folder / "given.jsonl", given)

    def made(recipe: str, **fields: Any) -> Order:
        sources = [folder / "given.jsonl"] if find_recipe(recipe).starts == "examples" else []
        usual = {"out": folder / recipe, "count": COUNT, "sources": sources, "items": [folder / "items.jsonl"]}
        return Order(recipe, folder / "policy.md", "scripted", **usual | fields)  # type: ignore[arg-type]

    return made


def items() -> list[dict[str, Any]]:
    """The tiny items that have a gold decision, with the words that the exam of edge cases knows."""
    known = {"yes": "help", "no": "decline"}
    return [
        {
            **{field: value for field, value in item.items() if field not in ("facts", "kind")},
            "gold": known[str(item["gold"])],
            "answers": {known[word]: text for word, text in item["answers"].items()},  # type: ignore[attr-defined]
        }
        for item in tiny.tiny_items()
        if "gold" in item
    ]


def written(order: Order, name: str = "lessons.jsonl") -> list[dict[str, Any]]:
    write_lessons(order, SILENT)
    return lines(order.out / name)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
