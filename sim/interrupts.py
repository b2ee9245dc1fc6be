"""Ctrl-C as a wish: a run ends between two events, so that its tables are whole; pressed twice, it ends at once."""

from __future__ import annotations

import ctypes
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


class Flag(Protocol):
    """Whether somebody wants the run to end; a `ctypes.c_bool`, so that it can lie in shared memory."""

    value: bool


def flag() -> Flag:
    """A flag of this process."""
    return ctypes.c_bool(False)


@contextmanager
def raised_by_interrupt(stop: Flag, told: Callable[[str], None] | None = None) -> Iterator[None]:
    """Within it, an interrupt (SIGINT) raises `stop`, and only a second one `KeyboardInterrupt`.

    Outside of the main thread, which alone is interrupted, it changes nothing.

    Args:
        stop: the flag.
        told: told, in words, what the first interrupt does.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def press(*_: object) -> None:
        if stop.value:
            raise KeyboardInterrupt
        stop.value = True
        if told is not None:
            told("ending at the next event, with readable tables; again: at once")

    before = signal.signal(signal.SIGINT, press)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def not_inherited() -> Iterator[None]:
    """Processes that begin within it ignore interrupts: whoever began them tells them by a flag.

    A terminal sends an interrupt to every process; one that is still importing would die of it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
