"""What commands cost in gas: as measured (contracts/gas.json), with room for other tokens and longer texts.

A limit is no price: what is not used is not paid. It has to cover the dearest course that the command can take when
it is carried out, which is not always the one that the node's estimate saw: an entry of a `WithdrawMany` that would
be skipped now may be paid then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import contracts
from protocol import registry
from protocol.codec import FUNCTIONS
from protocol.payment import WithdrawMany
from protocol.ports import Approve

if TYPE_CHECKING:
    from protocol.ports import Command

TEXT_WORD: Final = 25_000
"""Storing 32 bytes of text: a new slot (22,100; EIP-2929) and the call data."""
MEASURED_ROOM: Final = (3, 2)
"""A limit is so much more than what was measured with the test token; dear tokens double a transfer."""
ESTIMATE_ROOM: Final = (5, 4)
"""A limit is so much more than the node's estimate, for what changes until the transaction is mined."""


def usual(command: Command) -> int:
    """Gas that `command` takes with the test token, where it writes to storage that was empty."""
    gas = contracts.gas()
    if isinstance(command, WithdrawMany):
        return _line(gas["withdrawMany"]["first"], len(command.claims))
    part = "token" if isinstance(command, Approve) else "payment"
    if type(command) in registry.FUNCTIONS:
        part = "registry"
    function = FUNCTIONS[type(command)]
    texts = [getattr(command, name) for name, _, kind in function.arguments if kind == "string"]
    words = sum(-(-len(text.encode()) // 32) for text in texts)
    measured: int = gas[part][function.name]["first"]
    return measured + words * TEXT_WORD


def limit(command: Command, estimate: int | None) -> int:
    """The gas limit of a transaction.

    Args:
        command: what it carries out.
        estimate: the node's; None when it cannot tell, because the command depends on what is not mined yet.
    """
    room = usual(command) * MEASURED_ROOM[0] // MEASURED_ROOM[1]
    return max(room, (estimate or 0) * ESTIMATE_ROOM[0] // ESTIMATE_ROOM[1])


def claim(entries: int) -> int:
    """Gas of one `WithdrawMany` to somebody who holds the token already."""
    return _line(contracts.gas()["withdrawMany"]["again"], entries)


def _line(measured: dict[str, Any], entries: int) -> int:
    """Between 1 and 100 entries it is a line; so beyond."""
    one, hundred = int(measured["1"]), int(measured["100"])
    return one + (hundred - one) * (entries - 1) // 99
