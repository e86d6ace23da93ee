"""The stage `preference`: of two responses by one model, which is better; the same pairs for every arm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from ...data import Pair, read_pairs
from ...train.pairs import tokenize_pairs
from ...train.settings import count_updates
from .stage import Effort, Lessons, Making, Stage, Teaching, refuse_four_bits, stage_kind

if TYPE_CHECKING:
    from ...train.supervised import Trained


@stage_kind("preference")
class PreferenceStage(Stage):
    """Direct preference optimisation (DPO) on pairs of responses, from where the stage before it ended."""

    kind: Literal["preference"]
    files: list[str] = Field(min_length=1, description="Files of pairs (JSONL), from the study's folder.")
    beta: float = Field(0.1, gt=0, description="How dear it is to leave what the stage began with.")
    in_parts: ClassVar[bool] = True
    over_trl: ClassVar[bool] = True

    def read(self, folder: Path) -> Sequence[Pair]:
        return read_pairs([folder / name for name in self.files])

    def taught(self, material: Sequence[Pair]) -> dict[str, str]:
        texts: dict[str, str] = {}
        for pair in material:
            situation = " ".join(message.content for message in pair.messages if message.role != "system")
            texts |= {f"pair {pair.id}": situation, f"chosen text of pair {pair.id}": pair.chosen}
            texts[f"rejected text of pair {pair.id}"] = pair.rejected
        return texts

    def lessons(self, making: Making) -> Lessons:
        settings = self.settings(making.own.settings)
        refuse_four_bits(settings, self.name)
        rows = tokenize_pairs(making.material, making.writing.prompt, making.chat, making.context)
        written = [as_written(pair, making) for pair in making.material]
        updates = count_updates(len(rows), batch=settings.batch, epochs=settings.epochs)
        return Lessons(rows, written, settings, settings.batch, updates)

    def effort(self, lessons: Lessons, seed: int) -> Effort:
        """The reference reads every pair once beforehand."""
        visited = {index for batch in lessons.batches(seed) for index in batch}
        return Effort(lessons.tokens(seed), read=sum(lessons.rows[index].length for index in visited))

    def teach(self, teaching: Teaching) -> Trained:
        from ...train.preference import train_preferences

        lessons = teaching.lessons
        return train_preferences(
            teaching.network,
            lessons.rows,
            lessons.batches(teaching.seed),
            lessons.settings,
            beta=self.beta,
            tokenizer=teaching.model.chat.tokenizer,
            seed=teaching.seed,
            scratch=teaching.scratch,
            reporting=teaching.reporting,
            progress=teaching.progress,
            keep=teaching.keep,
        )


def as_written(pair: Pair, making: Making) -> dict[str, Any]:
    """A pair as it is taught, for people."""
    return {
        "pair": pair.id,
        "prompt": making.writing.prompt(pair.as_example()),
        "chosen": pair.chosen,
        "rejected": pair.rejected,
        "by": pair.chosen_by,
    }
