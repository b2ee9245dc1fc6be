"""Taking turns: of several tasks that want to do the same thing, one does it at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from protocol.units import NEVER_NS

if TYPE_CHECKING:
    from protocol.ports import Mailbox, Tasks


class Turns:
    """One at a time, in the order of asking.

    Args:
        tasks: of the party whose tasks take turns.
    """

    __slots__ = ("_busy", "_tasks", "_waiting")

    def __init__(self, tasks: Tasks) -> None:
        self._tasks: Final = tasks
        self._busy = False
        self._waiting: list[Mailbox[bool]] = []

    @property
    def idle(self) -> bool:
        """Whether nobody has a turn."""
        return not self._busy

    async def take(self) -> None:
        """Wait for a turn; `give` it back whatever happens."""
        if not self._busy:
            self._busy = True
            return
        box = self._tasks.mailbox()
        self._waiting.append(box)
        await box.get(NEVER_NS)

    def give(self) -> None:
        """Hand the turn to whoever has waited longest."""
        if self._waiting:
            self._waiting.pop(0).put(True)
        else:
            self._busy = False
