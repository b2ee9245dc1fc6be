"""A publisher's signed calls to providers: sign, send, repeat, and tell a refusal from silence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from protocol import wire
from protocol.auth import Request
from protocol.errors import PeerFault, Refusal
from protocol.keccak import keccak256
from protocol.ports import NoAnswer
from protocol.renting import Failed
from protocol.units import NS_PER_S

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from protocol.eip712 import Domain
    from protocol.ports import Peer, World
    from protocol.renting import Rental
    from protocol.units import Address, PodId

LIFETIME_S: Final = 10
"""How long a signed request holds [s] (protocol.md, "Numbers"); the provider allows at most 60."""

NO_POD: Final = frozenset({"NoSuchPod", "RequestWrongLife"})
"""Refusals by which a provider says that it has no pod of ours in this life of its channel."""

A = TypeVar("A", bound="Message")


class Caller:
    """Calls providers on behalf of one publisher.

    Args:
        world: the publisher's ports.
        domain: the Payment contract's EIP-712 domain.
        timeout_ns: how long one try waits for an answer [ns].
        tries: how often an unanswered call is repeated, with the same id: the provider answers it once.
    """

    def __init__(self, world: World, domain: Domain, *, timeout_ns: int, tries: int) -> None:
        self._world = world
        self._domain = domain
        self._timeout_ns = timeout_ns
        self._tries = tries

    async def ask_status(self, rental: Rental) -> wire.pb.PodStatusResponse | NoAnswer | Failed:
        """How the pod is; `Failed` only when the provider says that there is no such pod.

        Any other refusal (of our clock, say) and an answer that is none say nothing about the pod.
        """
        try:
            return await self.ask(
                rental, wire.POD_STATUS, wire.pb.PodStatusRequest(), wire.pb.PodStatusResponse
            )
        except Refusal as refusal:
            if refusal.rule in NO_POD:
                return Failed(refusal.rule, refusal.detail)
            return NoAnswer(sent=True, reason=str(refusal))
        except PeerFault as fault:
            return NoAnswer(sent=True, reason=str(fault))

    async def ask(self, rental: Rental, method: str, body: Message, answer: type[A]) -> A | NoAnswer:
        """Call `method` at the provider of `rental`, about its pod and the life of its channel; see `call`."""
        assert rental.peer is not None and rental.provider is not None
        return await self.call(
            rental.peer,
            method,
            body,
            answer,
            provider=rental.provider,
            pod_id=rental.pod_id,
            life=rental.life,
            seq=rental.seq,
        )

    async def call(
        self,
        peer: Peer,
        method: str,
        body: Message,
        answer: type[A],
        *,
        provider: Address,
        pod_id: PodId,
        life: int,
        seq: int,
    ) -> A | NoAnswer:
        """Call `method` at `peer`.

        Args:
            peer: whom.
            method: the protocol's name.
            body: what to send.
            answer: the message that is expected.
            provider: the address that the peer must have.
            pod_id: which pod it is about.
            life: the life of the pod's channel; 0 before there is one.
            seq: higher than in any earlier mutation of this pod; any number for reads.

        Returns:
            The answer, or `NoAnswer` when nobody knows whether the call was carried out.

        Raises:
            Refusal: the provider said no; nothing was done.
            PeerFault: what came back is no answer.
        """
        data = wire.dump(body)
        request_id = self._world.entropy.draw(32)
        sent = False
        for _ in range(self._tries):
            now_ns = self._world.clock.now_ns()
            request = Request(
                method=method,
                publisher=self._world.signer.address,
                provider=provider,
                pod_id=pod_id,
                life=life,
                seq=seq,
                request_id=request_id,
                body_hash=keccak256(data),
                expires_at_s=now_ns // NS_PER_S + LIFETIME_S,
            )
            signature = self._world.signer.sign(request.digest(self._domain))
            envelope = wire.pb.Envelope(request=request.to_wire(), signature=signature, body=data)
            raw = await self._world.network.call(
                peer, method, wire.encode(envelope), deadline_ns=now_ns + self._timeout_ns
            )
            if isinstance(raw, NoAnswer):
                sent = sent or raw.sent
                continue
            message: Any = wire.parse(answer, wire.decode(raw).body)
            if message.HasField("refusal"):
                raise Refusal(_name(message.refusal.rule), message.refusal.detail)
            return message  # type: ignore[no-any-return]
        return NoAnswer(sent=sent, reason=f"no answer after {self._tries} tries")


def _name(rule: str) -> str:
    if not rule.isidentifier():
        raise PeerFault("MalformedMessage", f"a refusal by the rule {rule[:40]!r}, which is no name")
    return rule
