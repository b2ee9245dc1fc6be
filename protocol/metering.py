"""Metering: what a pod has used in one life of its channel, exactly, and when its funds are used up.

The cluster reports, for each version of a pod, integrals that only grow: replica-milliseconds,
milliseconds for which the volumes were bound, bytes sent and received. A `Meter` keeps the last reading
of each version beside what a replica and the volumes of that version hold; amounts and bills follow from
these whole numbers, so that nothing drifts, a lost tick loses nothing and a repeated one adds nothing.
A new version starts its integrals at zero, and so does a new life, which has a meter of its own.

Time resolution: whole milliseconds of the Unix clock. A replica that runs from instant a to instant b
(both in ns) is billed `b // 10**6 - a // 10**6` ms. A bill therefore changes only at whole milliseconds,
and `crossing` finds the first one at which it is more than what is available: on that grid it is exact.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from protocol.errors import BadInput, ProtocolError
from protocol.ports import Mark
from protocol.pricing import COST_SCALE, USAGE, AmountKey, PriceTable, burn, cost_of_reservation, margin
from protocol.units import MS_PER_S, NEVER_NS, NS_PER_MS, Resource

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from protocol.ports import Reading

NEVER_MS: Final = NEVER_NS // NS_PER_MS
"""More replica-milliseconds than any pod will have."""


class MeterFell(ProtocolError):
    """A reading is smaller than the one before; the meter is as it was."""


class MeterClosed(ProtocolError):
    """The last reading was taken; the meter is as it was."""


class UnknownVersion(ProtocolError):
    """A reading is of a version that was never configured; the meter is as it was."""


@dataclass(slots=True)
class Segment:
    """One version of the pod.

    Attributes:
        version: from 1.
        replica: what one replica holds, by resource, in base units.
        volumes: what the volumes hold while bound, by resource, in base units.
        replica_ms, bound_ms, egress_bytes, ingress_bytes: the last reading; see `ports.Reading`.
    """

    version: int
    replica: dict[Resource, int]
    volumes: dict[Resource, int]
    replica_ms: int = 0
    bound_ms: int = 0
    egress_bytes: int = 0
    ingress_bytes: int = 0

    @property
    def touched(self) -> bool:
        """Whether anything was read of this version."""
        return bool(self.replica_ms or self.bound_ms or self.egress_bytes or self.ingress_bytes)


@dataclass(slots=True)
class Meter:
    """What a pod has used in one life of its channel. Begin with `Meter.begin`, then `configure` each version.

    Attributes:
        life: the channel's life.
        at_ns: the instant of the last reading [Unix ns]; 0 before one.
        closed: whether the last reading was taken.
        segments: one a version, in order of version.
    """

    life: int
    at_ns: int = 0
    closed: bool = False
    segments: list[Segment] = field(default_factory=list)
    _rates: tuple[PriceTable, list[tuple[int, int]]] | None = field(default=None, compare=False, repr=False)
    _held: list[dict[str, Any]] | None = field(default=None, compare=False, repr=False)
    _owed: tuple[PriceTable, int] | None = field(default=None, compare=False, repr=False)

    @classmethod
    def begin(cls, *, life: int) -> Meter:
        """A meter at zero, for a new life.

        Args:
            life: the channel's life, from 1.
        """
        return cls(life)

    def configure(
        self, version: int, *, replica: Mapping[Resource, int], volumes: Mapping[Resource, int]
    ) -> None:
        """Say what a version holds, before any of it runs.

        Repeating it changes nothing; a version that was never read may be given anew (an update that was
        refused leaves its number to the next).

        Args:
            version: at least as new as the newest so far.
            replica: what one replica holds, by resource, in base units; only reservations.
            volumes: what the volumes hold while bound.

        Raises:
            BadInput: a resource is priced for usage, an amount is negative, or a version that ran would change.
            MeterClosed: the last reading was taken.
        """
        for resource, amount in (*replica.items(), *volumes.items()):
            if resource in USAGE or amount < 0:
                raise BadInput(f"{resource.value}: {amount}; allowed are reservations of 0 and more")
        if self.closed:
            raise MeterClosed(f"version {version} of life {self.life}")
        fresh = Segment(version, dict(replica), dict(volumes))
        last = self.segments[-1] if self.segments else None
        if last is None or version > last.version:
            self.segments.append(fresh)
        elif version < last.version or (
            last.touched and (last.replica, last.volumes) != (fresh.replica, fresh.volumes)
        ):
            raise BadInput(
                f"version {version}: it ran, or is older than {last.version}; configure a newer one"
            )
        elif not last.touched:
            self.segments[-1] = fresh
        self._forget()

    def withdraw(self, version: int) -> None:
        """Undo `configure` of a version that the cluster refused; one that ran stays."""
        if self.segments and self.segments[-1].version == version and not self.segments[-1].touched:
            self.segments.pop()
            self._forget()

    def _forget(self) -> None:
        """The versions have changed, and with them what follows from them."""
        self._rates = self._owed = self._held = None

    def read(self, at_ns: int, readings: Sequence[Reading], *, final: bool = False) -> None:
        """Take what the cluster reports.

        Args:
            at_ns: the instant the readings are true at [Unix ns].
            readings: one a version; those left out stay as they were.
            final: whether nothing runs any more; later readings are refused.

        Raises:
            MeterFell: a number or the instant is smaller than before; nothing was taken.
            UnknownVersion: a version was not configured; nothing was taken.
            MeterClosed: the last reading was taken before, and this one differs from it.
        """
        taken: list[tuple[Segment, Reading]] = []
        for reading in readings:
            segment = self._segment(reading.version)
            before = (segment.replica_ms, segment.bound_ms, segment.egress_bytes, segment.ingress_bytes)
            after = (reading.replica_ms, reading.bound_ms, reading.egress_bytes, reading.ingress_bytes)
            if after == before:
                continue  # a version that does not run any more
            if any(new < old for new, old in zip(after, before, strict=True)):
                raise MeterFell(f"version {reading.version}: {after} after {before}")
            taken.append((segment, reading))
        if self.closed:
            if taken:
                raise MeterClosed(
                    f"life {self.life} ended at {self.at_ns} ns; a reading of {at_ns} ns has more"
                )
            return
        if at_ns < self.at_ns:
            raise MeterFell(f"a reading of {at_ns} ns after one of {self.at_ns} ns")
        for segment, reading in taken:
            segment.replica_ms, segment.bound_ms = reading.replica_ms, reading.bound_ms
            segment.egress_bytes, segment.ingress_bytes = reading.egress_bytes, reading.ingress_bytes
        if taken:
            self._owed = None
        self.at_ns = at_ns
        self.closed = final

    def grow(self, at_ns: int, readings: Sequence[Reading]) -> bool:
        """As `read` of what still runs, unless it is what the meter shows already, or true at an earlier instant.

        Returns:
            Whether anything was taken.

        Raises:
            As `read`.
        """
        if at_ns < self.at_ns:
            return False  # an answer that a later one overtook adds nothing: readings are cumulative
        if len(readings) == len(self.segments) and not self.closed:
            grown = False
            for now, last in zip(readings, self.segments, strict=True):
                if (
                    now.version != last.version
                    or now.replica_ms < last.replica_ms
                    or now.bound_ms < last.bound_ms
                    or now.egress_bytes < last.egress_bytes
                    or now.ingress_bytes < last.ingress_bytes
                ):
                    break  # for `read` to refuse
                grown = grown or (
                    now.replica_ms > last.replica_ms
                    or now.bound_ms > last.bound_ms
                    or now.egress_bytes > last.egress_bytes
                    or now.ingress_bytes > last.ingress_bytes
                )
            else:
                if grown:
                    for now, last in zip(readings, self.segments, strict=True):
                        last.replica_ms, last.bound_ms = now.replica_ms, now.bound_ms
                        last.egress_bytes, last.ingress_bytes = now.egress_bytes, now.ingress_bytes
                    self.at_ns, self._owed = at_ns, None
                return grown
        self.read(at_ns, readings)
        return True

    def _segment(self, version: int) -> Segment:
        for segment in reversed(self.segments):
            if segment.version == version:
                return segment
        known = ", ".join(str(segment.version) for segment in self.segments)
        raise UnknownVersion(f"{version}; configured are {known or 'none'}")

    def cumulative(self) -> dict[AmountKey, int]:
        """All usage of the life: base units × ms for reservations, bytes for usage; in order of `Resource`, without zeros."""
        total = dict.fromkeys(Resource, 0)
        for segment in self.segments:
            for resource, amount in segment.replica.items():
                total[resource] += amount * segment.replica_ms
            for resource, amount in segment.volumes.items():
                total[resource] += amount * segment.bound_ms
            total[Resource.EGRESS] += segment.egress_bytes
            total[Resource.INGRESS] += segment.ingress_bytes
        return {(resource, resource in USAGE): n for resource, n in total.items() if n}

    def scaled_owed(self, prices: PriceTable) -> int:
        """Exact cost of `cumulative` in `pricing.COST_SCALE`-ths of a base unit.

        Raises:
            Refusal: `NoPrice`; a version holds a resource that has none.
        """
        if self._owed is not None and self._owed[0] is prices:
            return self._owed[1]
        if self._rates is None or self._rates[0] is not prices:
            self._rates = prices, [(burn(prices, s.replica), burn(prices, s.volumes)) for s in self.segments]
        total = 0
        for segment, (replica_burn, volume_burn) in zip(self.segments, self._rates[1], strict=True):
            total += segment.replica_ms * replica_burn
            if volume_burn:
                total += segment.bound_ms * volume_burn
            if segment.egress_bytes or segment.ingress_bytes:
                total += (
                    segment.egress_bytes * prices.egress + segment.ingress_bytes * prices.ingress
                ) * COST_SCALE
        self._owed = prices, total
        return total

    def owed(self, prices: PriceTable) -> int:
        """What the life costs so far [token base units], rounded down once over the whole sum.

        Raises:
            Refusal: `NoPrice`; a version holds a resource that has none.
        """
        return self.scaled_owed(prices) // COST_SCALE

    def mark(self, prices: PriceTable, owed: int) -> Mark | None:
        """How far the pod may run before the life costs more than `owed` [token base units].

        Returns:
            None where that cannot be said of replica-milliseconds alone: volumes and bytes that are priced cost, too,
            and a pod with more than one version may still run an older one.

        Raises:
            Refusal: `NoPrice`; a version holds a resource that has none.
        """
        if len(self.segments) != 1 or prices.egress or prices.ingress:
            return None
        (segment,) = self.segments
        left = (owed + 1) * COST_SCALE - 1 - self.scaled_owed(prices)
        assert self._rates is not None
        ((replica_burn, volume_burn),) = self._rates[1]
        if volume_burn:
            return None
        most = segment.replica_ms + left // replica_burn if replica_burn else NEVER_MS
        return Mark(segment.version, min(most, NEVER_MS))

    def reserve(self, prices: PriceTable, *, grace_s: int) -> int:
        """What the newest version's volumes will cost over the grace time [token base units], rounded up.

        It is kept back from the deposit, so that data outlives the funds by the grace time and is paid for.
        """
        if not self.segments:
            return 0
        held = {r: n * grace_s * MS_PER_S for r, n in self.segments[-1].volumes.items()}
        return cost_of_reservation(prices, held)

    def to_record(self) -> dict[str, Any]:
        """The stored form; what a version holds is written once and shared between records."""
        if self._held is None:
            self._held = [
                {"version": s.version, "replica": s.replica, "volumes": s.volumes}  # a Resource is its text
                for s in self.segments
            ]
        read = []
        for s in self.segments:
            read.append((s.replica_ms, s.bound_ms, s.egress_bytes, s.ingress_bytes))  # noqa: PERF401 - most have one
        return {
            "life": self.life,
            "at_ns": self.at_ns,
            "closed": self.closed,
            "held": self._held,
            "read": read,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Meter:
        """The meter of a stored form."""
        segments = [
            Segment(
                held["version"],
                {Resource(r): n for r, n in held["replica"].items()},
                {Resource(r): n for r, n in held["volumes"].items()},
                *read,
            )
            for held, read in zip(record["held"], record["read"], strict=True)
        ]
        return cls(record["life"], record["at_ns"], record["closed"], segments)


# ---------------------------------------------------------------- crossings


class Change(NamedTuple):
    """From this instant on, so many replicas are billed.

    Attributes:
        at_ns: when [Unix ns].
        replicas: how many are billed from then on.
        replica_ms: the version's replica-milliseconds at that instant.
        transfer: scaled cost of all bytes of the window so far. It is deemed to arise at this instant, for
            nothing says where between two changes the bytes went; pass changes with equal `replicas` for more detail.
    """

    at_ns: int
    replicas: int
    replica_ms: int
    transfer: int = 0


def crossing(
    changes: Sequence[Change],
    *,
    available: int,
    base: int,
    replica_burn: int,
    volume_burn: int,
    end_ns: int,
) -> int | None:
    """The first instant at which the bill is more than what is available.

    Between two changes the scaled cost is
    `base + replica_ms × replica_burn + transfer + (ms since the first change) × volume_burn`, piecewise
    linear on whole milliseconds. Solved in whole numbers, by bisection over the changes.

    Args:
        changes: in order of time, at least one; the first is the beginning of the window.
        available: what the bill may reach [token base units].
        base: scaled cost at the beginning of everything but this version's replica-milliseconds.
        replica_burn: scaled cost of one replica-millisecond, 0 or more.
        volume_burn: scaled cost of one millisecond of the volumes from the beginning on, 0 or more.
        end_ns: the end of the window, at or after the last change [Unix ns].

    Returns:
        Unix ns: a whole millisecond; or the change's own instant where its bytes do it, the beginning's when
        the bill is more already; None when it does not happen up to the millisecond of `end_ns`, included.

    Raises:
        BadInput: changes are missing or out of order, or end after `end_ns`.
    """
    if not changes:
        raise BadInput("changes: none; at least the window's beginning is needed")
    if end_ns < changes[-1].at_ns:
        raise BadInput(f"end_ns: {end_ns} is before the last change at {changes[-1].at_ns}")
    start_ms = changes[0].at_ns // NS_PER_MS
    need = margin(available, base)

    def spent(change: Change) -> int:
        volume_ms = change.at_ns // NS_PER_MS - start_ms
        return change.replica_ms * replica_burn + change.transfer + volume_ms * volume_burn

    first = bisect_left(changes, need, key=spent)
    if first == 0:
        return changes[0].at_ns
    before = changes[first - 1]
    before_ms = before.at_ns // NS_PER_MS
    limit_ms = (changes[first].at_ns if first < len(changes) else end_ns) // NS_PER_MS
    rate = before.replicas * replica_burn + volume_burn
    if rate:
        at_ms = before_ms + -(-(need - spent(before)) // rate)
        if at_ms <= limit_ms:
            return at_ms * NS_PER_MS
    # Not by running: by the bytes that are deemed to arise at the change itself, or not at all.
    return changes[first].at_ns if first < len(changes) else None


def changes_of(counts: Sequence[tuple[int, int]], *, replica_ms: int = 0) -> list[Change]:
    """Changes of a version from instants and replica counts alone.

    Args:
        counts: (Unix ns, replicas from then on), in order of time.
        replica_ms: the meter at the first instant.

    Raises:
        BadInput: instants fall, or a count is negative.
    """
    changes: list[Change] = []
    for at_ns, replicas in counts:
        if replicas < 0 or (changes and at_ns < changes[-1].at_ns):
            raise BadInput(f"({at_ns}, {replicas}): instants may not fall, counts are 0 and more")
        if changes:
            before = changes[-1]
            replica_ms += before.replicas * (at_ns // NS_PER_MS - before.at_ns // NS_PER_MS)
        changes.append(Change(at_ns, replicas, replica_ms))
    return changes
