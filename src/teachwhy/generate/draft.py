"""A draft: one lesson under way, with what each stage did to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Change:
    """What one stage did. fields: name -> what it is now. before: what stood there, of those that stood. note: more."""

    stage: str
    fields: Mapping[str, Any]
    before: Mapping[str, Any] = field(default_factory=dict)
    note: Mapping[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        return {
            name: dict(value) if isinstance(value, Mapping) else value for name, value in vars(self).items() if value
        }


@dataclass(frozen=True)
class Draft:
    """One lesson under way.

    id: made of where it came from and its number there, so the same whatever else is made. fields: what is known of it
    so far. quota: how many lessons are to come of it. trail: what the stages did, in order.
    """

    id: str
    fields: Mapping[str, Any]
    quota: int = 1
    trail: tuple[Change, ...] = ()

    def changed(self, stage: str, fields: Mapping[str, Any], note: Mapping[str, Any] | None = None) -> Draft:
        """The draft with these fields, and a line in its trail."""
        before = {name: self.fields[name] for name in fields if name in self.fields}
        change = Change(stage, dict(fields), before, note or {})
        return replace(self, fields={**self.fields, **fields}, trail=(*self.trail, change))

    def children(
        self,
        stage: str,
        entries: Sequence[Mapping[str, Any]],
        shares: Sequence[int] | None = None,
        first: int = 1,
    ) -> list[Draft]:
        """A draft for each entry, which share its quota; one without a share is not made.

        shares: of the quota, one an entry; None: as even as it goes. first: the number of the first entry.
        """
        shares = shared_out(self.quota, len(entries)) if shares is None else shares
        return [
            replace(self, id=f"{self.id}-{number}", quota=share).changed(stage, entry)
            for number, (entry, share) in enumerate(zip(entries, shares, strict=True), first)
            if share
        ]


def shared_out(quota: int, parts: int) -> list[int]:
    """A number shared out as evenly as it goes, the first ones getting what is over."""
    return [quota // parts + (number < quota % parts) for number in range(parts)]
