"""`Network` between simulated parties: latency, bandwidth, loss, duplicates, partitions, crashed peers.

The k-th call of a party always takes the same draws, whomever it calls and whatever others do.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from simpy import Timeout

from protocol import ports
from protocol.units import NS_PER_S, PeerId
from sim.tasks import Process, call_at, divert

if TYPE_CHECKING:
    from simpy import Environment

    from sim.kernel.streams import Stream
    from sim.laws import Law


@dataclass(frozen=True, slots=True)
class Links:
    """How messages travel.

    Attributes:
        far: one-way latency between regions [s].
        near: one-way latency within a region [s].
        loss_prob: chance that one message, request or answer, is lost, in [0, 1).
        duplicate_prob: chance that a request arrives twice, in [0, 1).
        bytes_per_s: bandwidth of every party's line [B/s].
    """

    far: Law
    near: Law
    loss_prob: float
    duplicate_prob: float
    bytes_per_s: int


@dataclass(slots=True)
class Place:
    """A peer: where it is and, while its process lives, who answers.

    Attributes:
        region: decides the latency to others.
        process: the incarnation that answers now; None while it is down.
        handlers: by protocol name; those of the present incarnation.
    """

    region: str
    process: Process | None = None
    handlers: dict[str, ports.Handler] = field(default_factory=dict)


class Web:
    """The network itself.

    Args:
        env: the simulation.
        links: how messages travel.
    """

    def __init__(self, env: Environment, links: Links) -> None:
        self.env = env
        self.links = links
        self.places: dict[PeerId, Place] = {}
        self._cut: Counter[frozenset[str]] = Counter()  # partitions may overlap

    def cut(self, one: str, other: str) -> None:
        """Partition two regions (or one region in itself) from now on."""
        self._cut[frozenset((one, other))] += 1

    def mend(self, one: str, other: str) -> None:
        """End a partition."""
        self._cut[frozenset((one, other))] -= 1

    def joined(self, one: Place, other: Place) -> bool:
        """Whether messages pass between the two places now."""
        return not self._cut or not self._cut[frozenset((one.region, other.region))]

    def delay_ns(self, one: Place, other: Place, size_bytes: int, u: float) -> int:
        """How long one message takes [ns]."""
        law = self.links.near if one.region == other.region else self.links.far
        return int(law.quantile(u) * NS_PER_S) + size_bytes * NS_PER_S // self.links.bytes_per_s


class SimNetwork:
    """See `ports.Network`.

    Args:
        web: the network.
        process: the calling process.
        peer_id: who we are; must be a place of the web.
        stream: this party's draws for calls.
    """

    def __init__(self, web: Web, process: Process, peer_id: PeerId, stream: Stream) -> None:
        self._web = web
        self._process = process
        self._peer_id = peer_id
        self._stream = stream

    @property
    def peer_id(self) -> PeerId:
        """See `ports.Network.peer_id`."""
        return self._peer_id

    def serve(self, protocol: str, handler: ports.Handler) -> None:
        """See `ports.Network.serve`."""
        self._process.check()
        place = self._web.places[self._peer_id]
        place.process = self._process
        place.handlers[protocol] = handler

    async def call(
        self, peer: ports.Peer, protocol: str, message: bytes, *, deadline_ns: int
    ) -> bytes | ports.NoAnswer:
        """See `ports.Network.call`."""
        process, web = self._process, self._web
        process.check()
        draw = self._stream.next
        there, back, lost_there, lost_back, twice = draw(), draw(), draw(), draw(), draw()
        here = web.places[self._peer_id]
        target = web.places.get(peer.peer_id)
        if target is None:
            return ports.NoAnswer(sent=False, reason="no such peer")
        if not web.joined(here, target):
            await process.sleep_until(process.true_ns(deadline_ns))
            return ports.NoAnswer(sent=False, reason="no route")
        answered = Timeout(web.env, max(0, process.true_ns(deadline_ns) - process.now))
        loss = web.links.loss_prob

        def arrive() -> None:
            callee = target.process
            handler = target.handlers.get(protocol)
            if callee is None or not callee.alive or handler is None or not web.joined(here, target):
                return

            async def handle(callee: Process = callee, handler: ports.Handler = handler) -> None:
                answer = await handler(self._peer_id, message)
                if lost_back >= loss and web.joined(here, target):
                    delay_ns = web.delay_ns(target, here, len(answer), back)
                    call_at(web.env, process.now + delay_ns, partial(divert, answered, answer))

            callee.start(protocol, handle())

        if lost_there >= loss:
            at_ns = process.now + web.delay_ns(here, target, len(message), there)
            call_at(web.env, at_ns, arrive)
            if twice < web.links.duplicate_prob:
                call_at(web.env, at_ns + web.delay_ns(here, target, len(message), twice), arrive)
        answer = await process.wait(answered)
        return ports.NoAnswer(sent=True, reason="deadline passed") if answer is None else answer


if TYPE_CHECKING:
    _is_a_network: type[ports.Network] = SimNetwork
