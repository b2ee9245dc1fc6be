"""What a publisher does when its pod was removed by the provider or the provider is silent."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

from protocol.errors import BadInput
from protocol.units import NS_PER_S

if TYPE_CHECKING:
    from protocol.policies import Chance


class Then(StrEnum):
    """What comes next."""

    LEAVE = "leave"
    REDEPLOY = "redeploy"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Loss:
    """What the publisher knows.

    Attributes:
        reason: the provider's rule, such as `FundsExhausted`; `ProviderSilent`; or why no provider took the pod.
        times: how often this pod was lost, this time included.
        now_ns: the present by its clock [Unix ns].
        silent_ns: for how long the provider has not answered [ns]; 0 when it is not silence.
        can_wait: whether the pod may still be there, so that waiting for its provider is possible.
        chance: its stream for these decisions.
    """

    reason: str
    times: int
    now_ns: int
    silent_ns: int
    can_wait: bool
    chance: Chance


class OnLoss(Protocol):
    """Decides what to do after a loss."""

    def decide(self, loss: Loss) -> Then:
        """Leave the market, begin again at step 2, or (if `loss.can_wait`) ask the provider on.

        Who waits is asked again at its next look at the pod while the silence lasts; the channel stays as it is.
        """
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Wait for a silent provider to come back, and only then begin again elsewhere.

    The pod's volumes and its channel are kept meanwhile. A pod that was removed is begun again at once.

    Attributes:
        patience: silence that is waited out [ns].
        times: most losses to answer with a new deployment; 0: leave after the patience.
        wait: nanoseconds before each.
    """

    patience: int = field(default=3600 * NS_PER_S, metadata={"unit": "duration"})
    times: int = 3
    wait: int = field(default=60 * NS_PER_S, metadata={"unit": "duration"})

    def __post_init__(self) -> None:
        for name in ("patience", "wait"):
            if getattr(self, name) < 0:
                raise BadInput(f"{name}: {getattr(self, name)}; allowed are durations of 0 and more")
        if self.times < 0:
            raise BadInput(f"times: {self.times}; allowed are whole numbers of 0 and more")

    def decide(self, loss: Loss) -> Then:
        """See `OnLoss.decide`."""
        if loss.can_wait and loss.silent_ns < self.patience:
            return Then.WAIT
        return Then.REDEPLOY if loss.times <= self.times else Then.LEAVE

    def wait_ns(self) -> int:
        """See `OnLoss.wait_ns`."""
        return self.wait


ON_LOSS: Final[dict[str, type]] = {"leave": Leave, "redeploy": Redeploy, "wait": Wait}
"""Short names."""
