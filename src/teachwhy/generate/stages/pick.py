"""The kind `pick`: fields from a list in the recipe, without a model."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from ..draft import Draft, shared_out
from ..filling import fill_plainly, placeholders
from .stage import Stage, Work, stage_kind


@stage_kind
class Pick(Stage):
    """Fields from a list in the recipe: each entry in turn makes a draft, or one is drawn for each draft."""

    kind: Literal["pick"] = "pick"
    values: list[dict[str, Any]] = Field(
        min_length=1, description="Entries; `{{name}}` in a text stands for a field of the draft."
    )
    how: Literal["each", "mixed", "one"] = Field(
        "one",
        description="each: a draft of every entry; mixed: the same in a seeded order, for lists that are longer than "
        "the lessons wanted; one: a seeded draw.",
    )

    def needs(self) -> set[str]:
        texts = [text for entry in self.values for text in entry.values() if isinstance(text, str)]
        return {name for text in texts for name in placeholders(text)}

    def given(self) -> set[str]:
        return set.intersection(*(set(entry) for entry in self.values))

    def planned(self, quotas: Sequence[int]) -> tuple[int, list[int]]:
        if self.how == "one":
            return 0, list(quotas)
        return 0, [share for quota in quotas for share in shared_out(quota, len(self.values)) if share]

    def through(self, drafts: Sequence[Draft], work: Work) -> Iterable[Draft]:
        for draft in drafts:
            rng = random.Random(f"{work.seed} {self.name} {draft.id}")
            if self.how == "one":
                yield draft.changed(self.name, filled(rng.choice(self.values), draft))
            else:
                entries = rng.sample(self.values, len(self.values)) if self.how == "mixed" else self.values
                yield from draft.children(self.name, [filled(entry, draft) for entry in entries])


def filled(entry: Mapping[str, Any], draft: Draft) -> dict[str, Any]:
    """The entry with the fields of the draft that its texts name, as they are: no model reads this."""
    return {
        name: fill_plainly(value, draft.fields) if isinstance(value, str) else value for name, value in entry.items()
    }
