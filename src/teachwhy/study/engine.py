"""What writes and scores the answers of a study, where it is not transformers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class EngineSettings(BaseModel):
    """vLLM for the exams. A bare name stands for an engine without options."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: Literal["vllm"] = "vllm"
    options: dict[str, Any] = Field(
        default_factory=dict, description="Of vLLM's `LLM`, such as gpu_memory_utilization, tensor_parallel_size."
    )

    @model_validator(mode="before")
    @classmethod
    def accept_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value
