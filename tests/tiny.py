"""A tiny random Llama with a byte-level tokenizer, and a tiny study for it: made here, in a second, offline."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build_tiny_model(folder: Path, *, template: str = TEMPLATE, context: int = 512, head: int = 8) -> Path:
    """Save a two-layer random Llama (four heads of `head`, about 300 tokens, seed 0) with its tokenizer."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate(["<|im_start|>", "<|im_end|>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|im_end|>"
    )
    fast.chat_template = template
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=4 * head,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


RULES = ("door", "lamp", "stove")
POLICY = """---
title: House rules
opening: Follow these rules.
---

## door: The front door
Rule: Lock the door when night falls; otherwise leave it open.
Why: People asleep cannot watch over what they own.

## lamp: The lamp
Rule: Light the lamp when guests are coming; otherwise keep it dark.
Why: A stranger on the path may fall and be hurt.

## stove: The stove
Rule: Heat the stove when somebody shivers; otherwise save the wood.
Why: A body that grows too cold falls ill within hours.
"""
ACTIONS = {
    "door": ("Lock it.", "Leave it."),
    "lamp": ("Light it.", "Dark it."),
    "stove": ("Heat it.", "Save it."),
}


def tiny_examples() -> list[dict[str, object]]:
    rows = []
    for rule in RULES:
        for number, yes in enumerate((True, False)):
            word = "has" if yes else "lacks"
            rows.append(
                {
                    "id": f"{rule}-{number}",
                    "principle": rule,
                    "prompt": f"The {rule} {word} both.",
                    "decision": "yes" if yes else "no",
                    "action": ACTIONS[rule][0 if yes else 1],
                    "mention": f"It {word} A.",
                    "reason": f"A is what the {rule} is for.",
                    "swapped": f"It {word} B. B is what the {rule} is for.",
                    "neutral": f"It is a {rule}. We have one {rule} here.",
                }
            )
    return rows


def tiny_items() -> list[dict[str, object]]:
    rows = []
    for rule in RULES:
        answers = dict(zip(("yes", "no"), ACTIONS[rule], strict=True))
        for kind, pairs in (("conflict", ((True, False), (False, True))), ("agree", ((True, True), (False, False)))):
            for number, (first, second) in enumerate(pairs):
                words = ["with" if fact else "without" for fact in (first, second)]
                item = {
                    "id": f"{rule}-{kind}-{number}",
                    "family": rule,
                    "pair": f"{rule}-{kind}",
                    "principle": rule,
                    "distance": "seen_wording",
                    "kind": kind,
                    "prompt": f"A {rule} {words[0]} A, {words[1]} B.",
                    "answers": answers,
                    "facts": {
                        "A": {"states": f"{words[0]} A", "decision": "yes" if first else "no"},
                        "B": {"states": f"{words[1]} B", "decision": "yes" if second else "no"},
                    },
                }
                if kind == "agree":
                    item["gold"] = "yes" if first else "no"
                rows.append(item)
    return rows


def tiny_settings(model: Path | str) -> dict[str, object]:
    conflict = {"kind": "conflict"}
    contrast = {"arm": "why", "metric": "follows_first_fact", "subset": conflict}
    return {
        "name": "tiny",
        "question": "Does the tiny model follow?",
        "examples": ["examples.jsonl"],
        "items": ["items.jsonl"],
        "model": str(model),
        "device": "cpu",
        "dtype": "float32",
        "system": "Decide.",
        "arms": ["base", "policy_in_prompt", "what", "why", "swapped"],
        "seeds": [0, 1],
        "max_new_tokens": 12,
        "workers": 2,
        "train": {"epochs": 2, "batch": 3, "learning_rate": 0.01, "rank": 4, "alpha": 8, "compile": False},
        "contrasts": [{**contrast, "versus": "swapped"}],
        "exploratory": [{**contrast, "versus": "what"}],
        "competence": {"at_least": 0.9},
        "shared": ["system"],
    }


def build_tiny_study(folder: Path, model: Path | str, **changes: object) -> Path:
    """Write a study of three rules into a folder and return the path of its study.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "policy.md").write_text(POLICY)
    write_jsonl(folder / "examples.jsonl", tiny_examples())
    write_jsonl(folder / "items.jsonl", tiny_items())
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(tiny_settings(model) | changes, sort_keys=False))
    return path


def write_jsonl(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
