"""What a provider asks: its prices over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar, Final, Protocol

from protocol.errors import BadInput
from protocol.pricing import COST_SCALE, USAGE
from protocol.units import MS_PER_S, NS_PER_S, Resource

if TYPE_CHECKING:
    from protocol.policies import Chance
    from protocol.pricing import PriceTable
    from protocol.units import Address

MILLIS: Final = 1000
"""Millicores in a core."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What running costs a provider; it is never paid on the chain.

    Attributes:
        standing_s: all its nodes, for a second, whether used or not [token base units].
        core_s: each core that a replica reserves, for a second, on top [token base units].
    """

    standing_s: Fraction = Fraction(0)
    core_s: Fraction = Fraction(0)


@dataclass(frozen=True, slots=True)
class Rival:
    """Another provider, as the registry shows it.

    Attributes:
        provider: its address.
        tables: what it lists, by id; without the prices of GPUs and addresses, which its record tells. Ids count up, so
            a smaller one is older.
    """

    provider: Address
    tables: Mapping[int, PriceTable]


@dataclass(frozen=True, slots=True)
class Seen:
    """The market as the registry showed it.

    Attributes:
        age_ns: how long ago that was true: since the block that was read [ns].
        rivals: all others that are listed, in order of registration.
    """

    age_ns: int
    rivals: tuple[Rival, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """What a provider knows when it thinks about its prices.

    Attributes:
        listed: the table that it lists now; before it lists one, `base`.
        base: the table that its settings name.
        table_id: the id of `listed`; 0 before it lists one.
        taken: how many pods it took at `listed`, since this process began.
        now_ns: the present by its clock [Unix ns].
        running_ns: how long it has been open [ns].
        pods: how many pods it has.
        whole: what its nodes have, by resource, in base units.
        free: what the cluster can still promise now; None when it did not say.
        used: what replicas reserved and were billed for, as the mean from the last time that it thought about prices to
            its last billing tick; empty the first time.
        costs: what running costs it.
        market: the others, as last read; None when its policy does not read the market, or never got an answer.
        chance: its stream for prices.
    """

    listed: PriceTable
    base: PriceTable
    table_id: int
    taken: int
    now_ns: int
    running_ns: int
    pods: int
    whole: Mapping[Resource, int]
    free: Mapping[Resource, int] | None
    used: Mapping[Resource, float]
    costs: Costs
    market: Seen | None
    chance: Chance

    def utilisation(self, resource: Resource = Resource.CPU) -> float:
        """Share of a resource that replicas reserved and were billed for since the last look; see `used`."""
        whole = self.whole.get(resource, 0)
        return self.used.get(resource, 0.0) / whole if whole else 0.0

    def promised(self, resource: Resource = Resource.CPU) -> float:
        """Share of a resource that is promised to pods now; 0 when the cluster did not say."""
        whole = self.whole.get(resource, 0)
        if self.free is None or not whole:
            return 0.0
        return (whole - self.free.get(resource, 0)) / whole

    def worth_s(self, table: PriceTable) -> Fraction:
        """What all that its nodes have would cost for a second at the prices of `table` [token base units]."""
        cost = sum(
            amount * table.unit_cost(resource)
            for resource, amount in self.whole.items()
            if resource not in USAGE and table.price(resource) is not None
        )
        return Fraction(cost * MS_PER_S, COST_SCALE)

    def times_base(self, table: PriceTable) -> Fraction:
        """How many times as dear as `base` a table is, by `worth_s`; 1 where nothing of `base` has a price."""
        worth_s = self.worth_s(self.base)
        return self.worth_s(table) / worth_s if worth_s else Fraction(1)

    def cost_times_base(self, utilisation: float) -> Fraction:
        """The factor on `base` at which this share of its nodes, sold, pays for what running them costs.

        Args:
            utilisation: above 0, at most 1.
        """
        share = Fraction(repr(utilisation))
        cores = Fraction(self.whole.get(Resource.CPU, 0), MILLIS)
        worth_s = self.worth_s(self.base) * share
        return (
            (self.costs.standing_s + self.costs.core_s * cores * share) / worth_s if worth_s else Fraction(0)
        )


class Price(Protocol):
    """Sets prices. Running pods keep the prices of their Offer. Prices of GPUs and addresses stay those of the settings.

    Attributes:
        reads_market: whether `Shop.market` is wanted; a class that does not say gets it.
    """

    reads_market: ClassVar[bool] = True

    def table(self, shop: Shop) -> PriceTable:
        """The table to list from now on, `shop.listed` for no change; the first time, before it is listed."""
        ...

    def look_again_ns(self) -> int | None:
        """Nanoseconds until prices are thought about again, above 0; None: never."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    """The prices of the settings, always."""

    reads_market: ClassVar[bool] = False

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

    reads_market: ClassVar[bool] = False
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


@dataclass(frozen=True, slots=True, kw_only=True)
class CostPlus:
    """What running costs, spread over what is expected to be sold, and a mark-up.

    Attributes:
        utilisation: the share of its nodes that it expects to sell, above 0, at most 1.
        mark_up: times the cost; 1 earns nothing.
    """

    reads_market: ClassVar[bool] = False
    utilisation: float = 0.7
    mark_up: float = 1.2

    def __post_init__(self) -> None:
        _share("utilisation", self.utilisation)
        _at_least("mark_up", self.mark_up, 0)

    def table(self, shop: Shop) -> PriceTable:
        """See `Price.table`."""
        return shop.base.scaled(shop.cost_times_base(self.utilisation) * Fraction(repr(self.mark_up)))

    def look_again_ns(self) -> int | None:
        """See `Price.look_again_ns`."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class UtilisationTarget:
    """Dearer while more than the target is promised, cheaper while less is.

    Attributes:
        target: the share of the processors that is to be promised, above 0, at most 1.
        gain: by how many times the distance from the target the price changes at each look; 0.5: a provider that is
            0.2 below its target asks a tenth less.
        floor, ceiling: lowest and highest price, times the settings'.
        every: time between two looks [ns].
    """

    reads_market: ClassVar[bool] = False
    target: float = 0.8
    gain: float = 0.5
    floor: float = 0.1
    ceiling: float = 10.0
    every: int = field(default=3600 * NS_PER_S, metadata={"unit": "duration"})

    def __post_init__(self) -> None:
        _share("target", self.target)
        _at_least("gain", self.gain, 0)
        _at_least("floor", self.floor, 0)
        _at_least("ceiling", self.ceiling, self.floor)
        _period("every", self.every)

    def table(self, shop: Shop) -> PriceTable:
        """See `Price.table`."""
        if shop.free is None or not shop.running_ns:
            return shop.listed
        change = max(0.0, 1 + self.gain * (shop.promised() - self.target))
        wanted = shop.times_base(shop.listed) * Fraction(repr(change))
        least, most = Fraction(repr(self.floor)), Fraction(repr(self.ceiling))
        return shop.base.scaled(min(max(wanted, least), most))

    def look_again_ns(self) -> int | None:
        """See `Price.look_again_ns`."""
        return self.every


@dataclass(frozen=True, slots=True, kw_only=True)
class Undercut:
    """The best answer to the others' prices: a little below the cheapest, unless nothing is to be won by being cheap.

    Nothing is, when it is full, or when pods came at its present price although others had been cheaper before it asked
    that: those are full, or nobody looks at prices. It then asks its highest price. Now and then it tries that, to
    see who comes. Where there is room for all who ask, prices so end at the floor; where there is not, they fall step
    by step and jump back (Edgeworth 1925; Maskin and Tirole 1988).

    Attributes:
        step: how far below the cheapest other, as a share of its price.
        floor: lowest price, times what running costs at `utilisation`.
        utilisation: the share of its nodes over which costs are spread, above 0, at most 1.
        ceiling: highest price, times the settings'.
        full: the share of its processors from which on, promised, it counts as full, above 0.
        probe: how likely it tries its highest price at a look, 0 to 1.
        every: time between two looks [ns].
    """

    step: float = 0.02
    floor: float = 1.0
    utilisation: float = 1.0
    ceiling: float = 1.0
    full: float = 0.95
    probe: float = 0.05
    every: int = field(default=600 * NS_PER_S, metadata={"unit": "duration"})

    def __post_init__(self) -> None:
        if not 0 <= self.step < 1:
            raise BadInput(f"step: {self.step}; allowed are numbers of 0 and more, below 1")
        _at_least("floor", self.floor, 0)
        _share("utilisation", self.utilisation)
        for name in ("ceiling", "full"):
            if not getattr(self, name) > 0:
                raise BadInput(f"{name}: {getattr(self, name)}; allowed are numbers above 0")
        if not 0 <= self.probe <= 1:
            raise BadInput(f"probe: {self.probe}; allowed are numbers of 0 to 1")
        _period("every", self.every)

    def table(self, shop: Shop) -> PriceTable:
        """See `Price.table`."""
        tries = shop.chance() < self.probe  # drawn at each look, so that no price moves the next draw
        if shop.market is None:
            return shop.listed
        others = {
            table_id: shop.times_base(table)
            for rival in shop.market.rivals
            for table_id, table in rival.tables.items()
        }
        least = shop.cost_times_base(self.utilisation) * Fraction(repr(self.floor))
        most = max(least, Fraction(repr(self.ceiling)))
        mine = shop.times_base(shop.listed)
        came_anyway = shop.taken > 0 and any(
            asked < mine and table_id < shop.table_id for table_id, asked in others.items()
        )
        if not others or tries or came_anyway or shop.promised() >= self.full:
            return shop.base.scaled(most)
        below = min(others.values()) * (1 - Fraction(repr(self.step)))
        return shop.base.scaled(max(least, min(most, below)))

    def look_again_ns(self) -> int | None:
        """See `Price.look_again_ns`."""
        return self.every


def _share(name: str, value: float) -> None:
    if not 0 < value <= 1:
        raise BadInput(f"{name}: {value}; allowed are numbers above 0, up to 1")


def _at_least(name: str, value: float, least: float) -> None:
    if not value >= least:
        raise BadInput(f"{name}: {value}; allowed are numbers of {least} and more")


def _period(name: str, value: int) -> None:
    if value <= 0:
        raise BadInput(f"{name}: {value}; allowed are durations above 0")


PRICE: Final[dict[str, type]] = {
    "fixed": Fixed,
    "schedule": Schedule,
    "cost_plus": CostPlus,
    "utilisation_target": UtilisationTarget,
    "undercut": Undercut,
}
"""Short names."""
