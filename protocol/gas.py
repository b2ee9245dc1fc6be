"""What commands cost in gas at most, from a table of what was measured: one rule for real chains and the simulated one.

A limit is no price: what is not used is not paid. It has to cover the dearest course that the command can take when
it is carried out, which is not always the one that a node's estimate saw: an entry of a `WithdrawMany` that would
be skipped now may be paid then.

Measured figures come from outside (`contracts/gas.json`): by part (`token`, `payment`, `registry`) and function, of the
`first` time (storage that was empty) and `again`; of `withdrawMany` by the number of entries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from protocol import registry
from protocol.codec import FUNCTIONS
from protocol.payment import WithdrawMany
from protocol.ports import Approve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from protocol.ports import Command

    Measured = Mapping[str, Any]

TEXT_WORD: Final = 25_000
"""Storing 32 bytes of text: a new slot (22,100; EIP-2929) and the call data."""
ROOM: Final = (3, 2)
"""A limit is so much more than what was measured with the test token; dear tokens double a transfer."""


def dearest(command: Command, measured: Measured) -> int:
    """Gas that `command` takes with the test token, where it writes to storage that was empty."""
    if isinstance(command, WithdrawMany):
        return many(measured["withdrawMany"]["first"], len(command.claims))
    part = "token" if isinstance(command, Approve) else "payment"
    if type(command) in registry.FUNCTIONS:
        part = "registry"
    function = FUNCTIONS[type(command)]
    texts = [getattr(command, name) for name, _, kind in function.arguments if kind == "string"]
    words = sum(-(-len(text.encode()) // 32) for text in texts)
    figure: int = measured[part][function.name]["first"]
    return figure + words * TEXT_WORD


def limit(command: Command, measured: Measured) -> int:
    """The gas limit of a transaction that nobody has estimated."""
    return dearest(command, measured) * ROOM[0] // ROOM[1]


def many(figures: Mapping[str, int], entries: int) -> int:
    """Gas of one `withdrawMany`: between 1 and 100 entries it is a line; so beyond."""
    one, hundred = figures["1"], figures["100"]
    return one + (hundred - one) * (entries - 1) // 99
