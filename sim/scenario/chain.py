"""The chain in a scenario: blocks, the gas market, and when no blocks are made."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from sim.chain.evm import installed as evm
from sim.scenario import quantities as q
from sim.scenario.fields import DurationNs, GasPriceWei, Number, PositiveNs, PositiveNumber, Share
from sim.scenario.laws import Model, OneOf, key
from sim.scenario.world import ChainId, Count

BlockGas = Annotated[int, Field(ge=100_000, le=10**12, strict=True)]
"""Gas of a block."""


class Outage(Model):
    """The chain makes no blocks for a while."""

    at_ns: DurationNs = key(alias="at", description="When, from the start of the run.")
    for_ns: PositiveNs = key(alias="for", description="For how long.")


class GasStep(Model):
    """From an instant on, a price."""

    at_ns: DurationNs = key(alias="at", description="From when, from the start of the run; the first is 0s.")
    price_wei: GasPriceWei = key(alias="price", description="The price from then on.")


class Surge(Model):
    """Everybody else wants more for a while."""

    at_ns: DurationNs = key(alias="at", description="When, from the start of the run.")
    for_ns: PositiveNs = key(alias="for", description="For how long.")
    times: PositiveNumber = key(description="How many times the gas of other times.")


class Background(Model):
    """Gas that everybody else on the chain wants, half as much where it costs twice as much."""

    load: Number = key(
        1, description="Gas wanted on average over the target of half a block, where the base fee is `usual`."
    )
    usual_wei: GasPriceWei = key(
        "1 gwei", alias="usual", description="That base fee; in the long run it is about `load` times this."
    )
    tip_wei: GasPriceWei = key(
        "0 wei", alias="tip", description="What they pay above the base fee; who tips more goes before them."
    )
    cv: Number = key(
        "0.5", description="How much blocks differ: standard deviation over mean, log-normal; 0: not at all."
    )
    surges: tuple[Surge, ...] = key((), description="When they want more.")


class Eip1559(Model):
    """Base fee and tip: a block's base fee follows from how full the one before was, and is burnt.

    The target is half of `block_gas`; a full block raises the base fee by an eighth, an empty one lowers it by as much.
    Our parties offer a max fee of twice the newest base fee and their tip.
    """

    base_wei: GasPriceWei = key("1 gwei", alias="base", description="Base fee of the first block.")
    tip_wei: GasPriceWei = key("0.1 gwei", alias="tip", description="What our parties pay above it.")
    background: Background = key({}, description="What everybody else wants of the blocks.")


class GasMarket(OneOf):
    """A gas price that moves; a bare price means that it does not."""

    what = "market"
    steps: tuple[GasStep, ...] | None = key(
        None, description="A price that changes at given times; a block takes nothing that pays less."
    )
    eip1559: Eip1559 | None = key(None, description="Base fee and tip, as on Ethereum since 2021.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        ats = [step.at_ns for step in self.steps or ()]
        if self.steps is not None and (not ats or ats[0] != 0):
            found = f"at {q.write_duration(ats[0])}" if ats else "nowhere"
            raise ValueError(f"the steps begin {found}; the first step is at 0s")
        if any(b <= a for a, b in pairwise(ats)):
            raise ValueError("steps must be in order of `at`, each later than the one before")
        return self


class Reorgs(Model):
    """The chain changes its mind: blocks are replaced by others that hold none of our transactions.

    When a block comes it may come on another branch, which replaces some blocks before it. What they held
    returns to the pool, or is lost to it, and its sender has to send it again.
    """

    prob: Share = key(description="Chance that a block comes on another branch.")
    deeper: Share = key(
        "30%", description="Chance that it replaces one block more, and again: a geometric law."
    )
    most: Count | None = key(
        None, description="Blocks replaced at most; null: one less than `confirmations`, so nobody is misled."
    )
    dropped: Share = key(
        "0%", description="Chance that a transaction is lost to the pool; one that was believed never is."
    )
    past_confirmations: bool = key(
        False,
        strict=True,
        description="Whether `most` may reach what parties believe already; they are misled then, and the run says so.",
    )


def _price_or_market(value: Any) -> str:
    return "market" if isinstance(value, dict | GasMarket) else "price"


GasPrice = Annotated[
    Annotated[GasPriceWei, Tag("price")] | Annotated[GasMarket, Tag("market")],
    Discriminator(_price_or_market),
]
"""A price for ever, or a market."""


class Chain(Model):
    """The chain the contracts are on."""

    backend: Literal["model", "evm"] = key(
        "model",
        description="`model`: the contracts' rules on block time, gas as measured once; `evm`: the contracts' bytecode in pyrevm on the same blocks, gas as used (the extra `evm`, on Python 3.11 and 3.12).",
    )
    chain_id: ChainId = key(31337, description="Chain id; signatures are bound to it.")
    block_time_ns: PositiveNs = key("2s", alias="block_time", description="Time between blocks.")
    block_gas: BlockGas = key(30_000_000, description="Gas of a block; what does not fit waits for the next.")
    confirmations: Count = key(3, description="Blocks after which a party believes what it sees.")
    endpoints: Literal[1, 2] = key(
        1, description="Endpoints a party reads the chain from; where two differ, nothing is known."
    )
    gas_price: GasPrice = key("0.05 gwei", description="Price of a unit of gas, for ever or as a market.")
    ordering: Literal["fee", "arrival", "adversary"] = key(
        "fee",
        description="Order in a block: the highest tip first; first come, first served; or a builder on the publishers' side, who puts unlocks and what they return first and providers' claims last. A sender's own order always stays.",
    )
    reorgs: Reorgs | None = key(
        None, description="How blocks are replaced by others; null: every block stands."
    )
    outages: tuple[Outage, ...] = key((), description="When no blocks are made.")

    @field_validator("backend")
    @classmethod
    def _can_run(cls, backend: str) -> str:
        if backend == "evm" and not evm.installed():
            raise ValueError(f"evm {evm.MISSING}")
        return backend

    @property
    def least_gas_price_wei(self) -> int:
        """What a unit of gas costs at the least [wei]; of a base fee that may fall to nothing, the tip."""
        match self.gas_price:
            case int():
                return self.gas_price
            case GasMarket(steps=None, eip1559=Eip1559(tip_wei=tip)):
                return tip
            case market:
                return min(step.price_wei for step in market.steps or ())
