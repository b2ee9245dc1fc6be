"""What each function costs in gas: the figures that were measured on the compiled contracts (`contracts/gas.json`).

A command costs a constant, because the model does not know which slots are warm or were zero. It is the figure of
the case that a run is full of: an approval that was used up, a channel's first life, a settlement and claims of a
channel that was claimed from before (its first claim costs 17,100 more), a provider's or table's first appearance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import contracts
from protocol import payment, registry
from protocol.codec import FUNCTIONS
from protocol.payment import WithdrawMany
from protocol.ports import Approve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sim.chain.transactions import AnyCommand

_MEASURED: Final = contracts.gas()
_PAYMENT: Final[dict[str, dict[str, int]]] = _MEASURED["payment"]
_REGISTRY: Final[dict[str, dict[str, int]]] = _MEASURED["registry"]
_MANY: Final[dict[str, int]] = _MEASURED["withdrawMany"]["again"]
_MANY_FIRST: Final[dict[str, int]] = _MEASURED["withdrawMany"]["first"]

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
TEXT_WORD: Final = 25_000
"""Storing 32 bytes of text: a new slot (22,100; EIP-2929) and the call data."""


def gas_of(command: AnyCommand) -> int:
    """Gas that `command` uses when it succeeds, and the least that its sender must be able to pay."""
    if isinstance(command, WithdrawMany):
        return GAS[WithdrawMany] + len(command.claims) * WITHDRAW_MANY_ENTRY
    return GAS[type(command)]


def limit_of(command: AnyCommand) -> int:
    """The gas limit of a command where the bytecode says what it uses: half as much again as its dearest case.

    `live.chain.gas` gives the same to a real node when that has no estimate.
    """
    if isinstance(command, WithdrawMany):
        one, hundred = _MANY_FIRST["1"], _MANY_FIRST["100"]
        return (one + (hundred - one) * (len(command.claims) - 1) // 99) * 3 // 2
    part = "token" if isinstance(command, Approve) else "payment"
    if type(command) in registry.FUNCTIONS:
        part = "registry"
    function = FUNCTIONS[type(command)]
    texts = [getattr(command, name) for name, _, kind in function.arguments if kind == "string"]
    words = sum(-(-len(text.encode()) // 32) for text in texts)
    measured: int = _MEASURED[part][function.name]["first"]
    return (measured + words * TEXT_WORD) * 3 // 2
