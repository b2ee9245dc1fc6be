"""Providers that take more than they are owed: by the claim, by the meter, or by the price.

Each is the honest client with one number changed where it is made, so that everything that follows from it
(statements, claims, what is told) follows as it would for an honest one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

from protocol import wire
from protocol.auth import Offer
from protocol.claiming import Claimer
from protocol.errors import BadInput
from protocol.keccak import keccak256
from protocol.meters import Meters
from protocol.ports import Mark, Reading
from protocol.pricing import PriceTable
from protocol.provider import ProviderClient

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.message import Message

    from protocol.auth import Request
    from protocol.hosting import HostedPod
    from protocol.ports import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Overcharge:
    """By how much, about whom and from when a provider lies.

    Attributes:
        times: what is true is multiplied by this, 1 or more.
        share: part of its pods that it lies about, in [0, 1]; which ones follows from their namespaces.
        after: for how long after accepting a pod it is honest about it [ns]; then all of its life is multiplied.
    """

    times: float = 1.5
    share: float = 1.0
    after: int = field(default=0, metadata={"unit": "duration"})

    def __post_init__(self) -> None:
        if not self.times >= 1:
            raise BadInput(f"times: {self.times}; allowed are numbers of 1 and more")
        if not 0 <= self.share <= 1:
            raise BadInput(f"share: {self.share}; allowed are numbers from 0 to 1")
        if self.after < 0:
            raise BadInput(f"after: {self.after}; allowed are durations of 0 and more")

    def lies_about(self, pod: HostedPod, now_ns: int) -> bool:
        """Whether it lies about this pod now."""
        if now_ns < pod.accepted_ns + self.after:
            return False
        return self.share == 1 or int.from_bytes(keccak256(pod.namespace.encode())[:8]) < self.share * 2**64

    def more(self, amount: int) -> int:
        """`amount` times `times`, rounded down; the factor is taken as it is written."""
        exact = Fraction(repr(self.times))
        return amount * exact.numerator // exact.denominator


# ---------------------------------------------------------------- the claim


class _OverClaims(Claimer):
    conduct: Overcharge

    def total(self, pod: HostedPod) -> int:
        """See `Claimer.total`."""
        if not self.conduct.lies_about(pod, self._world.clock.now_ns()):
            return super().total(pod)
        return min(self.conduct.more(pod.owed), pod.invested)


class OverClaimer(ProviderClient):
    """A provider that meters and states what is true, and claims `times` as much, as far as the channel holds it."""

    Conduct = Overcharge
    claimer_type = _OverClaims
    claimer: _OverClaims

    def __init__(self, *args: Any, conduct: Overcharge, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.claimer.conduct = conduct


# ---------------------------------------------------------------- the meter


class _OverMeters(Meters):
    conduct: Overcharge

    def readings_of(self, pod: HostedPod, usage: Usage) -> Sequence[Reading] | None:
        """See `Meters.readings_of`. For how long volumes were bound is left: the publisher knows that itself."""
        readings, more = super().readings_of(pod, usage), self.conduct.more
        if readings is None or not self.conduct.lies_about(pod, usage.at_ns):
            return readings
        return [
            Reading(r.version, more(r.replica_ms), r.bound_ms, more(r.egress_bytes), more(r.ingress_bytes))
            for r in readings
        ]

    def pass_over(self, owed_to: Mapping[str, int]) -> None:
        """See `Meters.pass_over`; the cluster compares its own readings with the marks, which are true."""
        super().pass_over(owed_to)
        exact = Fraction(repr(self.conduct.times))
        self.marks = {
            name: Mark(mark.version, int(mark.replica_ms / exact)) for name, mark in self.marks.items()
        }


class OverMeterer(ProviderClient):
    """A provider that meters `times` what ran, states it and claims it, at the agreed prices."""

    Conduct = Overcharge
    meters_type = _OverMeters
    meters: _OverMeters

    def __init__(self, *args: Any, conduct: Overcharge, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.meters.conduct = conduct


# ---------------------------------------------------------------- the price


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch(Overcharge):
    """How a provider switches prices.

    Attributes:
        times, share, after: as `Overcharge` says; `times` multiplies every price.
        where: `bill`: it lists and agrees one table and bills the other; `offer`: it lists one and signs Offers for the
            other, whatever `share` and `after` are.
    """

    where: Literal["bill", "offer"] = "bill"


class _OtherPrices(Meters):
    conduct: Switch

    def prices_of(self, pod: HostedPod) -> PriceTable:
        """See `Meters.prices_of`."""
        if self.conduct.where != "bill" or self._usage is None:
            return pod.prices
        if not self.conduct.lies_about(pod, self._usage.at_ns):
            return pod.prices
        known = self._dear.get(pod.prices)
        if known is None:
            known = self._dear[pod.prices] = pod.prices.scaled(self.conduct.times)
        return known

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._dear: dict[PriceTable, PriceTable] = {}  # a meter knows a table again by its identity


class PriceSwitcher(ProviderClient):
    """A provider that lists low prices and bills by another table, or signs Offers for it."""

    Conduct = Switch
    meters_type = _OtherPrices
    meters: _OtherPrices

    def __init__(self, *args: Any, conduct: Switch, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.meters.conduct = self.conduct = conduct

    async def offer(self, request: Request, body: bytes) -> Message:
        """See `ProviderClient.offer`."""
        answer: Any = await super().offer(request, body)
        if self.conduct.where == "offer":
            prices = self.front.tables[self.front.listed].scaled(self.conduct.times)
            said = replace(Offer.from_wire(answer.offer), prices_hash=prices.hash())
            answer = wire.pb.CapacityResponse(
                providerAddress=answer.providerAddress,
                offer=said.to_wire(),
                offerSignature=self.world.signer.sign(said.digest(self.payment_domain)),
                prices=prices.to_bytes(),
            )
        result: Message = answer
        return result
