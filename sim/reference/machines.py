"""Nodes: what room they have, what they pull, what they keep."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from protocol.units import NEVER_NS

if TYPE_CHECKING:
    from sim.kernel.specs import NodeSpec, PodSpec
    from sim.reference.pod import Replica


@dataclass(eq=False)
class Pull:
    """An image on its way to a node.

    Attributes:
        image, size: which, and its bytes.
        target: what each pull of the node will have had when this one is complete [bytes].
        waiters: replicas that wait for it.
    """

    image: int
    size: int
    target: float
    waiters: list[Replica] = field(default_factory=list)


class Node:
    """One machine.

    Attributes:
        spec: what it has.
        up: whether it runs.
        holds: what each replica on it holds: (millicores, bytes, devices).
        pulls: what it pulls, all at the same speed.
        cache: sizes of the images that it keeps [bytes], the least recently used first.
    """

    def __init__(self, spec: NodeSpec) -> None:
        self.spec = spec
        self.up = True
        self.holds: dict[Replica, tuple[int, int, int]] = {}
        self.pulls: list[Pull] = []
        self.cache: dict[int, int] = {}
        self._had = 0.0
        """Bytes that each pull has had since the node last pulled nothing, as of `_had_ns`."""
        self._had_ns = 0
        self.next_ns = NEVER_NS
        """When the next pull is complete."""

    @property
    def used(self) -> tuple[int, int, int]:
        """What its replicas hold together."""
        rows = list(self.holds.values())
        return sum(r[0] for r in rows), sum(r[1] for r in rows), sum(r[2] for r in rows)

    def left(self, spec: PodSpec) -> int | None:
        """Millicores that would be left beside one more replica of `spec`; None: it does not fit."""
        cpu, memory, gpus = self.used
        fits = (
            self.up
            and cpu + spec.cpu_millis <= self.spec.cpu_millis
            and memory + spec.memory_bytes <= self.spec.memory_bytes
            and gpus + spec.gpus <= self.spec.gpus
        )
        return self.spec.cpu_millis - cpu - spec.cpu_millis if fits else None

    # ------------------------------------------------------------ processors

    @property
    def busy(self) -> list[Replica]:
        """Its replicas that serve something."""
        return [replica for replica in self.holds if replica.serves]

    def share(self, replica: Replica) -> float:
        """How much of its limit a replica gets while those serve that serve now: by weight, none over its limit."""
        hungry, left = self.busy, self.spec.cpu_millis
        if replica not in hungry or not replica.bursts:
            return 1.0
        if sum(one.cpu_limit_millis for one in hungry) <= left:
            return 1.0
        level = 0.0
        while True:
            level = max(level, left / sum(one.cpu_millis for one in hungry))
            sated = [one for one in hungry if one.cpu_limit_millis <= level * one.cpu_millis]
            if not sated:
                return min(1.0, level * replica.cpu_millis / replica.cpu_limit_millis)
            if replica in sated:
                return 1.0
            hungry = [one for one in hungry if one not in sated]
            left -= sum(one.cpu_limit_millis for one in sated)

    # ------------------------------------------------------------ images

    def has(self, image: int) -> bool:
        """Whether an image is kept, which is a use of it."""
        if image not in self.cache:
            return False
        self.cache[image] = self.cache.pop(image)
        return True

    def wait_for(self, replica: Replica, spec: PodSpec, now_ns: int) -> None:
        """Join the pull of the pod's image, or begin it."""
        pull = next((pull for pull in self.pulls if pull.image == spec.image_id), None)
        if pull is None:
            self._bring_to(now_ns)
            pull = Pull(spec.image_id, spec.image_bytes, self._had + spec.image_bytes)
            self.pulls.append(pull)
            self._look()
        pull.waiters.append(replica)

    def complete(self, now_ns: int) -> list[Replica]:
        """The pull that is due is complete; who waited for it."""
        self._bring_to(now_ns)
        pull = min(self.pulls, key=lambda pull: (pull.target, pull.image))
        self._had = max(self._had, pull.target)
        self.pulls.remove(pull)
        self._keep(pull)
        self._look()
        return pull.waiters

    def crash(self) -> None:
        """All it pulls is lost; its replicas have ended before."""
        self.up = False
        self.pulls.clear()
        self._look()

    def _keep(self, pull: Pull) -> None:
        if pull.size > self.spec.image_cache_bytes:
            return
        while sum(self.cache.values()) + pull.size > self.spec.image_cache_bytes:
            del self.cache[next(iter(self.cache))]
        self.cache[pull.image] = pull.size

    def _bring_to(self, now_ns: int) -> None:
        if not self.pulls:
            self._had = 0.0
        else:
            spent_ns = float(now_ns - self._had_ns)
            self._had += spent_ns * 1e-9 * self.spec.pull_bytes_per_s / len(self.pulls)
        self._had_ns = now_ns

    def _look(self) -> None:
        self.next_ns = NEVER_NS
        if self.pulls:
            left = min(pull.target for pull in self.pulls) - self._had
            left_ns = left * len(self.pulls) / self.spec.pull_bytes_per_s * 1e9
            self.next_ns = self._had_ns + max(0, math.ceil(left_ns))
