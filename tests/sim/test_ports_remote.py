"""The simulated network and content store, held to the suites of their ports."""

from __future__ import annotations

import pytest

from protocol.identity import cid_of
from protocol.ports import NoAnswer, Peer
from protocol.units import NS_PER_S, PeerId
from sim.content import Contents, SimContent, SimImage, SimImages
from sim.kernel.draws import stream_key
from sim.kernel.streams import Stream
from sim.laws import Constant, Exponential
from sim.network import Links, Place, SimNetwork, Web
from sim.tasks import Process
from tests.sim.test_ports_local import SimBench
from tests.suites.content_suite import ContentBench, ContentSuite
from tests.suites.network_suite import NetworkBench, NetworkSuite


def _stream(name: str) -> Stream:
    return Stream(stream_key(1, 0, "suite", name))


class SimNetworkBench(SimBench):
    def __init__(self, duplicate_prob: float) -> None:
        super().__init__()
        links = Links(
            far=Exponential(0.06),
            near=Constant(0.005),
            loss_prob=0.0,
            duplicate_prob=duplicate_prob,
            bytes_per_s=10**8,
        )
        web = Web(self.env, links)
        self.other = Process(self.env, "callee")
        web.places[PeerId("caller")] = Place("bul-east-1")
        web.places[PeerId("callee")] = Place("fra-west-1")
        self.caller = SimNetwork(web, self.process, PeerId("caller"), _stream("caller"))
        self.callee = SimNetwork(web, self.other, PeerId("callee"), _stream("callee"))
        self.callee_peer = Peer(PeerId("callee"))

    def kill_callee(self) -> None:
        self.other.kill()


class TestSimNetwork(NetworkSuite):
    @pytest.fixture
    def bench(self) -> NetworkBench:
        return SimNetworkBench(0.0)


def test_a_call_takes_both_ways_and_waits_no_longer_than_its_deadline() -> None:
    """Requests and answers take the link's latency each; what is late is none, even where it comes afterwards."""
    bench = SimNetworkBench(0.0)
    arrived: list[int] = []

    async def handler(_: PeerId, message: bytes) -> bytes:
        arrived.append(bench.clock.now_ns())
        return message

    bench.callee.serve("/p", handler)
    took = []
    for number in range(200):
        began_ns, patience_ns = bench.clock.now_ns(), 150_000_000
        answer = bench.run(
            bench.caller.call(bench.callee_peer, "/p", b"x", deadline_ns=began_ns + patience_ns)
        )
        done_ns = bench.clock.now_ns()
        if isinstance(answer, NoAnswer):
            assert answer.sent and done_ns == began_ns + patience_ns
        else:
            assert len(arrived) == number + 1
            there_ns, back_ns = arrived[-1] - began_ns, done_ns - arrived[-1]
            assert there_ns > 0 < back_ns
            took.append(there_ns + back_ns)
        bench.env.run(until=bench.env.now + 10 * NS_PER_S)  # what is late has come
    assert 100 < len(took) < 200 and max(took) <= 150_000_000
    assert len(arrived) == 200


@pytest.mark.parametrize("probability", [0.0, 0.5, 0.999])
def test_requests_arrive_twice_as_often_as_the_links_say(probability: float) -> None:
    bench = SimNetworkBench(probability)
    heard: list[bytes] = []

    async def handler(_: PeerId, message: bytes) -> bytes:
        heard.append(message)
        return message

    bench.callee.serve("/p", handler)
    calls = 400
    for number in range(calls):
        deadline_ns = bench.clock.now_ns() + 60 * NS_PER_S
        answer = bench.run(
            bench.caller.call(bench.callee_peer, "/p", b"%d" % number, deadline_ns=deadline_ns)
        )
        assert answer == b"%d" % number
    bench.env.run(until=bench.env.now + 60 * NS_PER_S)
    spread = 5 * (calls * probability * (1 - probability)) ** 0.5
    assert abs(len(heard) - calls * (1 + probability)) <= spread


class SimContentBench(SimBench):
    reference = "web:1"

    def __init__(self) -> None:
        super().__init__()
        contents = Contents()
        known = {self.reference: SimImage(150_000_000, 0)}
        self.mine, self.other = (
            SimContent(
                contents, self.process, bytes_per_s=10**8, latency=Constant(0.05), stream=_stream(name)
            )
            for name in ("mine", "other")
        )
        self.my_images = SimImages(known, self.mine, contents, self.process)
        self.other_images = SimImages(known, self.other, contents, self.process)


class TestSimContent(ContentSuite):
    @pytest.fixture
    def bench(self) -> ContentBench:
        return SimContentBench()


def test_many_take_as_long_as_one_after_another() -> None:
    """The same latencies in the same order, those that come too late and those that nobody has included."""
    ends, found = [], []
    for at_once in (True, False):
        bench = SimContentBench()
        contents = Contents()
        store = SimContent(
            contents, bench.process, bytes_per_s=10**6, latency=Exponential(1.0), stream=_stream("many")
        )
        blobs = [bytes([n]) * 1000 * n for n in range(40)]
        cids = [cid_of(blob) for blob in blobs]
        contents.blobs |= {cid: blob for n, (cid, blob) in enumerate(zip(cids, blobs, strict=True)) if n % 13}
        if at_once:
            got = bench.run(store.get_many(cids, max_bytes=30_000, timeout_ns=2 * NS_PER_S))
        else:
            got = [
                bench.run(store.get(cid, max_bytes=30_000, deadline_ns=bench.clock.now_ns() + 2 * NS_PER_S))
                for cid in cids
            ]
        ends.append(bench.clock.now_ns())
        found.append(got)
    assert ends[0] == ends[1] and found[0] == found[1]
    assert {answer.reason for answer in found[0] if isinstance(answer, NoAnswer)} == {
        "deadline passed",
        "nobody has it",
        "larger than 30000 bytes",
    }


def test_moving_bytes_takes_their_time() -> None:
    bench = SimContentBench()
    begin_ns = bench.clock.now_ns()
    bench.run(bench.mine.put(bytes(10**6), deadline_ns=begin_ns + 60 * NS_PER_S))
    assert (
        bench.clock.now_ns() - begin_ns == 60_000_000
    )  # 50 ms to be found, 10 ms for a megabyte at 100 MB/s
