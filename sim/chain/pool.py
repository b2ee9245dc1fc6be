"""The pool of pending transactions, and the orders in which a builder can take from it.

Whatever the order, each sender's transactions go by their nonces, one nonce one transaction.

- `fee`: the highest tip first, as builders do who want to earn; then the earlier.
- `arrival`: first come, first served.
- `adversary`: the builder is on the publishers' side, against those they owe. What ends an unlock for a
  publisher (`withdrawUnlocked`, `closeChannel`) and what starts one (`unlock`) goes first, a provider's claims
  (`withdraw`, `withdrawUpTo`, `withdrawMany`) go last, all else between; each class by arrival. It orders and
  does not censor: what fits is included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, assert_never

from protocol import payment
from sim.chain.transactions import Tx, TxRejected

if TYPE_CHECKING:
    from collections.abc import Iterable

    from protocol.units import Address

Ordering = Literal["fee", "arrival", "adversary"]

ESCAPES: Final = (payment.WithdrawUnlocked, payment.CloseChannel, payment.Unlock)
CLAIMS: Final = (payment.Withdraw, payment.WithdrawUpTo, payment.WithdrawMany)

Entry = tuple[int, Tx]
"""Arrival and transaction."""


def rank(ordering: Ordering, tx: Tx, base_wei: int) -> int:
    """Where a builder puts a transaction: the lowest first, and of equal ones the earlier.

    Args:
        ordering: the builder's.
        tx: the next of its sender.
        base_wei: the block's base fee.
    """
    match ordering:
        case "fee":
            return -tx.tip_wei(base_wei)
        case "arrival":
            return 0
        case "adversary":
            return 0 if isinstance(tx.command, ESCAPES) else 2 if isinstance(tx.command, CLAIMS) else 1
        case _:
            assert_never(ordering)


class Pool:
    """What waits to be mined: sender → nonce → (arrival, transaction)."""

    def __init__(self) -> None:
        self._waiting: dict[Address, dict[int, Entry]] = {}
        self._arrivals = 0

    @property
    def senders(self) -> Iterable[Address]:
        """Who has anything in it, in the order in which they came."""
        return self._waiting.keys()

    def get(self, sender: Address, nonce: int) -> Entry | None:
        """What waits with this nonce."""
        return self._waiting.get(sender, {}).get(nonce)

    def add(self, tx: Tx) -> None:
        """Take a transaction in; the same again changes nothing, another of its nonce has to outbid it.

        Raises:
            TxRejected: `Underpriced`; the other stays.
        """
        known = self.get(tx.sender, tx.nonce)
        if known is not None:
            if known[1] == tx:
                return
            if not tx.outbids(known[1]):
                raise TxRejected(
                    "Underpriced", f"{tx.gas_price_wei} wei replaces {known[1].gas_price_wei} wei"
                )
        self._waiting.setdefault(tx.sender, {})[tx.nonce] = (self._arrivals, tx)
        self._arrivals += 1

    def remove(self, tx: Tx) -> None:
        """It was mined: whatever has its nonce can never be."""
        waiting = self._waiting[tx.sender]
        del waiting[tx.nonce]
        if not waiting:
            del self._waiting[tx.sender]

    def next_nonce(self, sender: Address, mined: int) -> int:
        """The first nonce from `mined` on that nothing waits with."""
        waiting = self._waiting.get(sender, {})
        while mined in waiting:
            mined += 1
        return mined
