"""What commands cost in gas on a real chain: as measured (contracts/gas.json), or as the node says where that is more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import contracts
from protocol import gas

if TYPE_CHECKING:
    from protocol.ports import Command

ESTIMATE_ROOM: Final = (5, 4)
"""A limit is so much more than the node's estimate, for what changes until the transaction is mined."""


def usual(command: Command) -> int:
    """Gas that `command` takes with the test token, where it writes to storage that was empty."""
    return gas.dearest(command, contracts.gas())


def limit(command: Command, estimate: int | None) -> int:
    """The gas limit of a transaction.

    Args:
        command: what it carries out.
        estimate: the node's; None when it cannot tell, because the command depends on what is not mined yet.
    """
    return max(gas.limit(command, contracts.gas()), (estimate or 0) * ESTIMATE_ROOM[0] // ESTIMATE_ROOM[1])


def claim(entries: int) -> int:
    """Gas of one `WithdrawMany` to somebody who holds the token already."""
    return gas.many(contracts.gas()["withdrawMany"]["again"], entries)
