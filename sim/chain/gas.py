"""What each function costs in gas: the figures that were measured on the compiled contracts (`contracts/gas.json`).

A command costs a constant, because the model does not know which slots are warm or were zero. It is the figure of
the case that a run is full of: an approval that was used up, a channel's first life, a settlement and claims of a
channel that was claimed from before (its first claim costs 17,100 more), a provider's or table's first appearance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import contracts
from protocol import gas, payment, registry
from protocol.payment import WithdrawMany
from protocol.ports import Approve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sim.chain.transactions import AnyCommand

_MEASURED: Final = contracts.gas()
_PAYMENT: Final[dict[str, dict[str, int]]] = _MEASURED["payment"]
_REGISTRY: Final[dict[str, dict[str, int]]] = _MEASURED["registry"]
_MANY: Final[dict[str, int]] = _MEASURED["withdrawMany"]["again"]

REVERTED: Final[int] = max(_PAYMENT["refused"].values())
"""A refusal, which comes before any write: the call itself and the reads that the check needs."""
WITHDRAW_MANY_ENTRY: Final[int] = (_MANY["100"] - _MANY["10"]) // 90
"""One more entry of a `withdrawMany`."""

GAS: Final[Mapping[type[AnyCommand], int]] = {
    Approve: _MEASURED["token"]["approve"]["first"],
    payment.CreateChannel: _PAYMENT["createChannel"]["first"],
    payment.Deposit: _PAYMENT["deposit"]["again"],
    payment.Unlock: _PAYMENT["unlock"]["again"],
    payment.WithdrawUnlocked: _PAYMENT["withdrawUnlocked"]["again"],
    payment.CloseChannel: _PAYMENT["closeChannel"]["again"],
    payment.WithdrawUpTo: _PAYMENT["withdrawUpTo"]["again"],
    payment.Withdraw: _PAYMENT["withdraw"]["again"],
    payment.WithdrawMany: _MANY["10"] - 10 * WITHDRAW_MANY_ENTRY,
    payment.Release: _PAYMENT["release"]["again"],
    registry.RegisterProvider: _REGISTRY["registerProvider"]["first"],
    registry.DeregisterProvider: _REGISTRY["deregisterProvider"]["first"],
    registry.RegisterPricingTable: _REGISTRY["registerPricingTable"]["first"],
    registry.Subscribe: _REGISTRY["subscribe"]["first"],
    registry.Unsubscribe: _REGISTRY["unsubscribe"]["first"],
}
"""Gas of each command that succeeds; a `WithdrawMany` costs `WITHDRAW_MANY_ENTRY` an entry on top."""


def gas_of(command: AnyCommand) -> int:
    """Gas that `command` uses when it succeeds, and the least that its sender must be able to pay."""
    if isinstance(command, WithdrawMany):
        return GAS[WithdrawMany] + len(command.claims) * WITHDRAW_MANY_ENTRY
    return GAS[type(command)]


def limit_of(command: AnyCommand) -> int:
    """The gas limit of a command where the bytecode says what it uses: as for a real node that has no estimate."""
    return gas.limit(command, _MEASURED)
