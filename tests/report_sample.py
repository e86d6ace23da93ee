"""A plausible results.json of the size of a whole study, made from planted effects through the real statistics."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from teachwhy.data import find_arm
from teachwhy.report import SCHEMA_VERSION
from teachwhy.stats import Observation, adjust, contrast, interval
from teachwhy.study.contrasts import contrast_record
from teachwhy.study.results import rate_record
from teachwhy.study.study_settings import ContrastSetting

ARMS = ("base", "policy_in_prompt", "what", "mention", "reason_only", "why", "swapped", "neutral", "shuffled")
SEEDS = (0, 1, 2)
FAMILIES = tuple(f"rule-{number:02}" for number in range(20))
DISTANCES = ("seen_wording", "new_wording")
ITEMS_A_CELL = 4
FOLLOWS, CORRECT = "follows_first_fact", "correct"
FAILED = "neutral/seed-2"
FAILURE = "The machine ran out of memory while training.\n  next:  Lower `train.batch`."

# arm -> share that follows the first fact, and share right on agreeing cases, on seen wordings
PLANTED = {
    "base": (0.52, 0.55),
    "policy_in_prompt": (0.55, 0.58),
    "what": (0.66, 0.97),
    "mention": (0.84, 0.98),
    "reason_only": (0.62, 0.96),
    "why": (0.80, 0.97),
    "swapped": (0.28, 0.96),
    "neutral": (0.65, 0.96),
    "shuffled": (0.60, 0.90),
}
UNSCORED = {"base": 0.34, "policy_in_prompt": 0.12, "shuffled": 0.07, "why": 0.01, "swapped": 0.02}
LEVEL = 0.95
METRICS = (
    (FOLLOWS, "share of conflict cases decided as the first fact asks (a preference between facts)", None),
    (f"{FOLLOWS}_by_choice", "the same, by log-probability of the full action", None),
    (CORRECT, "share of cases with a right decision that are decided rightly", True),
    (f"{CORRECT}_by_choice", "the same, by log-probability of the full action", True),
)

Cell = tuple[str, str, str, str, str]  # arm, metric, format, kind, distance


@cache
def sample_results() -> dict[str, Any]:
    """Callers copy it before they change it."""
    observed = observations()
    arms = [arm_record(name) for name in ARMS]
    contrasts = all_contrasts(observed)
    rates = [
        rate_record(arm, "decisions", metric, format, {"distance": distance, "kind": kind}, found, LEVEL)
        for (arm, metric, format, kind, distance), found in observed.items()
    ]
    return {
        "schema": SCHEMA_VERSION,
        "study": {
            "name": "swap",
            "question": "Does a reason steer what a small model does where two facts pull apart?",
            "about": "Every arm is taught the same actions on the same cases; only the text beside the action differs.",
            "limits": "One small model and one recipe.\nTwenty everyday rules of one form: two facts, two actions.",
            "left_out": [],
            "stamp": stamp(),
        },
        "judge": None,
        "model": {
            "name": "bundled:smollm2-135m",
            "fingerprint": "a1" * 32,
            "device": "cpu",
            "dtype": "bfloat16",
            "threads": 1,
            "compile": True,
            "torch": "2.13.0+cpu",
            "transformers": "5.23.0",
        },
        "arms": arms,
        "contrasts": contrasts,
        "comparisons": comparisons(contrasts),
        "registration": {
            "state": "registered before the run",
            "registered": "2026-11-20 09:00:00 UTC",
            "decision_rule": "A difference counts as shown where its interval excludes zero after Holm",
            "changed": [],
            "contrasts": ["declared before the run"] * sum(contrast["declared"] for contrast in contrasts),
            "dropped": 0,
            "runs_before": 0,
            "quick_runs_before": 0,
        },
        "shares": [],
        "curves": [],
        "token_saving": [],
        "noise": None,
        "sections": [
            {"exam": "decisions", "title": "Decisions", "about": "", "shown": [], "planes": [], "place": "decisions"}
        ],
        "rates": rates,
        "competence": competence(rates),
        "unscored": unscored(observed),
        "training": [
            {
                "arm": arm["name"],
                "seed": seed,
                "updates": 72,
                "tokens": 92_160 + 1_000 * len(arm["name"]),
                "trained_tokens": 39_936 if arm["name"] != "what" else 12_288,
                "first_loss": 3.21 + seed / 100,
                "last_loss": 0.66 + seed / 50,
            }
            for arm in arms
            if arm["trained"]
            for seed in arm["seeds"]
        ],
        "checks": checks(),
        "canaries": [
            {"arm": arm["name"], "seed": seed, "base": -3.412, "peft": -0.871, "merged": -0.872}
            for arm in arms
            if arm["trained"]
            for seed in arm["seeds"]
        ],
        "metrics": [
            {
                "exam": "decisions",
                "name": name,
                "meaning": meaning,
                "higher_is_better": better,
                "chance": None,
                "generated": not name.endswith("_by_choice"),
            }
            for name, meaning, better in METRICS
        ],
        "answers": answers(),
        "counts": {"examples": 384, "items": 320, "principles": 20},
    }


def sample_timings() -> dict[str, Any]:
    units = {f"{arm}/seed-{seed}": {"train": 265.0, "exams": 57.0} for arm in ARMS[2:] for seed in SEEDS}
    del units[FAILED]
    return {"units": units | {"base/seed-none": {"train": 0.0, "exams": 61.0}}, "written": "2026-01-01 12:00 UTC"}


def observations() -> dict[Cell, list[Observation]]:
    """Right-or-wrong scores from the planted shares, moved by family and seed."""
    rng = random.Random(3)
    found: dict[Cell, list[Observation]] = {}
    for arm in ARMS:
        seeds = [None] if not find_arm(arm).trained else [seed for seed in SEEDS if f"{arm}/seed-{seed}" != FAILED]
        moved = {family: rng.gauss(0, 0.13) for family in FAMILIES}
        noise = {seed: rng.gauss(0, 0.01) for seed in seeds}
        for place, (kind, metric) in enumerate((("conflict", FOLLOWS), ("agree", CORRECT))):
            for distance in DISTANCES:
                near = PLANTED[arm][place]
                center = near if distance == "seen_wording" else 0.5 + 0.62 * (near - 0.5) + 0.12 * place
                for format in ("own", "off"):
                    for suffix in ("", "_by_choice"):
                        found[arm, metric + suffix, format, kind, distance] = [
                            Observation(
                                f"{family}-{kind}-{distance}-{number}",
                                family,
                                seed,
                                None
                                if not suffix and rng.random() < UNSCORED.get(arm, 0.0)
                                else float(rng.random() < center + (1 - place) * moved[family] + noise[seed]),
                            )
                            for family in FAMILIES
                            for number in range(ITEMS_A_CELL)
                            for seed in seeds
                        ]
    return found


def all_contrasts(observed: Mapping[Cell, list[Observation]]) -> list[dict[str, Any]]:
    def setting(arm: str, versus: str, **subset: str) -> ContrastSetting:
        return ContrastSetting(arm=arm, versus=versus, metric=FOLLOWS, subset={"kind": "conflict", **subset})

    declared = [setting("why", other, distance="new_wording") for other in ("swapped", "mention")]
    exploratory = [setting("why", other, distance="seen_wording") for other in ("swapped", "mention")]
    others = ("what", "reason_only", "neutral", "shuffled", "policy_in_prompt")
    exploratory += [setting("why", other) for other in others]
    exploratory += [setting("mention", "what"), setting("policy_in_prompt", "base")]
    # Three rules are too few for an interval.
    few = setting("reason_only", "what", principle="few")

    def compared(one: ContrastSetting) -> Any:
        return contrast(scores(observed, one.arm, one.subset), scores(observed, one.versus, one.subset), level=LEVEL)

    def sides(one: ContrastSetting) -> dict[str, Any]:
        found = {arm: interval(scores(observed, arm, one.subset), LEVEL) for arm in (one.arm, one.versus)}
        return {arm: {"estimate": own.estimate, "low": own.low, "high": own.high} for arm, own in found.items()}

    records = [
        contrast_record(one, found, sides(one), True)
        for one, found in zip(declared, adjust([compared(one) for one in declared]), strict=True)
    ]
    return records + [contrast_record(one, compared(one), sides(one), False) for one in [*exploratory, few]]


def comparisons(contrasts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Contrasts of the sample again, in the roles that they would have on the page."""
    of_why = [contrast for contrast in contrasts if contrast["arm"] == "why" and "distance" in contrast["subset"]]
    over_what = [contrast for contrast in contrasts if contrast["versus"] == "what" and not contrast["declared"]]
    roles = [("distance", of_why[::-1]), ("control", contrasts[:1]), ("ladder", over_what)]
    return [{**contrast, "declared": False, "role": role} for role, found in roles for contrast in found]


def scores(observed: Mapping[Cell, list[Observation]], arm: str, subset: Mapping[str, str]) -> list[Observation]:
    distances = [subset["distance"]] if "distance" in subset else DISTANCES
    families = FAMILIES[:3] if "principle" in subset else FAMILIES
    found = [one for distance in distances for one in observed[arm, FOLLOWS, "own", "conflict", distance]]
    return [one for one in found if one.family in families]


def competence(rates: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    records = []
    for rate in rates:
        if find_arm(rate["arm"]).trained and (rate["metric"], rate["format"]) == (CORRECT, "own"):
            lost = rate["unscored"] / (rate["items"] * rate["seeds"] + rate["unscored"])
            value = rate["estimate"] * (1 - lost)
            records.append(
                {
                    "arm": rate["arm"],
                    "subset": rate["subset"],
                    "rate": value,
                    "at_least": 0.85,
                    "competent": value >= 0.85,
                }
            )
    return records


def unscored(observed: Mapping[Cell, list[Observation]]) -> list[dict[str, Any]]:
    causes = (("no action marker", 2), ("no known action", 3), ("two actions", 7))
    records = []
    for (arm, metric, format, _, distance), found in observed.items():
        lost = sum(one.value is None for one in found)
        if lost and distance == "seen_wording":
            where = {"arm": arm, "exam": "decisions", "metric": metric, "format": format}
            records += [{**where, "cause": cause, "count": lost // part} for cause, part in causes if lost // part]
    return records


def arm_record(name: str) -> dict[str, Any]:
    kind = find_arm(name)
    seeds = [seed for seed in SEEDS if f"{name}/seed-{seed}" != FAILED] if kind.trained else [None]
    failed = {FAILED: FAILURE} if FAILED.startswith(f"{name}/") else {}
    return {
        "name": name,
        "kind": name,
        "summary": kind.summary,
        "trained": kind.trained,
        "reason": "first" if kind.reasons else None,
        "seed_offset": 0,
        "state": "failed" if failed else "done",
        "seeds": seeds,
        "failures": failed,
    }


def stamp() -> dict[str, Any]:
    return {
        "name": "swap",
        "settings": {
            "policy": "policy.md",
            "examples": ["examples.jsonl"],
            "items": ["items.jsonl"],
            "system": "Decide what to do.",
            "format": {"reason": "first", "reason_marker": "Reason:", "action_marker": "Action:"},
            "train": {"epochs": 3.0, "batch": 16, "learning_rate": 0.002, "rank": 16},
            "exams": ["decisions"],
            "max_new_tokens": 64,
            "competence": {"exam": "decisions", "metric": CORRECT, "at_least": 0.85},
            "level": LEVEL,
            "shared": ["system"],
        },
        "arms": {name: {"name": name, "arm": name, "reason": None, "seed_offset": 0} for name in ARMS},
        "model": "a1" * 32,
        "policy": "b2" * 32,
        "examples": "c3" * 32,
        "items": "d4" * 32,
    }


def checks() -> dict[str, Any]:
    trained = [name for name in ARMS if find_arm(name).trained]
    words = {"what": 0.0, "mention": 7.2, "reason_only": 14.1, "why": 21.3, "swapped": 21.7, "neutral": 21.1}
    return {
        "twins": {"arms": trained, "rows": 384, "held": True},
        "overlap": {
            "run_of_words": 8,
            "taught_texts": 404,
            "examined_texts": 320,
            "hits": 0,
            "near_duplicates": [
                {"taught": "example rule-03-07", "examined": "item rule-03-agree-0", "run": "near-duplicate"}
            ],
            "left_out": ["system"],
        },
        "not_twins": {},
        "against_why": [
            {
                "arm": name,
                "treated": "why",
                "property": "words",
                "value": words.get(name, 21.3),
                "of_why": 21.3,
                "moved": moved,
                "may": may,
            }
            for name, moved, may in (("what", True, True), ("mention", True, False), ("neutral", False, False))
        ],
        "lengths": {name: {"words_beside": words.get(name, 21.3), "words_action": 5.4} for name in trained},
        "tokens": {
            name: {
                "rows": 384,
                "tokens": 18_600 + round(500 * words.get(name, 21.3)),
                "trained": 4_096 + round(500 * words.get(name, 21.3)),
                "length_median": 78.5,
                "length_95th": 101.3,
                "length_longest": 122,
                "cut": 0,
            }
            for name in trained
        },
        "template_hash": "e5" * 32,
        "own_system_prompt": None,
    }


def answers() -> list[dict[str, Any]]:
    """Ten items, each answered by every arm: with and without a reason, and some without a known action."""
    rng = random.Random(5)
    records = []
    for number in range(10):
        conflict = number % 2 == 0
        facts = {"water": "move", "habit": "leave"} if conflict else {"water": "move", "habit": "move"}
        options = {"move": "Move them to another pitch.", "leave": "Leave them on their pitch."}
        for arm in ARMS:
            decision: str | None = rng.choice(list(options))
            action = options[str(decision)]
            reason = f"Reason: Her tent is right beside the river. Flood water can reach it in night {number}.\n"
            said = f"{reason if arm not in ('base', 'policy_in_prompt', 'what') else ''}Action: {action}"
            if arm == "base":
                decision = None
                said = "\n\n\n" if number % 3 else "I think the guest should be asked first, and then we will see."
            records.append(
                {
                    "arm": arm,
                    "seed": 0 if find_arm(arm).trained else None,
                    "item": f"rule-{number:02}-{'conflict' if conflict else 'agree'}-0",
                    "kind": "conflict" if conflict else "agree",
                    "distance": DISTANCES[number % 4 // 2],
                    "prompt": "Our guest Ingrid has her tent in the dip by the river, and she has camped for years.",
                    "answer": said,
                    "decision": decision,
                    "cause": None if decision else "no action marker",
                    "gold": None if conflict else "move",
                    "facts": facts,
                    "answers": options,
                }
            )
    return records
