"""A scaling rule that somebody brings: any Python, which the compiled kernel cannot call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from protocol import scaling
from protocol.policies.asking import ask_of
from protocol.policies.scaling import A_SCALE, Demand, Scale, is_scale
from sim.kernel.specs import Scaling

if TYPE_CHECKING:
    from protocol.policies import Chance


@dataclass(frozen=True, slots=True)
class OwnScaling(Scaling):
    """See `Scaling`; `params` hold the bounds alone.

    Args:
        name: whose it is, and its settings: equal rules have equal names.
        make: a new one.
        pod: for messages.
        chance: the pod's stream for scaling.
    """

    name: str
    pod: str
    make: Callable[[], Any] = field(compare=False)
    chance: Chance = field(compare=False)

    def asked(self, rule: Any, demand: Demand) -> Scale:
        """What a rule of this kind wants, within the bounds.

        Raises:
            PolicyFault: it raised, or its answer cannot be.
        """
        wanted: Scale = ask_of(
            self.pod, demand.now_ns, "scaling", rule, "scale", demand, ok=is_scale, allowed=A_SCALE
        )
        least, most = self.params[scaling.MIN_REPLICAS], self.params[scaling.MAX_REPLICAS]
        return Scale(min(max(wanted.replicas, least), most), wanted.after_ns)
