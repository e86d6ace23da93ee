"""Supervised stages: the arm's own rows, and whatever else is trained as plain rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from ...data import Row
from ...errors import InputError
from ...train.settings import TrainSettings, count_updates
from ...train.tokens import TokenRow, tokenize_rows
from .stage import Lessons, Making, Stage, Teaching, stage_kind

if TYPE_CHECKING:
    from ...train.supervised import Trained

REPLAY_SEED = 0


class RowStage(Stage):
    """A stage whose lessons are plain token rows, trained by next-token loss on the tokens that count."""

    in_parts: ClassVar[bool] = True

    replay: float = Field(
        0.0, ge=0, lt=1, description="Share of this stage's rows that are taken from the stages before it, mixed in."
    )

    def of_rows(self, making: Making, rows: Sequence[Row], settings: TrainSettings) -> Lessons:
        """Lessons of rows that are the stage's own, with what is replayed. Nothing stands beside an action in them."""
        tokens = tokenize_rows(rows, making.chat, making.context, making.arm.name)
        new = [replace(row, shared=0) for row in tokens]  # one order in all arms, whatever a version's length
        updates = count_updates(len(new), batch=settings.batch, epochs=settings.epochs)
        written = [row.to_json() for row in rows]
        return self.replayed(Lessons(new, written, settings, settings.batch, updates), making)

    def replayed(self, lessons: Lessons, making: Making) -> Lessons:
        """The same with rows of earlier stages, evenly many of each, and as many more updates as they take."""
        if not self.replay:
            return lessons
        pools = [(found.rows, found.written) for found in making.earlier if is_plain(found.rows)]
        if not pools:
            raise InputError(
                f"The stage {self.name!r} replays earlier stages, and the arm {making.arm.name!r} has none before it.",
                where=f"stage {self.name!r}, field 'replay'",
                remedy="Take `replay` out, or give the arm a stage of plain rows before it.",
            )
        count = max(1, round(self.replay / (1 - self.replay) * len(lessons.rows)))
        old, old_written = drawn(pools, count)
        if making.own.settings.action_share is not None:  # its rows weigh 1 each, and others 1 a token
            weight = sum(sum(row.weights) for row in lessons.rows) / len(lessons.rows)
            old = [weighing(row, weight) for row in old]
        rows = [replace(row, shared=0) for row in (*lessons.rows, *old)]  # or updates would be of the one or the other
        updates = max(1, round(lessons.updates * len(rows) / len(lessons.rows)))
        return replace(lessons, rows=rows, written=[*lessons.written, *old_written], updates=updates, settled=False)

    def teach(self, teaching: Teaching) -> Trained:
        from ...train.supervised import train_adapter

        lessons = teaching.lessons
        return train_adapter(
            teaching.network,
            lessons.rows,
            lessons.batches(teaching.seed),
            lessons.settings,
            pad_token=teaching.model.chat.pad_token,
            seed=teaching.seed,
            scratch=teaching.scratch,
            trunk=teaching.trunk,
            loss=teaching.loss,
            reporting=teaching.reporting,
            progress=teaching.progress,
            keep=teaching.keep,
        )


@stage_kind("supervised")
class SupervisedStage(RowStage):
    """The arm's own rows, as a study without stages trains them."""

    kind: Literal["supervised"]

    @property
    def needs_examples(self) -> bool:
        return True

    def lessons(self, making: Making) -> Lessons:
        settings = self.settings(making.own.settings)
        if settings == making.own.settings:
            return self.replayed(making.own, making)
        # An arm that fills its updates otherwise (`what_more`) keeps its proportion.
        batch = max(1, round(making.own.batch * settings.batch / making.own.settings.batch))
        updates = count_updates(making.counted, batch=settings.batch, epochs=settings.epochs)
        changed = replace(making.own, settings=settings, batch=batch, updates=updates, settled=False)
        return self.replayed(changed, making)


def weighing(row: TokenRow, weight: float) -> TokenRow:
    """The row with weights that come to `weight` together."""
    factor = weight / sum(row.weights)
    return replace(row, weights=tuple(factor * one for one in row.weights))


def is_plain(rows: Sequence[Any]) -> bool:
    return all(isinstance(row, TokenRow) for row in rows)


def drawn(pools: Sequence[tuple[Sequence[Any], Sequence[Any]]], count: int) -> tuple[list[Any], list[Any]]:
    """So many rows, with how they are written, in turn from each pool; the same for pools of the same sizes."""
    orders = []
    for rows, _ in pools:
        order = list(range(len(rows)))
        Random(REPLAY_SEED).shuffle(order)
        orders.append(order)
    places = [(turn % len(pools), orders[turn % len(pools)]) for turn in range(count)]
    picked = [(pool, order[turn // len(pools) % len(order)]) for turn, (pool, order) in enumerate(places)]
    return [pools[pool][0][row] for pool, row in picked], [pools[pool][1][row] for pool, row in picked]
