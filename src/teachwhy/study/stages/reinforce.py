"""The stage `reinforce`: the model answers cases, and what an exam scores higher is made likelier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from ...errors import CheckError, InputError
from ...evals import Item, Material, Reward, Task, check_reward, check_rewarding, find_exam, honeypots, read_items
from ...train.settings import count_updates
from ...train.tasks import TaskRow
from .stage import Effort, Lessons, Making, Stage, Teaching, refuse_four_bits, stage_kind

if TYPE_CHECKING:
    from ...train.reinforce import Reinforced


@dataclass(frozen=True)
class RewardedRow(TaskRow):
    """A task as tokens, and what its answers are rewarded by."""

    task: Task
    reward: Reward

    def content(self) -> list[Any]:
        case, asked = self.task.case, self.task.request
        told = [case.kind, case.gold, case.model_dump(mode="json", include={"facts"}), asked.opening, asked.options]
        written = self.reward.format
        markers = [written.reasons, written.place, written.reason_marker, written.action_marker]
        return [*super().content(), *told, markers]


@stage_kind("reinforce")
class ReinforceStage(Stage):
    """GRPO: of several answers to a case, those that an exam scores higher are made likelier."""

    watched: ClassVar[str] = "reward"
    over_trl: ClassVar[bool] = True
    writes: ClassVar[bool] = True
    kind: Literal["reinforce"]
    exam: str = Field(description="Its own score of an answer is the reward.")
    metrics: list[str] = Field(
        min_length=1, description="Of that exam; a case is rewarded by the mean of those that it is scored in."
    )
    items: list[str] = Field(
        default_factory=list, description="Files of items (JSONL) to train on, of families that are not examined."
    )
    scenarios: honeypots.ScenarioSettings | None = Field(
        None, description="Scenarios to train on, of families that are not examined."
    )
    group: int = Field(8, ge=2, description="Answers to each prompt; `train.batch` counts answers, so it divides that.")
    max_new_tokens: int = Field(64, gt=0, description="An answer is cut after so many.")
    temperature: float = Field(
        1.0, gt=0, le=10, description="What the logits are divided by before a token is drawn, and in training."
    )
    kl: float = Field(
        0.0, ge=0, description="Weight of the divergence from the model as it stands when the stage begins."
    )

    @property
    def where(self) -> str:
        return f"stage {self.name!r}"

    def record(self) -> dict[str, Any]:
        told = {name: value for name, value in super().record().items() if name not in ("items", "scenarios")}
        return told | {"exam_version": find_exam(self.exam).version}

    def read(self, folder: Path) -> Sequence[Item]:
        check_rewarding(self.exam, self.where)
        items = read_items([folder / name for name in self.items])
        scenarios = honeypots.read_scenarios(self.scenarios, folder) if self.scenarios else None
        cases = find_exam(self.exam).cases(Material(items, scenarios=scenarios))
        if not cases:
            raise InputError(
                f"The stage {self.name!r} has nothing to train on.",
                where=self.where,
                remedy=f"Name files of `items` or `scenarios` that the exam {self.exam!r} asks of.",
            )
        return cases

    def taught(self, material: Sequence[Item]) -> dict[str, str]:
        return {
            f"case {case.id} of the stage {self.name}": " ".join(
                message.content for message in case.messages if message.role != "system"
            )
            for case in material
        }

    def families(self, material: Sequence[Item]) -> set[str]:
        return {case.family for case in material}

    def lessons(self, making: Making) -> Lessons:
        settings = self.settings(making.own.settings)
        refuse_four_bits(settings, self.name)
        reward = Reward(self.exam, tuple(self.metrics), making.format)
        tasks = self.tasks(making)
        check_reward(reward, [task.case for task in tasks], f"{self.where}; arm {making.arm.name!r}")
        rows = [
            RewardedRow(task.case.id, tuple(making.chat.tokens(task.prompt + task.request.opening)), task, reward)
            for task in tasks
        ]
        self.refuse_long(rows, making.context)
        prompts = self.prompts_an_update(settings.batch)
        written = [{"case": task.case.id, "family": task.case.family, "prompt": task.prompt} for task in tasks]
        updates = count_updates(len(rows), batch=prompts, epochs=settings.epochs)
        return Lessons(rows, written, settings, prompts, updates)

    def tasks(self, making: Making) -> list[Task]:
        """The cases that the model writes an answer to of its own accord."""
        cases = {case.id: case for case in making.material}
        asked = find_exam(self.exam).requests(list(making.material), making.format)
        own = [request for request in asked if request.format == "own" and request.write and request.by == "subject"]
        return [Task(cases[request.item], request, making.asked(cases[request.item])) for request in own]

    def prompts_an_update(self, answers: int) -> int:
        if answers % self.group:
            raise InputError(
                f"{answers} answers an update cannot be groups of {self.group}.",
                where=f"{self.where}, field 'group'",
                remedy=f"Set the stage's `train: {{batch: {self.group * max(1, answers // self.group)}}}`, or `group`.",
            )
        return answers // self.group

    def refuse_long(self, rows: Sequence[RewardedRow], context: int) -> None:
        """Refuse prompts that leave an answer no room."""
        longest = max(rows, key=lambda row: row.length)
        need = longest.length + self.max_new_tokens
        if context and need > context:
            raise CheckError(
                f"A prompt of the stage {self.name!r} needs {need} tokens with its answer; the model holds {context}.",
                where=f"case {longest.name!r}",
                remedy="Shorten it, or lower `max_new_tokens`.",
            )

    def effort(self, lessons: Lessons, seed: int) -> Effort:
        """Every prompt with each of its answers, as long as they may be; the reference reads the same."""
        prompts = sum(map(len, lessons.batches(seed)))
        tokens = self.group * (lessons.tokens(seed) + prompts * self.max_new_tokens)
        return Effort(tokens, read=tokens if self.kl else 0, steps=lessons.updates * self.max_new_tokens)

    def teach(self, teaching: Teaching) -> Reinforced:
        from ...train.reinforce import train_reinforced

        def reward(rows: Sequence[RewardedRow], texts: Sequence[str]) -> list[float | None]:
            return rows[0].reward(teaching.model, [row.task for row in rows], texts)

        lessons = teaching.lessons
        return train_reinforced(
            teaching.network,
            lessons.rows,
            lessons.batches(teaching.seed),
            lessons.settings,
            reward,
            group=self.group,
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            kl=self.kl,
            chat=teaching.model.chat,
            seed=teaching.seed,
            scratch=teaching.scratch,
            reporting=teaching.reporting,
            progress=teaching.progress,
            keep=teaching.keep,
        )
