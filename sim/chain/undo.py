"""Taking back: what has to be written where, last first, to be as one was."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, MutableMapping
from functools import partial
from typing import Any, Final, TypeVar

K = TypeVar("K")
V = TypeVar("V")

_ABSENT: Final = object()


class UndoLog:
    """The steps back from here to any mark that was not forgotten.

    Args:
        keeps: False: nothing is noted, because nothing will be taken back.
    """

    def __init__(self, *, keeps: bool = True) -> None:
        self.keeps = keeps
        self._steps: deque[Callable[[], object]] = deque()
        self._forgotten = 0

    def mark(self) -> int:
        """Where we are."""
        return self._forgotten + len(self._steps)

    def note(self, step: Callable[[], object]) -> None:
        """Something is about to change, and `step` changes it back."""
        if self.keeps:
            self._steps.append(step)

    def item(self, mapping: MutableMapping[K, V], key: K) -> None:
        """`mapping[key]` is about to change, to come or to go."""
        if self.keeps:
            self._steps.append(partial(_put_back, mapping, key, mapping.get(key, _ABSENT)))

    def attribute(self, thing: object, name: str) -> None:
        """An attribute of `thing` is about to change."""
        if self.keeps:
            self._steps.append(partial(setattr, thing, name, getattr(thing, name)))

    def back_to(self, mark: int) -> None:
        """Be as we were at `mark`, which was not forgotten."""
        while self.mark() > mark:
            self._steps.pop()()

    def forget(self, mark: int) -> None:
        """Nobody will ask for what was before `mark` any more."""
        while self._forgotten < mark and self._steps:
            self._steps.popleft()
            self._forgotten += 1


def _put_back(mapping: MutableMapping[Any, Any], key: object, value: object) -> None:
    if value is _ABSENT:
        mapping.pop(key, None)
    else:
        mapping[key] = value
