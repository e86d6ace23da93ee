"""From a study to what the units need: rows, tokens, rendered prompts, and the checks that must hold first."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..data import (
    TEXTS_BESIDE,
    Example,
    Row,
    Writing,
    check_arms_against_why,
    check_overlap,
    check_surroundings,
    check_trained,
    check_twins,
    find_arm,
    length_table,
)
from ..errors import CheckError, InputError, listed
from ..evals import Item, find_exam
from ..models import Chat, ChatFormat
from ..text import fingerprint, words
from ..train.settings import count_updates
from ..train.tokens import TokenRow, tokenize_rows
from .arm_setting import ArmSetting, twin_groups
from .folder import write_json, write_jsonl
from .lessons import check_told_apart, lessons_of, stage_table
from .noise import Again, asked_again
from .stages import Lessons, TaughtRow
from .study_file import Study

ASKING_ON = 100  # tokens of a follow-up question beside what it quotes


@dataclass(frozen=True)
class Prepared:
    """rows, token_rows: arm -> rows in the order of the examples. prompts: arm -> case id -> rendered conversation.

    cases: exam -> what it asks: the items, or what it makes of them. lessons: arm -> what each of its stages teaches;
    of its own rows alone where the study has no stages. again: what is to be asked again, for the noise of sampling and
    judging.
    """

    rows: Mapping[str, Sequence[Row]]
    token_rows: Mapping[str, Sequence[TokenRow]]
    prompts: Mapping[str, Mapping[str, str]]
    cases: Mapping[str, Sequence[Item]]
    checks: Mapping[str, Any]
    lessons: Mapping[str, Sequence[Lessons]]
    again: Again | None = None

    def prompts_hash(self, arm: str, exam: str) -> str:
        return fingerprint({case.id: self.prompts[arm][case.id] for case in self.cases[exam]})


def prepare(
    study: Study, chat: ChatFormat, context: int | None, judge_chat: ChatFormat, judge_context: int | None
) -> Prepared:
    """Rows and prompts of every arm, checked. Errors (CheckError): a check fails.

    context: tokens the model holds, None of one behind an API. judge_chat, judge_context: the same of the judge.
    """
    trained = [setting for setting in study.taught if find_arm(setting.arm).trained]
    check_examples(study, trained)
    rows = {setting.name: rows_of(study, chat, setting) for setting in trained}
    check_trained(rows)
    groups = twin_groups(trained)
    overlap = check_overlap(taught_texts(study), examined_texts(study))
    check_overlap(
        texts_beside(study), {f"reason of item {item.id}": item.reason for item in study.items if item.reason}
    )
    check_overlap(texts_beside(study) | actions(study), scenario_texts(study))
    train = study.settings.train
    token_rows = {
        name: tokenize_rows(arm_rows, chat, context or 0, name, train.action_share) for name, arm_rows in rows.items()
    }
    first = token_rows[groups[0][0].name] if groups else next(iter(token_rows.values()), ())
    updates = {
        setting.name: count_updates(setting.examples or len(first), batch=train.batch, epochs=train.epochs)
        for setting in trained
    }
    batch = {setting.name: rows_an_update(study, chat, context or 0, setting, token_rows) for setting in trained}
    cases = {exam: find_exam(exam).cases(study.material) for exam in study.settings.exams}
    check_cases(study, cases)
    asked = [case for of_exam in cases.values() for case in of_exam]
    prompts = {setting.name: item_prompts(study, chat, setting, asked) for setting in study.arms}
    check_fit(study, chat, prompts, cases, context)
    check_judge_fit(study, judge_chat, cases, judge_context)
    full = [setting.name for setting in trained if setting.examples is None]
    checks = {
        "twins": twin_checks(study, groups, rows),
        "sizes": size_checks(groups, rows, token_rows, updates),
        "not_twins": {setting.name: {"rows_an_update": batch[setting.name]} for setting in trained if not setting.twin},
        "overlap": overlap | {"left_out": list(study.settings.shared)},
        "lengths": length_table({name: rows[name] for name in full}),
        "against_why": [
            record
            for names in compared_with_why([setting for setting in trained if rows[setting.name]])
            for record in check_arms_against_why(
                {name: rows[name] for name in names},
                {setting.name: setting.arm for setting in trained},
                study.examples,
                {name: round(batch[name] * trained_tokens_a_row(token_rows[name]), 1) for name in names},
                study.settings.format.reason_marker,
            )
        ],
        "prompts": prompt_lengths(study, chat),
        "template_hash": chat.template_hash,
        "own_system_prompt": own_system_prompt(study, chat),
    }
    settled = [
        setting.name
        for group in groups
        for setting in group
        if updates[setting.name] == count_updates(len(rows[setting.name]), batch=train.batch, epochs=train.epochs)
    ]
    own = {
        name: Lessons(
            token_rows[name],
            [row.to_json() for row in rows[name]],
            train,
            batch[name],
            updates[name],
            name in settled,
        )
        for name in rows
    }
    lessons = {
        setting.name: lessons_of(
            study,
            setting,
            chat,
            context or 0,
            writing(study, chat, setting),
            partial(item_prompt, study, chat, setting),
            own[setting.name],
            len(first),
        )
        for setting in trained
    }
    check_told_apart(study, lessons)
    checks |= {
        "updates": {name: sum(found.updates for found in lessons[name]) for name in full},
        "tokens": {name: token_table([row for found in lessons[name] for row in found.rows]) for name in full},
        "stages": stage_table(study, trained, lessons),
    }
    return Prepared(rows, token_rows, prompts, cases, checks, lessons, asked_again(study, cases))


def twin_checks(
    study: Study, groups: Sequence[Sequence[ArmSetting]], rows: Mapping[str, Sequence[Row]]
) -> dict[str, Any]:
    """Prove that the arms of full size are twins of those that read the same, and that surroundings change no more.

    rows: of an arm; of the largest group where arms read different shapes. groups: which arms are twins of one another.
    """
    full = [group for group in groups if group[0].examples is None]
    records = []
    for group in full:
        held = check_twins({setting.name: rows[setting.name] for setting in group})
        shape, surroundings = group[0].reads
        records.append({"shape": shape, "surroundings": surroundings, "arms": held["arms"], "rows": held["rows"]})
    arms = [setting for group in full for setting in group]
    for varied in arms:
        for plain in arms:
            if plain.model_copy(update={"name": varied.name, "surroundings": "varied"}) == varied != plain:
                check_surroundings(rows[plain.name], rows[varied.name], study.examples, study.settings.system)
    return {
        "arms": [setting.name for setting in arms],
        "rows": max((record["rows"] for record in records), default=0),
        "held": True,
        "groups": records,
    }


def check_examples(study: Study, trained: Sequence[ArmSetting]) -> None:
    """Refuse arms that are trained on examples in a study that names none."""
    for setting in trained:
        reads = study.settings.examples or find_arm(setting.arm).reads == "generic"
        if not reads and any(stage.needs_examples for stage in study.stages(setting)):
            raise InputError(
                f"The arm {setting.name!r} is trained, and there is nothing to train it on.",
                where=f"{study.path}, field 'examples'",
                remedy="Name the files of examples there, or take the trained arms out.",
            )


def size_checks(
    groups: Sequence[Sequence[ArmSetting]],
    rows: Mapping[str, Sequence[Row]],
    token_rows: Mapping[str, Sequence[TokenRow]],
    updates: Mapping[str, int],
) -> dict[str, dict[str, Any]]:
    """Size -> the twin check of its arms, their updates and their tokens."""
    checks: dict[str, dict[str, Any]] = {}
    for group in groups:
        names = [setting.name for setting in group]
        if group[0].examples is None:
            continue
        held = check_twins({name: rows[name] for name in names})
        found = {
            **held,
            "updates": updates[names[0]],
            "tokens": {name: token_table(token_rows[name]) for name in names},
        }
        size = checks.setdefault(str(group[0].examples), found)
        if size is not found:  # arms of another shape or other surroundings, at this size too
            size["arms"] += found["arms"]
            size["tokens"] |= found["tokens"]
    return checks


def compared_with_why(trained: Sequence[ArmSetting]) -> list[list[str]]:
    """The names of full-size arms that the arm check holds against one `why`: those that read what it reads.

    Arms that are no twins join those that read as they do, or else the first of all.
    """
    full = [setting for setting in trained if setting.examples is None]
    groups = twin_groups(full)
    with_why = [group for group in groups if any(setting.arm == "why" for setting in group)]
    for setting in full:
        if not setting.twin and with_why:
            next((group for group in with_why if group[0].reads == setting.reads), with_why[0]).append(setting)
    return [[setting.name for setting in full if setting in group] for group in with_why]


def rows_of(study: Study, chat: ChatFormat, setting: ArmSetting) -> list[Row]:
    return find_arm(setting.arm).rows(study.pool(setting), writing(study, chat, setting))


def rows_an_update(
    study: Study, chat: ChatFormat, context: int, setting: ArmSetting, token_rows: Mapping[str, Sequence[TokenRow]]
) -> int:
    """The study's batch; for an arm that is to be as long as another, so many rows that trained tokens are as many."""
    batch, other = study.settings.train.batch, find_arm(setting.arm).as_long_as
    if other is None or not token_rows[setting.name]:
        return batch
    longer = rows_of(study, chat, setting.model_copy(update={"name": other, "arm": other}))
    wanted = trained_tokens_a_row(tokenize_rows(longer, chat, context, other))
    return max(1, round(batch * wanted / trained_tokens_a_row(token_rows[setting.name])))


def trained_tokens_a_row(rows: Sequence[TokenRow]) -> float:
    return sum(row.trained for row in rows) / len(rows)


def writing(study: Study, chat: ChatFormat, setting: ArmSetting) -> Writing:
    format = study.settings.format
    return Writing(
        prompt=lambda example: chat.prompt(conversation(example, study.settings.system), example.tools),
        end=chat.end,
        place=setting.reason or format.reason,
        reason_marker=format.reason_marker,
        action_marker=format.action_marker,
        reason_names_fact=format.reason_names_fact,
    )


def conversation(case: Example | Item, system: str | None) -> list[dict[str, str]]:
    """The messages of an example or item, with the study's system prompt where it has none of its own."""
    messages = [message.model_dump() for message in case.messages]
    own = case.system or system
    has_system = messages[0]["role"] == "system"
    return ([{"role": "system", "content": own}] if own and not has_system else []) + messages


def item_prompts(study: Study, chat: ChatFormat, setting: ArmSetting, items: Iterable[Item]) -> dict[str, str]:
    """Item id -> rendered prompt; a prompt arm has its text of the policy before the system prompt.

    Before, and not after, so that all its prompts begin alike and the policy is run through the model once.
    """
    return {item.id: item_prompt(study, chat, setting, item) for item in items}


def item_prompt(study: Study, chat: ChatFormat, setting: ArmSetting, item: Item) -> str:
    policy = find_arm(setting.arm).system_text(study.policy)
    system = "\n\n".join(part for part in (policy, item.system or study.settings.system) if part)
    messages = conversation(item.model_copy(update={"system": system or None}), None)
    return chat.prompt(messages, item.tools)


def taught_texts(study: Study) -> dict[str, str]:
    """Every text that a model may have read before it is examined, by name: situations and policy."""
    taught = (*study.examples, *study.generic)
    texts = {f"example {example.id}": situation(example) for example in taught}
    if "policy" not in study.settings.shared:
        for principle in study.policy.principles:
            texts[f"policy {principle.id}"] = f"{principle.rule} {principle.why} {principle.boundaries}"
            others = {"neutral text": principle.neutral, "further rules": principle.more}
            texts |= {f"{name} of policy {principle.id}": text for name, text in others.items() if text}
    for stage in study.settings.stages:
        material = study.materials[stage.name]
        texts |= stage.taught(material)
        if "system" not in study.settings.shared:
            named = ((f"system prompt of {one.id} of the stage {stage.name}", one) for one in material)
            texts |= {name: text for name, one in named if (text := getattr(one, "system", None))}
    varied = {
        f"varied system prompt of example {example.id}": example.varied_system
        for example in taught
        if example.varied_system
    }
    return with_system(study, texts, taught, "example") | varied


def texts_beside(study: Study) -> dict[str, str]:
    """What may stand beside the actions in training, by name."""
    return {
        f"{field} of example {example.id}": text
        for example in study.examples
        for field in TEXTS_BESIDE
        if (text := getattr(example, field))
    }


def actions(study: Study) -> dict[str, str]:
    """What is taught to be done, by name. Items may have the same actions; the acts of a scenario are its own."""
    own = {f"action of example {example.id}": example.action for example in (*study.examples, *study.generic)}
    for stage in study.settings.stages:
        own |= stage.said(study.materials[stage.name])
    return own


def examined_texts(study: Study) -> dict[str, str]:
    asked = (*study.items, *study.prompts, *study.questions)
    texts = {f"item {item.id}": situation(item) for item in asked}
    return with_system(study, texts | scenario_texts(study), asked, "item")


def scenario_texts(study: Study) -> dict[str, str]:
    families = study.scenarios.families if study.scenarios else ()
    return {f"scenario {scenario.family}": "\n".join(scenario.texts()) for scenario in families}


def situation(case: Example | Item) -> str:
    return " ".join(message.content for message in case.messages if message.role != "system")


def with_system(
    study: Study, texts: dict[str, str], cases: Sequence[Example] | Sequence[Item], kind: str
) -> dict[str, str]:
    """Adds the system prompts, unless the study declares them shared."""
    if "system" in study.settings.shared:
        return texts
    own = {f"system prompt of {kind} {case.id}": case.system for case in cases if case.system}
    return texts | own


def check_fit(
    study: Study,
    chat: ChatFormat,
    prompts: Mapping[str, Mapping[str, str]],
    cases: Mapping[str, Sequence[Item]],
    context: int | None,
) -> None:
    """Refuse items whose prompt and answer do not fit the model's context, where that is known.

    Where an exam asks on, the model's answer and a further question follow the request.
    """
    if context is None:
        return
    for arm, by_item in prompts.items():
        for exam, of_exam in cases.items():
            longest = max((case.id for case in of_exam), key=lambda case: len(by_item[case]))
            answer = study.settings.max_new_tokens
            after = ASKING_ON + answer if find_exam(exam).follow_up else 0
            need = len(chat.tokens(by_item[longest])) + answer + after
            if need > context:
                raise CheckError(
                    f"The longest prompt of the arm {arm!r} needs {need} tokens with its answer; "
                    f"the model holds {context}.",
                    where=f"item {longest!r}",
                    remedy="Shorten the item or the policy, lower max_new_tokens, or take this arm out.",
                )


def check_judge_fit(study: Study, chat: ChatFormat, cases: Mapping[str, Sequence[Item]], context: int | None) -> None:
    """Refuse a judge that cannot hold two requests and a reason."""
    for exam, of_exam in cases.items():
        if context is None or not find_exam(exam).follow_up:
            continue
        longest = max(of_exam, key=lambda case: len(case.prompt) + len(case.system or ""))
        request = len(chat.tokens(f"{longest.system or ''} {longest.prompt}"))
        need = 2 * request + study.settings.max_new_tokens + ASKING_ON
        if need > context:
            raise CheckError(
                f"A question of the exam {exam!r} may need {need} tokens; the judge holds {context}.",
                where=f"item {longest.id!r}",
                remedy="Name another `judge:`, shorten the item, lower max_new_tokens, or take the exam out.",
            )


def check_cases(study: Study, cases: Mapping[str, Sequence[Item]]) -> None:
    """Refuse an exam that would ask nothing, and two different cases of one id."""
    format = study.exam_format(study.settings.arms[0])  # whether there is anything to ask hangs on no arm
    known: dict[str, Item] = {}
    for exam, of_exam in cases.items():
        if not find_exam(exam).requests(of_exam, format):
            raise CheckError(
                f"The exam {exam!r} has nothing to ask in this study.",
                where=f"{study.path}, field 'exams'",
                remedy=f"{find_exam(exam).needs} Or take it out.".strip(),
            )
        counts = Counter(case.id for case in of_exam)
        twice = [case.id for case in of_exam if counts[case.id] > 1 or known.setdefault(case.id, case) != case]
        if twice:
            raise CheckError(
                f"Two cases of the exam {exam!r} have one id: {listed(twice)}.",
                where=str(study.path),
                remedy="Name each file of prompts once, and give items and prompts ids of their own.",
            )


def token_table(rows: Sequence[TaughtRow]) -> dict[str, float]:
    """Token counts of an arm's rows: total, trained, and the quantiles of a row's length."""
    lengths = sorted(row.length for row in rows)
    cuts = statistics.quantiles(lengths, n=20) if len(lengths) > 1 else lengths * 19
    return {
        "rows": len(rows),
        "tokens": sum(lengths),
        "trained": sum(row.trained for row in rows),
        "length_median": statistics.median(lengths),
        "length_95th": round(cuts[-1], 1),
        "length_longest": lengths[-1],
        "cut": 0,
    }


def prompt_lengths(study: Study, chat: ChatFormat) -> dict[str, dict[str, int | None]]:
    """Words and tokens of what each prompt arm shows of the policy; tokens where the model's are known."""
    texts = {setting.name: find_arm(setting.arm).system_text(study.policy) for setting in study.settings.arms}
    return {
        name: {"words": len(words(text)), "tokens": len(chat.tokens(text)) if isinstance(chat, Chat) else None}
        for name, text in texts.items()
        if text
    }


def own_system_prompt(study: Study, chat: ChatFormat) -> str | None:
    """The system prompt that the model's template writes by itself where a conversation has none, if it does."""
    if study.settings.system:
        return None
    rendered = chat.prompt([{"role": "user", "content": "x"}])
    return rendered if "system" in rendered else None


def write_prepared(prepared: Prepared, study: Study, run: Path) -> None:
    """data/<arm>.jsonl, data/<arm>@<stage>.jsonl, data/manifest.json and checks.json."""
    manifest = {}
    for arm, of_arm in prepared.lessons.items():
        for stage, lessons in zip(study.stages(study.arm(arm)), of_arm, strict=True):
            own = lessons.rows is prepared.token_rows[arm] and arm not in manifest
            name = arm if own else f"{arm}@{stage.name}"
            write_jsonl(run / "data" / f"{name}.jsonl", lessons.written)
            manifest[name] = {
                "examples_in": len(study.pool(study.arm(arm))) if own else len(lessons.written),
                "rows_out": len(lessons.rows),
                "left_out": {},
                "sha256": lessons.hash,
            }
    write_json(run / "data" / "manifest.json", manifest)
    write_json(run / "checks.json", prepared.checks)
