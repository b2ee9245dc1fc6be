"""What a publisher does when its pod was removed by the provider or the provider is gone."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

from protocol.errors import BadInput
from protocol.units import NS_PER_S


class Then(StrEnum):
    """What comes next."""

    LEAVE = "leave"
    REDEPLOY = "redeploy"


@dataclass(frozen=True, slots=True)
class Loss:
    """What the publisher knows.

    Attributes:
        reason: the provider's rule, such as `FundsExhausted`, or `ProviderSilent`.
        times: how often this pod was lost, this time included.
    """

    reason: str
    times: int


class OnLoss(Protocol):
    """Decides what to do after a loss."""

    def decide(self, loss: Loss) -> Then:
        """Leave the market, or begin again at step 2."""
        ...

    def wait_ns(self) -> int:
        """Nanoseconds to wait before beginning again."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """Take back what is left and leave: what the seed does."""

    def decide(self, loss: Loss) -> Then:
        """See `OnLoss.decide`."""
        return Then.LEAVE

    def wait_ns(self) -> int:
        """See `OnLoss.wait_ns`."""
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Redeploy:
    """Begin again elsewhere, a bounded number of times.

    Attributes:
        times: most losses to answer with a new deployment.
        wait: nanoseconds before each.
    """

    times: int = 3
    wait: int = field(default=60 * NS_PER_S, metadata={"unit": "duration"})

    def __post_init__(self) -> None:
        if self.times < 1:
            raise BadInput(f"times: {self.times}; allowed are whole numbers of 1 and more")
        if self.wait < 0:
            raise BadInput(f"wait: {self.wait}; allowed are durations of 0 and more")

    def decide(self, loss: Loss) -> Then:
        """See `OnLoss.decide`."""
        return Then.REDEPLOY if loss.times <= self.times else Then.LEAVE

    def wait_ns(self) -> int:
        """See `OnLoss.wait_ns`."""
        return self.wait


ON_LOSS: Final[dict[str, type]] = {"leave": Leave, "redeploy": Redeploy}
"""Short names."""
