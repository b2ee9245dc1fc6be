"""Reorganisations: when a chain changes its mind, and how deep.

When block n comes, it may come on another branch: with probability `prob` the blocks n - depth to n - 1 are
replaced by others of the same numbers and times that hold none of our transactions; what they held returns to
the pool, where block n takes it up, or is dropped by chance. Depths are geometric: each block more has
probability `deeper`, cut at `most`.

A reader who waits for N confirmations sees block n - N when block n comes, so a chain with `most` below N
never undoes what anybody has believed. `most` of N and more is for studying what happens then.

Everything is a draw that belongs to a block's number, so nothing depends on when it is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from protocol.errors import BadInput
from sim.kernel.draws import uniforms

_PLACES: Final = 1 << 20
"""More than the transactions that one reorganisation can undo."""


class Forks:
    """The reorganisations of one chain.

    Args:
        prob: chance that a block comes on another branch, in [0, 1].
        most: blocks undone at most; 0: there are no reorganisations.
        deeper: chance that one more block is undone, in [0, 1].
        drop_prob: chance that a transaction that is undone is lost to the pool, in [0, 1].
        final: one that was this many blocks deep is known everywhere and never lost; the confirmations.
        when: key of the stream that says when and how deep.
        lost: key of the stream that says what is lost.
        still: (first block, first block after): no blocks are made then, so none changes branch.
    """

    def __init__(
        self,
        *,
        prob: float = 0.0,
        most: int = 0,
        deeper: float = 0.0,
        drop_prob: float = 0.0,
        final: int = 1,
        when: tuple[int, int] = (0, 0),
        lost: tuple[int, int] = (0, 0),
        still: Sequence[tuple[int, int]] = (),
    ) -> None:
        for name, value in (("prob", prob), ("deeper", deeper), ("drop_prob", drop_prob)):
            if not 0 <= value <= 1:
                raise BadInput(f"{name}: {value}; allowed are 0 to 1")
        if most < 0 or final < 1:
            raise BadInput(f"{most} blocks at most, final after {final}; allowed are 0 and more, 1 and more")
        self.most: Final = most if prob else 0
        self.final: Final = final
        self._prob = prob
        self._deeper = deeper
        self._drop_prob = drop_prob
        self._when = when
        self._lost = lost
        self._still = tuple(still)
        self.depth = lru_cache(maxsize=4096)(self._depth)

    def _depth(self, number: int) -> int:
        """How many blocks before block `number` are replaced when it comes; 0: none."""
        if not self.most or any(first <= number < end for first, end in self._still):
            return 0
        happens, how_deep = uniforms(self._when, number)
        if happens >= self._prob:
            return 0
        depth, chance = 1, self._deeper
        while depth < min(self.most, number - 1) and how_deep < chance:
            depth += 1
            chance *= self._deeper
        return min(depth, number - 1)

    def branch(self, number: int, head: int) -> int:
        """The last block up to `head` that replaced block `number`; 0: none did."""
        for at in range(min(head, number + self.most), number, -1):
            if at - self.depth(at) <= number:
                return at
        return 0

    def first_after(self, mined: int, block: int) -> int | None:
        """The first block after `mined` that replaces `block`; None: it stands for ever."""
        for at in range(max(mined, block) + 1, block + self.most + 1):
            if at - self.depth(at) <= block:
                return at
        return None

    def drops(self, at: int, place: int, depth: int) -> bool:
        """Whether a transaction is lost to the pool.

        Args:
            at: the block at which it was undone.
            place: its own among those undone with it, from 0.
            depth: how deep it was: 1 for the block before.
        """
        if depth >= self.final or not self._drop_prob:
            return False
        return uniforms(self._lost, at * _PLACES + place)[0] < self._drop_prob


NEVER: Final = Forks()
"""Every block is final."""
