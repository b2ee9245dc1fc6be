"""The gas market: what a unit of gas costs in a block, and what everybody else takes of the block.

Three markets. A constant price is what everybody pays, so nothing is ever too cheap. Steps change that price
over time, and a block takes nothing that pays less. Under EIP-1559 each block has a base fee that follows
from how full the one before was; it is burnt, and what is paid above it (the tip) goes to the builder.

The fee of a block follows from the blocks before it alone, so it does not depend on when it is asked for:
other people's demand is a draw that belongs to the block's number, our own gas is reported by the ledger when
a block was mined (and taken back when a reorganisation undoes it). Fees are worked out when somebody asks.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Final

from protocol.errors import BadInput
from sim.kernel.draws import uniforms
from sim.laws import Lognormal

ELASTICITY: Final = 2  # EIP-1559: ELASTICITY_MULTIPLIER, limit over target
CHANGE_DENOMINATOR: Final = 8  # EIP-1559: BASE_FEE_MAX_CHANGE_DENOMINATOR
BASE_FEES_COVERED: Final = 2
"""What senders allow for a rising base fee: max fee = 2 x base fee + tip, as go-ethereum and web3.py suggest."""


def next_base_fee_wei(base_wei: int, gas_used: int, target: int) -> int:
    """The base fee after a block, by the rule of EIP-1559 ("Specification", `validate_block`).

    Args:
        base_wei: the block's own base fee.
        gas_used: by everybody in it.
        target: half of what it could hold, above 0.
    """
    if gas_used == target:
        return base_wei
    if gas_used > target:
        return base_wei + max(base_wei * (gas_used - target) // target // CHANGE_DENOMINATOR, 1)
    return base_wei - base_wei * (target - gas_used) // target // CHANGE_DENOMINATOR


@dataclass(frozen=True, slots=True)
class Offer:
    """What a sender offers.

    Attributes:
        max_wei: at most this for a unit of gas.
        priority_wei: at most this above the base fee; None: all of it, whatever the base fee (a legacy transaction).
    """

    max_wei: int
    priority_wei: int | None = None


class Market:
    """A market in which nothing is burnt and nobody else is there; what differs is overridden.

    Attributes:
        moves: whether prices change, so that a transaction can become too cheap for its block.
        rival_tip_wei: what others pay above the base fee; who pays more goes before them.
    """

    moves = False
    rival_tip_wei = 0

    def base_wei(self, number: int) -> int:
        """The base fee of a block, which is burnt."""
        return 0

    def least_wei(self, number: int) -> int:
        """What a transaction must be ready to pay for a unit of gas in a block."""
        return self.base_wei(number)

    def background_gas(self, number: int) -> int:
        """Gas that others want in a block."""
        return 0

    def price_wei(self, number: int) -> int:
        """What a transaction of ours pays for a unit of gas in a block."""
        raise NotImplementedError

    def offer(self, head: int) -> Offer:
        """What a sender offers who sees `head` as the newest block."""
        return Offer(self.price_wei(head))

    def mined(self, number: int, gas_used: int) -> None:
        """Our transactions used so much in a block."""

    def forget(self, first: int) -> None:
        """The blocks from `first` on have another branch, on which ours used nothing yet."""


class Constant(Market):
    """One price for ever.

    Args:
        wei: for a unit of gas, 0 or more.
    """

    def __init__(self, wei: int) -> None:
        if wei < 0:
            raise BadInput(f"a gas price of {wei} wei; allowed are 0 and more")
        self._wei = wei

    def price_wei(self, number: int) -> int:
        """See `Market.price_wei`."""
        return self._wei


class Steps(Market):
    """A price that changes at given blocks.

    Args:
        steps: (first block, wei for a unit of gas), the first at block 0, in order.
    """

    moves = True

    def __init__(self, steps: Sequence[tuple[int, int]]) -> None:
        starts = [start for start, _ in steps]
        if not steps or starts[0] != 0 or any(b < a for a, b in pairwise(starts)):
            raise BadInput(f"steps begin at blocks {starts}; the first is 0, and none is before the last")
        self._starts = starts
        self._prices = [wei for _, wei in steps]

    def least_wei(self, number: int) -> int:
        """See `Market.least_wei`."""
        return self.price_wei(number)

    def price_wei(self, number: int) -> int:
        """See `Market.price_wei`."""
        return self._prices[bisect_right(self._starts, number) - 1]


@dataclass(frozen=True, slots=True)
class Demand:
    """Gas that everybody else wants, of which half as much is left when it costs twice as much.

    Attributes:
        gas: a block, on average, where the base fee is `usual_wei`.
        usual_wei: the base fee at which they want that.
        tip_wei: what they pay above it.
        law: of the factor by which a block differs from the average; None: none does.
        key: of the stream of draws; a block's number is its counter.
        surges: (first block, first block after, factor): times when they want more.
    """

    gas: int
    usual_wei: int
    tip_wei: int = 0
    law: Lognormal | None = None
    key: tuple[int, int] = (0, 0)
    surges: tuple[tuple[int, int, Fraction], ...] = ()

    def at(self, number: int, base_wei: int) -> int:
        """Gas wanted in a block whose base fee is `base_wei`; may be more than fits."""
        wanted = self.gas
        if self.law is not None:
            # To 2^-20, so that all that follows is whole numbers.
            wanted = wanted * int(self.law.quantile(uniforms(self.key, number)[0]) * (1 << 20)) >> 20
        for first, end, factor in self.surges:
            if first <= number < end:
                wanted = wanted * factor.numerator // factor.denominator
        return wanted * self.usual_wei // max(1, base_wei)


NOBODY: Final = Demand(0, 0)


class Eip1559(Market):
    """Base fee and tip over blocks that are finite.

    Args:
        base_wei: base fee of block 1.
        tip_wei: what our parties pay above it.
        block_gas: gas of a block; its half is the target.
        demand: everybody else.
        still: (first block, first block after): no blocks are made then, so the base fee stands.
    """

    moves = True

    def __init__(
        self,
        *,
        base_wei: int,
        tip_wei: int,
        block_gas: int,
        demand: Demand = NOBODY,
        still: Sequence[tuple[int, int]] = (),
    ) -> None:
        if base_wei < 0 or tip_wei < 0 or block_gas < ELASTICITY:
            raise BadInput(
                f"base fee {base_wei} wei, tip {tip_wei} wei, {block_gas} gas a block; "
                f"allowed are 0 and more, and {ELASTICITY} gas and more"
            )
        self.rival_tip_wei = demand.tip_wei
        self._tip_wei = tip_wei
        self._block_gas = block_gas
        self._target = block_gas // ELASTICITY
        self._demand = demand
        self._still = tuple(still)
        self._fees = [base_wei, base_wei]  # by block; the genesis block has room for nobody
        self._ours: dict[int, int] = {}

    def base_wei(self, number: int) -> int:
        """See `Market.base_wei`; each block costs its draw once, about 10 µs."""
        fees = self._fees
        while len(fees) <= number:
            newest = len(fees) - 1
            if any(first <= newest < end for first, end in self._still):
                fees.append(fees[newest])
            else:
                fees.append(next_base_fee_wei(fees[newest], self._used(newest), self._target))
        return fees[number]

    def background_gas(self, number: int) -> int:
        """See `Market.background_gas`; at most a block of it."""
        return min(self._block_gas, self._demand.at(number, self.base_wei(number)))

    def price_wei(self, number: int) -> int:
        """See `Market.price_wei`."""
        return self.base_wei(number) + self._tip_wei

    def offer(self, head: int) -> Offer:
        """See `Market.offer`."""
        return Offer(BASE_FEES_COVERED * self.base_wei(head) + self._tip_wei, self._tip_wei)

    def mined(self, number: int, gas_used: int) -> None:
        """See `Market.mined`."""
        if gas_used:
            self._ours[number] = gas_used
            del self._fees[number + 1 :]

    def forget(self, first: int) -> None:
        """See `Market.forget`."""
        undone = [number for number in self._ours if number >= first]
        for number in undone:
            del self._ours[number]
        if undone:
            del self._fees[min(undone) + 1 :]

    def _used(self, number: int) -> int:
        return min(self._block_gas, self.background_gas(number) + self._ours.get(number, 0))
