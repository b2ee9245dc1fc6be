"""Policies as a researcher could bring them: some that watch, and all ways to go wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from protocol.errors import Refusal
from protocol.policies.admission import Asked
from protocol.policies.on_loss import Then
from protocol.policies.price import Shop
from protocol.policies.selection import Candidate, Cheapest, Choice
from protocol.pricing import PriceTable

SHOPS: list[Shop] = []
CHOICES: list[Choice] = []

WRONG: dict[str, Callable[[Any], Any]] = {
    "raises": lambda told: 1 // 0,
    "nothing": lambda told: None,
    "text": lambda told: "much",
    "negative": lambda told: -1,
    "nan": lambda told: float("nan"),
    "part": lambda told: PriceTable(token=told.base.token, cpu=1.5, ram=1, storage=0, egress=0, ingress=0),  # type: ignore[arg-type]
    "token": lambda told: PriceTable(token=type(told.base.token)(b"x" * 20), cpu=1, ram=1, storage=0, egress=0, ingress=0),
    "stranger": lambda told: [Candidate(**{n: getattr(told.candidates[0], n) for n in Candidate.__slots__})],
    "twice": lambda told: [told.candidates[0], told.candidates[0]],
    "refusal": lambda told: Refusal("not a name", ""),
    "wait": lambda told: Then.WAIT,
    "sleeps": lambda told: time.sleep(3600),
}  # fmt: skip


@dataclass(frozen=True)
class Wrong:
    """Answers every question in one of these ways."""

    how: str

    def table(self, shop: Shop) -> Any:
        return WRONG[self.how](shop)

    def admit(self, asked: Asked) -> Any:
        return WRONG[self.how](asked)

    def order(self, choice: Choice) -> Any:
        return WRONG[self.how](choice)

    def deposit(self, purse: object) -> Any:
        return WRONG[self.how](purse)

    def decide(self, loss: object) -> Any:
        return WRONG[self.how](loss)

    def choose(self, dues: Sequence[Any], *, fee_of: Sequence[int]) -> Any:
        return WRONG[self.how](dues)

    def quiet(self, dues: Sequence[Any], *, fee_of: Sequence[int]) -> None:
        return None

    def wait_ns(self) -> int:
        return 0

    def look_again_ns(self, *_: object) -> int | None:
        return None


@dataclass(frozen=True)
class Watching:
    """Keeps the settings' prices and what it was told."""

    reads_market: ClassVar[bool] = True
    every: int = 600 * 10**9

    def table(self, shop: Shop) -> PriceTable:
        SHOPS.append(shop)
        return shop.listed

    def look_again_ns(self) -> int | None:
        return self.every


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeing(Cheapest):
    """`cheapest`, and keeps what it was told."""

    def order(self, choice: Choice) -> Sequence[Candidate]:
        CHOICES.append(choice)
        return Cheapest.order(self, choice)
