"""Values as they were some blocks ago: what a reader sees who waits for confirmations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

K = TypeVar("K")
V = TypeVar("V")

_BEFORE = -1


class History(Generic[K, V]):
    """The recent past of many values; one that never changed takes no memory.

    Args:
        depth: how many blocks back can be asked for.
    """

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._past: dict[K, list[tuple[int, V]]] = {}

    def put(self, key: K, block: int, *, before: V, after: V) -> None:
        """The value of `key` became `after` in `block`, at least as late as the last change; it was `before`."""
        past = self._past.setdefault(key, [(_BEFORE, before)])
        if past[-1][0] == block:
            past[-1] = (block, after)
        else:
            past.append((block, after))
        # The newest entry that is old enough for every question stays; what is older is never asked for.
        keep = 0
        while keep + 1 < len(past) and past[keep + 1][0] <= block - self._depth:
            keep += 1
        del past[:keep]

    def cut(self, key: K, block: int) -> None:
        """Forget that `key` changed in `block` or later: those blocks are undone.

        Args:
            key: whose value.
            block: at most `depth` blocks before the newest change.
        """
        past = self._past.get(key, [])
        while past and past[-1][0] >= block:
            past.pop()
        if not past:
            self._past.pop(key, None)

    def latest(self, keys: Iterable[K], block: int) -> dict[K, V]:
        """Of those keys whose newest change is not after `block`, what it made of them: at most blocks, of nearly all."""
        get = self._past.get
        return {key: past[-1][1] for key in keys if (past := get(key)) is not None and past[-1][0] <= block}

    def at(self, key: K, block: int, now: V) -> V:
        """The value after `block`.

        Args:
            key: whose value.
            block: at most `depth` blocks before the newest change.
            now: the present value, which is the answer for what never changed.
        """
        past = self._past.get(key)
        if past is None:
            return now
        if past[-1][0] <= block:
            return past[-1][1]
        for number, value in reversed(past):
            if number <= block:
                return value
        return past[0][1]
