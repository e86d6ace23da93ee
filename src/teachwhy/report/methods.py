"""The methods paragraph of a run: what was taught, examined and computed, written from its results alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .asked import asked_through, sampling
from .registered import sentences
from .unmatched import twin_groups
from .wording import MINUS, Record, format_label, level_text, share, subset_label

SHORT_HASH = 12
PLACES = {"first": "before it", "last": "behind it", "woven": "between its sentences"}
VERSIONS = ("teachwhy", "torch", "transformers", "peft", "vllm")


def methods(results: Record) -> str:
    """What a paper says of how this was done: a few paragraphs, parted by blank lines; `x` in them is a name.

    results: as results.json holds them. Every number is one of theirs; what they do not hold is left out.
    """
    results = {**results, "arms": [arm for arm in results["arms"] if arm.get("checkpoint_of") is None]}
    paragraphs = [
        [study(results), left_out(results), unfinished(results), examples(results)],
        [twins(results), places(results), no_twins(results), recipe(results), amount(results), seeds(results)],
        [exams(results), sampling(results), judge(results)],
        [pairing(results), *intervals(results), declared(results), corrected(results), *sentences(results)],
        [machine(results), stamps(results)],
    ]
    joined = [" ".join(sentence for sentence in sentences if sentence) for sentences in paragraphs]
    return "\n\n".join(paragraph for paragraph in joined if paragraph)


def fact(record: Any, *keys: str) -> Any:
    """What stands under these keys, one within the other; None where anything is missing."""
    for key in keys:
        record = record.get(key) if isinstance(record, Mapping) else None
    return record


def setting(results: Record, *keys: str) -> Any:
    return fact(results, "study", "stamp", "settings", *keys)


def listed(parts: Iterable[str]) -> str:
    """a, b and c."""
    *others, end = parts
    return f"{', '.join(others)} and {end}" if others else end


def names(found: Iterable[str]) -> str:
    return listed(f"`{name}`" for name in found)


def span(values: Sequence[int]) -> str:
    """One number where all are equal, else the range."""
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def clauses(parts: Iterable[tuple[str, Any]]) -> list[str]:
    """Each form filled in with its value, where there is one."""
    return [form.format(value) for form, value in parts if value is not None]


def bracketed(parts: Sequence[str]) -> str:
    return f" ({', '.join(parts)})" if parts else ""


# What was taught


def study(results: Record) -> str:
    arms = results["arms"]
    trained, untrained = ([arm["name"] for arm in arms if arm["trained"] == wanted] for wanted in (True, False))
    parts = ([f"trained {names(trained)}"] if trained else []) + (
        [f"untrained {names(untrained)}"] if untrained else []
    )
    return (
        f"The study `{results['study']['name']}` compares {len(arms)} arms of one model, "
        f"`{results['model']['name']}`: {'; '.join(parts)}."
    )


def left_out(results: Record) -> str:
    found = fact(results, "study", "left_out")
    return f"This was a quick run, of {listed(found)}." if found else ""


def unfinished(results: Record) -> str:
    arms = [f"`{arm['name']}` ({arm['state']})" for arm in results["arms"] if arm["state"] != "done"]
    return f"Not all units are finished: {listed(arms)}." if arms else ""


def examples(results: Record) -> str:
    found = clauses((("{:,} examples", fact(results, "counts", "examples") or None),))
    found += clauses((("{:,} principles", fact(results, "counts", "principles")),))
    return f"The policy is taught by {' of '.join(found)}." if len(found) == 2 else ""


def twins(results: Record) -> str:
    """Which arms were trained on the same examples, as the check before training found."""
    held = bool(fact(results, "checks", "twins", "held"))
    groups = [group for group in twin_groups(results) if len(group["arms"]) > 1]
    if not held or not groups:
        return ""
    parts = [f"{names(group['arms'])} are twins: the same {group['rows']:,} examples" for group in groups]
    sentence = (
        f"{'; '.join(parts)} in the same order, with prompt, action and turn end alike to the letter, so that they "
        "differ only in what stands beside the action."
    )
    across = " Arms of different groups are no twins: they are matched in updates alone."
    staged = " This holds of their own rows: arms that go through different stages of teaching are no twins."
    return (
        sentence
        + (across if len(twin_groups(results)) > 1 else "")
        + (staged if fact(results, "checks", "stages") else "")
    )


def places(results: Record) -> str:
    """Where the text beside the action stands."""
    found = {
        words: [arm["name"] for arm in results["arms"] if arm["trained"] and arm["reason"] == place]
        for place, words in PLACES.items()
    }
    parts = [f"{words} in {names(arms)}" for words, arms in found.items() if arms]
    return f"It stands {listed(parts)}." if parts else ""


def no_twins(results: Record) -> str:
    found = fact(results, "checks", "not_twins")
    if not found:
        return ""
    rows = [f"`{name}` ({record['rows_an_update']} rows an update)" for name, record in found.items()]
    return f"No twins of these, matched in updates alone: {listed(rows)}."


def recipe(results: Record) -> str:
    train = setting(results, "train")
    if not results["training"] or not train:
        return ""
    steps = clauses(
        (
            ("peak learning rate {:g}", train.get("learning_rate")),
            ("{} schedule", spelled(train.get("schedule"))),
            ("warm-up over {:.0%} of the updates", train.get("warmup")),
            ("second beta {:g}", train.get("beta2")),
            ("weight decay {:g}", train.get("weight_decay")),
            ("gradient norm at most {:g}", train.get("clip")),
            ("{} rows an update", train.get("batch")),
            ("{} of them at once", train.get("micro_batch")),
            ("{:g} epochs", train.get("epochs")),
            ("{:.0%} of a row's loss on the action", train.get("action_share")),
        )
    )
    stages = fact(results, "checks", "stages") or []
    kinds = list(dict.fromkeys(stage["kind"] for stage in stages))
    if kinds:
        return (
            f"Training was in stages ({', '.join(kinds)}), of {what_is_trained(train)} with AdamW{bracketed(steps)}; a "
            "stage may have changed some of these, and the table of stages has its rows and updates."
        )
    return f"Training was supervised fine-tuning of {what_is_trained(train)} with AdamW{bracketed(steps)}."


def what_is_trained(train: Record) -> str:
    targets, layers = train.get("targets"), ("the last {} decoder layers", train.get("layers"))
    if train.get("adapter") == "none":
        return f"the model's own weights{bracketed(clauses((layers,)))}"
    adapter = clauses(
        (
            ("rank {}", train.get("rank")),
            ("alpha {}", train.get("alpha")),
            ("targets {}", f"`{targets}`" if isinstance(targets, str) else names(targets) if targets else None),
            layers,
            ("the model below it in {}", {"4bit": "4 bits"}.get(train.get("quantize") or "")),
        )
    )
    return f"a LoRA adapter{bracketed(adapter)}"


def spelled(name: str | None) -> str | None:
    return name.replace("_", " ") if name else None


def amount(results: Record) -> str:
    training = results["training"]
    if not training:
        return ""
    updates, tokens, counted = (
        span([record[key] for record in training]) for key in ("updates", "tokens", "trained_tokens")
    )
    return (
        f"The {len(training):,} trainings made {updates} updates each, over {tokens} tokens, "
        f"of which the loss counted {counted}."
    )


def seeds(results: Record) -> str:
    found = sorted({seed for arm in results["arms"] for seed in arm["seeds"] if seed is not None})
    moved = [f"`{arm['name']}` by {arm['seed_offset']}" for arm in results["arms"] if arm.get("seed_offset")]
    if not found:
        return ""
    return f"Seeds: {', '.join(map(str, found))}{bracketed([f'moved: {listed(moved)}'] if moved else [])}."


# What was asked


def exams(results: Record) -> str:
    exams = setting(results, "exams")
    if not exams:
        return ""
    items = fact(results, "counts", "items")
    decoding = clauses(
        (
            ("at most {} new tokens", setting(results, "max_new_tokens")),
            ("the other format on {:.0%} of the pairs", setting(results, "off_format_share") or None),
        )
    )
    sat = f"Every arm sat {'the exam' if len(exams) == 1 else 'the exams'} {names(exams)}"
    study_has = "" if items is None else f"; the study has {items:,} items"
    how = "drawn" if sampling(results) else "greedy"
    return f"{sat}{study_has}. Answers are {how}{bracketed(decoding)}."


def judge(results: Record) -> str:
    name = fact(results, "judge", "name")
    if not name:
        return ""
    own = name == results["model"]["name"]
    return f"Where an exam asks a judge, it was `{name}`{', the untrained model itself' if own else ''}."


# What was computed


def pairing(results: Record) -> str:
    if not results["contrasts"]:
        return ""
    return (
        "A contrast is the first arm minus the second on the same items and seeds: pairs with an unscored side are "
        "left out and counted, items are averaged within each family and seed, and these cells are averaged, every "
        "family weighing the same."
    )


def intervals(results: Record) -> list[str]:
    """How each interval was made, by what it covers."""
    found: dict[str, list[Record]] = {}
    for contrast in results["contrasts"]:
        found.setdefault(contrast["covers"], []).append(contrast)
    sentences = []
    for covers, contrasts in found.items():
        level = level_text(contrasts[0]["level"])
        if covers == "families and seeds":
            sentences.append(
                f"The {level} interval and p over families and seeds are Student's t in a two-way random-effects "
                "model of the family × seed cells; a variance component below zero counts as zero, and the degrees of "
                "freedom have Satterthwaite's form with the mean squares weighing in plainly, kept between the smaller "
                f"of F {MINUS} 1 and S {MINUS} 1 and their product (F families, S seeds)."
            )
        elif contrasts[0]["low"] is not None:
            sentences.append(f"Student's t over family means gives the {level} interval that covers {covers}.")
        else:
            pairs = dict.fromkeys(f"`{contrast['arm']}` {MINUS} `{contrast['versus']}`" for contrast in contrasts)
            sentences.append(f"{listed(pairs)}: {covers}.")
    if any(contrast["p_sign_flip"] is not None for contrast in results["contrasts"]):
        sentences.append("Beside them stands the p of sign flips over families, at these seeds.")
    return sentences


def declared(results: Record) -> str:
    found = [contrast for contrast in results["contrasts"] if contrast["declared"]]
    return f"Declared in the study file: {'; '.join(map(described, found))}." if found else ""


def described(contrast: Record) -> str:
    counts = clauses(
        (("{:,} items", contrast["items"]), ("{:,} families", contrast["families"]), ("{:,} seeds", contrast["seeds"]))
    )
    counts += clauses((("{:.1f} degrees of freedom", contrast.get("degrees_of_freedom")),))
    return (
        f"`{contrast['arm']}` {MINUS} `{contrast['versus']}` in `{contrast['metric']}` of the exam "
        f"`{contrast['exam']}`, {subset_label(contrast['subset'])}, {format_label(contrast['format'])}"
        f"{bracketed(counts)}"
    )


def corrected(results: Record) -> str:
    tested = sum(contrast["declared"] and contrast["p"] is not None for contrast in results["contrasts"])
    others = sum(not contrast["declared"] for contrast in results["contrasts"])
    parts = [f"Holm's correction is over the {tested} declared contrasts with a p"] if tested > 1 else []
    parts += [f"{others} exploratory contrasts are uncorrected"] if others else []
    floor = setting(results, "competence")
    if floor:
        parts.append(
            f"arms are called competent from {share(floor['at_least'])} of `{floor['metric']}` upwards, unscored "
            "answers counted as failures"
        )
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


# On what


def machine(results: Record) -> str:
    model = results["model"]
    if asked_through(results):
        return served(results)
    threads = model.get("threads")
    where = clauses((("on {}", model.get("device")), ("in {}", model.get("dtype"))))
    where += clauses((("with {} thread" + ("s" if threads != 1 else ""), threads),))
    versions = [f"{name} {model[name]}" for name in VERSIONS if model.get(name)]
    if not where and not versions:
        return ""
    return f"Run {', '.join([' '.join(where), *versions] if where else versions)}."


def served(results: Record) -> str:
    """What was asked of a model behind an API."""
    asked = results.get("asked", ())
    totals = {name: sum(record[name] for record in asked) for name in ("answers", "tokens_in", "tokens_out")}
    under = sorted({name for record in asked for name in record["models"]})
    return (
        f"The model was asked through Inspect, {totals['answers']:,} times; it read {totals['tokens_in']:,} tokens and "
        f"wrote {totals['tokens_out']:,}{bracketed([f'it answered as {names(under)}'] if under else [])}."
    )


def stamps(results: Record) -> str:
    stamp = fact(results, "study", "stamp") or {}
    hashes = {name: stamp.get(name) for name in ("model", "policy", "examples", "items")}
    hashes["judge"] = fact(results, "judge", "fingerprint")
    hashes["chat template"] = fact(results, "checks", "template_hash")
    found = [f"{name} `{value[:SHORT_HASH]}`" for name, value in hashes.items() if value]
    return f"Fingerprints (the first {SHORT_HASH} digits of sha256): {', '.join(found)}." if found else ""
