"""What each function costs in gas: estimates from the EVM's constants, until the bytecode is measured.

The constants are the protocol's; how many of each a function needs is read off the contract's description
(which slots it reads and writes, what it emits). Refunds are left out. An estimate is a constant: the model's
gas does not depend on which slots are warm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from protocol import payment, registry
from protocol.payment import WithdrawMany
from protocol.ports import Approve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sim.chain.transactions import AnyCommand

TRANSACTION: Final = 21_000  # Yellow Paper, appendix G: G_transaction
WORD: Final = (
    32 * 8
)  # call data: 16 gas a non-zero byte, 4 a zero byte (EIP-2028); half of each assumed, rounded
SLOAD: Final = 2_100  # EIP-2929: cold storage read
SSTORE_NEW: Final = 22_100  # EIP-2929, EIP-2200: cold slot from zero to non-zero
SSTORE_CHANGE: Final = 5_000  # EIP-2929, EIP-2200: cold slot, non-zero to another value
LOG: Final = 375 * 5 + 8 * 32  # appendix G: G_log + 4 topics + one word of data
CALL: Final = 2_600  # EIP-2929: cold account
TOKEN_TRANSFER: Final = CALL + 2 * SSTORE_CHANGE + LOG
"""An ERC-20 transfer inside a call: two balances and an event."""
GUARD: Final = SSTORE_CHANGE
"""OpenZeppelin's ReentrancyGuard: one slot there and back."""

REVERTED: Final = TRANSACTION + 4 * WORD + 2 * SLOAD
"""A refusal, which comes before any write: the call itself and the reads that the check needs."""
WITHDRAW_MANY_ENTRY: Final = 4 * WORD + 3 * SLOAD + SSTORE_CHANGE + LOG
"""One more entry of a `withdrawMany`."""

GAS: Final[Mapping[type[AnyCommand], int]] = {
    Approve: TRANSACTION + 2 * WORD + SSTORE_NEW + LOG,
    payment.CreateChannel: TRANSACTION
    + 4 * WORD
    + GUARD
    + 3 * SSTORE_NEW
    + 2 * SLOAD
    + SSTORE_CHANGE
    + TOKEN_TRANSFER
    + 2 * LOG,
    payment.Deposit: TRANSACTION + 3 * WORD + GUARD + 2 * SSTORE_CHANGE + SLOAD + TOKEN_TRANSFER + LOG,
    payment.Unlock: TRANSACTION + 2 * WORD + 2 * SLOAD + SSTORE_NEW + LOG,
    payment.WithdrawUnlocked: TRANSACTION
    + 2 * WORD
    + GUARD
    + 3 * SLOAD
    + SSTORE_CHANGE
    + TOKEN_TRANSFER
    + LOG,
    payment.CloseChannel: TRANSACTION + 2 * WORD + GUARD + 4 * SSTORE_CHANGE + TOKEN_TRANSFER + 2 * LOG,
    payment.WithdrawUpTo: TRANSACTION + 4 * WORD + GUARD + 2 * SLOAD + SSTORE_CHANGE + TOKEN_TRANSFER + LOG,
    payment.Withdraw: TRANSACTION + 4 * WORD + GUARD + 2 * SLOAD + SSTORE_CHANGE + TOKEN_TRANSFER + LOG,
    payment.WithdrawMany: TRANSACTION + 3 * WORD + GUARD + TOKEN_TRANSFER,
    payment.Release: TRANSACTION + 2 * WORD + GUARD + 4 * SSTORE_CHANGE + TOKEN_TRANSFER + 2 * LOG,
    registry.RegisterProvider: TRANSACTION + 4 * WORD + 4 * SSTORE_NEW + LOG,
    registry.DeregisterProvider: TRANSACTION + 4 * SSTORE_CHANGE + LOG,
    registry.RegisterPricingTable: TRANSACTION + 12 * WORD + 11 * SSTORE_NEW + 2 * LOG,
    registry.Subscribe: TRANSACTION + WORD + 2 * SSTORE_NEW + SLOAD + LOG,
    registry.Unsubscribe: TRANSACTION + WORD + 2 * SSTORE_CHANGE + LOG,
}
"""Gas of each command that succeeds; a `WithdrawMany` costs `WITHDRAW_MANY_ENTRY` an entry on top."""


def gas_of(command: AnyCommand) -> int:
    """Gas that `command` uses when it succeeds, and the least that its sender must be able to pay."""
    if isinstance(command, WithdrawMany):
        return GAS[WithdrawMany] + len(command.claims) * WITHDRAW_MANY_ENTRY
    return GAS[type(command)]
