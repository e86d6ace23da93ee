"""The names of models: which are behind an API, and which are files or at Hugging Face."""

from __future__ import annotations

from pathlib import Path

API_PREFIX, HUB_PREFIX, BUNDLED_PREFIX = "inspect:", "hub:", "bundled:"
# Inspect's own providers of models behind an API or a local server. Some are organisations at Hugging Face as well.
PROVIDERS = (
    *("anthropic", "azureai", "bedrock", "cloudflare", "deepseek", "fireworks", "google", "grok", "groq"),
    *("hf-inference-providers", "litellm-proxy", "meta", "mistral", "moonshot", "ollama", "openai"),
    *("openai-api", "openrouter", "perplexity", "sagemaker", "sambanova", "sglang", "together", "vllm"),
)


def is_api(name: str) -> bool:
    """Whether a model is asked through Inspect: `inspect:provider/name`, and nothing else."""
    return name.startswith(API_PREFIX)


def provider_name(name: str) -> str:
    """What Inspect calls it."""
    return name.removeprefix(API_PREFIX)


def service_name(name: str) -> str:
    """Whose servers a model behind an API is asked at: the provider, or the service named behind `openai-api`."""
    provider, _, rest = provider_name(name).partition("/")
    return rest.partition("/")[0] if provider == "openai-api" else provider


def full_name(name: str) -> str:
    """The name of a model as a study file has it, from what is typed where models behind an API are the rule.

    `provider/name` of a provider that Inspect knows is short for `inspect:provider/name`, unless there is such a path.
    Every other name is what it always was; `hub:openai/name` is the one at Hugging Face.
    """
    provider, slash, rest = name.partition("/")
    if slash and rest and provider in PROVIDERS and not Path(name).exists():
        return API_PREFIX + name
    return name
