"""A publisher's check of what it is billed: signed statements against the chain, the agreement and what could have run.

A provider signs a statement before it claims (`claiming`), so every token that the chain shows as claimed is covered
by one. What a claim moved and no statement covers, a statement that does not follow from the amounts at the agreed
prices, and amounts that cannot have been used are lies, and the statement's signature proves it. What could have run
and did not cannot be told from here: between nothing and the most replicas a publisher has only the provider's word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from protocol import manifest, pricing, wire
from protocol.auth import Usage
from protocol.errors import BadInput, PeerFault, Refusal
from protocol.ports import NoAnswer
from protocol.requests import CLOCK_SKEW_S
from protocol.units import MS_PER_S, NS_PER_MS, Resource

if TYPE_CHECKING:
    from collections.abc import Mapping

    from protocol.calls import Caller
    from protocol.eip712 import Domain
    from protocol.manifest import Pod
    from protocol.payment import Channel
    from protocol.pricing import AmountKey
    from protocol.renting import Rental
    from protocol.signing import Scheme
    from protocol.units import Address

DRAINING: Final = 2
"""A replica that drains is billed beside the one that takes its place: so many times the most replicas can run."""


class Bills:
    """Checks the bills of one publisher.

    Args:
        address: the publisher's.
        caller: calls providers for it.
        domain: the Payment contract's EIP-712 domain.
        scheme: how signatures are read.
        silence_ns: how long a provider may owe the statement of a claim [ns].
    """

    def __init__(
        self, address: Address, caller: Caller, domain: Domain, scheme: Scheme, *, silence_ns: int
    ) -> None:
        self._address = address
        self._caller = caller
        self._domain = domain
        self._scheme = scheme
        self._silence_ns = silence_ns
        self._unexplained_ns: int | None = None  # since when a claim without a statement is known

    async def check(self, rental: Rental, channel: Channel, now_ns: int) -> PeerFault | None:
        """Hold what the chain says was claimed against what the provider signed.

        Nobody is asked while the statements that were checked before (`Rental.bill`) cover it.

        Args:
            rental: which runs.
            channel: as it was just seen; statements are asked for after that, so that an honest provider's cover it.
            now_ns: the publisher's time.

        Returns:
            The lie that was found; None also while the provider does not answer.
        """
        if channel.withdrawn_by_provider <= _covered(rental):
            self._unexplained_ns = None
            return None
        try:
            while True:
                page = await self._caller.ask(
                    rental,
                    wire.POD_USAGE,
                    wire.pb.PodUsageRequest(afterSeq=rental.bill.seq if rental.bill else 0),
                    wire.pb.PodUsageResponse,
                )
                if isinstance(page, NoAnswer):
                    return self._withheld(channel, now_ns)
                for statement in page.statements:
                    lie = self._read(rental, statement, now_ns)
                    if lie is not None:
                        return lie
                if not (page.more and page.statements):
                    break
        except (Refusal, PeerFault):
            return self._withheld(channel, now_ns)
        if channel.withdrawn_by_provider > _covered(rental):
            return PeerFault(
                "Overclaimed", f"{channel.withdrawn_by_provider} claimed; signed is {_covered(rental)}"
            )
        self._unexplained_ns = None
        return None

    def _withheld(self, channel: Channel, now_ns: int) -> PeerFault | None:
        """No statement comes: that is no lie before the time of silence is over."""
        if self._unexplained_ns is None:
            self._unexplained_ns = now_ns
        if now_ns - self._unexplained_ns <= self._silence_ns:
            return None
        return PeerFault("BillWithheld", f"{channel.withdrawn_by_provider} claimed, and no statement comes")

    def _read(
        self, rental: Rental, statement: wire.pb.PodUsageResponse.Statement, now_ns: int
    ) -> PeerFault | None:
        """Check one statement; one that is right is the rental's bill from now on."""
        bill, before = Usage.from_wire(statement.usage), rental.bill
        if self._scheme.recover(bill.digest(self._domain), statement.signature) != rental.provider:
            return PeerFault("BillNotSigned", f"statement {bill.seq} is not signed by the provider")
        said = (bill.publisher, bill.provider, bill.pod_id, bill.life, bill.seq, bill.previous)
        previous = bytes(32) if before is None else before.digest(self._domain)
        seq = 1 if before is None else before.seq + 1
        if said != (self._address, rental.provider, rental.pod_id, rental.life, seq, previous):
            return PeerFault("BillDiffers", f"statement {bill.seq} does not follow on statement {seq - 1}")
        assert rental.prices is not None
        try:
            used = {(Resource(a.resource), a.usage): a.quantity for a in bill.cumulative}
            costs = pricing.cost(rental.prices, used)
        except (ValueError, BadInput, Refusal) as error:
            return PeerFault("BillDiffers", f"statement {bill.seq}: {error}")
        if bill.owed > costs:
            return PeerFault(
                "BillTooHigh", f"{bill.owed} owed; at the agreed prices the amounts cost {costs}"
            )
        lie = _impossible(rental, used, now_ns)
        if lie is None:
            rental.bill = bill
        return lie


def _covered(rental: Rental) -> int:
    """What the statements that were checked cover [token base units]."""
    return rental.bill.owed if rental.bill is not None else 0


def _impossible(rental: Rental, used: Mapping[AmountKey, int], now_ns: int) -> PeerFault | None:
    """Whether a reservation is above all that can have been held since the agreement."""
    elapsed_ms = (now_ns - rental.agreed_ns) // NS_PER_MS + CLOCK_SKEW_S * MS_PER_S
    for (resource, usage), quantity in used.items():
        most = rental.most.get(resource, 0) * elapsed_ms
        if not usage and quantity > most:
            return PeerFault("UsageImpossible", f"{resource.value}: {quantity} billed; at most {most} can be")
    return None


def most_held(pod: Pod) -> dict[Resource, int]:
    """The most that a pod can hold at one instant, by resource [base units]."""
    replicas = DRAINING * max(1, pod.replicas.max, pod.least_replicas)
    held = {resource: replicas * amount for resource, amount in manifest.pod_resources(pod).items()}
    for resource, amount in manifest.volume_resources(pod).items():
        held[resource] = held.get(resource, 0) + amount
    return held
