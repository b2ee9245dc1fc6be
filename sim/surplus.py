"""What a run was worth to each party, in the numéraire, and what a planner would have made of the same world.

Payments count at the rate of the block that made them, what is owed and covered at the end at the last rate, and what running
a provider costs at the rate as the run began: power is bought with other money, and the scenario says its price then.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from protocol.units import MS_PER_S, NS_PER_S
from sim.planner import Offered, Wanted, best_plan
from sim.rates import FIAT_UNITS
from sim.scenario import convert

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sim.parties import ProviderParty, PublisherParty
    from sim.recorder import Attempt, Life
    from sim.scenario.demand import Value
    from sim.world import World


def covered(life: Mapping[str, Any]) -> int:
    """What of a life's debt is in its channel and not claimed [token base units]."""
    if life["status"] == "closed":
        return 0
    owed, left = int(life["owed"]), int(life["invested"] - life["returned"])
    return max(0, min(owed, left) - int(life["withdrawn"]))


class Surplus:
    """The columns of `providers` and `publishers` that are in the numéraire.

    Args:
        world: the world, which will not run any more.
        now_ns: the instant that it came to [Unix ns].
    """

    def __init__(self, world: World, now_ns: int) -> None:
        self._world = world
        self._now_ns = now_ns
        self._span_s = Fraction(now_ns - world.start_ns, NS_PER_S)
        wanted = {name: self._wanted(party) for name, party in world.publishers.items()}
        offered = {name: self._offered(party) for name, party in world.providers.items()}
        plan = best_plan(list(wanted.values()), list(offered.values()))
        self._best = dict(zip(wanted, plan.worth, strict=True)) | dict(zip(offered, plan.cost, strict=True))

    def provider(self, party: ProviderParty, lives: Iterable[Life]) -> dict[str, int]:
        """A provider's columns."""
        revenue = self._paid(lives)
        gas = self._world.recorder.fees_fiat.get(party.name, 0)
        idle, busy = self._idle(party), party.member.group.cost.busy
        running = self._at_start(idle + busy * Fraction(party.cpu_millis_ms, 1000 * MS_PER_S))
        return {
            "revenue_fiat": revenue,
            "gas_fiat": gas,
            "running_fiat": running,
            "surplus": revenue - gas - running,
            "planner_cost": self._at_start(idle) + round(self._best[party.name]),
        }

    def publisher(
        self, party: PublisherParty, lives: Iterable[Life], attempts: Iterable[Attempt], served: int
    ) -> dict[str, Any]:
        """A publisher's columns; `served` is how many of its requests were answered."""
        lives = list(lives)
        spent = self._paid(lives)
        gas = self._world.recorder.fees_fiat.get(party.name, 0)
        worth = self._world.worth
        loss = sum(
            x.invested_fiat
            - x.returned_fiat
            - x.withdrawn_fiat
            - worth.fiat(x.row["available_at_end"], self._now_ns)
            for x in lives
        )
        said = party.member.group.value
        value = None if said is None else _value(said, served, sum(a.latency_ns for a in attempts))
        return {
            "value": value,
            "spent_fiat": spent,
            "gas_fiat": gas,
            "holding_loss": loss,
            "surplus": None if value is None else value - spent - gas,
            "planner_value": round(self._best[party.name]),
        }

    def _paid(self, lives: Iterable[Life]) -> int:
        worth = self._world.worth
        return sum(x.withdrawn_fiat + worth.fiat(covered(x.row), self._now_ns) for x in lives)

    def _at_start(self, base: Fraction) -> int:
        """An exact amount of the payment token as it was worth when the run began [numéraire × 10^-12]."""
        scenario, worth = self._world.scenario, self._world.worth
        rate = worth.payment.at(self._world.start_ns)
        return int(base * rate * FIAT_UNITS / scenario.payment_token.base_units)

    def _idle(self, party: ProviderParty) -> Fraction:
        """What its machines cost while they are on, which nobody can help [token base units]."""
        return party.member.group.cost.idle * len(party.machines.nodes) * self._span_s

    def _offered(self, party: ProviderParty) -> Offered:
        cores = sum(node.cpu_millis for node in party.machines.nodes) / 1000
        a_second = self._at_start(party.member.group.cost.busy * 10**9) / 10**9
        return Offered(cores * float(self._span_s), a_second)

    def _wanted(self, party: PublisherParty) -> Wanted:
        """What the callers of a pod wanted: each request once, at its best, by the mean of what it has to be served for."""
        group, said = party.member.group, party.member.group.value
        if said is None:
            return Wanted(0, 0.0, 0.0)
        caller = self._world.callers[party.address]
        now = caller.count(self._now_ns)
        requests = caller.arrivals + now.arrivals - caller.retried - now.retried
        laws = [convert.to_service(party.member), convert.to_first_service(party.member)]
        service_s = min(law.mean for law in laws if law is not None)
        if not math.isfinite(service_s):  # no bound follows from it: as if serving took no time
            service_s = 0.0
        at_once = 1 if group.discipline == "processor_sharing" else group.slots
        core_s = self._world.cpu_millis(party.name) / 1000 * service_s / at_once
        return Wanted(requests, said.request - float(said.latency_per_s) * service_s, core_s)


def _value(said: Value, served: int, latency_ns: int) -> int:
    """What requests served were worth [numéraire × 10^-12].

    Args:
        said: what the scenario says of one.
        served: how many.
        latency_ns: what their clients waited, added up: of a sketch, so within 0.8 %.
    """
    return served * said.request - int(said.latency_per_s * latency_ns / NS_PER_S)
