"""Which pods a provider takes in, beyond the terms that its Offer states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from protocol.errors import BadInput, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from protocol.policies import Chance
    from protocol.units import Address, Resource


@dataclass(frozen=True, slots=True)
class Asked:
    """What a provider knows when it is asked to take a pod.

    Attributes:
        publisher: who asks.
        a_replica: what one replica reserves, by resource, in base units.
        min_replicas, max_replicas: as in the manifest.
        free: what the cluster can still promise.
        pods: how many pods the provider has now.
        pods_of_publisher: how many of them are this publisher's.
        now_ns: the present by its clock [Unix ns].
        chance: its stream for admission.
    """

    publisher: Address
    a_replica: Mapping[Resource, int]
    min_replicas: int
    max_replicas: int
    free: Mapping[Resource, int]
    pods: int
    pods_of_publisher: int
    now_ns: int
    chance: Chance


class Admission(Protocol):
    """Says yes or why not."""

    def admit(self, asked: Asked) -> Refusal | None:
        """None to take the pod in, or the refusal that its publisher is told."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Standard:
    """Take what fits now, up to a number of pods.

    Attributes:
        max_pods: most pods at a time; None: as many as fit. Kubernetes recommends at most 110 a node.
        max_pods_of_publisher: most of one publisher; None: no limit.
        replicas: how many replicas must find room at the moment of admission; a pod that scales from
            zero asks for max(this, its min).
    """

    max_pods: int | None = None
    max_pods_of_publisher: int | None = None
    replicas: int = 1

    def __post_init__(self) -> None:
        for name in ("max_pods", "max_pods_of_publisher"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise BadInput(f"{name}: {value}; allowed are whole numbers of 1 and more")
        if self.replicas < 0:
            raise BadInput(f"replicas: {self.replicas}; allowed are whole numbers of 0 and more")

    def admit(self, asked: Asked) -> Refusal | None:
        """See `Admission.admit`."""
        if self.max_pods is not None and asked.pods >= self.max_pods:
            return Refusal("TooManyPods", f"{asked.pods} pods; at most {self.max_pods}")
        most = self.max_pods_of_publisher
        if most is not None and asked.pods_of_publisher >= most:
            return Refusal("TooManyPodsOfPublisher", f"{asked.pods_of_publisher} pods; at most {most}")
        replicas = max(self.replicas, asked.min_replicas)
        for resource, amount in asked.a_replica.items():
            free = asked.free.get(resource, 0)
            if amount * replicas > free:
                return Refusal("NoCapacity", f"{resource.value}: {amount * replicas} asked, {free} free")
        return None


ADMISSION: Final[dict[str, type]] = {"standard": Standard}
"""Short names."""
