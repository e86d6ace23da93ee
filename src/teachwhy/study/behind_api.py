"""What a study of a model behind an API may ask, and what it leaves out: its probabilities are seen by nobody."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..data import find_arm
from ..errors import InputError, listed
from ..evals import Request, Score, find_exam
from ..models import is_api
from .study_file import Study

NO_CHOICE = "the log-probabilities of whole answers, which a model behind an API does not give"


def behind_api(study: Study) -> bool:
    return is_api(study.settings.model)


def askable(request: Request) -> bool:
    """Whether a request is to be written out by the model itself, from the first word on."""
    return request.by == "subject" and request.write and not request.opening


def check_api_study(study: Study) -> None:
    """Refuse what a model behind an API cannot do, before anything is paid for."""
    settings, where = study.settings, str(study.path)
    if settings.judge and is_api(settings.judge):
        raise InputError(
            f"A judge chooses by {NO_CHOICE}.",
            where=f"{where}, field 'judge'",
            remedy="Name a model with weights, or none.",
        )
    if not behind_api(study):
        return
    trained = [setting.name for setting in settings.arms if find_arm(setting.arm).trained]
    if trained:
        raise InputError(
            f"A model behind an API cannot be trained here: {listed(trained)}.",
            where=f"{where}, field 'arms'",
            remedy="Leave only untrained arms, such as policy_in_prompt; `teachwhy arms` lists them.",
        )
    for exam in settings.exams:
        requests = find_exam(exam).requests(find_exam(exam).cases(study.material), study.exam_format(settings.arms[0]))
        if requests and not any(map(askable, requests)):
            raise InputError(
                f"The exam {exam!r} needs {NO_CHOICE}, or words put into its mouth.",
                where=f"{where}, field 'exams'",
                remedy="Take the exam out, or name a model with weights.",
            )
    for contrast in [*settings.contrasts, *settings.exploratory]:
        metric = find_exam(contrast.exam).metric(contrast.metric)
        if not metric.generated and not (settings.judge and metric.name.endswith("_by_judge")):
            names = [one.name for one in find_exam(contrast.exam).metrics if one.generated]
            raise InputError(
                f"The metric {contrast.metric!r} needs {NO_CHOICE}.",
                where=f"{where}, field 'contrasts'",
                remedy=f"Read from what is written: {listed(names)}.",
            )


def measured(
    scores: Mapping[tuple[str, str], Sequence[tuple[int | None, Score]]],
) -> dict[tuple[str, str], list[tuple[int | None, Score]]]:
    """The scores without the measures that this model cannot have: not read from what it wrote, and never with a value.

    They are left out and not counted as unscored: nobody failed to answer.
    """
    valued = {
        (exam, score.metric) for (_, exam), pairs in scores.items() for _, score in pairs if score.value is not None
    }
    return {
        (arm, exam): [
            (seed, score)
            for seed, score in pairs
            if (exam, score.metric) in valued or find_exam(exam).metric(score.metric).generated
        ]
        for (arm, exam), pairs in scores.items()
    }


def shown_metrics(
    metrics: Sequence[Mapping[str, Any]], sections: Iterable[Mapping[str, Any]], scores: Mapping[tuple[str, str], Any]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The tables of metrics and sections with those alone that there are scores of."""
    there = {(exam, score.metric) for (_, exam), pairs in scores.items() for _, score in pairs}
    kept = [dict(metric) for metric in metrics if metric["generated"] or (metric["exam"], metric["name"]) in there]
    names = {(metric["exam"], metric["name"]) for metric in kept}
    cut = [
        dict(section)
        | {
            "shown": [metric for metric in section["shown"] if (section["exam"], metric) in names],
            "planes": [plane for plane in section["planes"] if all((section["exam"], one) in names for one in plane)],
        }
        for section in sections
    ]
    return kept, cut
