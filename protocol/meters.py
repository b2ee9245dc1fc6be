"""What a provider's pods have used, and which of them a billing tick may pass over.

A tick that has compared a pod with its channel knows how much more the pod may use before anything can follow from
it: a decision about its funds, or a claim. Until then the tick neither reads nor writes the pod: the cluster tells who is
beyond its mark (`ports.Mark`), and the readings of the last tick are kept, so that whoever wants to know what a pod
owes is told what it owed then (`bring`), as if the tick had worked it out.

Nothing is lost by that in a crash: readings are cumulative, durable at the cluster, and the first tick of the next
incarnation looks at everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.hosting import BILLABLE, HostedPod, Phase
from protocol.pricing import COST_SCALE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from protocol.payment import ChannelKey
    from protocol.ports import Mark, Reading, Usage
    from protocol.pricing import PriceTable
    from protocol.units import Resource


class Meters:
    """The meters of one provider's pods.

    Args:
        pods: its pods by namespace.

    Attributes:
        marks: by namespace, how far the pods that may be passed over may run. Another object when it has changed.
    """

    def __init__(self, pods: Mapping[str, HostedPod]) -> None:
        self._pods = pods
        self.marks: Mapping[str, Mark] = {}
        self._billed: tuple[HostedPod, ...] | None = None
        self._keys: tuple[ChannelKey, ...] = ()
        self._usage: Usage | None = None
        self._seen_ns = 0
        self._left: dict[Resource, int] = {}

    @property
    def billed(self) -> Sequence[HostedPod]:
        """The pods that a billing tick is about, in order of namespace."""
        if self._billed is None:
            self._billed = tuple(p for _, p in sorted(self._pods.items()) if p.phase in BILLABLE)
            self._keys = tuple(p.key for p in self._billed)
        return self._billed

    @property
    def keys(self) -> tuple[ChannelKey, ...]:
        """Their channels: the same object while they are the same pods."""
        return self._keys if self.billed else ()

    # ------------------------------------------------------------ readings

    def readings_of(self, pod: HostedPod, usage: Usage) -> Sequence[Reading] | None:
        """What goes into a pod's meter: the cluster's readings, one a version; None when it has none."""
        return usage.readings.get(pod.namespace)

    def prices_of(self, pod: HostedPod) -> PriceTable:
        """What a pod's use is priced by: the table of its Offer."""
        return pod.prices

    def take(self, usage: Usage) -> list[tuple[HostedPod, bool]]:
        """A tick's readings.

        Returns:
            The pods to look at, and whether the meter of each moved; the others can be brought.
        """
        self._usage = usage
        if not usage.passed:
            return []
        return [(p, self.meter(p, usage)) for p in self.billed if p.namespace in usage.passed]

    def meter(self, pod: HostedPod, usage: Usage, *, final: bool = False) -> bool:
        """Step 12: take the readings into the pod's meter and price them, exactly.

        Returns:
            Whether the meter moved.
        """
        readings, meter = self.readings_of(pod, usage), pod.meter
        if readings is None:
            return False
        if not final:
            moved = meter.grow(usage.at_ns, readings)
        elif moved := usage.at_ns >= meter.at_ns:
            meter.read(usage.at_ns, readings, final=True)
        if moved:
            pod.owed = meter.scaled_owed(self.prices_of(pod)) // COST_SCALE
        return moved

    def bring(self, pod: HostedPod) -> bool:
        """Bring a pod that ticks passed over to where the last of them would have: its meter, and when it was seen.

        Returns:
            Whether the meter moved.
        """
        if self._usage is None or pod.namespace not in self.marks:
            return False
        pod.seen_ns = max(pod.seen_ns, self._seen_ns)
        return self.meter(pod, self._usage)

    def used(self) -> tuple[int, Mapping[Resource, int]]:
        """All that pods have used, those that have gone since this process began included.

        Returns:
            The instant that this is true at, which is the last billing tick's [Unix ns]; 0 before one. And by
            resource base units × ms.
        """
        total = dict(self._left)
        for pod in self._pods.values():
            self.bring(pod)
            _add(total, pod)
        return self._usage.at_ns if self._usage is not None else 0, total

    def leave(self, pod: HostedPod) -> None:
        """The pod is settled and will be known no more; what it used stays counted."""
        _add(self._left, pod)

    # ------------------------------------------------------------ marks

    def seen(self, now_ns: int) -> None:
        """The channels of all pods were seen now; those of the pods that were not looked at have not changed."""
        self._seen_ns = now_ns

    def pass_over(self, owed_to: Mapping[str, int]) -> None:
        """Set the marks anew.

        Args:
            owed_to: by namespace, what claims let a pod owe [token base units]; who is not named is always looked at.
        """
        marks = {}
        for pod in self.billed:
            most = min(owed_to.get(pod.namespace, -1), pod.calm_to)
            if most >= pod.owed and pod.phase is not Phase.SUSPENDED and pod.asked is None:
                mark = pod.meter.mark(self.prices_of(pod), most)
                if mark is not None:
                    marks[pod.namespace] = mark
        if marks != self.marks:
            self.marks = marks

    def stir(self, pod: HostedPod) -> None:
        """Before its phase changes: the next tick looks at it, or bills it no more."""
        self.bring(pod)
        self._billed = None
        if pod.namespace in self.marks:
            self.marks = {name: mark for name, mark in self.marks.items() if name != pod.namespace}


def _add(total: dict[Resource, int], pod: HostedPod) -> None:
    for (resource, usage), amount in pod.meter.cumulative().items():
        if not usage:
            total[resource] = total.get(resource, 0) + amount
