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
from .answers import Answers
from .marks import LocalTeacher, MarksApart
from .order import Order
from .recipe import find_recipe
from .scripted import NAME as SCRIPTED
from .scripted import ScriptedTeacher
from .teacher import Teacher


@dataclass(frozen=True)
class Opened:
    """prices: name of a model -> its price. purses: what is spent on each. packages: that took part in asking."""

    teacher: Teacher
    judge: Teacher
    prices: dict[str, Price | None]
    purses: dict[str, Purse]
    packages: tuple[str, ...] = ()

    def spent(self) -> float:
        """Dollars, as far as prices are known."""
        return sum(purse.spent for purse in self.purses.values())


@contextmanager
def open_teachers(order: Order, answers: Answers, say: Callable[[str], None]) -> Iterator[Opened]:
    """Errors: a budget without a price; a model that cannot be found or asked."""
    names = list(dict.fromkeys(full_name(name) for name in (order.teacher, order.judge or order.teacher)))
    prices = {name: price_of(name, order) for name in names}
    purses = {name: Purse(prices[name], order.budget, answers.cost(name, prices[name])) for name in names}
    for name in names:
        purses[name].beside = next((purses[other] for other in names if other != name), None)
    teachers = {
        name: Teacher(name, open_speaker(name, order, purses[name], say), answers, order.asking.provider)
        for name in names
    }
    packages = ("inspect-ai",) if any(map(is_api, names)) else ()
    yield Opened(teachers[names[0]], teachers[names[-1]], prices, purses, packages)


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


def open_speaker(name: str, order: Order, purse: Purse, say: Callable[[str], None]) -> Speaker:
    if name == SCRIPTED:
        return ScriptedTeacher(purse, find_recipe(order.recipe).wanted())
    if is_api(name):
        return ApiModel(name, order.asking, purse)
    source = find_model(name, base_folder=Path(), say=say)
    device = choose_device("auto")
    speaker = LocalSpeaker(load_model(source, device=device, dtype=choose_dtype("auto", device)))
    return LocalTeacher(speaker, MarksApart(speaker.model.chat, say))
