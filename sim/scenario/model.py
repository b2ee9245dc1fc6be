"""The scenario: the whole tree, and what follows from it.

`Scenario` is what a file says, read into exact numbers. The attribute's name carries the unit
(`duration_ns`), the file's key is the plain word (`duration`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sim.scenario.chain import Chain
from sim.scenario.demand import Publisher
from sim.scenario.fields import FIAT_DECIMALS, InstantNs, PositiveNs, WarmUp
from sim.scenario.laws import Model, key
from sim.scenario.optimise import Optimise
from sim.scenario.quantities import Denomination
from sim.scenario.supply import Provider
from sim.scenario.sweep import Sweep
from sim.scenario.tokens import Tokens
from sim.scenario.world import Count, Fault, Name, Network, Output, Until, Whole

if TYPE_CHECKING:
    from sim.warm_up import WarmUp as WarmingUp


@dataclass(frozen=True, slots=True)
class ProviderMember:
    """One provider of a group.

    Attributes:
        name: `<group>-<index>`.
        group: what all members have in common.
        index: within the group, from 0.
    """

    name: str
    group: Provider
    index: int


@dataclass(frozen=True, slots=True)
class PublisherMember:
    """One publisher of a group.

    Attributes:
        name: `<group>-<index>`.
        group: what all members have in common.
        index: within the group, from 0.
        trace_row: its row of the trace, from 0; None when its traffic is not from a trace.
    """

    name: str
    group: Publisher
    index: int
    trace_row: int | None


class Scenario(Model):
    """What is simulated."""

    name: Name = key(description="Name of the scenario; runs are kept under it.")
    about: str = key("", description="What it is for.")
    seed: Whole = key(1, description="Seed of every draw.")
    start_ns: InstantNs = key(
        "2019-07-15T08:00:00Z", alias="start", description="Calendar time at which the run starts."
    )
    duration_ns: PositiveNs = key(alias="duration", description="Virtual time that is simulated.")
    warm_up: WarmUp = key(
        "none",
        description="What is left out at the start of steady-state figures (not of money, which is never trimmed). `auto`: found from the replications by MSER-5.",
    )
    replications: Count = key(1, description="Independent repetitions.")
    until: Until | None = key(
        None, description="As many replications as it takes, instead of `replications`."
    )
    antithetic: bool = key(
        False,
        strict=True,
        description="Whether replications are pairs, 0 and 1, 2 and 3, ..., of which the second draws 1 - u where the first draws u. A pair counts once.",
    )
    crypto: Literal["real", "counted"] = key(
        "counted",
        description="`real`: every seal and signature is made. `counted`: transparent ones of the same size.",
    )
    chain: Chain = key({}, description="The chain the contracts are on.")
    tokens: Tokens = key({}, description="The two tokens, and what they are worth.")
    network: Network = key({}, description="Messages between the parties.")
    providers: tuple[Provider, ...] = key(min_length=1, description="Groups of providers.")
    publishers: tuple[Publisher, ...] = key(min_length=1, description="Groups of publishers.")
    faults: tuple[Fault, ...] = key((), description="What breaks, when, and for how long.")
    sweep: Sweep | None = key(
        None,
        description="What `trustedpods sweep` runs: keys of this file and the values to try for each, or a design. `run` leaves it out.",
    )
    optimise: Optimise | None = key(
        None,
        description="What `trustedpods optimise` looks for: ranges to look in, what is to be best, and what must hold. `run` leaves it out.",
    )
    output: Output = key({}, description="What the run writes.")

    @property
    def most_replications(self) -> int:
        """How many may be run: what `until` allows at most, or `replications`."""
        return self.until.max if self.until else self.replications

    @property
    def warm_up_said(self) -> WarmingUp:
        """The warm-up, if it is one that the file says: none where it is `auto`."""
        from sim.warm_up import fixed  # it brings numpy, which checking a scenario does without

        return fixed(self.warm_up if isinstance(self.warm_up, int) else 0, every_ns=self.output.sampling_ns)

    @property
    def payment_token(self) -> Denomination:
        """The payment token's symbol and decimals."""
        return Denomination(self.tokens.payment.symbol, self.tokens.payment.decimals)

    @property
    def gas_token(self) -> Denomination:
        """The gas token's symbol and decimals."""
        return Denomination(self.tokens.gas.symbol, self.tokens.gas.decimals)

    @property
    def numeraire(self) -> Denomination:
        """The numéraire's symbol, and the decimals to which it is counted."""
        return Denomination(self.tokens.numeraire, FIAT_DECIMALS)

    def provider_members(self) -> tuple[ProviderMember, ...]:
        """Every provider, in the order of the file."""
        return tuple(ProviderMember(f"{g.name}-{i}", g, i) for g in self.providers for i in range(g.count))

    def publisher_members(self) -> tuple[PublisherMember, ...]:
        """Every publisher, in the order of the file."""
        return tuple(
            PublisherMember(f"{g.name}-{i}", g, i, g.traffic.trace.rows[0] + i if g.traffic.trace else None)
            for g in self.publishers
            for i in range(g.count)
        )
