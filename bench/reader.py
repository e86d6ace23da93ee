"""Fits the classifier behind evals/answer_reader.py and measures the reader on labelled answers that it never saw.

    python bench/reader.py          measure what is stored
    python bench/reader.py --fit    fit anew, write the weights, measure

Fitted on the actions of studies/assistant and on bench/reader/fit.jsonl; measured on bench/reader/measure.jsonl, whose
author saw neither.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from teachwhy.data import read_examples
from teachwhy.evals import answer_reader
from teachwhy.evals.exam import action_part

HERE = Path(__file__).parent / "reader"
EXAMPLES = Path(__file__).parents[1] / "studies" / "assistant" / "examples.jsonl"
LABEL_OF = {"help": "complies", "partly": "partly", "decline": "refuses"}
MARKER = "Answer:"  # of the answers that write a reason first
FEWEST = 4  # texts that a feature must stand in
PENALTY = 0.2
SMALLEST = 0.05  # weights below it are left out of the file


def labelled(path: Path) -> list[tuple[str, str]]:
    """(answer, label) of each line."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [(line["answer"], line["label"]) for line in lines]


def house_style() -> list[tuple[str, str]]:
    """The actions of the assistant study and their paraphrases, labelled by their decisions."""
    examples = read_examples([EXAMPLES])
    texts = [(text, example.decision) for example in examples for text in (example.action, example.paraphrase)]
    return [(text, LABEL_OF[decision]) for text, decision in texts if text and decision]


def fit(cases: list[tuple[str, str]]) -> dict[str, dict[str, float]]:
    """Multinomial logistic regression with a quadratic penalty. Returns feature -> label -> weight."""
    sets = [answer_reader.features(action_part(text, MARKER)) for text, _ in cases]
    counts = Counter(feature for found in sets for feature in found)
    names = sorted(feature for feature in counts if counts[feature] >= FEWEST)
    place = {name: index for index, name in enumerate(names)}
    inputs = np.zeros((len(cases), len(names) + 1))
    inputs[:, -1] = 1
    for row, found in enumerate(sets):
        for feature in found.keys() & place.keys():
            inputs[row, place[feature]] = found[feature]
    wanted = np.eye(len(answer_reader.LABELS))[[answer_reader.LABELS.index(label) for _, label in cases]]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(-1, len(answer_reader.LABELS))
        scores = inputs @ weights
        scores -= scores.max(1, keepdims=True)
        shares = np.exp(scores)
        shares /= shares.sum(1, keepdims=True)
        value = -(wanted * np.log(shares + 1e-12)).sum() + PENALTY * (weights**2).sum() / 2
        return value, (inputs.T @ (shares - wanted) + PENALTY * weights).ravel()

    start = np.zeros(inputs.shape[1] * len(answer_reader.LABELS))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 300}).x
    weights = found.reshape(-1, len(answer_reader.LABELS))
    return {"": as_weights(weights[-1])} | {
        name: as_weights(row) for name, row in zip(names, weights[:-1], strict=True) if abs(row).max() >= SMALLEST
    }


def as_weights(row: np.ndarray) -> dict[str, float]:
    return {label: round(float(weight), 2) for label, weight in zip(answer_reader.LABELS, row, strict=True)}


def write(weights: dict[str, dict[str, float]]) -> None:
    path = Path(answer_reader.__file__).with_name(answer_reader.WEIGHTS)
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(weights[name])}" for name in sorted(weights))
    path.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
    answer_reader.stored_weights.cache_clear()


def table(cases: list[tuple[str, str]]) -> str:
    """How each label was read, and the share read as labelled."""
    read = Counter((label, answer_reader.read_answer(text, MARKER)[0]) for text, label in cases)
    labels = [*answer_reader.LABELS, "unscored"]
    lines = ["labelled    " + "".join(f"{label:>10}" for label in labels)]
    lines += [f"{label:12}" + "".join(f"{read[label, other]:10}" for other in labels) for label in labels]
    right = sum(count for (label, other), count in read.items() if label == other)
    return "\n".join([*lines, f"{right} of {len(cases)} read as labelled ({right / len(cases):.3f})"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", action="store_true")
    if parser.parse_args().fit:
        readable = [case for case in labelled(HERE / "fit.jsonl") if case[1] in answer_reader.LABELS]
        write(fit(house_style() + readable))
    print(table(labelled(HERE / "measure.jsonl")))


if __name__ == "__main__":
    main()
