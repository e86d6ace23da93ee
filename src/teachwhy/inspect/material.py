"""What a task asks: from a study folder, or from a file of items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..data import find_arm, validated
from ..errors import InputError, Place
from ..evals import Exam, Item, Material, PromptSet, read_items, read_prompts
from ..evals.honeypots import ScenarioSettings, read_scenarios
from ..policy import Policy
from ..study import read_study


@dataclass(frozen=True)
class Asked:
    """What a task asks.

    system: the system prompt of cases that have none of their own. before: what stands before either. markers: how the
    reason and the action of an answer begin, where an exam must tell them apart. max_tokens, temperature, samples: as a
    study asks; None and 1 where no study is named.
    """

    material: Material
    system: str = ""
    before: str = ""
    markers: tuple[str, str] = ("Reason:", "Answer:")
    max_tokens: int | None = None
    temperature: float | None = None
    samples: int = 1

    def cases(self, exam: Exam) -> list[Item]:
        """What the exam asks first. Errors: nothing."""
        found = exam.cases(self.material)
        if not found:
            raise InputError(
                f"The exam {exam.name!r} has nothing to ask here.", where="-T study, -T prompts", remedy=exam.needs
            )
        return found


def read_asked(
    study: str | None,
    items: str | None = None,
    prompts: Sequence[Mapping[str, Any]] = (),
    scenarios: Mapping[str, Any] | None = None,
    system: str = "base",
    sample: int | None = None,
) -> Asked:
    """The items of a study or of a file; those of the study `assistant` where neither is named.

    prompts: further sets of prompts, written as in a study file; their files are looked for from where one stands.
    scenarios: as in a study file, in the place of the study's; all that come with this where neither names any.
    system: the arm, of those that are not trained, whose text stands before the system prompts of study and items.
    sample: how many items are asked in exams that ask many things of each; None: as the study says.
    """
    if study and items:
        raise InputError("Both a study and items are given.", where="-T study, -T items", remedy="Give one of them.")
    policy = None
    if items:
        asked = Asked(Material(read_items([Path(items)])))
    elif study:
        asked, policy = of_study(Path(study))
    else:
        asked, policy = of_study(bundled_study())
        asked = replace(asked, max_tokens=None, temperature=None)
    sets = [validated(PromptSet, dict(one), Place("-T prompts", number)) for number, one in enumerate(prompts, 1)]
    material = asked.material
    named = None
    if scenarios is not None or material.scenarios is None:
        named = validated(ScenarioSettings, dict(scenarios or {}), Place("-T scenarios"))
    material = replace(
        material,
        prompts=[*material.prompts, *read_prompts(sets, Path())],
        scenarios=read_scenarios(named, Path()) if named else material.scenarios,
        sample=material.sample if sample is None else sample,
    )
    return replace(asked, material=material, before=text_before(system, policy))


def of_study(path: Path) -> tuple[Asked, Policy]:
    study = read_study(path)
    settings, sampling = study.settings, study.settings.sampling
    markers = settings.format.reason_marker or "Reason:", settings.format.action_marker or "Answer:"
    asked = Asked(
        study.material,
        settings.system or "",
        markers=markers,
        max_tokens=settings.max_new_tokens,
        temperature=sampling.temperature if sampling else 0.0,
        samples=sampling.samples if sampling else 1,
    )
    return asked, study.policy


def bundled_study() -> Path:
    """The study that lies beside this software: in the installed package, or in its source."""
    house = Path(__file__).parents[1]
    for folder in (house / "studies" / "assistant", house.parents[1] / "studies" / "assistant"):
        if (folder / "study.yaml").is_file():
            return folder
    raise InputError(
        "No study lies beside this installation.",
        where="-T study",
        remedy="Name one: -T study=FOLDER or -T items=FILE.",
    )


def text_before(system: str, policy: Policy | None) -> str:
    """What an arm that is not trained has before every system prompt."""
    arm = find_arm(system, where="-T system")
    if arm.trained:
        raise InputError(
            f"The arm {system!r} is trained, so it is a model and no system prompt.",
            where="-T system",
            remedy="Ask it as a model: --model teachwhy/RUN:ARM:SEED.",
        )
    if arm.in_prompt is None:
        return ""
    if policy is None:
        raise InputError("A file of items has no policy.", where="-T system", remedy="Name a study: -T study=FOLDER.")
    return arm.in_prompt(policy)
