"""How often a study asks each item, and how: a setting that few studies have, so stamps without it are as they were."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class SamplingSettings(BaseModel):
    """Words drawn instead of the likeliest ones. Scores of one item are averaged before anything is compared."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    samples: int = Field(1, gt=0, description="How often each item is asked.")
    temperature: float = Field(0.7, gt=0, le=10, description="What the logits are divided by before a token is drawn.")
