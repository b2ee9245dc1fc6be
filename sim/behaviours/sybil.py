"""One provider under several names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from protocol.errors import BadInput, Refusal
from protocol.identity import namespace
from protocol.provider import ProviderClient

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from protocol.auth import Request
    from protocol.hosting import HostedPod
    from protocol.ports import World

MOST = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Identities:
    """How many names a provider has.

    Attributes:
        identities: registrations, each with a key, a peer and a listing of its own; its gas is shared out evenly.
    """

    identities: int = 3

    def __post_init__(self) -> None:
        if not 1 <= self.identities <= MOST:
            raise BadInput(f"identities: {self.identities}; allowed are whole numbers from 1 to {MOST}")


class _Face(ProviderClient):
    """One of the names: an honest provider that does not offer to run what another of the names still has."""

    family: Sequence[ProviderClient] = ()

    async def offer(self, request: Request, body: bytes) -> Message:
        """See `ProviderClient.offer`."""
        name = namespace(request.publisher, request.pod_id)
        if any(name in other.pods for other in self.family if other is not self):
            raise Refusal("PodNotSettled", f"{name} has not ended")
        return await super().offer(request, body)


class Sybil(_Face):
    """A provider that is listed several times with the same machines, to be drawn more often where the choice is random.

    Args:
        args, kwargs: as `ProviderClient` takes them, for the first name.
        conduct: how many names.
        aliases: the ports of the others.
    """

    Conduct = Identities

    def __init__(
        self, world: World, *args: Any, conduct: Identities, aliases: Sequence[World], **kwargs: Any
    ) -> None:
        super().__init__(world, *args, **kwargs)
        self.others = [_Face(alias, *args, **kwargs) for alias in aliases]
        for face in (self, *self.others):
            face.family = (self, *self.others)

    async def run(self) -> None:
        """See `ProviderClient.run`."""
        for number, other in enumerate(self.others, start=1):
            self.world.tasks.start(f"identity {number}", other.run())
        await super().run()

    def hosted(self, name: str) -> HostedPod | None:
        """See `ProviderClient.hosted`."""
        found = [face.pods[name] for face in self.family if name in face.pods]
        return max(found, key=lambda pod: pod.accepted_ns, default=None)
