"""Models: find and load one, render its chat format, generate, score choices, train weights and apply them."""

from .adapters import Canary, attach_new, load_with_adapter
from .api import USUAL, ApiChat, ApiModel, Asking
from .chat import Chat
from .choose import Choice, score_after, score_choices
from .generate import Ended, generate
from .load import LanguageModel, ModelSource, choose_device, choose_dtype, find_model, load_chat, load_model
from .names import full_name, is_api
from .price import PRICES, Price, Purse, read_price
from .sampling import Sampling
from .speaker import ChatFormat, LocalSpeaker, OnAsk, OnReply, Reply, Speaker
from .vllm import VllmModel, generate_through, score_through, start_vllm, stop_vllm, vllm_version, with_adapter
from .weights import (
    Trainable,
    check_four_bit,
    keep_bfloat16,
    load_for_training,
    load_trained,
    load_weights,
    save_trained,
)

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
    "OnAsk",
    "OnReply",
    "Price",
    "Purse",
    "Reply",
    "Sampling",
    "Speaker",
    "Trainable",
    "VllmModel",
    "attach_new",
    "check_four_bit",
    "choose_device",
    "choose_dtype",
    "find_model",
    "full_name",
    "generate",
    "generate_through",
    "is_api",
    "keep_bfloat16",
    "load_chat",
    "load_for_training",
    "load_model",
    "load_trained",
    "load_weights",
    "load_with_adapter",
    "read_price",
    "save_trained",
    "score_after",
    "score_choices",
    "score_through",
    "start_vllm",
    "stop_vllm",
    "vllm_version",
    "with_adapter",
]
