"""What tokens cost, and a purse that is never overdrawn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, RootModel

from ..errors import InputError, Place
from ..text import load_yaml, read_text
from .names import provider_name

MILLION = 1_000_000
PRICES = """\
# Dollars for a million tokens, for the estimate and for --budget. None is shipped: look them up and write them here.
# Names are those that Inspect has for a model. For example, were it so dear:
#
# openai/some-model: {input: 1.00, output: 4.00}
"""


class Price(BaseModel):
    """Dollars for a million tokens. What a provider takes less for (cached prompts, batches) is not counted off."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    input: float = Field(ge=0)
    output: float = Field(ge=0)

    def cost(self, tokens_in: float, tokens_out: float) -> float:
        """In dollars."""
        return (self.input * tokens_in + self.output * tokens_out) / MILLION


class Prices(RootModel[dict[str, Price]]):
    """Name of a model -> its price."""


def read_price(path: Path, model: str) -> Price | None:
    """The price of a model in a file of prices; None where neither file nor name is there. Errors: a broken file."""
    if not path.exists():
        return None
    text = read_text(path)
    values = load_yaml(text, path)
    try:
        prices = Prices.model_validate(values).root
    except ValueError as error:
        raise InputError(
            f"These prices cannot be read: {str(error).splitlines()[1].strip()}.",
            where=str(Place(path)),
            remedy="Write `provider/name: {input: 1.0, output: 4.0}`, dollars for a million tokens.",
        ) from None
    return prices.get(provider_name(model))


@dataclass
class Purse:
    """What may be spent. price: None where it is not known; limit: None for no limit; spent: in dollars.

    beside: the purse of another model, which the same limit holds for.
    """

    price: Price | None = None
    limit: float | None = None
    spent: float = 0.0
    reserved: float = 0.0
    beside: Purse | None = None

    def worst(self, prompt: str, max_new_tokens: int) -> float:
        """The most that one answer may cost: a token for every two bytes of the prompt, and the longest answer."""
        return self.price.cost(len(prompt.encode()) / 2, max_new_tokens) if self.price else 0.0

    def fits(self, worst: float) -> bool:
        """Whether it is there, with all that is under way at its worst."""
        elsewhere = self.beside.spent + self.beside.reserved if self.beside else 0.0
        return self.limit is None or self.spent + self.reserved + elsewhere + worst <= self.limit

    def take(self, worst: float) -> None:
        self.reserved += worst

    def settle(self, worst: float, tokens_in: int, tokens_out: int) -> None:
        self.reserved -= worst
        self.spent += self.price.cost(tokens_in, tokens_out) if self.price else 0.0
