"""What a provider asks: its prices over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from protocol.errors import BadInput
from protocol.units import NS_PER_S

if TYPE_CHECKING:
    from protocol.pricing import PriceTable


@dataclass(frozen=True, slots=True)
class Shop:
    """What a provider knows when it thinks about its prices.

    Attributes:
        listed: the table that it lists now.
        base: the table that its settings name.
        running_ns: how long it has been open.
        pods: how many pods it has.
    """

    listed: PriceTable
    base: PriceTable
    running_ns: int
    pods: int


class Price(Protocol):
    """Sets prices. Running pods keep the prices of their Offer."""

    def table(self, shop: Shop) -> PriceTable:
        """The table to list from now on; the same one for no change."""
        ...

    def look_again_ns(self) -> int | None:
        """Nanoseconds until prices are thought about again; None: never."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    """The prices of the settings, always."""

    def table(self, shop: Shop) -> PriceTable:
        """See `Price.table`."""
        return shop.base

    def look_again_ns(self) -> int | None:
        """See `Price.look_again_ns`."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The prices of the settings times a factor, by the time since opening.

    Attributes:
        factors: one a period, in order; the last one stays.
        period: how long each holds [ns].
    """

    factors: Sequence[float]
    period: int = field(default=3600 * NS_PER_S, metadata={"unit": "duration"})

    def __post_init__(self) -> None:
        if not self.factors or any(not f > 0 for f in self.factors):
            raise BadInput(f"factors: {list(self.factors)}; needed is at least one number, each above 0")
        if self.period <= 0:
            raise BadInput(f"period: {self.period}; allowed are durations above 0")

    def table(self, shop: Shop) -> PriceTable:
        """See `Price.table`."""
        return shop.base.scaled(self.factors[min(shop.running_ns // self.period, len(self.factors) - 1)])

    def look_again_ns(self) -> int | None:
        """See `Price.look_again_ns`."""
        return self.period


PRICE: Final[dict[str, type]] = {"fixed": Fixed, "schedule": Schedule}
"""Short names."""
