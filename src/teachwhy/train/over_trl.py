"""What every trainer over TRL needs: a network that is left as it was found, and nobody who is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import ModelError

REFERENCE = "ref"  # what TRL names its copy of the adapter
SPECIAL_TOKENS = ("pad_token_id", "bos_token_id", "eos_token_id")


class Unannounced:
    """A trainer of TRL that tells nobody of itself: TRL counts uses over the network, and tags the models it trains."""

    _tag_names: list[str] = []  # noqa: RUF012

    def _send_telemetry(self) -> None:
        """Nobody is told."""


@contextmanager
def left_as_it_was(network: Any) -> Iterator[None]:
    """TRL changes more than the weights: what is trained or saved after this must find nothing of that.

    It gives the model a forward of its own, a second adapter, and the special tokens of the tokenizer.
    """
    from peft import PeftModel

    model: Any = network.get_base_model() if isinstance(network, PeftModel) else network
    forward = vars(model).get("forward")
    configs = (model.config.get_text_config(), model.generation_config)
    held = [(config, name, getattr(config, name)) for config in configs for name in SPECIAL_TOKENS]
    try:
        yield
    finally:
        vars(model).pop("forward", None)
        if forward is not None:
            model.forward = forward
        for config, name, token in held:
            setattr(config, name, token)
        take_out_reference(network)


def take_out_reference(network: Any) -> None:
    from peft import PeftModel

    if isinstance(network, PeftModel) and REFERENCE in network.peft_config:
        network.delete_adapter(REFERENCE)


def refuse_adapted_head(network: Any) -> None:
    """TRL reads the weights of the output head past its adapter, which would never be trained."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    if isinstance(network.get_output_embeddings(), BaseTunerLayer):
        raise ModelError(
            "An adapter on the output head cannot be trained in this stage.",
            where="`train.targets` in the study file",
            remedy="Take the output head out, or write `all-linear`, which leaves it out.",
        )
