"""Teacher and judge, opened by their names: scripted, behind an API, or a model with weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..models import (
    ApiModel,
    LocalSpeaker,
    Price,
    Purse,
    Speaker,
    choose_device,
    choose_dtype,
    find_model,
    full_name,
    is_api,
    load_model,
    read_price,
)
from ..text import fingerprint
from .answers import Answers
from .marks import MarksApart
from .order import Order
from .recipe import Recipe
from .scripted import NAME as SCRIPTED
from .scripted import ScriptedTeacher
from .teacher import Teacher

Say = Callable[[str], None]


@dataclass(frozen=True)
class Opened:
    """prices: name of a model -> its price. purses: what is spent on each. others: dollars spent on other models here.

    packages: that took part in asking.
    """

    teacher: Teacher
    judge: Teacher
    prices: dict[str, Price | None]
    purses: dict[str, Purse]
    others: float = 0.0
    packages: tuple[str, ...] = ()

    def spent(self) -> float:
        """Dollars, as far as prices are known."""
        return self.others + sum(purse.spent for purse in self.purses.values())


@contextmanager
def open_teachers(order: Order, recipe: Recipe, answers: Answers, made_for: str, say: Say) -> Iterator[Opened]:
    """Errors: a budget without a price; a model that cannot be found or asked."""
    names = list(dict.fromkeys(full_name(name) for name in (order.teacher, order.judge or order.teacher)))
    tokens = answers.tokens()
    prices = {name: price_of(name, order) for name in [*names, *tokens]}
    spent = {name: price.cost(*tokens.get(name, (0, 0))) for name, price in prices.items() if price}
    others = sum(dollars for name, dollars in spent.items() if name not in names)
    limit = None if order.budget is None else order.budget - others
    purses = {name: Purse(prices[name], limit, spent.get(name, 0.0)) for name in names}
    for name in names:
        purses[name].beside = next((purses[other] for other in names if other != name), None)
    teachers = {}
    for name in names:
        speaker, identity = open_speaker(name, order, recipe, purses[name], say)
        held = isinstance(speaker, LocalSpeaker)
        teachers[name] = Teacher(name, speaker, answers, order.asking.provider, identity, made_for, held)
    packages = ("inspect-ai",) if any(map(is_api, names)) else ()
    yield Opened(teachers[names[0]], teachers[names[-1]], prices, purses, others, packages)


def price_of(name: str, order: Order) -> Price | None:
    """Its price, None where it is not known. Errors (InputError): a budget, and no price of a model behind an API."""
    price = read_price(order.prices_file, name)
    if order.budget is not None and price is None and is_api(name):
        raise InputError(
            f"A budget needs a price, and there is none of {name!r}.",
            where=str(order.prices_file),
            remedy="Write one there, dollars for a million tokens: `provider/name: {input: 1.0, output: 4.0}`",
        )
    return price


def open_speaker(name: str, order: Order, recipe: Recipe, purse: Purse, say: Say) -> tuple[Speaker, str]:
    """Who answers under a name, and what is known of it beside that; nothing of a model behind an API."""
    if name == SCRIPTED:
        wanted = recipe.wanted()
        return ScriptedTeacher(purse, wanted), fingerprint([name, wanted])
    if is_api(name):
        return ApiModel(name, order.asking, purse), ""
    source = find_model(name, base_folder=Path(), say=say)
    device = choose_device("auto")
    model = load_model(source, device=device, dtype=choose_dtype("auto", device))
    return LocalSpeaker(model, MarksApart(model.chat, say)), source.fingerprint
