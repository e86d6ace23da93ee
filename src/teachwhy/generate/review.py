"""A person reads a random sample of a generated corpus, blind to the judge, and the two are compared."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError, Place
from ..policy import Principle, read_policy
from ..stats import agreement, reweighted, wilson
from ..study.folder import folder_error
from ..text import fingerprint, load_yaml, printable, read_text
from .outputs import DROPPED, LESSONS, TRAIL
from .stages.filter import FAILED
from .stages.stage import as_text
from .study_of import STUDY

REVIEW, MANIFEST = "review.jsonl", "manifest.json"
KEPT, REJECTED = "accepted by the judge", "rejected by the judge"
SHOWN_APART = ("principle", "decision")
HOW = "y accept, n reject, and why behind it if you like; s skip, b back, q quit"
Ask = Callable[[str], str | None]  # None: nothing more will come
Say = Callable[[str], None]


@dataclass(frozen=True)
class Readable:
    """A finished or rejected lesson. accepted: by the judge, None where none read it. checks: name -> passed."""

    id: str
    fields: Mapping[str, Any]
    accepted: bool | None
    checks: Mapping[str, bool] = field(default_factory=dict)
    because: str = ""

    @property
    def content(self) -> str:
        """A hash of what a person reads, so that a lesson that was changed is asked anew."""
        return fingerprint(self.fields)[:16]

    @property
    def stratum(self) -> str:
        return REJECTED if self.accepted is False else KEPT


@dataclass(frozen=True)
class Decision:
    """What a person decided of one lesson. content: its hash. checks: those questions of the gate they answered."""

    id: str
    content: str
    by: str
    accept: bool
    why: str = ""
    checks: Mapping[str, bool] = field(default_factory=dict)

    def line(self) -> str:
        told = {name: value for name, value in vars(self).items() if value not in ("", {})}
        return json.dumps(told, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class Corpus:
    """What of a folder can be reviewed. questions: name of a check -> its question and the answer that passes.

    unreadable: lessons that the judge rejected and that are not there to be read.
    """

    folder: Path
    lessons: Sequence[Readable]
    questions: Mapping[str, tuple[str, bool]]
    principles: Mapping[str, Principle]
    unreadable: int

    @property
    def sizes(self) -> dict[str, int]:
        """How many lessons there are of each stratum."""
        return {name: sum(one.stratum == name for one in self.lessons) for name in (KEPT, REJECTED)}

    @property
    def judged(self) -> bool:
        return any(one.accepted is not None for one in self.lessons)


def read_corpus(folder: Path) -> Corpus:
    """Lessons, kept and rejected, with what the judge said. Errors (InputError): nothing that `generate` wrote."""
    for name in (LESSONS, TRAIL, DROPPED, MANIFEST):
        if not (folder / name).is_file():
            raise InputError(
                f"There is no {name} in this folder, so there is nothing to review.",
                where=str(folder),
                remedy="Name the folder that `teachwhy generate` wrote (its --out).",
            )
    gates = gates_of(folder)
    trails = {one["id"]: one["stages"] for one in written(folder / TRAIL)}
    kept = [
        Readable(str(one.pop("id")), one, *verdict_of(trails.get(identifier, ())))
        for one in written(folder / LESSONS)
        for identifier in [one["id"]]
    ]
    dropped = [one for one in written(folder / DROPPED) if str(one.get("cause", "")).startswith(FAILED)]
    rejected = [
        Readable(one["id"], one["lesson"], False, failed_checks(one, gates), one.get("detail", ""))
        for one in dropped
        if "lesson" in one
    ]
    questions = {
        f"{stage}.{name}": (check["ask"], check["want"])
        for stage, checks in gates.items()
        for name, check in checks.items()
    }
    return Corpus(folder, [*kept, *rejected], questions, principles_of(folder), len(dropped) - len(rejected))


def gates_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Stage -> the checks of its judge."""
    try:
        stages = json.loads(read_text(folder / MANIFEST))["stages_as_they_were"]
        return {stage["name"]: stage["checks"] for stage in stages if stage["kind"] == "filter"}
    except (ValueError, KeyError, TypeError):
        raise InputError(
            "This is no manifest of generated lessons.",
            where=str(folder / MANIFEST),
            remedy="Run the command that wrote the lessons again; no answer is bought twice.",
        ) from None


def verdict_of(stages: Sequence[Mapping[str, Any]]) -> tuple[bool | None, dict[str, bool], str]:
    """Whether all checks passed, each check, and why; from what the stages did to a lesson that was kept."""
    notes = [(stage["stage"], stage["note"]) for stage in stages if "judged" in stage.get("note", {})]
    checks = {f"{stage}.{name}": passed for stage, note in notes for name, passed in note["judged"].items()}
    return (all(checks.values()) if checks else None), checks, str(notes[-1][1].get("because", "")) if notes else ""


def failed_checks(dropped: Mapping[str, Any], gates: Mapping[str, Mapping[str, Any]]) -> dict[str, bool]:
    failed = str(dropped["cause"]).removeprefix(FAILED).split(", ")
    stage = dropped["stage"]
    return {f"{stage}.{name}": name not in failed for name in gates.get(stage, {})}


def principles_of(folder: Path) -> dict[str, Principle]:
    """Those of the policy that the study names, to be shown beside a lesson; none where it cannot be read."""
    try:
        named = load_yaml(read_text(folder / STUDY), folder / STUDY).get("policy")
        return {one.id: one for one in read_policy(folder / str(named)).principles}
    except InputError:
        return {}


def written(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file that a run wrote. Errors (InputError): a line that is none."""
    with path.open(encoding="utf-8", newline="\n") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield dict(json.loads(line))
            except ValueError:
                raise InputError(
                    "This line is not what a run wrote.",
                    where=str(Place(path, number)),
                    remedy="Run the command that wrote the lessons again; no answer is bought twice.",
                ) from None


def drawn(corpus: Corpus, sample: int, seed: int) -> list[Readable]:
    """A random sample, half of it rejected by the judge where there are enough, in random order.

    Which lessons are drawn hangs on seed and ids alone: a larger sample holds the smaller one.
    """

    def rank(one: Readable) -> str:
        return fingerprint([seed, one.id])

    strata = {name: sorted((one for one in corpus.lessons if one.stratum == name), key=rank) for name in corpus.sizes}
    few = min(len(strata[REJECTED]), max(sample // 2, sample - len(strata[KEPT])))
    return sorted([*strata[REJECTED][:few], *strata[KEPT][: sample - few]], key=rank)


class Book:
    """The decisions in a folder's review.jsonl. Each is on the disk before the next lesson is shown."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / REVIEW
        self.decisions: dict[tuple[str, str, str], Decision] = {}
        raw = self.path.read_bytes() if self.path.exists() else b""
        *whole, last = raw.split(b"\n")
        for number, line in enumerate(whole, 1):
            self.read(line, number)
        # A process may have ended while it wrote the last line: what is half there is taken out again.
        self.end = len(raw) - len(last)

    def read(self, line: bytes, number: int) -> None:
        try:
            decision = Decision(**json.loads(line))
        except (ValueError, TypeError):
            raise InputError(
                "This line is no decision.",
                where=str(Place(self.path, number)),
                remedy="Mend that line, or take it out.",
            ) from None
        self.decisions[decision.by, decision.id, decision.content] = decision

    def of(self, by: str, lesson: Readable) -> Decision | None:
        return self.decisions.get((by, lesson.id, lesson.content))

    def write(self, decision: Decision) -> None:
        """Add a decision; a later one on the same lesson counts. Errors (RunError): it cannot be written."""
        try:
            with self.path.open("ab") as stream:
                stream.truncate(self.end)
                stream.write(decision.line().encode())
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise folder_error(error, self.path.parent) from None
        self.end += len(decision.line().encode())
        self.decisions[decision.by, decision.id, decision.content] = decision


def review(
    folder: Path, ask: Ask, say: Say, *, sample: int = 30, seed: int = 0, by: str = "reader", checks: bool = False
) -> dict[str, Any] | None:
    """Show what is still to be decided of the sample, write each decision down, and compare with the judge.

    ask: shows a prompt and gives back a line, None where no more will come. Gives what `review_record` says of this
    reader; None where nothing was decided.
    """
    corpus, book = read_corpus(folder), Book(folder)
    chosen = drawn(corpus, sample, seed)
    for line in told_of(corpus, chosen):
        say(line)
    queue = [one for one in chosen if book.of(by, one) is None]
    names = common_fields(chosen)
    at = 0
    while at < len(queue):
        say(f"\nLesson {at + 1} of {len(queue)}")
        for line in shown(queue[at], names, corpus.principles):
            say(line)
        found = asked(queue[at], corpus, by, ask, say, checks)
        if found == "q":
            say("What was decided is kept; the same command goes on.")
            break
        if isinstance(found, Decision):
            book.write(found)
        at = max(0, at - 1) if found == "b" else at + 1
    return record_of_readers(corpus, book).get(by)


def told_of(corpus: Corpus, chosen: Sequence[Readable]) -> Iterator[str]:
    """How the sample was drawn; not which lesson is of which kind."""
    parts = ", ".join(
        f"{sum(one.stratum == name for one in chosen)} of {size:,} {name}" for name, size in corpus.sizes.items()
    )
    yield (
        f"A random sample in random order: {parts}."
        if corpus.judged
        else (
            f"A random sample of {len(chosen)} of {len(corpus.lessons):,} lessons. No judge read them: the recipe's "
            "gate was left out."
        )
    )
    if corpus.unreadable:
        yield (
            f"{corpus.unreadable:,} more were rejected and are not there to be read (before they were whole, or by an "
            "earlier version); run the command that wrote the lessons again, and those that can be are kept."
        )


def common_fields(chosen: Sequence[Readable]) -> list[str]:
    """Names of the fields to show: what only kept or only rejected lessons have would tell them apart."""
    strata = [[one for one in chosen if one.stratum == name] for name in (KEPT, REJECTED)]
    sets = [{name for one in part for name in one.fields} for part in strata if part]
    names = set.intersection(*sets) if sets else set()
    return list(dict.fromkeys(name for one in chosen for name in one.fields if name in names))


def shown(lesson: Readable, names: Sequence[str], principles: Mapping[str, Principle]) -> Iterator[str]:
    """A lesson in lines, each text behind a margin: no line of it can pass for one of ours."""
    principle = principles.get(str(lesson.fields.get("principle")))
    about = {"rule": principle.rule, "why": principle.why} if principle else {}
    ordered = [*(name for name in SHOWN_APART if name in names), *(name for name in names if name not in SHOWN_APART)]
    for name, value in [*about.items(), *((name, lesson.fields.get(name)) for name in ordered)]:
        if value not in (None, "", [], {}):
            yield f"{name}:"
            yield from (f"  | {line}" for line in printable(as_text(value)).split("\n"))


def asked(lesson: Readable, corpus: Corpus, by: str, ask: Ask, say: Say, checks: bool) -> Decision | str:
    """The decision on a lesson, or s, b or q."""
    answers: dict[str, bool] = {}
    for name, (question, want) in corpus.questions.items() if checks else ():
        letter, _ = letter_of(f"{printable(question)} (y, n; s, b, q) ", ask, say)
        if letter in ("b", "q"):
            return letter
        if letter in ("y", "n"):
            answers[name] = (letter == "y") == want
    letter, why = letter_of(f"{HOW}: ", ask, say)
    if letter not in ("y", "n"):
        return letter
    return Decision(lesson.id, lesson.content, by, letter == "y", why, answers)


def letter_of(prompt: str, ask: Ask, say: Say) -> tuple[str, str]:
    """One of y, n, s, b and q, and what stands behind it. The end of all input is a q."""
    while (line := ask(prompt)) is not None:
        first, _, rest = line.strip().partition(" ")
        letter = {"yes": "y", "no": "n", "skip": "s", "back": "b", "quit": "q"}.get(first.lower(), first.lower())
        if letter in ("y", "n", "s", "b", "q"):
            return letter, rest.strip().encode("utf-8", "replace").decode()
        say("One of the letters y, n, s, b and q.")
    return "q", ""


def review_record(folder: Path) -> dict[str, Any]:
    """What people decided of a corpus, and how far the judge agrees: reader -> numbers. Empty where nobody read it."""
    return record_of_readers(read_corpus(folder), Book(folder)) if (folder / REVIEW).exists() else {}


def record_of_readers(corpus: Corpus, book: Book) -> dict[str, Any]:
    """Of each reader what still fits the lessons as they are."""
    readers = dict.fromkeys(by for by, _, _ in book.decisions)
    found = {}
    for by in readers:
        read = [(one, decision) for one in corpus.lessons if (decision := book.of(by, one))]
        if read:
            found[by] = record_of_reader(corpus, read)
    return found


Reading = tuple[Readable, Decision]


def record_of_reader(corpus: Corpus, read: Sequence[Reading]) -> dict[str, Any]:
    """accepted: of the kept lessons that were read. all: agreement on the lesson; checks: on each of the questions."""
    kept = [decision.accept for one, decision in read if one.stratum == KEPT]
    low, high = wilson(sum(kept), len(kept))
    record: dict[str, Any] = {
        "read": len(read),
        "strata": {
            name: {"lessons": size, "read": sum(one.stratum == name for one, _ in read)}
            for name, size in corpus.sizes.items()
        },
        "kept_accepted": {"accepted": sum(kept), "read": len(kept), "low": low, "high": high},
        "lesson": None,
        "checks": {},
        "differ": [
            {"id": one.id, "reader": decision.accept, "why": decision.why, "judge": one.because}
            for one, decision in read
            if one.accepted is not None and one.accepted != decision.accept
        ],
    }
    if corpus.judged:
        record["lesson"] = compared(
            corpus,
            [(one.stratum, decision.accept, one.accepted) for one, decision in read if one.accepted is not None],
        )
        for name in corpus.questions:
            answers = [
                (one.stratum, decision.checks[name], one.checks[name])
                for one, decision in read
                if name in decision.checks and name in one.checks
            ]
            if answers:
                record["checks"][name] = compared(corpus, answers)
    return record


def compared(corpus: Corpus, answers: Sequence[tuple[str, bool, bool]]) -> dict[str, Any]:
    """Agreement of reader and judge in the sample, and in the corpus. answers: stratum, the reader's, the judge's."""
    strata: dict[str, list[tuple[bool, bool]]] = {name: [] for name in corpus.sizes}
    for stratum, reader, judge in answers:
        strata[stratum].append((reader, judge))
    everything = [pair for pairs in strata.values() for pair in pairs]
    return {"sample": asdict(agreement(everything)), "corpus": asdict(reweighted(strata, corpus.sizes))}


def review_lines(record: Mapping[str, Any]) -> Iterator[str]:
    """What is said of one reader's record at the end."""
    kept = record["kept_accepted"]
    if kept["read"]:
        yield (
            f"Of {kept['read']} kept lessons the reader accepts {kept['accepted']} "
            f"({span(kept['accepted'] / kept['read'], kept['low'], kept['high'])})."
        )
    if record["lesson"] is None:
        yield "No judge read these lessons, so there is no agreement to tell."
        return
    table = record["lesson"]["sample"]
    yield "                 judge accepts  judge rejects"
    yield f"reader accepts   {table['both_accept']:>13}  {table['first_only']:>13}"
    yield f"reader rejects   {table['second_only']:>13}  {table['both_reject']:>13}"
    weights = ", ".join(
        f"{one['read']} of {one['lessons']:,} {name}"
        + (f" (each stands for {one['lessons'] / one['read']:,.1f})" if one["read"] else "")
        for name, one in record["strata"].items()
    )
    yield f"read: {weights}"
    yield from agreement_lines("lesson", record["lesson"])
    for name, found in record["checks"].items():
        yield from agreement_lines(name, found)
    for one in record["differ"][:10]:
        verdicts = "accepted, the judge rejects" if one["reader"] else "rejected, the judge accepts"
        yield printable(f"{one['id']}: {verdicts}. Reader: {one['why'] or '-'} Judge: {one['judge'] or '-'}")


def agreement_lines(name: str, found: Mapping[str, Any]) -> Iterator[str]:
    sample, corpus = found["sample"], found["corpus"]
    yield f"{name}: agreement in the sample {span(sample['share'], sample['low'], sample['high'])}, " + kappa_in_words(
        sample["kappa"]
    )
    if corpus["share"] is None:
        yield f"{name}: not told for the corpus, since of one kind of lessons none was read"
        return
    yield f"{name}: in the corpus {span(corpus['share'], corpus['low'], corpus['high'])}, " + kappa_in_words(
        corpus["kappa"]
    )


def kappa_in_words(kappa: float | None) -> str:
    return "no kappa (chance alone would agree)" if kappa is None else f"Cohen's kappa {kappa:.2f}"


def span(share: float, low: float, high: float) -> str:
    return f"{share:.0%}, 95% interval {low:.0%} to {high:.0%}"
