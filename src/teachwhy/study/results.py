"""From stored answers to results.json: scores, rates, contrasts, and what is missing. Pure but for reading files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..data import find_arm
from ..evals import Answer, Exam, ExamFormat, Item, Score, as_record, find_exam
from ..report import Sitting
from ..report.findings import SCHEMA_VERSION, example_answers
from ..stats import Observation, interval
from .arm_setting import ArmSetting
from .behind_api import behind_api, measured, shown_metrics
from .contrasts import Scores, all_comparisons, all_contrasts, all_shares, observations, observed
from .curves import all_curves, token_savings
from .folder import read_json, write_jsonl
from .history import read_begun
from .job import Job
from .noise import noise_record, numbered, read_answers
from .plan import Unit, plan_units, study_stamp
from .register import entries_of, frozen_facts, registration_state
from .stage_curves import all_stage_curves
from .study_file import Study
from .study_settings import CompetenceSetting

Answers = Mapping[tuple[str, int | None], Sequence[Answer]]
Read = Mapping[tuple[str, int | None, str], Score]


def collect(job: Job, failures: Mapping[str, str]) -> tuple[dict[str, Any], list[Sitting]]:
    """The results of every unit of the study that is done, as results.json holds them, and all answers behind them.

    failures: unit name -> what went wrong. Nothing in the values depends on when or how fast they were made.
    """
    study = job.study
    units = plan_units(study)
    done = [unit for unit in units if job.trained(unit) and job.answered(unit)]
    scores, answers, read, cases, sittings = score_all(job, done)
    if behind_api(study):
        scores = measured(scores)
    metrics, sections = metric_table(study), section_table(study)
    if behind_api(study):
        metrics, sections = shown_metrics(metrics, sections, scores)
    rates = all_rates(study, scores, cases)
    shown = shown_items(job)
    training = [training_record(job, unit) for unit in done if unit.trained and not unit.arm.until]
    curves = all_curves(study, lambda arm, one: observed(arm, one, scores, cases), training)
    results = {
        "schema": SCHEMA_VERSION,
        "study": {
            "name": study.settings.name,
            "question": study.settings.question,
            "about": study.settings.about,
            "limits": study.settings.limits,
            "left_out": list(study.left_out),
            "stamp": study_stamp(study, job.source, job.judge),
        },
        "model": {"name": study.settings.model, "fingerprint": job.source.fingerprint, **dict(job.environment)},
        "judge": {"name": job.judge.name, "fingerprint": job.judge.fingerprint} if asks_on(study) else None,
        "arms": [arm_record(study, setting, units, done, failures) for setting in study.arms],
        "contrasts": all_contrasts(study, scores, cases),
        "comparisons": all_comparisons(study, scores, cases),
        "shares": all_shares(study, scores, cases),
        "registration": registration_state(
            entries_of(study),
            frozen_facts(study, job.source, job.judge),
            read_begun(job.run),
            whole=not study.left_out,
        ),
        "rates": rates,
        "curves": curves,
        "stage_curves": all_stage_curves(
            study, lambda arm, one: observed(arm, one, scores, cases), job.prepared.lessons
        ),
        "token_saving": token_savings(curves),
        "noise": noise(job, done, scores, cases),
        "competence": competence(study, rates),
        "unscored": unscored(scores),
        "training": training,
        "checks": dict(job.prepared.checks),
        "canaries": [canary_record(job, unit) for unit in done if unit.trained],
        "metrics": metrics,
        "sections": sections,
        "asked": [record for unit in done for record in asked_records(job, unit)],
        "answers": example_answers(shown, [arm.name for arm in study.settings.arms], answers, read),
        "counts": {
            "examples": len(study.examples),
            "items": len(shown),
            "principles": len(study.policy.ids),
        },
    }
    return results, sittings


def shown_items(job: Job) -> Sequence[Item]:
    """The study's own items; where it has none, what its first exam asks."""
    return job.study.items or job.prepared.cases[job.study.settings.exams[0]]


def asks_on(study: Study) -> bool:
    """Whether any exam asks a judge, or asks on."""
    return any(find_exam(exam).follow_up for exam in study.settings.exams)


def score_all(job: Job, done: Sequence[Unit]) -> tuple[Scores, Answers, Read, dict[str, Item], list[Sitting]]:
    """Score the stored answers of all done units and write the scores beside them.

    Returns (arm, exam) -> (seed, score); (arm, seed) -> answers; (arm, seed, item) -> how the generated answer in the
    arm's own format was read; case id -> case; and all of it by unit and exam. A case that follows from answers differs
    from model to model in its text, and not in what the statistics ask of it.
    """
    cases: dict[str, Item] = {}
    of_exam = {exam: {case.id: case for case in cases} for exam, cases in job.prepared.cases.items()}
    scores: dict[tuple[str, str], list[tuple[int | None, Score]]] = {}
    answers: dict[tuple[str, int | None], list[Answer]] = {}
    read: dict[tuple[str, int | None, str], Score] = {}
    sittings: list[Sitting] = []
    for unit in done:
        for exam in job.study.settings.exams:
            path = unit.evals_folder(job.run) / f"{exam}.jsonl"
            stored = read_answers(path)
            asked, found = score_samples(find_exam(exam), of_exam[exam], stored, job.study.exam_format(unit.arm))
            cases |= asked
            write_jsonl(path.with_name(f"{exam}.scores.jsonl"), [as_record(score) for score in found])
            sittings.append(Sitting(unit.arm.name, unit.seed, exam, asked, stored, found))
            scores.setdefault((unit.arm.name, exam), []).extend((unit.seed, score) for score in found)
            answers.setdefault((unit.arm.name, unit.seed), []).extend(stored)
            for score in found:
                if score.format == "own":
                    read.setdefault((unit.arm.name, unit.seed, score.item), score)
    return scores, answers, read, cases, sittings


def score_samples(
    exam: Exam, cases: Mapping[str, Item], stored: Sequence[Answer], format: ExamFormat
) -> tuple[dict[str, Item], list[Score]]:
    """All that was asked, and the scores of every sample, each by itself: a pair is of one sample."""
    asked: dict[str, Item] = dict(cases)
    found: list[Score] = []
    for number in sorted({answer.sample for answer in stored}):
        answers = [answer for answer in stored if answer.sample == number]
        of_sample = exam.asked(cases, answers, format)
        asked |= of_sample
        found += numbered(exam.score_all(of_sample, answers, format), number)
    return asked, found


def asked_records(job: Job, unit: Unit) -> list[dict[str, Any]]:
    """What was asked of a model behind an API in each exam of a unit, and what it took; none of any other model."""
    found = []
    for exam in job.study.settings.exams:
        record = read_json(unit.evals_folder(job.run) / f"{exam}.json") or {}
        if "asked" in record:
            found.append({"arm": unit.arm.name, "exam": exam, **record["asked"]})
    return found


def noise(job: Job, done: Sequence[Unit], scores: Scores, cases: Mapping[str, Item]) -> dict[str, Any] | None:
    """None where nothing is asked again, or that is not done."""
    again = job.prepared.again
    if again is None or again.unit not in done or not job.repeated(again.unit):
        return None
    exam = again.measure.exam
    counted = scores[again.unit.arm.name, exam]
    return noise_record(job.study, again, job.run, job.prepared.cases[exam], cases, counted)


def all_rates(study: Study, scores: Scores, items: Mapping[str, Item]) -> list[dict[str, Any]]:
    """Every arm's own rate, for each metric, format and group of items that the exam tells apart."""
    rates = []
    for (arm, exam), pairs in scores.items():
        groups = groups_of(find_exam(exam), [items[score.item] for _, score in pairs])
        present = sorted({(score.metric, score.format) for _, score in pairs})
        for metric, format in present:
            for subset in groups:
                found = observations(scores, arm, exam, metric, format, subset, items)
                if found:
                    rates.append(rate_record(arm, exam, metric, format, subset, found, study.settings.level))
    return rates


def groups_of(exam: Exam, cases: Iterable[Item]) -> list[dict[str, str]]:
    """The subsets by which an exam's rates are given, each once; a field that a case does not have is left out."""
    cases = list(cases)
    found = []
    for fields in exam.by:
        for values in sorted({tuple(getattr(case, field, None) or "" for field in fields) for case in cases}):
            subset = {field: value for field, value in zip(fields, values, strict=True) if value}
            if subset not in found:
                found.append(subset)
    return found


def rate_record(
    arm: str, exam: str, metric: str, format: str, subset: dict[str, str], found: list[Observation], level: float
) -> dict[str, Any]:
    by_seed: dict[int | None, list[float]] = {}
    for observation in found:
        if observation.value is not None:
            by_seed.setdefault(observation.seed, []).append(observation.value)
    return {
        "arm": arm,
        "exam": exam,
        "metric": metric,
        "format": format,
        "subset": subset,
        **vars(interval(found, level)),
        "asked": len(found),
        "right": sum(observation.value or 0.0 for observation in found),
        "per_seed": {str(seed): sum(values) / len(values) for seed, values in by_seed.items()},
    }


def competence(study: Study, rates: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each trained arm of full size and distance: does it do what it was taught, on cases where all agree?

    An unscored answer counts as a failure here: an arm that does not answer in its format has not learned it.
    """
    floor = study.settings.competence
    if floor is None:
        return []
    records = []
    for rate in rates:
        setting = study.arm(rate["arm"])
        trained = find_arm(setting.arm).trained and setting.examples is None and setting.until is None
        measured = (rate["exam"], rate["metric"], rate["format"]) == (floor.exam, floor.metric, "own")
        if trained and measured and counts_for_competence(floor, rate["subset"]):
            value = rate["right"] / rate["asked"]
            records.append(
                {
                    "arm": rate["arm"],
                    "subset": rate["subset"],
                    "rate": value,
                    "at_least": floor.at_least,
                    "competent": value >= floor.at_least,
                }
            )
    return records


def counts_for_competence(floor: CompetenceSetting, subset: Mapping[str, str]) -> bool:
    """The floor's own subset where it names one, else the exam's first groups."""
    return subset == floor.subset if floor.subset else set(subset) <= set(find_exam(floor.exam).by[0])


def unscored(scores: Scores) -> list[dict[str, Any]]:
    """How many answers could not be scored, by arm, metric, format and cause."""
    counts: Counter[tuple[str, str, str, str, str]] = Counter()
    for (arm, exam), pairs in scores.items():
        for _, score in pairs:
            if score.value is None:
                counts[arm, exam, score.metric, score.format, score.cause or "unknown"] += 1
    names = ("arm", "exam", "metric", "format", "cause")
    return [dict(zip(names, key, strict=True)) | {"count": count} for key, count in sorted(counts.items())]


def arm_record(
    study: Study, setting: ArmSetting, units: Sequence[Unit], done: Sequence[Unit], failures: Mapping[str, str]
) -> dict[str, Any]:
    """One arm's state: done, part, failed or not run. A failed arm is a row, never absent."""
    mine = [unit for unit in units if unit.arm == setting]
    finished = [unit for unit in mine if unit in done]
    failed = {unit.name: failures[unit.name] for unit in mine if unit.name in failures}
    state = "failed" if failed else "done" if len(finished) == len(mine) else "part" if finished else "not run"
    kind = find_arm(setting.arm)
    return {
        "name": setting.name,
        "kind": setting.arm,
        "summary": setting.summary,
        "trained": kind.trained,
        "reason": study.exam_format(setting).place if kind.reasons else None,
        "seed_offset": setting.seed_offset,
        "size": setting.examples,
        "checkpoint_of": setting.whole if setting.until else None,
        "stages": [stage.name for stage in study.stages(setting)] if study.settings.stages and kind.trained else None,
        "shape": setting.shape,
        "surroundings": setting.surroundings,
        "state": state,
        "seeds": [unit.seed for unit in finished],
        "failures": failed,
    }


def training_record(job: Job, unit: Unit) -> dict[str, Any]:
    """What all stages of a unit took together; the losses are those of its last."""
    folders = [one.train_folder(job.run) for one in (*job.stage_ends(unit), unit)]
    records = [read_json(folder / "train.json") for folder in folders]
    return {
        "arm": unit.arm.name,
        "seed": unit.seed,
        **{spent: sum(record[spent] for record in records) for spent in ("updates", "tokens", "trained_tokens")},
        "first_loss": records[-1]["losses"][0],
        "last_loss": records[-1]["losses"][-1],
        **({"rewards": rewards} if (rewards := [reward_record(one) for one in records if "rewards" in one]) else {}),
    }


def reward_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a stage that rewards answers came to."""
    rewards = record["rewards"]
    return {"stage": record["stage"]["name"], "first": rewards[0], "last": rewards[-1], "unread": record["unread"]}


def canary_record(job: Job, unit: Unit) -> dict[str, Any]:
    record = read_json(unit.evals_folder(job.run) / f"{job.study.settings.exams[0]}.json")
    return {"arm": unit.arm.name, "seed": unit.seed, **record["canary"]}


def metric_table(study: Study) -> list[dict[str, Any]]:
    return [{"exam": exam, **vars(metric)} for exam in study.settings.exams for metric in find_exam(exam).metrics]


def section_table(study: Study) -> list[dict[str, Any]]:
    """How each exam asks to be shown, as plain lists."""
    sections = {exam: find_exam(exam).section for exam in study.settings.exams}
    return [
        {
            "exam": exam,
            **vars(section),
            "shown": list(section.shown),
            "planes": [list(plane) for plane in section.planes],
        }
        for exam, section in sections.items()
    ]
