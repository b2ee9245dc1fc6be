"""Publishers that take more than they pay for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from protocol.errors import BadInput
from protocol.guard import Guard, Wanted, Wish
from protocol.publisher import PublisherClient
from protocol.sender import pause
from protocol.units import NS_PER_S

if TYPE_CHECKING:
    from protocol.ports import Mailbox
    from protocol.renting import Failed, Rental


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitRace:
    """When and how a publisher races.

    Attributes:
        after: how long after the agreement it unlocks [ns].
        shortest: whether its channels have the shortest unlock time that the Offer allows, instead of its own.
    """

    after: int = field(default=1800 * NS_PER_S, metadata={"unit": "duration"})
    shortest: bool = True

    def __post_init__(self) -> None:
        if self.after < 0:
            raise BadInput(f"after: {self.after}; allowed are durations of 0 and more")


class _Racing(Guard):
    """Watches as the honest guard does until the race begins, which the mailbox brings like any wish."""

    conduct: ExitRace

    async def watch(self, rental: Rental, *, again: bool = False) -> str:
        """See `Guard.watch`."""
        self._world.tasks.start("exit", self._exit(rental, rental.provider, rental.life))
        return await super().watch(rental, again=again)

    async def _exit(self, rental: Rental, provider: bytes | None, life: int) -> None:
        at_ns = rental.agreed_ns + self.conduct.after
        await pause(self._world, max(0, at_ns - self._world.clock.now_ns()))
        if (rental.provider, rental.life) == (provider, life) and not rental.reason:
            self._wishes.put(Wanted(Wish.UNLOCK))


class ExitRacer(PublisherClient):
    """A publisher that unlocks while it goes on consuming, and hopes to be out before the provider has noticed and claimed.

    It takes the rest at the instant at which the unlock ends. The pod is used until the provider stops it.
    """

    Conduct = ExitRace

    def __init__(self, *args: Any, conduct: ExitRace, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conduct = conduct

    async def run(self, rental: Rental, wishes: Mailbox[Wanted]) -> None:
        """See `PublisherClient.run`."""
        guard = _Racing(self, wishes)
        guard.conduct = self.conduct
        await guard.run(rental)

    async def open_channel(self, rental: Rental) -> Failed | None:
        """See `PublisherClient.open_channel`."""
        said = self.settings
        if self.conduct.shortest and rental.offer is not None:
            self.settings = replace(said, unlock_time_s=rental.offer.min_unlock_s)
        try:
            return await super().open_channel(rental)
        finally:
            self.settings = said
