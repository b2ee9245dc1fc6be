"""`Clock` and `Tasks` on trio: a party's coroutines are trio tasks, and the clock is the system's.

A `Process` stands for one incarnation of a party: everything that a party's coroutines await goes through it, so
that `kill` fences every port at once and then raises `Killed` at each await. A party that comes back is a new
`Process`.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, TypeVar

import trio

from protocol.errors import Killed
from protocol.units import NEVER_NS, NS_PER_S

if TYPE_CHECKING:
    from protocol import ports

T = TypeVar("T")

LOOK_AGAIN_S: Final = 10.0
"""A sleeper looks at the clock at least so often [s]: after a suspend or a correction the wall clock has moved on
and the monotonic clock, by which timers run, has not."""


class Process:
    """One incarnation of a party; it is its `Clock` and its `Tasks`.

    Coroutines run in `run`, or between `async with process.running()` and its end.

    Args:
        name: the party's name, for messages.
        wall_ns: the system's idea of Unix time [ns].
        monotonic_ns: a clock that never falls [ns].
    """

    def __init__(
        self,
        name: str,
        *,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.name = name
        self.alive = True
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._offset_ns = wall_ns() - monotonic_ns()
        self._nursery: trio.Nursery | None = None
        self._scopes: set[trio.CancelScope] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Where the party's tasks run; what still runs at the end is cancelled.

        Raises:
            ExceptionGroup: of what ended the party, a task's exception or the body's.
        """
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                yield
            finally:
                self._nursery = None
                nursery.cancel_scope.cancel()

    async def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run the party's main coroutine to its end; what it started ends with it.

        Raises:
            Exception: what `main` raised, as it is.
            Killed: the party was killed.
            ExceptionGroup: of what a task raised, which ended the party.
        """
        ended: list[tuple[T | None, BaseException | None]] = []
        async with self.running():
            try:
                ended.append((await main, None))
            except (Exception, Killed) as raised:  # noqa: BLE001 - raised below, outside of trio's group
                ended.append((None, raised))
        value, error = ended[0]
        if error is not None:
            raise error
        return value  # type: ignore[return-value]

    # ------------------------------------------------------------ the ports

    def now_ns(self) -> int:
        """See `Clock.now_ns`: the monotonic clock, plus an offset that follows the wall clock forward only."""
        monotonic_ns = self._monotonic_ns()
        self._offset_ns = max(self._offset_ns, self._wall_ns() - monotonic_ns)
        return monotonic_ns + self._offset_ns

    def start(self, name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        """See `Tasks.start`."""
        if not self.alive or self._nursery is None:
            coroutine.close()
            raise Killed(self.name)
        self._nursery.start_soon(_until_killed, coroutine, name=f"{self.name}: {name}")

    def mailbox(self) -> Mailbox:
        """See `Tasks.mailbox`."""
        return Mailbox(self)

    # ------------------------------------------------------------ for the other adapters

    def check(self) -> None:
        """Refuse the calls of a dead incarnation.

        Raises:
            Killed: this process was killed.
        """
        if not self.alive:
            raise Killed(self.name)

    async def wait(self, start: Callable[[], Awaitable[T]], *, until_ns: int = NEVER_NS) -> T | None:
        """Start something of trio's and wait for it; None when `until_ns` came first.

        Raises:
            Killed: the process was killed, before or meanwhile.
        """
        self.check()
        value: T | None = None
        left_s = (until_ns - self.now_ns()) / NS_PER_S
        with trio.CancelScope(deadline=trio.current_time() + max(0.0, left_s)) as scope:
            self._scopes.add(scope)
            try:
                value = await start()
            except trio.Cancelled:
                # The party's main task may have ended of the kill first, and its nursery with it.
                self.check()
                raise
            finally:
                self._scopes.discard(scope)
        self.check()
        return value

    async def in_thread(self, work: Callable[[], T], *, until_ns: int) -> T | None:
        """Run blocking `work` in a worker thread; None when `until_ns` came first.

        A thread cannot be stopped: after a deadline or a kill it goes on unheard, so `work` has its own time limit.

        Raises:
            Killed: the process was killed meanwhile.
        """
        return await self.wait(
            lambda: trio.to_thread.run_sync(work, abandon_on_cancel=True), until_ns=until_ns
        )

    async def sleep_until(self, at_ns: int) -> None:
        """Wait until this party's clock shows `at_ns`."""
        await self.mailbox().get(at_ns)

    def kill(self) -> None:
        """End the process now: ports are fenced first, then every await raises `Killed`."""
        self.alive = False
        for scope in self._scopes:
            scope.cancel()


class Mailbox:
    """See `ports.Mailbox`."""

    __slots__ = ("_items", "_process", "_put")

    def __init__(self, process: Process) -> None:
        self._process = process
        self._items: deque[Any] = deque()
        self._put: trio.Event | None = None

    def put(self, item: Any) -> None:
        """See `ports.Mailbox.put`."""
        self._items.append(item)
        if self._put is not None:
            self._put.set()

    async def get(self, until_ns: int) -> Any:
        """See `ports.Mailbox.get`."""
        process = self._process
        await process.wait(trio.lowlevel.checkpoint)  # a reader that always finds something lets others run
        while not self._items and process.now_ns() < until_ns:
            self._put = trio.Event()
            look_again_ns = process.now_ns() + int(LOOK_AGAIN_S * NS_PER_S)
            await process.wait(self._put.wait, until_ns=min(until_ns, look_again_ns))
            self._put = None
        return self._items.popleft() if self._items else None


async def _until_killed(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a child; a kill ends it quietly, any other exception ends the party."""
    with contextlib.suppress(Killed):
        await coroutine


if TYPE_CHECKING:
    _is_a_clock: type[ports.Clock] = Process
    _is_tasks: type[ports.Tasks] = Process
