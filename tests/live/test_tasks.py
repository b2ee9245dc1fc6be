"""trio's tasks and the system's clock, held to the suite of their ports; and what is theirs alone."""

from __future__ import annotations

import time

import pytest
import trio

from live.tasks import Process
from protocol.errors import Killed
from protocol.units import NS_PER_MS, NS_PER_S
from tests.live.benches import LiveBench
from tests.suites.bench import after, pause
from tests.suites.clock_tasks_suite import TasksBench, TasksSuite


class TestLiveTasks(TasksSuite):
    @pytest.fixture
    def bench(self) -> TasksBench:
        return LiveBench()


class Wall:
    """A wall clock that somebody sets."""

    def __init__(self) -> None:
        self.ahead_ns = 0

    def __call__(self) -> int:
        return time.time_ns() + self.ahead_ns


def test_the_clock_follows_a_step_forward_and_ignores_one_back() -> None:
    wall = Wall()
    process = Process("party", wall_ns=wall)
    before_ns = process.now_ns()
    wall.ahead_ns = 60 * NS_PER_S
    stepped_ns = process.now_ns()
    assert stepped_ns - before_ns >= 60 * NS_PER_S
    wall.ahead_ns = -60 * NS_PER_S
    assert 0 <= process.now_ns() - stepped_ns < NS_PER_S


def test_a_sleeper_notices_that_the_wall_clock_went_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("live.tasks.LOOK_AGAIN_S", 0.02)
    wall = Wall()
    bench = LiveBench(process=Process("party", wall_ns=wall))

    async def wake_up() -> None:
        await trio.sleep(0.03)
        wall.ahead_ns = 3600 * NS_PER_S  # the machine was suspended for an hour

    async def story() -> object:
        bench.tasks.start("wake up", wake_up())
        return await bench.tasks.mailbox().get(bench.clock.now_ns() + 3600 * NS_PER_S)

    begin_s = time.monotonic()
    assert bench.run(story()) is None
    assert time.monotonic() - begin_s < 5


def test_a_kill_is_not_held_up_by_a_thread_and_its_answer_is_not_heard() -> None:
    bench = LiveBench()
    log: list[str] = []

    def work() -> None:
        time.sleep(0.3)
        log.append("the thread came to its end")

    async def asks() -> None:
        try:
            await bench.process.in_thread(work, until_ns=after(bench, 1000))
            log.append("heard")
        except Killed:
            log.append("killed")
            raise

    async def story() -> None:
        bench.tasks.start("asks", asks())
        await pause(bench, 1)
        bench.kill()
        with pytest.raises(Killed):
            bench.tasks.start("another", asks())
        await trio.sleep(0.02)

    begin_s = time.monotonic()
    bench.run(story())
    assert log == ["killed"] and time.monotonic() - begin_s < 0.25
    time.sleep(0.4)
    assert log == ["killed", "the thread came to its end"]


def test_a_thread_that_is_late_is_not_waited_for() -> None:
    bench = LiveBench()
    begin_s = time.monotonic()
    assert bench.run(bench.process.in_thread(lambda: time.sleep(0.3), until_ns=after(bench, 2))) is None
    assert time.monotonic() - begin_s < 0.25


def test_tasks_end_with_the_party() -> None:
    bench = LiveBench()
    log: list[str] = []

    async def child() -> None:
        try:
            await bench.tasks.mailbox().get(after(bench, 10_000))
        finally:
            log.append("ended")

    async def story() -> None:
        bench.tasks.start("child", child())
        await pause(bench, 1)

    begin_s = time.monotonic()
    bench.run(story())
    assert log == ["ended"] and time.monotonic() - begin_s < 0.02 * 10_000 * bench.unit_ns / NS_PER_MS / 1000
