"""The agreement between the parties: what is asked for, how an Offer follows from it, and what both sides check.

Both clients use these functions, so that a provider cannot refuse what its own Offer promised and a
publisher cannot be charged by other prices than those it agreed to.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from protocol import wire
from protocol.errors import PeerFault
from protocol.keccak import keccak256
from protocol.manifest import pod_resources, volume_resources
from protocol.pricing import COST_SCALE
from protocol.units import NS_PER_MS, NS_PER_S, Resource

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from protocol.auth import Offer
    from protocol.manifest import Pod
    from protocol.pricing import PriceTable
    from protocol.units import Address, PodId

FRACTIONAL = frozenset({Resource.CPU})
"""Resources whose base unit is a thousandth of the wire's."""


def capacity_request(pod: Pod, table_id: int) -> wire.pb.CapacityRequest:
    """What a pod asks of a provider; its hash ties the Offer to the manifest that comes later."""
    replicas = pod.replicas
    return wire.pb.CapacityRequest(
        resources=quantities(pod_resources(pod)),
        replicas=wire.pb.Replicas(
            min=pod.least_replicas, max=replicas.max, targetPendingRequests=replicas.target_pending_requests
        ),
        volumes=quantities(volume_resources(pod)),
        tableId=table_id,
    )


def capacity_hash(request: wire.pb.CapacityRequest) -> bytes:
    """`Offer.capacityHash`."""
    return keccak256(wire.dump(request))


def quantities(resources: Mapping[Resource, int]) -> list[wire.pb.Resource]:
    """Amounts in base units, as they travel; `amounts` reads them."""
    return [
        wire.pb.Resource(resource=r.value, amountMillis=n)
        if r in FRACTIONAL
        else wire.pb.Resource(resource=r.value, amount=n)
        for r, n in resources.items()
    ]


def amounts(resources: Iterable[wire.pb.Resource]) -> dict[Resource, int]:
    """Amounts of wire resources, in base units.

    Raises:
        PeerFault: `UnknownResource`; we have no unit for it.
    """
    found: dict[Resource, int] = {}
    for item in resources:
        try:
            resource = Resource(item.resource)
        except ValueError:
            raise PeerFault(
                "UnknownResource", f"{item.resource[:60]!r}; known are {', '.join(Resource)}"
            ) from None
        scale = 1000 if resource in FRACTIONAL else 1
        whole = item.WhichOneof("quantity") != "amountMillis"
        found[resource] = item.amount * scale if whole else item.amountMillis * scale // 1000
    return found


def running_cost(
    pod_or_replica: Mapping[Resource, int],
    volumes: Mapping[Resource, int],
    prices: PriceTable,
    *,
    replicas: int,
    for_ns: int,
) -> int:
    """What `replicas` replicas and the volumes cost for so long, rounded up [token base units]."""
    a_ms = _a_ms(prices, tuple(pod_or_replica.items())) * replicas + _a_ms(prices, tuple(volumes.items()))
    return -(-a_ms * -(-for_ns // NS_PER_MS) // COST_SCALE)


@lru_cache(maxsize=1024)
def _a_ms(prices: PriceTable, reserved: tuple[tuple[Resource, int], ...]) -> int:
    """Scaled cost of a millisecond of what is reserved: asked at every look at a pod."""
    return sum(amount * prices.unit_cost(resource) for resource, amount in reserved)


def check_offer(
    offer: Offer,
    *,
    publisher: Address,
    provider: Address,
    pod_id: PodId,
    asked: wire.pb.CapacityRequest,
    token: Address,
    table_id: int,
    prices: PriceTable,
    keys_hash: bytes,
    now_ns: int,
) -> None:
    """What a publisher holds an Offer to, before any deposit.

    Raises:
        PeerFault: the Offer is not for what was asked, or not at the prices of the registry.
    """
    for name, found, wanted in (
        ("publisher", offer.publisher, publisher),
        ("provider", offer.provider, provider),
        ("podId", offer.pod_id, pod_id),
        ("capacityHash", offer.capacity_hash, capacity_hash(asked)),
        ("token", offer.token, token),
        ("tableId", offer.table_id, table_id),
        ("pricesHash", offer.prices_hash, prices.hash()),
        ("keysHash", offer.keys_hash, keys_hash),
    ):
        if found != wanted:
            raise PeerFault("OfferDiffers", f"{name} is {_show(found)}; agreed was {_show(wanted)}")
    if offer.expires_at_s * NS_PER_S < now_ns:
        raise PeerFault("OfferExpired", f"it held until {offer.expires_at_s}; now is {now_ns // NS_PER_S}")


def _show(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
