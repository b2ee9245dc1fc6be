"""`Clock` and `Tasks` on SimPy: a party's coroutines are SimPy processes, one time unit is one nanosecond.

A `Process` stands for the operating-system process of a party, from its start to its crash: everything
that a party's coroutines await goes through it, so that killing it fences every port at once and then
raises `Killed` at each await. A party that comes back is a new `Process`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, Final

from simpy import Event, Timeout
from simpy.events import URGENT

from protocol.errors import Killed
from protocol.units import NEVER_NS

if TYPE_CHECKING:
    from simpy import Environment

    from protocol import ports

_KILL: Final = object()
"""The value with which an await of a killed process is woken."""


class _Wait:
    """Awaiting it suspends the coroutine until the SimPy event happens."""

    __slots__ = ("_event",)

    def __init__(self, event: Event) -> None:
        self._event = event

    def __await__(self) -> Generator[Event, Any, Any]:
        return (yield self._event)


class Process:
    """One incarnation of a party; it is its `Clock` and its `Tasks`.

    Args:
        env: the simulation.
        name: the party's name, for messages.
        skew_ns: how far this party's clock is ahead of true time [ns].
    """

    def __init__(self, env: Environment, name: str, *, skew_ns: int = 0) -> None:
        self.env = env
        self.name = name
        self.alive = True
        self._skew_ns = skew_ns
        self._waits: dict[Event, None] = {}  # an ordered set, so that a crash wakes in the order of waiting

    # ------------------------------------------------------------ the ports

    def now_ns(self) -> int:
        """See `Clock.now_ns`."""
        return int(self.env.now) + self._skew_ns

    def start(self, name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        """See `Tasks.start`."""
        self.check()
        _Task(self.env, coroutine)

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

    async def wait(self, event: Event) -> Any:
        """Wait for a SimPy event that has no other effect than waking us.

        Raises:
            Killed: the process was killed meanwhile.
        """
        self.check()
        self._waits[event] = None
        value = await _Wait(event)
        if value is _KILL:
            raise Killed(self.name)
        self._waits.pop(event, None)
        self.check()
        return value

    async def sleep_until(self, at_ns: int) -> None:
        """Wait until the simulation's clock shows `at_ns` (true time)."""
        if self.alive and (for_ns := at_ns - self.env.now) > 0:
            # Nothing else can wake a sleeper, so a bare timer will do: after a kill it raises when it would have woken.
            await _Wait(Timeout(self.env, for_ns))
        self.check()

    @property
    def now(self) -> int:
        """True time [Unix ns], which no party sees."""
        return int(self.env.now)

    def true_ns(self, party_ns: int) -> int:
        """The true instant at which this party's clock shows `party_ns`."""
        return party_ns - self._skew_ns

    def kill(self) -> None:
        """End the process now: ports are fenced first, then every await raises `Killed`."""
        self.alive = False
        waits, self._waits = self._waits, {}
        for event in waits:
            if isinstance(event, Timeout):
                divert(event, _KILL)
            elif not event.triggered:
                event.succeed(_KILL)


class Mailbox:
    """See `ports.Mailbox`."""

    __slots__ = ("_items", "_process", "_waiter")

    def __init__(self, process: Process) -> None:
        self._process = process
        self._items: deque[Any] = deque()
        self._waiter: Event | None = None

    def put(self, item: Any) -> None:
        """See `ports.Mailbox.put`."""
        self._items.append(item)
        waiter, self._waiter = self._waiter, None
        if isinstance(waiter, Timeout):
            divert(waiter)
        elif waiter is not None and not waiter.triggered:
            waiter.succeed()

    async def get(self, until_ns: int) -> Any:
        """See `ports.Mailbox.get`."""
        process = self._process
        process.check()
        if not self._items:
            env = process.env
            until = process.true_ns(until_ns)
            if until <= env.now:
                return None
            # What is never to come needs no timer, which would lie in SimPy's queue to the end.
            self._waiter = Timeout(env, until - env.now) if until_ns < NEVER_NS else env.event()
            await process.wait(self._waiter)
            self._waiter = None
        return self._items.popleft() if self._items else None


def divert(timer: Timeout, value: Any = None) -> None:
    """Wake now whoever waits for `timer`, and nobody when it comes; nothing, when it has come already."""
    if timer.callbacks:
        soon = timer.env.event()
        soon.callbacks, timer.callbacks = timer.callbacks, []
        soon.succeed(value)


def wake_at(env: Environment, at_ns: int, event: Event, value: Any = None) -> None:
    """Trigger `event` at `at_ns` unless something else did before."""

    def wake(_: Event) -> None:
        if not event.triggered:
            event.succeed(value)

    _at(env, at_ns, wake)


def call_at(env: Environment, at_ns: int, action: Callable[[], None]) -> None:
    """Run `action` at `at_ns`, at once when that is now or past, after what was scheduled for the same instant."""
    _at(env, at_ns, lambda _: action())


def _at(env: Environment, at_ns: int, callback: Callable[[Event], None]) -> None:
    timer = env.timeout(max(0, at_ns - int(env.now)))
    assert timer.callbacks is not None, "a new timer has not happened yet"
    timer.callbacks.append(callback)


class _Begin(Event):
    """Happens now, before anything else that is due."""

    def __init__(self, env: Environment) -> None:
        super().__init__(env)
        self._ok, self._value = True, None
        env.schedule(self, URGENT)


class _Task:
    """A child on its way: a `simpy.Process` without an event at its end, for which nobody waits.

    A kill ends it quietly; any other exception ends the simulation: it is a bug.

    Args:
        env: the simulation; the child begins now, before anything else that is due.
        coroutine: the child; it waits for events that do not fail.
    """

    __slots__ = ("_send",)

    def __init__(self, env: Environment, coroutine: Coroutine[Event, Any, None]) -> None:
        self._send = coroutine.send
        _Begin(env).callbacks.append(self._go_on)

    def _go_on(self, event: Event) -> None:
        try:
            event = self._send(event.value)
            while event.processed:
                event = self._send(event.value)
        except (StopIteration, Killed):
            return
        event.callbacks.append(self._go_on)


if TYPE_CHECKING:
    _is_a_clock: type[ports.Clock] = Process
    _is_tasks: type[ports.Tasks] = Process
