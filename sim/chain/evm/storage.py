"""What the contracts' slots hold, have held in recent blocks, and the way back."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sim.chain.history import History

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from protocol.units import Address
    from sim.chain.evm.machine import Place
    from sim.chain.undo import UndoLog


class Storage:
    """The slots of several contracts; those that are not there hold 0.

    Args:
        genesis: what they hold at first.
        undo: where the way back is noted.
        history_blocks: how many blocks back can be read, at least 1.
    """

    def __init__(
        self, genesis: Mapping[Address, Mapping[int, int]], undo: UndoLog, history_blocks: int
    ) -> None:
        self._slots: dict[Place, int] = {
            (address, slot): value for address, slots in genesis.items() for slot, value in slots.items()
        }
        self._undo = undo
        self._history: History[Place, int] = History(history_blocks)

    def get(self, place: Place) -> int:
        """What a slot holds now."""
        return self._slots.get(place, 0)

    def at(self, place: Place, block: int) -> int:
        """What a slot held after a block, which must not be too old."""
        return self._history.at(place, block, self._slots.get(place, 0))

    def held(self, places: Iterable[Place]) -> list[tuple[Place, int]]:
        """Those of the slots that do not hold 0, and what they hold."""
        slots = self._slots
        return [(place, slots[place]) for place in places if place in slots]

    def put(self, block: int, values: Iterable[tuple[Place, int]]) -> None:
        """Let slots hold other values from a block on, at least as late as the last change."""
        slots, undo, history = self._slots, self._undo, self._history
        for place, after in values:
            before = slots.get(place, 0)
            if after == before:
                continue
            if undo.keeps:
                undo.note(partial(history.cut, place, block))
                undo.item(slots, place)
            history.put(place, block, before=before, after=after)
            if after:
                slots[place] = after
            else:
                del slots[place]

    def places(self, address: Address) -> list[int]:
        """The slots of a contract that do not hold 0."""
        return [slot for at, slot in self._slots if at == address]
