"""What every trainer over TRL needs: a network that is left as it was found, and nobody who is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import ModelError

REFERENCE = "ref"  # what TRL names its copy of the adapter


class Unannounced:
    """A trainer of TRL that tells nobody of itself: TRL counts uses over the network, and tags the models it trains."""

    _tag_names: list[str] = []  # noqa: RUF012

    def _send_telemetry(self) -> None:
        """Nobody is told."""


@contextmanager
def left_as_it_was(network: Any) -> Iterator[None]:
    """TRL gives the model a forward of its own and a second adapter; what is trained after this must not find them."""
    model = network.get_base_model()
    forward = vars(model).get("forward")
    try:
        yield
    finally:
        vars(model).pop("forward", None)
        if forward is not None:
            model.forward = forward
        if REFERENCE in network.peft_config:
            network.delete_adapter(REFERENCE)


def refuse_adapted_head(network: Any) -> None:
    """TRL reads the weights of the output head past its adapter, which would never be trained."""
    if any(part.requires_grad for part in network.get_output_embeddings().parameters()):
        raise ModelError(
            "An adapter on the output head cannot be trained in this stage.",
            where="`train.targets` in the study file",
            remedy="Take the output head out, or write `all-linear`, which leaves it out.",
        )
