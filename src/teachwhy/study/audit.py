"""One decision of one model, with all that the exam `explanations` asked about it, for a reader to audit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..errors import RunError, unknown_name
from ..evals import Answer, Question, find_exam
from ..evals.said import AFTERWARDS, EDITED, OWN, SAY, Said, deciding_words, idle_words
from .ask import job_of
from .folder import read_jsonl
from .job import Job
from .plan import plan_units
from .run import Say

EXAM = "explanations"


def audit_item(path: Path, item: str, *, arm: str, seed: int | None, runs: Path, say: Say) -> str:
    """The item's questions, what the model answered, and the scores. path: a run folder or a study."""
    job = job_of(path, runs, say)
    said, scores = stored(job, arm, seed)
    known = {question.of: question for question in said.items}
    if item not in known:
        raise unknown_name("item in the exam 'explanations'", item, known)
    lines = [*told(said, known[item]), "", "scores"]
    lines += [f"  {metric:32} {value}" for metric, value in scores if metric.startswith(f"{item}~")]
    return "\n".join(line.replace(f"{item}~", "") for line in lines)


def stored(job: Job, arm: str, seed: int | None) -> tuple[Said, list[tuple[str, str]]]:
    """What one model said in the exam, and (item~part metric, value) of every score."""
    units = [unit for unit in plan_units(job.study, [arm]) if seed is None or unit.seed in (seed, None)]
    unit = next((unit for unit in units if EXAM in job.study.settings.exams and job.examined(unit)), None)
    if unit is None:
        raise RunError(
            f"No answers to the exam {EXAM!r} are stored of this arm and seed.",
            where=str(job.run),
            remedy="`teachwhy status` tells what is done.",
        )
    answers = [Answer(**record) for record in read_jsonl(unit.evals_folder(job.run) / f"{EXAM}.jsonl")]
    format, exam = job.study.exam_format(unit.arm), find_exam(EXAM)
    cases = exam.asked({case.id: case for case in job.prepared.cases[EXAM]}, answers, format)
    scores = exam.score_all(cases, answers, format)
    shown = [
        (f"{score.item} {score.metric}", score.cause or "" if score.value is None else f"{score.value:.2f}")
        for score in scores
    ]
    return Said(cases, answers, format), shown


def told(said: Said, item: Question) -> Iterator[str]:
    """The whole talk about one item, in the order in which it was asked."""
    twin = said.twins[item.of]
    yield f"{item.of}: {item.prompt}"
    yield f"  right: {item.gold}; decided: {decision(said, item.of, OWN)}"
    yield f"  its reason: {said.reason(item.of) or 'none'}"
    yield f"  words that decide: {', '.join(sorted(deciding_words(item, twin)))}"
    yield f"\ntwin: {twin.prompt}"
    yield f"  right: {twin.gold}; decided: {decision(said, twin.of, OWN)}"
    yield f"\nidle edit: {said.questions[item.of, EDITED].prompt}"
    yield f"  words changed: {', '.join(sorted(idle_words(item)))}; decided: {decision(said, item.of, EDITED)}"
    yield "\nreasons put in its mouth"
    for (of, part), question in said.questions.items():
        if of == item.of and question.mouth:
            yield f"  {part}: {question.mouth}\n    decided: {decision(said, of, part)}"
    yield f"\nasked in advance whether it would: {decision(said, item.of, SAY)}"
    yield f"asked afterwards why: {said.reason(item.of, AFTERWARDS) or 'no reason'}"
    yield "\nthe judge"
    for (of, part), question in said.questions.items():
        if of == item.of and question.by == "judge":
            yield f"  {part}: {decision(said, of, part)}"
            if part.endswith("-own"):
                yield "    " + question.prompt.replace("\n", "\n    ")


def decision(said: Said, item: str, part: str) -> str:
    """The preferred option, with each one's mean log-probability in nats a token."""
    answer = said.answers.get((item, part))
    if answer is None or not answer.choice:
        return "not asked"
    return f"{answer.chosen} ({', '.join(f'{option} {value:.2f}' for option, value in answer.choice.items())})"
