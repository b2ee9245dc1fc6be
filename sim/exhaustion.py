"""The exact instant at which a pod's use first costs all that its channel holds.

This is what happens, not what anybody knows: the provider learns of it at its tick or its wake. Meters
are piecewise linear on whole milliseconds, the kernel says when the number of billed replicas changed,
and `metering.crossing` solves for the instant in whole numbers. The kernel holds no money.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from protocol.metering import Change, Meter, crossing
from protocol.pricing import COST_SCALE, burn
from protocol.units import NS_PER_MS
from sim.dues import BURN_MAX

if TYPE_CHECKING:
    from protocol.payment import ChannelKey
    from protocol.pricing import PriceTable
    from sim.cluster import Tenant
    from sim.dues import Dues

REPLICAS: Final = 0
BYTES: Final = 1
"""Kinds of rows that a data plane's `take_transitions` gives."""
CHANGES_KEPT: Final = 256
"""Changes of a pod's replicas that are kept, 20 KB, before it is looked at for their sake."""


@dataclass(slots=True)
class Purse:
    """One life of a channel, seen from outside.

    Attributes:
        key, life: which.
        holds: what can be spent before nothing is left: invested less what the grace time reserves [base units].
        exhausted_ns: when the use first cost as much; None while it has not.
    """

    key: ChannelKey
    life: int
    holds: int = 0
    exhausted_ns: int | None = None


@dataclass(slots=True)
class _Watch:
    """One tenant: its purse, its prices, and its meter's changes since it was last looked at.

    A pod without volumes and bytes costs `fixed + burn × billed_ms`. It is `quiet`: nothing is to be learnt from it
    before its funds or its spec change, for the crossing is solved between two looks, however far apart. What it owes
    is on its `account`; what another pod owes is there as it was found at the last look.
    """

    tenant: Tenant
    purse: Purse
    prices: PriceTable
    meter: Meter
    account: int
    changes: list[Any] = field(default_factory=list)
    looked_ns: int = 0
    owed_scaled: int = 0
    held: int = 0
    replicas: int = 0
    transfer: int = 0
    quiet: bool = False


class Exhaustions:
    """Watches every pod of one provider.

    Look at a pod whenever what its channel holds is about to change, and at each billing tick: how often is
    of no consequence, because the cost never falls and the crossing is solved between two looks.

    Args:
        dues: where is kept what the pods owe.
        owner: the provider's number there.
        restless: owners of whom some pod is `due`; is kept so.
    """

    def __init__(self, dues: Dues, owner: int, restless: set[int]) -> None:
        self._dues = dues
        self._owner = owner
        self._restless = restless
        self._watched: dict[int, _Watch] = {}
        self._due: dict[int, _Watch] = {}  # those that are not quiet or have too many changes

    def begin(self, tenant: Tenant, purse: Purse, prices: PriceTable, meter: Meter, now_ns: int) -> None:
        """Watch a pod from its configuration on.

        Args:
            tenant: the pod.
            purse: its channel.
            prices: of its Offer.
            meter: a meter of the world's own, configured with the pod's first version.
            now_ns: the present.
        """
        index, account = tenant.caller.spec.pod_index, self._dues.open(self._owner, tenant.caller.handle)
        self._watched[index] = _Watch(tenant, purse, prices, meter, account, looked_ns=now_ns)
        self._want(self._watched[index])

    def watched(self, tenant: Tenant) -> Meter | None:
        """The world's meter of a pod."""
        watch = self._watched.get(tenant.caller.spec.pod_index)
        return watch.meter if watch else None

    def due(self) -> list[Tenant]:
        """The pods that have to be looked at; for all others it does just as well later."""
        return [watch.tenant for watch in self._due.values()]

    def disturb(self, tenant: Tenant) -> None:
        """Its funds or its spec change: it is due next time."""
        watch = self._watched.get(tenant.caller.spec.pod_index)
        if watch is not None:
            watch.quiet = False
            self._want(watch)

    def end(self, tenant: Tenant) -> None:
        """Watch no more."""
        watch = self._watched.pop(tenant.caller.spec.pod_index, None)
        if watch is not None:
            self._dues.close(watch.account)
            self._spare(watch)

    def take(self, rows: Any) -> None:
        """Keep what changed: rows of `DataPlane.take_transitions`."""
        for at_ns, pod_index, kind, a, b in rows.tolist():
            watch = self._watched.get(pod_index)
            if watch is not None and watch.purse.exhausted_ns is None:
                watch.changes.append((at_ns, kind, a, b))
                if len(watch.changes) == CHANGES_KEPT:
                    self._want(watch)

    def look(self, tenant: Tenant, now_ns: int) -> None:
        """Find the crossing, if it came since the last look; the tenant's readings are those of now."""
        watch = self._watched.get(tenant.caller.spec.pod_index)
        if watch is None:
            return
        before = watch.meter
        segment = before.segments[-1]
        old_replica_ms = segment.replica_ms
        reading = tenant.readings[-1]
        if (
            not watch.changes
            and (reading.replica_ms, reading.bound_ms) == (old_replica_ms, segment.bound_ms)
            and reading.version == segment.version
            and watch.purse.holds == watch.held
        ):
            watch.looked_ns = now_ns  # it slept, as most pods do at most looks
            return
        watch.held = watch.purse.holds
        base_scaled = watch.owed_scaled
        before.read(now_ns, tenant.readings)
        watch.owed_scaled = before.scaled_owed(watch.prices)
        if watch.purse.exhausted_ns is None and watch.owed_scaled >= watch.purse.holds * COST_SCALE:
            watch.purse.exhausted_ns = self._solve(watch, tenant, base_scaled, old_replica_ms, now_ns)
        for _, kind, a, b in watch.changes:
            if kind == REPLICAS:
                watch.replicas = a
            else:
                watch.transfer = a * watch.prices.egress + b * watch.prices.ingress
        watch.changes.clear()
        watch.looked_ns = now_ns
        self._quieten(watch)

    def _solve(self, watch: _Watch, tenant: Tenant, base_scaled: int, replica_ms: int, now_ns: int) -> int:
        """Solve within the window since the last look. "More than holds − 1" is "at least holds"."""
        segment = watch.meter.segments[-1]
        replica_burn, volume_burn = burn(watch.prices, segment.replica), burn(watch.prices, segment.volumes)
        start_ns = watch.looked_ns
        changes = [Change(start_ns, watch.replicas, replica_ms)]
        transfer = 0
        offset = tenant.base[0]
        for at_ns, kind, a, b in watch.changes:
            last = changes[-1]
            if kind == REPLICAS:
                at_replica_ms = b + a * (at_ns // NS_PER_MS) - offset
                changes.append(Change(at_ns, a, at_replica_ms, transfer))
            else:
                transfer = (a * watch.prices.egress + b * watch.prices.ingress - watch.transfer) * COST_SCALE
                at_replica_ms = last.replica_ms + last.replicas * (
                    at_ns // NS_PER_MS - last.at_ns // NS_PER_MS
                )
                changes.append(Change(at_ns, last.replicas, at_replica_ms, transfer))
        found = crossing(
            changes,
            available=watch.purse.holds - 1,
            base=base_scaled - replica_ms * replica_burn,
            replica_burn=replica_burn,
            volume_burn=volume_burn,
            end_ns=now_ns,
        )
        return now_ns if found is None else found

    def _quieten(self, watch: _Watch) -> None:
        """Work out what the pod costs from now on; it was looked at now."""
        tenant, segment, spec = watch.tenant, watch.meter.segments[-1], watch.tenant.caller.spec
        grows = burn(watch.prices, segment.replica)
        loud = tenant.bound_from_ms is not None or spec.request_bytes or spec.response_bytes
        watch.quiet = not loud and grows <= BURN_MAX
        if watch.quiet:
            fixed = watch.owed_scaled - grows * (tenant.base[0] + segment.replica_ms)
            self._dues.put(watch.account, fixed, grows)
            self._spare(watch)
        else:
            self._dues.put(watch.account, watch.owed_scaled)
            self._want(watch)

    def _want(self, watch: _Watch) -> None:
        """It is due until it is spared."""
        self._due[watch.tenant.caller.spec.pod_index] = watch
        self._restless.add(self._owner)

    def _spare(self, watch: _Watch) -> None:
        """It is due no more."""
        self._due.pop(watch.tenant.caller.spec.pod_index, None)
        if not self._due:
            self._restless.discard(self._owner)
