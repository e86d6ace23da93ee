"""A stand-in for vLLM, which few machines have: the part of its API that teachwhy calls, by transformers and PEFT.

Put before the path of a test. `adapters` is an option of the stand-in alone: how it treats them (`applied`, `ignored`,
`halved`, `doubled`, `refused`). Like vLLM it has a process of its own that does not end with the one that started it.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from .inputs import TokensPrompt
from .lora.request import LoRARequest

SCALES = {"applied": 1.0, "halved": 0.5, "doubled": 2.0}


@dataclass(frozen=True, kw_only=True)
class SamplingParams:
    temperature: float = 1.0
    seed: int | None = None
    max_tokens: int = 16
    logprobs: int | None = None
    allowed_token_ids: list[int] | None = None
    stop_token_ids: list[int] | None = None
    detokenize: bool = True

    def __post_init__(self) -> None:
        assert self.seed is None or 0 <= self.seed < 2**63


class LLM:
    def __init__(
        self,
        model: str,
        *,
        dtype: str,
        enable_lora: bool,
        max_loras: int,
        max_lora_rank: int,
        max_model_len: int,
        trust_remote_code: bool = False,
        adapters: str = "applied",
    ) -> None:
        assert enable_lora
        assert max_loras == 1
        assert max_lora_rank in (1, 8, 16, 32, 64, 128, 256, 320, 512)
        assert not trust_remote_code
        self.base = AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, dtype)).eval()
        self.length, self.adapters = max_model_len, adapters
        self.adapted: dict[int, Any] = {}
        self.folder = model
        self.stopped = False
        self.process = subprocess.Popen(
            ["sleep", os.environ["STAND_IN_SECONDS"]], stdin=subprocess.DEVNULL, close_fds=False
        )
        core = SimpleNamespace(shutdown=self.stop)
        self.llm_engine = SimpleNamespace(engine_core=core)

    def stop(self) -> None:
        self.stopped = True
        self.process.kill()
        self.process.wait()

    def generate(
        self,
        prompts: list[TokensPrompt],
        sampling_params: list[SamplingParams],
        *,
        use_tqdm: bool,
        lora_request: LoRARequest | None,
    ) -> list[SimpleNamespace]:
        assert not self.stopped
        assert len(prompts) == len(sampling_params)
        network = self.network(lora_request)
        return [
            SimpleNamespace(outputs=[self.written(network, prompt["prompt_token_ids"], asked)])
            for prompt, asked in zip(prompts, sampling_params, strict=True)
        ]

    def network(self, request: LoRARequest | None) -> Any:
        if request is None or self.adapters == "ignored":
            return self.base
        if self.adapters == "refused":
            raise ValueError("LoRA rank 4 is greater than max_lora_rank 1.\nand more")
        if request.lora_int_id not in self.adapted:
            fresh = AutoModelForCausalLM.from_pretrained(self.folder, dtype=self.base.dtype)
            found = PeftModel.from_pretrained(fresh, str(Path(request.lora_path))).eval()
            for module in found.modules():
                if hasattr(module, "scale_layer"):
                    module.scale_layer(SCALES[self.adapters])
            self.adapted[request.lora_int_id] = found
        return self.adapted[request.lora_int_id]

    def written(self, network: Any, tokens: list[int], asked: SamplingParams) -> SimpleNamespace:
        """Token ids with the one that ended them, and of each the log-probability that it had among all."""
        assert 0 < len(tokens) < self.length
        generator = torch.Generator().manual_seed(asked.seed or 0)
        new: list[int] = []
        values: list[dict[int, SimpleNamespace]] = []
        while len(new) < asked.max_tokens and not (new and new[-1] in (asked.stop_token_ids or ())):
            with torch.inference_mode():
                logits = network(input_ids=torch.tensor([tokens + new])).logits[0, -1].float()
            of_all = logits.log_softmax(-1)
            if asked.allowed_token_ids:
                left = torch.full_like(logits, float("-inf"))
                left[asked.allowed_token_ids] = logits[asked.allowed_token_ids]
                logits = left
            if asked.temperature:
                token = int(torch.multinomial((logits / asked.temperature).softmax(-1), 1, generator=generator))
            else:
                token = int(logits.argmax())
            new.append(token)
            values.append({token: SimpleNamespace(logprob=float(of_all[token]))})
        return SimpleNamespace(token_ids=new, logprobs=values if asked.logprobs is not None else None)
