"""A study of system prompts from a policy, items and a model's name: which arms, which contrasts, which file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data import WITHOUT_WHY, find_arm
from ..errors import InputError
from ..evals import Item, find_exam, read_items
from ..models import PRICES, full_name, is_api
from ..policy import Policy, read_policy
from ..text import fingerprint, read_text
from .arm_setting import FOLDER_NAME
from .folder import write_text

WHOLE, RULES = "policy_in_prompt", "rules_in_prompt"
# What stands in the place of the whys, in the order in which the whole policy is set against it.
INSTEAD = (RULES, "rules_neutral_in_prompt", "rules_shuffled_in_prompt", "more_rules_in_prompt")
# Exam -> what its contrasts measure: by choice where a model's probabilities are seen, and else as written.
MEASURES = {"edge_cases": ("pair_accuracy", "correct"), "framings": ("agreement_by_choice", "agreement")}
MARK = "# Written by `teachwhy {command}`, {content}."
PRICES_FILE = "prices.yaml"


@dataclass(frozen=True)
class PromptChoices:
    """What `teachwhy prompt` was told.

    folder: where the study is kept. arms: None for all that the policy has texts for. temperature: None for the
    likeliest words, or for the usual one where several samples are asked for. system: file of what else stands in the
    system prompt, behind the policy.
    """

    folder: Path
    policy: Path
    items: Sequence[Path]
    model: str
    exams: Sequence[str] = ("edge_cases",)
    arms: Sequence[str] | None = None
    samples: int = 1
    temperature: float | None = None
    max_new_tokens: int = 400
    system: Path | None = None


def write_prompt_study(choices: PromptChoices, say: Any) -> Path:
    """Write study.yaml, and a file for prices where there is none; returns the study's path.

    Errors (InputError): a study there that somebody edited; an arm that needs what the policy lacks.
    """
    path = choices.folder / "study.yaml"
    body = as_yaml(prompt_settings(choices, say))
    text = f"{mark('prompt', body)} Once edited it is yours: `teachwhy prompt --study {choices.folder}`\n{body}"
    if path.exists() and edited(read_text(path)):
        raise InputError(
            "This study was edited since it was written, and would be lost.",
            where=str(path),
            remedy=f"Run it as it stands: teachwhy prompt --study {choices.folder}. Or name another folder.",
        )
    write_text(path, text)
    if not (choices.folder / PRICES_FILE).exists():
        write_text(choices.folder / PRICES_FILE, PRICES)
    return path


def mark(command: str, body: str) -> str:
    """How the first line of a study file begins that a command wrote: with what tells whether it was edited since."""
    return MARK.format(command=command, content=fingerprint(body)[:16])


def edited(text: str) -> bool:
    """Whether a study file is no longer, or never was, as a command of ours left it."""
    first, _, body = text.partition("\n")
    written = re.match(MARK.format(command="[a-z]+", content="([0-9a-f]{16})"), first)
    return not written or written[1] != fingerprint(body)[:16]


def as_yaml(settings: dict[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, width=120)


def prompt_settings(choices: PromptChoices, say: Any) -> dict[str, Any]:
    """The fields of the study file that are not as usual."""
    policy = read_policy(choices.policy)
    items = read_items(choices.items)
    arms = prompt_arms(policy, choices.arms, say)
    model = full_name(choices.model)
    settings: dict[str, Any] = {
        "name": study_name(choices.folder),
        "question": "Does a system prompt that gives its reasons do better than its rules alone?",
        "policy": beside(choices.policy, choices.folder),
        "items": [beside(path, choices.folder) for path in choices.items],
        "model": model if is_api(model) or not Path(model).exists() else beside(Path(model), choices.folder),
        "arms": arms,
        "seeds": [0],
        "exams": list(choices.exams),
        # Nobody taught these arms to write a reason first, so they are read and asked plainly.
        "format": {"reason_marker": "", "action_marker": ""},
        "off_format_share": 0.0,
        "max_new_tokens": choices.max_new_tokens,
        "contrasts": list(prompt_contrasts(arms, items, choices.exams, by_choice=not is_api(model))),
        "shared": ["system"],
    }
    if choices.system:
        settings["system"] = read_text(choices.system).strip()
    if choices.samples > 1 or choices.temperature:
        settings["sampling"] = {"samples": choices.samples, "temperature": choices.temperature or 0.7}
    return settings


def study_name(folder: Path) -> str:
    name = folder.resolve().name
    return name if re.match(FOLDER_NAME, name) else "prompts"


def beside(path: Path, folder: Path) -> str:
    """A path as a file in the folder names it."""
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


def prompt_arms(policy: Policy, named: Sequence[str] | None, say: Any) -> list[str]:
    """The arms named, `without_why` standing for one of each principle; all that can be made where none are named.

    Errors (InputError): an unknown arm, or one that needs a text which the policy lacks.
    """
    every = ["base", RULES, WHOLE, "whys_in_prompt", *INSTEAD[1:], WITHOUT_WHY]
    arms = [
        arm
        for name in named or every
        for arm in ([f"{WITHOUT_WHY}.{one}" for one in policy.ids] if name == WITHOUT_WHY else [name])
    ]
    made = []
    for arm in dict.fromkeys(arms):
        try:
            find_arm(arm, where="--arms").system_text(policy)
        except InputError as error:
            if named:
                raise
            say(f"without the arm {arm}: {error.what}")
        else:
            made.append(arm)
    return made


def prompt_contrasts(
    arms: Sequence[str], items: Sequence[Item], exams: Sequence[str], *, by_choice: bool
) -> Iterable[dict[str, Any]]:
    """The whole policy against what may stand in place of its whys, then against itself without each single why.

    Each why is judged on the items of its own principle. All on the first exam.
    """
    exam = exams[0]
    measure = {"exam": exam, "metric": measure_of(exam, by_choice=by_choice)}
    if WHOLE not in arms:
        return
    for versus in INSTEAD:
        if versus in arms:
            yield {"arm": WHOLE, "versus": versus, **measure}
    principles = {item.principle for item in items}
    for arm in arms:
        family, _, principle = arm.partition(".")
        if family == WITHOUT_WHY and principle in principles:
            yield {"arm": WHOLE, "versus": arm, **measure, "subset": {"principle": principle}}


def measure_of(exam: str, *, by_choice: bool) -> str:
    """What the contrasts of an exam measure: its known lead, else its first metric with a direction that can be had."""
    if exam in MEASURES:
        return MEASURES[exam][0 if by_choice else 1]
    metrics = find_exam(exam, where="--exams").metrics
    directed = [one.name for one in metrics if one.higher_is_better is not None and (by_choice or one.generated)]
    if not directed:
        raise InputError(
            f"The exam {exam!r} has no measure that can be read from what a model behind an API writes.",
            where="--exams",
            remedy="Name another exam first, or a model with weights.",
        )
    return directed[0]
