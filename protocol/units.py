"""Units, resources and quantities: every number of the core is an integer with its unit in its name.

Money is `int` in base units of the payment token. Time is `int` nanoseconds since the Unix epoch
(`_ns`), or milliseconds (`_ms`) and seconds (`_s`) where a contract or a bill says so. Usage is an
integral over time in the resource's base unit times milliseconds, so that a bill never drifts.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NewType

Address = NewType("Address", bytes)  # 20 bytes
PodId = NewType("PodId", bytes)  # 32 bytes, random, kept for the life of the pod
Cid = NewType("Cid", str)  # CIDv1, base32 lower case
PeerId = NewType("PeerId", str)

NS_PER_MS: Final = 1_000_000
NS_PER_S: Final = 1_000_000_000
MS_PER_S: Final = 1_000
NEVER_NS: Final = 2**63 - 1
"""An instant that does not come; also the largest value a kernel's int64 clock can hold."""


class Resource(StrEnum):
    """The one resource vocabulary. Aliases are resolved at the edge, by `resource`.

    The base unit of a reservation is the amount that a replica or volume holds; the base unit of a
    usage is what was consumed.
    """

    CPU = "cpu"  # reservation: millicores
    MEMORY = "memory"  # reservation: bytes
    STORAGE = "storage"  # reservation: bytes
    GPU = "nvidia.com/gpu"  # reservation: devices
    EGRESS = "bandwidth.egress"  # usage: bytes sent
    INGRESS = "bandwidth.ingress"  # usage: bytes received
    IP = "ip"  # reservation: public addresses


ALIASES: Final[dict[str, Resource]] = {
    "cpu": Resource.CPU,
    "memory": Resource.MEMORY,
    "ram": Resource.MEMORY,
    "storage": Resource.STORAGE,
    "ephemeral-storage": Resource.STORAGE,
    "gpu": Resource.GPU,
    "nvidia.com/gpu": Resource.GPU,
    "bandwidth.egress": Resource.EGRESS,
    "bandwidth_egress": Resource.EGRESS,
    "egress": Resource.EGRESS,
    "bandwidth.ingress": Resource.INGRESS,
    "bandwidth_ingress": Resource.INGRESS,
    "ingress": Resource.INGRESS,
    "ip": Resource.IP,
}
"""What people and older clients call a resource (`memory` was metered and `ram` priced in the original, so it was never billed)."""
