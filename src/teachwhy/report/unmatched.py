"""What is not matched between two arms that are no twins, in words; nothing where they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Record = Mapping[str, Any]


def reads(arm: Record) -> tuple[str | None, str]:
    """The shape of the examples that an arm reads and the system prompts around them, as `twins` share them."""
    return arm.get("shape"), arm.get("surroundings", "plain")


def twin_groups(results: Record) -> list[Record]:
    """Each group of twins with its `arms`, `rows`, `shape` and `surroundings`; one group where all read the same."""
    found = results["checks"].get("twins") or {}
    return list(found.get("groups", [found] if found.get("arms") else []))


def apart(contrast: Record, results: Record) -> list[str]:
    """In what the two trained arms of a contrast differ beside what stands beside their actions."""
    arms = {arm["name"]: arm for arm in results["arms"]}
    first, second = (arms[contrast[side]] for side in ("arm", "versus"))
    if not (first["trained"] and second["trained"]):
        return []
    found = [f"{what} ({one} and {other})" for what, one, other in facing(first, second) if one != other]
    others = [f"`{arm['name']}`" for arm in (first, second) if arm["name"] in results["checks"]["not_twins"]]
    return found + [f"the examples ({' and '.join(others)}: other ones)" for _ in others[:1]]


def facing(first: Record, second: Record) -> list[tuple[str, str, str]]:
    (shape, around), (other_shape, other_around) = reads(first), reads(second)
    return [
        ("stages of teaching", stages(first), stages(second)),
        ("shape of the examples", shape or "every", other_shape or "every"),
        ("system prompts around them", around, other_around),
    ]


def stages(arm: Record) -> str:
    return " then ".join(arm.get("stages") or ["its own rows"])


def not_matched(contrast: Record, results: Record) -> str:
    """The sentence for a contrast of two arms that are no twins, with what was measured of both; else nothing."""
    found = apart(contrast, results)
    if not found:
        return ""
    names = (contrast["arm"], contrast["versus"])
    tokens = [results["checks"]["tokens"][name] for name in names]
    rows = numbers([record["rows"] for record in tokens])
    length, counted = (
        numbers([round(record[field] / record["rows"]) for record in tokens]) for field in ("tokens", "trained")
    )
    measured = f"Rows: {rows}; tokens in a row, in the mean: {length}, of which the loss counts {counted}."
    updates = [results["checks"].get("updates", {}).get(name) for name in names]
    same = f" Matched: updates ({updates[0]})." if updates[0] is not None and len(set(updates)) == 1 else ""
    return f"The two arms are no twins. Not matched: {', '.join(found)}. {measured}{same}"


def numbers(values: list[int]) -> str:
    return f"{values[0]:,} and {values[1]:,}" if values[0] != values[1] else f"{values[0]:,} each"
