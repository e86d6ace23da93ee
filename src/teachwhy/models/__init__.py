"""Models: find and load one, render its chat format, generate, score choices, apply adapters."""

from .adapters import Canary, attach_new, load_weights, load_with_adapter
from .chat import Chat
from .choose import Choice, score_after, score_choices
from .generate import Ended, Sampling, generate
from .load import LanguageModel, ModelSource, choose_device, choose_dtype, find_model, load_chat, load_model

__all__ = [
    "Canary",
    "Chat",
    "Choice",
    "Ended",
    "LanguageModel",
    "ModelSource",
    "Sampling",
    "attach_new",
    "choose_device",
    "choose_dtype",
    "find_model",
    "generate",
    "load_chat",
    "load_model",
    "load_weights",
    "load_with_adapter",
    "score_after",
    "score_choices",
]
