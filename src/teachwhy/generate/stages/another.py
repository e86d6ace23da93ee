"""The kind `another`: a principle of the policy that is not the draft's own, drawn without a model."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Literal

from ...errors import InputError
from ..draft import Draft
from .stage import Stage, Work, stage_kind


@stage_kind
class Another(Stage):
    """Another principle of the policy for each draft: a seeded draw, never its own."""

    kind: Literal["another"] = "another"

    def needs(self) -> set[str]:
        return {"principle"}

    def given(self) -> set[str]:
        return {"other_principle", "other_rule", "other_why"}

    def through(self, drafts: Sequence[Draft], work: Work) -> Iterable[Draft]:
        """Errors: a policy of one principle."""
        for draft in drafts:
            others = [one for one in work.policy.principles if one.id != draft.fields["principle"]]
            if not others:
                raise InputError(
                    f"The stage {self.name!r} needs a second principle, and the policy has one alone.",
                    where=work.policy.file,
                    remedy="Add one, or leave out this stage and those that need what it gives (--without).",
                )
            drawn = random.Random(f"{work.seed} {self.name} {draft.id}").choice(others)
            told = {"other_principle": drawn.id, "other_rule": drawn.rule, "other_why": drawn.why or "(none)"}
            yield draft.changed(self.name, told)
