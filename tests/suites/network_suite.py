"""What `Network` promises: an answer, or that there is none and whether the message may have arrived."""

from __future__ import annotations

from typing import Protocol

from protocol.ports import Mailbox, Network, NoAnswer, Peer
from protocol.units import PeerId
from tests.suites.bench import Bench, after, pause

ECHO, OTHER = "/trusted-pods/echo/0.0.1", "/trusted-pods/other/0.0.1"


class NetworkBench(Bench, Protocol):
    """Two peers.

    Attributes:
        caller: whose clock and tasks these are.
        callee, callee_peer: the other, and how to reach it.
    """

    @property
    def caller(self) -> Network: ...

    @property
    def callee(self) -> Network: ...

    @property
    def callee_peer(self) -> Peer: ...

    def kill_callee(self) -> None:
        """End the other's process."""
        ...


async def echo(_: PeerId, message: bytes) -> bytes:
    return message


class NetworkSuite:
    """Every adapter of `Network`."""

    def test_an_answer_comes_back(self, bench: NetworkBench) -> None:
        bench.callee.serve(ECHO, echo)
        for message in (b"", b"hello", bytes(range(256)) * 4096):
            answer = bench.run(
                bench.caller.call(bench.callee_peer, ECHO, message, deadline_ns=after(bench, 30))
            )
            assert answer == message

    def test_the_caller_is_known(self, bench: NetworkBench) -> None:
        async def who(peer: PeerId, message: bytes) -> bytes:
            return peer.encode()

        bench.callee.serve(ECHO, who)
        answer = bench.run(bench.caller.call(bench.callee_peer, ECHO, b"", deadline_ns=after(bench, 30)))
        assert answer == bench.caller.peer_id.encode()

    def test_the_newest_handler_answers_for_its_protocol(self, bench: NetworkBench) -> None:
        async def new(_: PeerId, message: bytes) -> bytes:
            return b"new"

        bench.callee.serve(ECHO, echo)
        bench.callee.serve(OTHER, echo)
        bench.callee.serve(ECHO, new)
        call = bench.caller.call
        assert bench.run(call(bench.callee_peer, ECHO, b"old", deadline_ns=after(bench, 30))) == b"new"
        assert bench.run(call(bench.callee_peer, OTHER, b"old", deadline_ns=after(bench, 30))) == b"old"

    def test_a_protocol_that_is_not_served_has_no_answer(self, bench: NetworkBench) -> None:
        deadline_ns = after(bench, 3)
        answer = bench.run(bench.caller.call(bench.callee_peer, ECHO, b"x", deadline_ns=deadline_ns))
        assert isinstance(answer, NoAnswer) and answer.reason

    def test_nobody_there_means_nothing_was_sent(self, bench: NetworkBench) -> None:
        nobody = Peer(PeerId("nobody"))
        answer = bench.run(bench.caller.call(nobody, ECHO, b"x", deadline_ns=after(bench, 3)))
        assert isinstance(answer, NoAnswer) and not answer.sent

    def test_a_late_answer_is_none_and_the_message_may_have_arrived(self, bench: NetworkBench) -> None:
        heard: list[bytes] = []

        async def slow(_: PeerId, message: bytes) -> bytes:
            heard.append(message)
            await pause(bench, 20)
            return message

        bench.callee.serve(ECHO, slow)
        deadline_ns = after(bench, 5)
        answer = bench.run(bench.caller.call(bench.callee_peer, ECHO, b"x", deadline_ns=deadline_ns))
        assert isinstance(answer, NoAnswer) and answer.sent
        assert heard == [b"x"]
        assert bench.clock.now_ns() >= deadline_ns

    def test_a_slow_call_holds_up_no_other(self, bench: NetworkBench) -> None:
        async def by_length(_: PeerId, message: bytes) -> bytes:
            await pause(bench, len(message))
            return message

        order: list[bytes] = []

        async def ask(message: bytes, done: Mailbox[bytes]) -> None:
            answer = await bench.caller.call(bench.callee_peer, ECHO, message, deadline_ns=after(bench, 60))
            assert answer == message
            done.put(message)

        async def story() -> None:
            done: Mailbox[bytes] = bench.tasks.mailbox()
            for message in (b"x" * 10, b"x"):
                bench.tasks.start("ask", ask(message, done))
            for _ in range(2):
                item = await done.get(after(bench, 60))
                assert item is not None
                order.append(item)

        bench.callee.serve(ECHO, by_length)
        bench.run(story())
        assert order == [b"x", b"x" * 10]

    def test_the_dead_do_not_answer(self, bench: NetworkBench) -> None:
        bench.callee.serve(ECHO, echo)
        bench.kill_callee()
        answer = bench.run(bench.caller.call(bench.callee_peer, ECHO, b"x", deadline_ns=after(bench, 3)))
        assert isinstance(answer, NoAnswer)
