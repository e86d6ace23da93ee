"""Models: find and load one, render its chat format, generate, score choices, apply adapters."""

from .adapters import Canary, attach_new, load_weights, load_with_adapter
from .api import USUAL, ApiChat, ApiModel, Asking
from .chat import Chat
from .choose import Choice, score_after, score_choices
from .generate import Ended, Sampling, generate
from .load import LanguageModel, ModelSource, choose_device, choose_dtype, find_model, load_chat, load_model
from .names import full_name, is_api
from .price import PRICES, Price, Purse, read_price
from .speaker import ChatFormat, LocalSpeaker, Reply, Speaker

__all__ = [
    "PRICES",
    "USUAL",
    "ApiChat",
    "ApiModel",
    "Asking",
    "Canary",
    "Chat",
    "ChatFormat",
    "Choice",
    "Ended",
    "LanguageModel",
    "LocalSpeaker",
    "ModelSource",
    "Price",
    "Purse",
    "Reply",
    "Sampling",
    "Speaker",
    "attach_new",
    "choose_device",
    "choose_dtype",
    "find_model",
    "full_name",
    "generate",
    "is_api",
    "load_chat",
    "load_model",
    "load_weights",
    "load_with_adapter",
    "read_price",
    "score_after",
    "score_choices",
]
