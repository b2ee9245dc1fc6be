"""What usage costs: the five prices of the registry, those of the provider's record, and exact costs.

Prices are token base units, per core-second (cpu), per byte-second (ram, storage), per device-second
(GPU), per address-second (IP), per byte (bandwidth). Those for bandwidth are for usage; the others are for
reservation. A price of the registry's five may be 0: free. A resource without a price is refused.

Usage is counted in millicore-milliseconds, unit-milliseconds and bytes. All of it has one common
denominator, `COST_SCALE`: a scaled cost is a whole number of millionths of a base unit, sums of scaled
costs are exact, and a bill is rounded down once, over the whole sum.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from fractions import Fraction
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from protocol import wire
from protocol.errors import BadInput, Refusal
from protocol.keccak import keccak256
from protocol.units import MS_PER_S, NEVER_NS, NS_PER_MS, Address, Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

COST_SCALE: Final = 1_000_000
"""Scaled cost units in one token base unit: the millicore-milliseconds of a core-second."""
MAX_PRICE: Final = 2**256 - 1

AmountKey: TypeAlias = tuple[Resource, bool]
"""A resource, and whether it is for usage (True) or for reservation (False)."""
Amounts: TypeAlias = "Mapping[AmountKey, int]"
"""Cumulative quantities: base units × ms for a reservation (cpu: millicore-ms), base units for usage (bytes)."""

USAGE: Final = frozenset({Resource.EGRESS, Resource.INGRESS})
"""Priced for usage; all others are priced for reservation."""
_WEIGHT: Final[Mapping[Resource, int]] = {
    resource: 1 if resource is Resource.CPU else COST_SCALE if resource in USAGE else COST_SCALE // MS_PER_S
    for resource in Resource
}
"""Scaled cost of one counted unit at a price of 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceTable:
    """Prices that a provider offers; immutable, the first five in the contract's order.

    Attributes:
        token: address of the payment token.
        cpu: a core-second [token base units].
        ram: a byte-second of memory.
        storage: a byte-second of storage.
        egress: a byte sent.
        ingress: a byte received.
        cpu_model: what the cores are, for people.
        tee_type: what encloses them, for people.
        gpu: a device-second; None: not on offer.
        ip: a second of a public address; None: not on offer.
    """

    token: Address
    cpu: int
    ram: int
    storage: int
    egress: int
    ingress: int
    cpu_model: str = ""
    tee_type: str = ""
    gpu: int | None = None
    ip: int | None = None

    def __post_init__(self) -> None:
        if len(self.token) != 20:
            raise BadInput(f"token: {len(self.token)} bytes; an address has 20")
        for name in ("cpu", "ram", "storage", "egress", "ingress", "gpu", "ip"):
            price = getattr(self, name)
            if price is not None and not 0 <= price <= MAX_PRICE:
                raise BadInput(f"{name}: {price}; allowed are 0 to 2**256 - 1")

    @property
    def five(self) -> tuple[int, int, int, int, int]:
        """The prices in the contract's order: cpu, ram, storage, egress, ingress."""
        return self.cpu, self.ram, self.storage, self.egress, self.ingress

    @property
    def extras(self) -> dict[Resource, int]:
        """The prices that the registry's five cannot hold."""
        return {r: p for r, p in ((Resource.GPU, self.gpu), (Resource.IP, self.ip)) if p is not None}

    def with_extras(self, extras: Mapping[Resource, int]) -> PriceTable:
        """This table with the GPU and IP prices of a provider's record; other resources in it have no say."""
        gpu, ip = extras.get(Resource.GPU), extras.get(Resource.IP)
        return self if (gpu, ip) == (self.gpu, self.ip) else replace(self, gpu=gpu, ip=ip)

    def price(self, resource: Resource) -> int | None:
        """The price of `resource` in its own unit; None: not on offer."""
        return _PRICE_OF[resource](self)

    def covers(self, resources: Iterable[Resource]) -> bool:
        """Whether each of `resources` has a price."""
        return all(self.price(resource) is not None for resource in resources)

    def check_covers(self, resources: Iterable[Resource]) -> None:
        """Refuse what has no price.

        Raises:
            Refusal: `NoPrice`; names the first resource without one.
        """
        for resource in sorted(resources):
            if self.price(resource) is None:
                raise Refusal("NoPrice", f"{resource.value} is asked for and has no price here")

    def unit_cost(self, resource: Resource) -> int:
        """Scaled cost of one counted unit: a millicore-ms of cpu, a unit-ms of what is reserved, a byte of traffic.

        Raises:
            Refusal: `NoPrice`.
        """
        price = self.price(resource)
        if price is None:
            raise Refusal("NoPrice", f"{resource.value} has no price here")
        return price * _WEIGHT[resource]

    def scaled(self, factor: float | Fraction) -> PriceTable:
        """Every price times `factor`, rounded down; a float is taken as it is written (0.7 is seven tenths)."""
        exact = factor if isinstance(factor, Fraction) else Fraction(repr(factor))
        if exact < 0:
            raise BadInput(f"factor: {factor}; allowed are 0 and more")
        return replace(
            self,
            cpu=int(self.cpu * exact),
            ram=int(self.ram * exact),
            storage=int(self.storage * exact),
            egress=int(self.egress * exact),
            ingress=int(self.ingress * exact),
            gpu=None if self.gpu is None else int(self.gpu * exact),
            ip=None if self.ip is None else int(self.ip * exact),
        )

    def to_bytes(self) -> bytes:
        """The `PriceList` message that is hashed: token and every price, in the order of `Resource`.

        The table's id is not in it: the Offer names it beside the hash.
        """
        return _listed(self)

    def hash(self) -> bytes:
        """`Offer.pricesHash`: keccak256 of `to_bytes`."""
        return keccak256(_listed(self))

    def to_record(self) -> dict[str, Any]:
        """The stored form."""
        return {name: getattr(self, name) for name in _NAMES} | {"token": self.token.hex()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> PriceTable:
        """The table of a stored form."""
        return cls(**{**record, "token": Address(bytes.fromhex(record["token"]))})


_PRICE_OF: Final[Mapping[Resource, Callable[[PriceTable], int | None]]] = {
    Resource.CPU: attrgetter("cpu"),
    Resource.MEMORY: attrgetter("ram"),
    Resource.STORAGE: attrgetter("storage"),
    Resource.EGRESS: attrgetter("egress"),
    Resource.INGRESS: attrgetter("ingress"),
    Resource.GPU: attrgetter("gpu"),
    Resource.IP: attrgetter("ip"),
}
_NAMES: Final = tuple(f.name for f in fields(PriceTable))


@lru_cache(maxsize=1024)
def _listed(table: PriceTable) -> bytes:
    """See `PriceTable.to_bytes`; one table is on offer to many, and hosts many."""
    prices = wire.pb.PriceList(token=table.token)
    for resource in Resource:
        price = table.price(resource)
        if price is not None:
            prices.prices.add(
                resource=resource.value, usage=resource in USAGE, price=price.to_bytes(32, "big")
            )
    return wire.dump(prices)


# ---------------------------------------------------------------- costs


def scaled_cost(prices: PriceTable, amounts: Amounts) -> int:
    """Exact cost of `amounts` in `COST_SCALE`-ths of a base unit.

    Raises:
        Refusal: `NoPrice`; a resource that was used has none.
        BadInput: a resource is counted the other way round than it is priced (reservation or usage).
    """
    total = 0
    for (resource, usage), quantity in amounts.items():
        if usage is not (resource in USAGE):
            raise BadInput(f"{resource.value} is not priced for {'usage' if usage else 'reservation'}")
        if quantity:
            total += quantity * prices.unit_cost(resource)
    return total


def cost(prices: PriceTable, amounts: Amounts) -> int:
    """What cumulative `amounts` cost [token base units], rounded down once, over the whole sum.

    Raises:
        Refusal: `NoPrice`; a resource that was used has none.
        BadInput: a resource is counted the other way round than it is priced.
    """
    return scaled_cost(prices, amounts) // COST_SCALE


def cost_of_reservation(prices: PriceTable, reserved: Mapping[Resource, int]) -> int:
    """What a reservation will cost [token base units], rounded up: enough to pay for it.

    Args:
        prices: the prices.
        reserved: base units × ms, by resource.

    Raises:
        Refusal: `NoPrice`.
    """
    total = sum(quantity * prices.unit_cost(resource) for resource, quantity in reserved.items())
    return -(-total // COST_SCALE)


def burn(prices: PriceTable, resources: Mapping[Resource, int], *, count: int = 1) -> int:
    """Scaled cost of one millisecond of holding `resources` `count` times.

    Args:
        prices: the prices.
        resources: what one replica (or the volumes) holds, in base units; only reservations.
        count: how many replicas.

    Raises:
        Refusal: `NoPrice`.
        BadInput: a resource is priced for usage, so holding it has no rate.
    """
    total = 0
    for resource, amount in resources.items():
        if resource in USAGE:
            raise BadInput(f"{resource.value} is priced for usage; it cannot be held")
        total += amount * prices.unit_cost(resource)
    return total * count


def burn_per_s(prices: PriceTable, resources: Mapping[Resource, int], *, count: int = 1) -> Fraction:
    """`burn` in token base units per second, exact; for people and policies.

    Raises:
        Refusal: `NoPrice`.
        BadInput: a resource is priced for usage.
    """
    return Fraction(burn(prices, resources, count=count) * MS_PER_S, COST_SCALE)


def margin(available: int, spent: int) -> int:
    """Least scaled cost that has to be added until the bill is more than what is available.

    Args:
        available: what the bill may reach without exceeding it [token base units].
        spent: scaled cost so far.

    Returns:
        Scaled cost; 0 or less when the bill (rounded down) is already more than `available`.
    """
    return (available + 1) * COST_SCALE - spent


def runway_ns(available: int, spent: int, greatest_burn: int, *, now_ns: int) -> int:
    """The earliest instant at which the bill can be more than `available`.

    Meters count whole milliseconds of the Unix clock, so the answer is one.

    Args:
        available: what the bill may reach [token base units].
        spent: scaled cost so far, as the meter shows it at `now_ns`.
        greatest_burn: scaled cost of a millisecond at the most that can run.
        now_ns: the present [Unix ns].

    Returns:
        Unix ns; `now_ns` when the bill is more already, `NEVER_NS` when nothing burns (or past all int64 time).
    """
    left = margin(available, spent)
    if left <= 0:
        return now_ns
    if greatest_burn <= 0:
        return NEVER_NS
    at_ms = now_ns // NS_PER_MS + -(-left // greatest_burn)
    return min(at_ms * NS_PER_MS, NEVER_NS)
