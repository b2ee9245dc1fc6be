"""How much a publisher puts into a channel, and when it adds to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Final, Protocol

from protocol.errors import BadInput
from protocol.units import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from protocol.policies import Chance
    from protocol.ports import Quote

HOUR_NS: Final = 3600 * NS_PER_S


@dataclass(frozen=True, slots=True)
class Purse:
    """What a publisher knows of its money in one channel.

    Attributes:
        cost_of: what running this pod at one replica for so many nanoseconds costs [token base units].
        min_deposit: the least that the provider's Offer demands.
        wallet: what the publisher holds outside the channel, as far as its budget lets it put that in.
        left: what the channel holds beyond what is owed, as last seen; None before it is opened.
        put_in: what was invested so far.
        spent_an_hour: what an hour has cost since the last look [token base units an hour]; 0 before one.
        rates: what tokens are worth, as last known; None when the feed did not say.
        now_ns: the present by its clock [Unix ns].
        chance: its stream for funding.
    """

    cost_of: Callable[[int], int]
    min_deposit: int
    wallet: int
    left: int | None
    put_in: int
    spent_an_hour: int
    now_ns: int
    chance: Chance
    rates: Quote | None


class Funding(Protocol):
    """Decides deposits."""

    def deposit(self, purse: Purse) -> int:
        """What to put in now [token base units], 0 for nothing; before the channel exists, the first deposit."""
        ...

    def look_again_ns(self, purse: Purse | None) -> int | None:
        """Nanoseconds until the purse is to be looked at again; None: never.

        Args:
            purse: as it was just seen; None when it was not.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """One deposit, never another: when it is spent, the pod ends.

    Attributes:
        first: how long it would run one replica [ns]; never less than the Offer demands.
    """

    first: int = field(default=3 * HOUR_NS, metadata={"unit": "duration"})

    def __post_init__(self) -> None:
        _positive("first", self.first)

    def deposit(self, purse: Purse) -> int:
        """See `Funding.deposit`."""
        return max(purse.min_deposit, purse.cost_of(self.first)) if purse.left is None else 0

    def look_again_ns(self, purse: Purse | None) -> int | None:
        """See `Funding.look_again_ns`."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Runway:
    """Keep the channel funded for a time at the present spending, up to a ceiling.

    What an hour costs is what it cost since the last look, and at least what one replica costs: a pod that
    sleeps now may wake. The closer the low mark, the sooner the next look.

    Attributes:
        first: the first deposit, as the time it would run one replica [ns].
        low: top up when what is left would last for less than this [ns].
        tranche: what a top-up adds, as time at the present spending [ns].
        ceiling: the most to put in altogether [token base units]; None: the wallet is the limit.
        look_least: between two looks at least [ns]; the provider's meter moves once a billing tick.
        look_most: between two looks at most [ns].
    """

    first: int = field(default=3 * HOUR_NS, metadata={"unit": "duration"})
    low: int = field(default=HOUR_NS, metadata={"unit": "duration"})
    tranche: int = field(default=3 * HOUR_NS, metadata={"unit": "duration"})
    ceiling: int | None = field(default=None, metadata={"unit": "money"})
    look_least: int = field(default=100 * NS_PER_S, metadata={"unit": "duration"})
    look_most: int = field(default=HOUR_NS, metadata={"unit": "duration"})

    def __post_init__(self) -> None:
        for name in ("first", "tranche", "look_least", "look_most"):
            _positive(name, getattr(self, name))
        if self.low < 0:
            raise BadInput(f"low: {self.low}; allowed are durations of 0 and more")
        if self.ceiling is not None and self.ceiling < 0:
            raise BadInput(f"ceiling: {self.ceiling}; allowed are amounts of 0 and more")
        if self.look_least > self.look_most:
            raise BadInput(f"look_least: {self.look_least}; at most look_most, {self.look_most}")

    def deposit(self, purse: Purse) -> int:
        """See `Funding.deposit`."""
        if purse.left is None:
            return max(purse.min_deposit, purse.cost_of(self.first))
        hour = self._an_hour(purse)
        if purse.left * HOUR_NS >= hour * self.low:
            return 0
        room = purse.wallet if self.ceiling is None else min(purse.wallet, self.ceiling - purse.put_in)
        return max(0, min(-(-hour * self.tranche // HOUR_NS), room))

    def look_again_ns(self, purse: Purse | None) -> int | None:
        """See `Funding.look_again_ns`: halfway to the low mark, between the two bounds."""
        if purse is None or purse.left is None:
            return self.look_least
        hour = max(1, self._an_hour(purse))
        to_low_ns = purse.left * HOUR_NS // hour - self.low
        return min(max(to_low_ns // 2, self.look_least), self.look_most)

    def _an_hour(self, purse: Purse) -> int:
        return max(purse.spent_an_hour, purse.cost_of(HOUR_NS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fiat:
    """Deposits of so much of the numéraire, by the rate that is known when each is made.

    Attributes:
        first: what a deposit is worth, the first one and every top-up [numéraire]; never less than the Offer demands.
        low: top up when what is left is worth less than this [numéraire]; 0: never.
        every: time between two looks [ns].
    """

    first: float
    low: float = 0.0
    every: int = field(default=600 * NS_PER_S, metadata={"unit": "duration"})

    def __post_init__(self) -> None:
        if not self.first > 0:
            raise BadInput(f"first: {self.first}; allowed are numbers above 0")
        if not 0 <= self.low < self.first:
            raise BadInput(f"low: {self.low}; allowed are numbers of 0 and more, below first, {self.first}")
        _positive("every", self.every)

    def deposit(self, purse: Purse) -> int:
        """See `Funding.deposit`."""
        if purse.rates is None:
            return purse.min_deposit if purse.left is None else 0
        amount = purse.rates.tokens_for(Fraction(repr(self.first)))
        if purse.left is None:
            return max(purse.min_deposit, amount)
        low = purse.rates.tokens_for(Fraction(repr(self.low)))
        return min(amount, purse.wallet) if purse.left < low else 0

    def look_again_ns(self, purse: Purse | None) -> int | None:
        """See `Funding.look_again_ns`."""
        return self.every if self.low else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tranche:
    """The same amount again whenever little is left, whatever is spent.

    Attributes:
        amount: the first deposit and each further one [token base units]; the first is never less than the Offer
            demands.
        low: deposit again when less than this is left [token base units]; None: half of `amount`.
        ceiling: the most to put in altogether [token base units]; None: the wallet is the limit.
        look: between two looks [ns].
    """

    amount: int = field(metadata={"unit": "money"})
    low: int | None = field(default=None, metadata={"unit": "money"})
    ceiling: int | None = field(default=None, metadata={"unit": "money"})
    look: int = field(default=600 * NS_PER_S, metadata={"unit": "duration"})

    def __post_init__(self) -> None:
        if self.amount <= 0:
            raise BadInput(f"amount: {self.amount}; allowed are amounts above 0")
        for name in ("low", "ceiling"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise BadInput(f"{name}: {value}; allowed are amounts of 0 and more")
        _positive("look", self.look)

    def deposit(self, purse: Purse) -> int:
        """See `Funding.deposit`."""
        if purse.left is None:
            return max(purse.min_deposit, self.amount)
        if purse.left >= (self.amount // 2 if self.low is None else self.low):
            return 0
        room = purse.wallet if self.ceiling is None else min(purse.wallet, self.ceiling - purse.put_in)
        return max(0, min(self.amount, room))

    def look_again_ns(self, purse: Purse | None) -> int | None:
        """See `Funding.look_again_ns`."""
        return self.look


def _positive(name: str, value: int) -> None:
    if value <= 0:
        raise BadInput(f"{name}: {value}; allowed are durations above 0")


FUNDING: Final[dict[str, type]] = {"once": Once, "runway": Runway, "tranche": Tranche, "fiat": Fiat}
"""Short names."""
