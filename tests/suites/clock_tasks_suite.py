"""What `Clock`, `Tasks` and `Mailbox` promise."""

from __future__ import annotations

from typing import Protocol

import pytest

from protocol.errors import Killed
from protocol.ports import Mailbox
from tests.suites.bench import Bench, after, pause


class TasksBench(Bench, Protocol):
    """Also kills the party."""

    def kill(self) -> None:
        """End the party's process."""
        ...


class Broken(Exception):
    """Raised on purpose."""


class TasksSuite:
    """Every adapter of `Clock` and `Tasks`."""

    def test_items_come_out_in_the_order_they_were_put(self, bench: TasksBench) -> None:
        async def story() -> list[int]:
            box: Mailbox[int] = bench.tasks.mailbox()
            for number in range(5):
                box.put(number)
            return [x for _ in range(5) if (x := await box.get(bench.clock.now_ns())) is not None]

        assert bench.run(story()) == [0, 1, 2, 3, 4]

    def test_what_is_there_is_returned_even_when_the_time_has_passed(self, bench: TasksBench) -> None:
        async def story() -> tuple[object, object]:
            box: Mailbox[str] = bench.tasks.mailbox()
            box.put("item")
            return await box.get(0), await box.get(0)

        assert bench.run(story()) == ("item", None)

    def test_nothing_comes_at_its_time_and_not_before(self, bench: TasksBench) -> None:
        async def story() -> tuple[object, int]:
            box: Mailbox[str] = bench.tasks.mailbox()
            until_ns = after(bench, 1)
            return await box.get(until_ns), bench.clock.now_ns() - until_ns

        item, late_ns = bench.run(story())
        assert item is None
        assert 0 <= late_ns < 50 * bench.unit_ns

    def test_an_item_wakes_who_waits(self, bench: TasksBench) -> None:
        async def put(box: Mailbox[str]) -> None:
            await pause(bench, 1)
            box.put("woken")

        async def story() -> tuple[object, int]:
            box: Mailbox[str] = bench.tasks.mailbox()
            begin_ns = bench.clock.now_ns()
            bench.tasks.start("put", put(box))
            return await box.get(after(bench, 1000)), bench.clock.now_ns() - begin_ns

        item, took_ns = bench.run(story())
        assert item == "woken"
        assert bench.unit_ns <= took_ns < 500 * bench.unit_ns

    def test_a_mailbox_serves_again_after_it_timed_out(self, bench: TasksBench) -> None:
        async def story() -> list[object]:
            box: Mailbox[int] = bench.tasks.mailbox()
            first = await box.get(after(bench, 0.5))
            box.put(1)
            box.put(2)
            return [first, await box.get(after(bench, 1)), await box.get(after(bench, 1)), await box.get(0)]

        assert bench.run(story()) == [None, 1, 2, None]

    def test_a_task_begins_after_the_caller_next_awaits(self, bench: TasksBench) -> None:
        log: list[str] = []

        async def child() -> None:
            log.append("child")

        async def story() -> None:
            bench.tasks.start("child", child())
            log.append("caller")
            await pause(bench, 0.5)
            log.append("later")

        bench.run(story())
        assert log == ["caller", "child", "later"]

    def test_an_exception_of_a_task_ends_the_party(self, bench: TasksBench) -> None:
        async def child() -> None:
            await pause(bench, 0.5)
            raise Broken

        async def story() -> None:
            bench.tasks.start("child", child())
            await pause(bench, 100)

        with pytest.raises(BaseException) as raised:  # noqa: PT011 - trio puts it into a group
            bench.run(story())
        found = raised.value
        assert isinstance(found, Broken) or "Broken" in repr(found)

    def test_the_clock_never_falls(self, bench: TasksBench) -> None:
        async def story() -> list[int]:
            seen = []
            for _ in range(20):
                seen.append(bench.clock.now_ns())
                await pause(bench, 0.05)
            return seen

        seen = bench.run(story())
        assert seen == sorted(seen) and seen[-1] - seen[0] >= 19 * bench.unit_ns // 20

    def test_a_killed_party_does_nothing_more(self, bench: TasksBench) -> None:
        log: list[str] = []

        async def waits() -> None:
            try:
                await pause(bench, 2)
                log.append("went on")
            except Killed:
                log.append("killed")
                with pytest.raises(Killed):
                    await bench.tasks.mailbox().get(after(bench, 1))
                raise

        async def story() -> None:
            bench.tasks.start("waits", waits())
            await pause(bench, 1)
            bench.kill()
            await pause(bench, 2)

        with pytest.raises(Killed):
            bench.run(story())
        assert log == ["killed"]
