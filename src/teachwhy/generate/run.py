"""A generation from end to end: the teacher is opened, drafts flow through the stages, and lessons are written down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..data import Example, read_documents, read_examples, read_pairs
from ..errors import InputError
from ..evals import Item, read_items
from ..evals.honeypots import Scenario
from ..models import PRICES
from ..policy import Policy, read_policy
from ..study.folder import locked, write_json, write_text
from ..text import fingerprint
from .answers import Answers, open_answers
from .draft import Draft
from .estimate import estimate_lines, estimated
from .flow import flow, planned
from .health import corpus_health, health_page, health_table, lessons_of
from .open_teacher import Opened, open_teachers
from .order import Order
from .outputs import LESSONS, NOT_A_LESSON, Ledger, ledger, record_of, why_not
from .recipe import Recipe, find_recipe
from .stages import AskingSome, Work
from .starts import given_examples, given_scenarios, starts_of
from .study_of import examined, write_study
from .teacher import NEVER_CAME, Stopped

ANSWERS = "answers.sqlite"
MANIFEST, HEALTH, HEALTH_PAGE = "manifest.json", "health.json", "health.html"
READERS: dict[str, Callable[[Sequence[Path]], Sequence[Any]]] = {
    "examples": read_examples,
    "documents": read_documents,
    "pairs": read_pairs,
}
Say = Callable[[str], None]
Tell = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Prepared:
    """An order with all it names read and checked; nothing is asked yet."""

    order: Order
    recipe: Recipe
    policy: Policy
    examples: Sequence[Example]
    scenarios: Sequence[Scenario] = ()
    items: Sequence[Item] = ()

    @property
    def policy_fingerprint(self) -> str:
        return fingerprint([one.record() for one in self.policy.principles])

    @property
    def made_for(self) -> str:
        """Of what answers are asked for: not of how many lessons, since more of them find the first ones bought."""
        order = self.order
        asked = [order.teacher, order.judge, order.asking.provider, order.seed]
        return fingerprint([self.recipe.fingerprint, self.policy_fingerprint, *asked])

    def starts(self, count: int | None) -> list[Draft]:
        return starts_of(self.recipe, self.policy, self.examples, count, self.scenarios)


@dataclass(frozen=True)
class Generation:
    """What came of a run. health: in words; None where no lesson was finished."""

    manifest: dict[str, Any]
    folder: Path
    health: str | None

    @property
    def stopped(self) -> str | None:
        """Why it ended before all was made; None where it did not."""
        told: str | None = self.manifest["stopped"]
        return told

    def lines(self) -> list[str]:
        """What was made, what was lost on the way and why, in words."""
        told = self.manifest
        lines = [f"{told['finished']:,} of {told['wanted']:,} lessons in {self.folder / LESSONS}"]
        for one in told["dropped"]:
            lines.append(f"dropped in {one['stage'] or 'the end'}: {one['drafts']:,} drafts: {one['cause']}")
        if any(one["dropped"] for one in told["decisions"].values()):
            shares = (
                f"{name} {one['lessons']:,} ({one['dropped']:,} dropped)" for name, one in told["decisions"].items()
            )
            lines.append(f"decisions: {', '.join(shares)}")
        for one in told["answers_of_no_use"]:
            lines.append(f"asked again or given up in {one['stage']}: {one['answers']:,} answers: {one['cause']}")
        if told["dollars"]:
            lines.append(f"${told['dollars']:,.2f} for all answers in this folder")
        if any(one["cause"].startswith(NEVER_CAME) for one in told["dropped"]):
            lines.append("the same command asks again for what never came")
        judged = any(stage.get("by") == "judge" for stage in told["stages_as_they_were"])
        if judged and told["judge"] == told["teacher"]:
            lines.append("the teacher judged its own work; --judge names another")
        if self.health is None:
            return [*lines, "no lesson was finished, so there is nothing to look at"]
        return [*lines, self.health, f"health: {self.folder / HEALTH_PAGE}", f"next: teachwhy run {self.folder}"]


@dataclass(frozen=True)
class Preview:
    """A few finished lessons. lessons: each record with the draft it was made of. dropped: id, stage, cause, more."""

    lessons: Sequence[tuple[dict[str, Any], Draft]]
    dropped: Sequence[tuple[str, str, str, str]]
    estimate: Sequence[str]
    stopped: str | None = None


def prepare_order(order: Order) -> Prepared:
    """Read all that an order names. Errors: whatever is wrong with it, before anything is asked or paid."""
    recipe = find_recipe(order.recipe)
    if order.without:
        recipe = recipe.without(order.without)
    policy = read_policy(order.policy)
    if order.count is not None and order.count < 1:
        raise InputError("At least one lesson must be wanted.", where="--count", remedy="Give a number above 0.")
    examples, scenarios = given_examples(recipe, order.sources, policy), given_scenarios(recipe, order.sources)
    examined([*map(str, order.items)], scenarios)  # whether anything is left to examine is told before it is paid for
    if order.prices and not order.prices.exists():
        raise InputError("This file of prices is not there.", where=str(order.prices), remedy="Check the path.")
    items = read_items(order.items) if order.items else []
    return Prepared(order, recipe, policy, examples, scenarios, items)


@contextmanager
def at_work(prepared: Prepared, say: Say) -> Iterator[tuple[Opened, Answers]]:
    """The folder locked, its answers open, and the teachers ready to be asked."""
    order = prepared.order
    with locked(order.out, say), open_answers(order.out / ANSWERS) as answers:
        for left in order.out.glob(".*.tmp"):  # by a run that was killed; a folder of that name is somebody's own
            if left.is_file():
                left.unlink()
        if not order.prices_file.exists():
            write_text(order.prices_file, PRICES)
        if answers.in_flight:
            say(
                f"{answers.in_flight} calls were under way when the last run ended; they are sent again, and may "
                "have been paid for once already"
            )
        with open_teachers(order, prepared.recipe, answers, prepared.made_for, say) as opened:
            yield opened, answers


def preview(order: Order, lessons: int, say: Say, tell: Tell = lambda done, total, stage: None) -> Preview:
    """The first lessons of a corpus, and what the whole would take. The run finds what this bought."""
    prepared = prepare_order(order)
    whole = prepared.starts(order.count)
    wanted = sum(draft.quota for draft in whole)
    few = prepared.starts(min(lessons, wanted))
    dropped: list[tuple[str, str, str, str]] = []
    found: list[tuple[dict[str, Any], Draft]] = []
    with at_work(prepared, say) as (opened, answers):
        work = Work(
            prepared.policy,
            opened.teacher,
            opened.judge,
            lambda draft, stage, cause, detail: dropped.append((draft.id, stage, cause, detail)),
            order.seed,
        )
        for teacher in (opened.teacher, opened.judge):
            teacher.tell = lambda stage: tell(len(found), lessons, stage)
        stopped = None
        try:
            for draft in flow(prepared.recipe, few, work):
                try:
                    found.append((record_of(draft, prepared.recipe), draft))
                except ValidationError as error:
                    dropped.append((draft.id, "the end", NOT_A_LESSON, why_not(error)))
        except Stopped as stop:
            stopped = str(stop)
        told = priced(prepared, whole, work, opened, answers)
    return Preview(found, dropped, told, stopped)


def priced(prepared: Prepared, whole: Sequence[Draft], work: Work, opened: Opened, answers: Answers) -> list[str]:
    """What the whole would take, in words, from what was measured so far in this run."""
    plan, lessons = planned(prepared.recipe, whole)
    models = {
        stage.name: (opened.judge if getattr(stage, "by", "") == "judge" else opened.teacher).name
        for stage in prepared.recipe.stages
    }
    used = opened.teacher.used | opened.judge.used
    some = {stage.name for stage in prepared.recipe.stages if isinstance(stage, AskingSome)}
    met = {stage: came for stage, (came, _) in work.counts.items() if stage in some}
    stages = estimated(plan, used, met, answers.of_order(prepared.made_for), models)
    return estimate_lines(stages, opened.prices, lessons, str(prepared.order.prices_file), opened.spent())


def write_lessons(order: Order, say: Say, tell: Tell = lambda done, total, stage: None) -> Generation:
    """Make the corpus, or go on making it: the same order gives the same corpus, however often it was stopped.

    tell: is told of lessons done, lessons wanted and the stage that was answered last.
    """
    prepared = prepare_order(order)
    starts = prepared.starts(order.count)
    wanted = sum(draft.quota for draft in starts)
    stopped = None
    with at_work(prepared, say) as (opened, answers):
        with ledger(order.out, prepared.recipe) as book:
            work = Work(prepared.policy, opened.teacher, opened.judge, book.drop, order.seed)
            for teacher in (opened.teacher, opened.judge):
                teacher.tell = lambda stage: tell(book.finished, wanted, stage)
            try:
                for draft in flow(prepared.recipe, starts, work):
                    book.finish(draft)
            except Stopped as stop:
                stopped = str(stop)
                book.kept = book.finished > 0
            tell(book.finished, wanted, "")
        manifest = manifest_of(prepared, wanted, book, work, opened, answers, stopped)
        write_json(order.out / MANIFEST, manifest)
        if book.finished:
            write_study(order, prepared.recipe, book.made, say)
            return Generation(manifest, order.out, look_at(prepared))
        for name in (HEALTH, HEALTH_PAGE):
            (order.out / name).unlink(missing_ok=True)
        return Generation(manifest, order.out, None)


def look_at(prepared: Prepared) -> str:
    """Corpus health of the finished lessons, as numbers and as a page; the numbers in words."""
    order = prepared.order
    records = READERS[prepared.recipe.output]([order.out / LESSONS])
    health = corpus_health(list(lessons_of(records)), prepared.policy, prepared.items)
    write_json(order.out / HEALTH, health)
    write_text(order.out / HEALTH_PAGE, health_page(health))
    return health_table(health)


def manifest_of(
    prepared: Prepared, wanted: int, book: Ledger, work: Work, opened: Opened, answers: Answers, stopped: str | None
) -> dict[str, Any]:
    """Everything that made the corpus, and what it took. Nothing in it hangs on the clock or the folder's place."""
    order, recipe = prepared.order, prepared.recipe
    troubles = opened.teacher.troubles + (opened.judge.troubles if opened.judge is not opened.teacher else Counter())
    return {
        "recipe": recipe.name,
        "recipe_fingerprint": recipe.fingerprint,
        "left_out": list(order.without),
        "policy_fingerprint": prepared.policy_fingerprint,
        "scenarios": {one.family: fingerprint(one.model_dump(mode="json")) for one in prepared.scenarios},
        "teacher": opened.teacher.name,
        "judge": opened.judge.name,
        "provider": order.asking.provider or None,
        "seed": order.seed,
        "packages": {name: version(name) for name in ("teachwhy", *opened.packages)},
        "wanted": wanted,
        "finished": book.finished,
        "stopped": stopped,
        "decisions": {
            name: {"lessons": finished, "dropped": dropped}
            for name, (finished, dropped) in sorted(book.made.decisions.items())
        },
        "dropped": [
            {"stage": stage, "cause": cause, "drafts": count} for (stage, cause), count in sorted(book.causes.items())
        ],
        "stages": [
            {"stage": name, "drafts_in": came, "drafts_out": went} for name, (came, went) in work.counts.items()
        ],
        "answers_of_no_use": [
            {"stage": stage, "cause": cause, "answers": count} for (stage, cause), count in sorted(troubles.items())
        ],
        "answers": answers.by_stage(),
        "served_by": answers.served(),
        "in_flight_at_kills": answers.ever_in_flight,
        "dollars": round(opened.spent(), 4) if all(opened.prices.values()) else None,
        "stages_as_they_were": recipe.model_dump(mode="json")["stages"],
    }
