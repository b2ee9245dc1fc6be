"""From what a scenario says of the chain to what the ledger is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from protocol.units import NS_PER_S
from sim.chain import fees
from sim.chain.forks import NEVER, Forks
from sim.laws import Lognormal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sim.scenario.chain import Background, Chain


@dataclass(frozen=True, slots=True)
class Calendar:
    """When blocks are.

    Attributes:
        begin_s: time of block 0 [Unix s].
        start_ns: when the scenario starts [Unix ns]; what it says of times counts from there.
        block_s: time between blocks [s].
    """

    begin_s: int
    start_ns: int
    block_s: int

    def first(self, at_ns: int) -> int:
        """The first block at or after an instant of the scenario [ns since its start]."""
        since_ns = self.start_ns + at_ns - self.begin_s * NS_PER_S
        return -(-since_ns // (self.block_s * NS_PER_S))

    def spans(self, times: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """(first block, first block after) of (when, for how long) [ns]."""
        return [(self.first(at_ns), self.first(at_ns + for_ns)) for at_ns, for_ns in times]


def to_market(chain: Chain, calendar: Calendar, key: tuple[int, int]) -> fees.Market:
    """What gas costs.

    Args:
        chain: as the scenario has it.
        calendar: when blocks are.
        key: of the stream that other people's demand is drawn from.
    """
    said = chain.gas_price
    if isinstance(said, int):
        return fees.Constant(said)
    if said.steps is not None:
        # What comes before the scenario starts costs what its start does.
        first, *later = said.steps
        steps = [(0, first.price_wei), *((calendar.first(s.at_ns), s.price_wei) for s in later)]
        return fees.Steps(steps)
    assert said.eip1559 is not None, "a market has exactly one kind"
    return fees.Eip1559(
        base_wei=said.eip1559.base_wei,
        tip_wei=said.eip1559.tip_wei,
        block_gas=chain.block_gas,
        demand=_demand(said.eip1559.background, chain.block_gas // fees.ELASTICITY, calendar, key),
        still=still(chain, calendar),
    )


def to_forks(chain: Chain, calendar: Calendar, when: tuple[int, int], lost: tuple[int, int]) -> Forks:
    """How the chain changes its mind.

    Args:
        chain: as the scenario has it.
        calendar: when blocks are.
        when: key of the stream that reorganisations are drawn from.
        lost: key of the stream that what is lost in them is drawn from.
    """
    said = chain.reorgs
    if said is None:
        return NEVER
    return Forks(
        prob=float(said.prob),
        most=chain.confirmations - 1 if said.most is None else said.most,
        deeper=float(said.deeper),
        drop_prob=float(said.dropped),
        final=chain.confirmations,
        when=when,
        lost=lost,
        still=still(chain, calendar),
    )


def still(chain: Chain, calendar: Calendar) -> list[tuple[int, int]]:
    """The blocks that are not made, as (first, first after)."""
    return calendar.spans((o.at_ns, o.for_ns) for o in chain.outages)


def _demand(said: Background, target: int, calendar: Calendar, key: tuple[int, int]) -> fees.Demand:
    return fees.Demand(
        gas=int(target * said.load),
        usual_wei=said.usual_wei,
        tip_wei=said.tip_wei,
        law=Lognormal(1.0, float(said.cv)) if said.cv else None,
        key=key,
        surges=tuple(
            (first, end, surge.times)
            for surge, (first, end) in zip(
                said.surges, calendar.spans((s.at_ns, s.for_ns) for s in said.surges), strict=True
            )
        ),
    )
