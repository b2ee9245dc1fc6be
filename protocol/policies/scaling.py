"""How many replicas a pod runs, by a class of one's own; the rules that are built in are `protocol.scaling`.

Unlike other policies an instance belongs to one pod, from the moment it is deployed to its end or its next version, so
it may remember what it likes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from protocol.policies import Chance


@dataclass(frozen=True, slots=True)
class Demand:
    """What the facade knows of a pod.

    Attributes:
        now_ns: the present [Unix ns].
        pending: requests that are held, queued or in service.
        mean_pending: their mean since the rule was last asked; `pending` the first time.
        ready: replicas that serve.
        starting: replicas that are to serve and do not yet: without room, pulling, starting.
        wanted: what the rule answered last, within its bounds; 0 before.
        chance: the pod's stream for scaling.
    """

    now_ns: int
    pending: int
    mean_pending: float
    ready: int
    starting: int
    wanted: int
    chance: Chance


@dataclass(frozen=True, slots=True)
class Scale:
    """What is to be.

    Attributes:
        replicas: how many, 0 and more; `min_replicas` and `max_replicas` bound it.
        after_ns: when the rule is asked again, above 0 [ns]; with no replicas wanted, a request asks it at once.
    """

    replicas: int
    after_ns: int


class Scaling(Protocol):
    """Decides how many replicas a pod runs."""

    def scale(self, demand: Demand) -> Scale:
        """How many from now on; asked when the pod is deployed, and then when it said."""
        ...


A_SCALE = "a Scale of whole numbers: 0 or more replicas, and above 0 nanoseconds"


def is_scale(answer: Any) -> bool:
    """A number of replicas and a time."""
    return (
        isinstance(answer, Scale)
        and type(answer.replicas) is int
        and type(answer.after_ns) is int
        and answer.replicas >= 0
        and answer.after_ns > 0
    )
