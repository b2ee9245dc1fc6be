"""A planner's welfare: more than any market could reach, by what is known of requests and machines before anything is drawn.

The planner serves requests, or not, in any fractions, each at once, on any machine of any provider, and pays what a reserved
core costs there for as long as the request needs at least; nobody pays gas, no replica starts or waits. What a request needs
is processor time, and a second of one core is the same to all: so the best plan sells to those to whom a second is worth
most, from those to whom it costs least, for as long as it is worth more than it costs (the area between a demand and a supply
curve). `docs/background/economics.md` derives why no market does better.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one publisher's users ask for.

    Attributes:
        requests: how many, 0 or more.
        worth: what one is worth at its best [any money]; negative: better not served.
        core_s: processor time that one needs at least [core-seconds], 0 or more.
    """

    requests: float
    worth: float
    core_s: float


@dataclass(frozen=True, slots=True)
class Offered:
    """What one provider has.

    Attributes:
        core_s: processor time of all its machines [core-seconds].
        cost: what using one core-second costs it [the same money].
    """

    core_s: float
    cost: float


@dataclass(frozen=True, slots=True)
class Plan:
    """The best plan: what each publisher gains, before costs, and what each provider spends; in the order given."""

    worth: tuple[float, ...]
    cost: tuple[float, ...]

    @property
    def welfare(self) -> float:
        """What all gain less what all spend."""
        return math.fsum(self.worth) - math.fsum(self.cost)


def best_plan(wanted: Sequence[Wanted], offered: Sequence[Offered]) -> Plan:
    """The plan of the greatest welfare."""
    worth, cost = [0.0] * len(wanted), [0.0] * len(offered)
    cheapest = sorted(range(len(offered)), key=lambda i: offered[i].cost)
    room = [offer.core_s for offer in offered]
    buyers = sorted(range(len(wanted)), key=lambda i: -_a_second(wanted[i]))
    for buyer in buyers:
        want = wanted[buyer]
        if want.worth <= 0 or want.requests <= 0:
            continue
        if want.core_s == 0:
            worth[buyer] = want.requests * want.worth
            continue
        left = want.requests
        while left > 0 and cheapest and offered[cheapest[0]].cost * want.core_s < want.worth:
            seller = cheapest[0]
            most = room[seller] / want.core_s
            served = min(left, most)
            left -= served
            worth[buyer] += served * want.worth
            cost[seller] += served * want.core_s * offered[seller].cost
            room[seller] -= served * want.core_s
            if served == most:
                cheapest.pop(0)
    return Plan(tuple(worth), tuple(cost))


def _a_second(want: Wanted) -> float:
    """What a core-second is worth to it."""
    return math.inf if want.core_s == 0 else want.worth / want.core_s
