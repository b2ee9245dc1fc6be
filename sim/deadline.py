"""Classes that somebody brings are asked with a limit of wall time, so that one that sleeps or loops is named.

Their calls run in a thread of their own, whichever thread or process the simulation runs in: nothing else can leave
a call that does not return. The thread of one that does not is left behind; it ends with the process. Our own
policies are called directly.
"""

from __future__ import annotations

import sys
import threading
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT_S: Final = 10.0
"""What one decision may take; ours take microseconds."""


class _Helper:
    """A thread that makes one call after another."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], Any]] = SimpleQueue()
        self._answers: SimpleQueue[tuple[bool, Any]] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="policy", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while True:
            call = self._calls.get()
            try:
                answer = True, call()
            except BaseException as error:  # noqa: BLE001  (handed to whoever asked)
                answer = False, error
            self._answers.put(answer)

    def make(self, call: Callable[[], Any]) -> Any:
        """Make a call, or give it up.

        Raises:
            TimeoutError: it did not come back in time; this helper is of no use any more.
        """
        self._calls.put(call)
        try:
            good, answer = self._answers.get(timeout=LIMIT_S)
        except Empty:
            frame = sys._current_frames().get(self._thread.ident or 0)  # noqa: SLF001  (the documented way to another thread's stack)
            at = f"; it is at {frame.f_code.co_filename}, line {frame.f_lineno}" if frame is not None else ""
            raise TimeoutError(f"no answer after {LIMIT_S:g} s of wall time{at}") from None
        if good:
            return answer
        raise answer


_idle: list[_Helper] = []


def _within(call: Callable[..., Any], *args: Any, **named: Any) -> Any:
    helper = _idle.pop() if _idle else _Helper()
    try:
        return helper.make(partial(call, *args, **named))
    except TimeoutError:
        helper = _Helper()  # the old one never comes back
        raise
    finally:
        _idle.append(helper)


class Timely:
    """Another object, whose methods have to answer in time. It passes for the other in every other way.

    Args:
        other: a policy that somebody brought.
    """

    __slots__ = ("_other",)

    def __init__(self, other: Any) -> None:
        self._other = other

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return self._other.__class__

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._other, name)
        return partial(_within, value) if callable(value) else value
