"""The keys and values of what a network has read, under the names that the installed transformers has for them."""

from __future__ import annotations

from functools import cache
from typing import Any


def reading_on(kept: Any) -> dict[str, Any]:
    """The argument with which a network reads on from what is kept."""
    return {name_of_cache(): kept}


def kept_by(output: Any) -> Any:
    """What is kept of all that was read up to an output."""
    return getattr(output, name_of_cache())


@cache
def name_of_cache() -> str:
    """transformers 5.24 took a new name; the old one warns from then on and goes with 5.40."""
    import transformers
    from packaging.version import Version

    return "cache" if Version(transformers.__version__) >= Version("5.24") else "past_key_values"
