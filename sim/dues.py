"""What the pods of a whole world owe, added up by provider in one go.

A bill is rounded down pod by pod, so that it cannot be had from sums. What most pods owe is known without
looking at them: `fixed + burn × replica-milliseconds`, in `COST_SCALE`-ths of a base unit. Whole base units
and what is less are kept apart here, so that no product is longer than 128 bits.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from protocol.pricing import COST_SCALE
from sim.kernel import wide
from sim.kernel.arrays import Array

BURN_MAX: Final = wide.RATE_MAX * COST_SCALE
"""The greatest cost of a replica-millisecond that is kept here [scaled]; tens of tokens of 18 decimals."""
NO_POD: Final = -1
"""The handle of an account whose bill does not grow by itself."""


class Dues:
    """Accounts, each of one owner.

    Attributes:
        owners: int64: whose each account is.
        handles: int64: of the pod whose replica-milliseconds count, at its owner's plane; or `NO_POD`.
    """

    def __init__(self) -> None:
        self.owners: Array = np.zeros(0, np.int64)
        self.handles: Array = np.full(0, NO_POD, np.int64)
        self._bases: Array = np.zeros((0, 2), np.uint64)
        self._rates: Array = np.zeros(0, np.uint64)
        self._parts: Array = np.zeros((0, 2), np.int64)
        self._free: list[int] = []

    def open(self, owner: int, handle: int = NO_POD) -> int:
        """A new account, on which nothing is owed; returns its number.

        Args:
            owner: from 0.
            handle: of the pod at the owner's plane.
        """
        if not self._free:
            self._enlarge()
        account = self._free.pop()
        self.owners[account], self.handles[account] = owner, handle
        return account

    def put(self, account: int, fixed: int, burn: int = 0) -> None:
        """From here on `fixed` + `burn` × replica-milliseconds are owed.

        Args:
            account: its number.
            fixed: scaled; may be negative.
            burn: scaled cost of a replica-millisecond, from 0 to `BURN_MAX`.
        """
        base, base_part = divmod(fixed, COST_SCALE)
        rate, rate_part = divmod(burn, COST_SCALE)
        self._bases[account] = wide.words(base)
        self._rates[account] = rate
        self._parts[account] = base_part, rate_part

    def close(self, account: int) -> None:
        """Nothing is owed any more; the number may be given again."""
        self.put(account, 0)
        self.handles[account] = NO_POD
        self._free.append(account)

    def owed(self, replica_ms: Array, owners: int) -> Array:
        """What each owner's pods owe [base units], every bill rounded down.

        Args:
            replica_ms: int64: billed to the pod of each account; 0 where there is none.
            owners: how many there are.

        Returns:
            uint64 [owners, 2]: numbers of 128 bits; see `wide`.
        """
        sums: Array = np.zeros((owners, 2), np.uint64)
        wide.add_up(self.owners, replica_ms, self._bases, self._rates, self._parts, COST_SCALE, sums)
        return sums

    def _enlarge(self) -> None:
        old = len(self.owners)
        more = max(16, old)
        self._free.extend(range(old + more - 1, old - 1, -1))
        self.owners = np.concatenate([self.owners, np.zeros(more, np.int64)])
        self.handles = np.concatenate([self.handles, np.full(more, NO_POD, np.int64)])
        self._bases = np.concatenate([self._bases, np.zeros((more, 2), np.uint64)])
        self._rates = np.concatenate([self._rates, np.zeros(more, np.uint64)])
        self._parts = np.concatenate([self._parts, np.zeros((more, 2), np.int64)])
