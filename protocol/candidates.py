"""Step 3, whom to ask: the listed providers that price what a pod needs, each by its signed record.

Every publisher reads the same records and prices the same few manifests. What was worked out last is remembered:
it follows from nothing but what is given here. Where many publishers live in one process, each of them would
otherwise read every provider's record anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from protocol import agreement, manifest
from protocol.errors import PeerFault
from protocol.policies.funding import HOUR_NS
from protocol.policies.selection import Candidate
from protocol.ports import NoAnswer
from protocol.record import read_record
from protocol.units import Address

if TYPE_CHECKING:
    from collections.abc import Mapping

    from protocol.eip712 import Domain
    from protocol.manifest import Pod
    from protocol.ports import Listing, Market
    from protocol.pricing import PriceTable
    from protocol.signing import Scheme
    from protocol.units import Resource

REMEMBERED: Final = 16
"""How many markets, or manifests in one, are remembered."""


class Found(NamedTuple):
    """What the market holds for a pod, in order of registration.

    Attributes:
        fitting: who could run it.
        faulty: who has published what is no record, and what is wrong with it.
    """

    fitting: Sequence[Candidate]
    faulty: Sequence[tuple[Address, PeerFault]]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What was worked out, and from what. Values of the market are compared by identity: they are never changed."""

    listings: tuple[Listing, ...]
    tables: Mapping[int, PriceTable]
    records: Sequence[bytes | NoAnswer]
    needs: tuple[Mapping[Resource, int], Mapping[Resource, int]]
    token: Address
    domain: Domain
    scheme: Scheme
    found: Found


_asked: deque[_Asked] = deque(maxlen=REMEMBERED)


def candidates(
    pod: Pod,
    market: Market,
    records: Sequence[bytes | NoAnswer],
    *,
    token: Address,
    domain: Domain,
    scheme: Scheme,
) -> Found:
    """The providers that could run a pod.

    Args:
        pod: what is to run.
        market: what the registry lists.
        records: of each listing, what its content id led to.
        token: the payment token; tables in others do not count.
        domain: the Registry contract's EIP-712 domain.
        scheme: how signatures are read.
    """
    needs = manifest.pod_resources(pod), manifest.volume_resources(pod)
    for known in _asked:
        if (
            known.listings is market.listings
            and known.tables is market.tables
            and (known.needs, known.token, known.domain, known.scheme) == (needs, token, domain, scheme)
            and known.records == records
        ):
            return known.found
    fitting: list[Candidate] = []
    faulty: list[tuple[Address, PeerFault]] = []
    for listing, record in zip(market.listings, records, strict=True):
        if isinstance(record, NoAnswer):
            continue
        try:
            candidate = _candidate(listing, record, market.tables, needs, token, domain, scheme)
        except PeerFault as fault:
            faulty.append((listing.provider, fault))
        else:
            if candidate is not None:
                fitting.append(candidate)
    found = Found(tuple(fitting), tuple(faulty))
    _asked.append(_Asked(market.listings, market.tables, records, needs, token, domain, scheme, found))
    return found


def _candidate(
    listing: Listing,
    content: bytes,
    prices_by_id: Mapping[int, PriceTable],
    needs: tuple[Mapping[Resource, int], Mapping[Resource, int]],
    token: Address,
    domain: Domain,
    scheme: Scheme,
) -> Candidate | None:
    """A listed provider by its record and the table that is cheapest; None when no table prices what is needed.

    Raises:
        PeerFault: the record is none; see `read_record`.
    """
    record = read_record(content, listing.provider, domain, scheme)
    replica, volumes = needs
    tables = {
        i: prices_by_id[i].with_extras(record.extra_prices) for i in listing.tables if i in prices_by_id
    }
    priced = [
        (agreement.running_cost(replica, volumes, prices, replicas=1, for_ns=HOUR_NS), table_id)
        for table_id, prices in tables.items()
        if prices.token == token and prices.covers({*replica, *volumes})
    ]
    if not priced:
        return None
    cost, table_id = min(priced)
    return Candidate(
        provider=listing.provider,
        name=record.name,
        peer=record.peer,
        regions=record.regions,
        assurance=record.assurance,
        gpus=record.prices_gpus,
        has_room=record.has_room_for(replica),
        table_id=table_id,
        prices=tables[table_id],
        cost_an_hour=cost,
        listing=listing,
    )
