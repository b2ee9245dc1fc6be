"""Stored forms that are written once: a record is written often, and most of what it holds seldom changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

V = TypeVar("V")
W = TypeVar("W")


class Written:
    """The stored forms of one thing's parts, shared between its records, which nobody changes."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: dict[str, tuple[object, object]] = {}

    def of(self, part: str, value: V, write: Callable[[V], W]) -> W:
        """What `write` makes of `value`, made anew only where the part is another object than it was.

        Args:
            part: its name.
            value: immutable.
            write: its stored form; the same function each time for one part.
        """
        kept = self._parts.get(part)
        if kept is None or kept[0] is not value:
            kept = self._parts[part] = value, write(value)
        return kept[1]  # type: ignore[return-value]
