"""What is remembered of values answers for those values alone."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import manifest
from protocol.agreement import running_cost
from protocol.auth import Offer
from protocol.errors import Refusal
from protocol.hosting import HostedPod
from protocol.manifest import Pod
from protocol.metering import Meter
from protocol.payment import ChannelKey
from protocol.ports import PublishedImage
from protocol.pricing import COST_SCALE, PriceTable
from protocol.renting import Rental
from protocol.units import Address, Cid, PodId, Resource
from protocol.written import Written

ANN, PIA, TOKEN = (Address(bytes([n]) * 20) for n in (1, 2, 3))
POD_ID = PodId(b"\x07" * 32)
PRICES = PriceTable(token=TOKEN, cpu=5, ram=7, storage=11, egress=13, ingress=17)
OFFER = Offer(ANN, PIA, POD_ID, bytes(32), TOKEN, 4, bytes(32), 60, 100, 0, bytes(32), 10**9)
IMAGE = PublishedImage(Cid("bafkrei"), "sha256:00", 5, b"k", b"{}", b"{}")


def pod(millis: int) -> Pod:
    return manifest.parse({"containers": [{"name": "a", "image": "a:1", "resources": {"cpu": f"{millis}m"}}]})


def test_a_part_is_written_once_for_as_long_as_it_is_the_same_object() -> None:
    seen: list[list[int]] = []

    def write(value: list[int]) -> int:
        seen.append(value)
        return len(seen)

    written, one, equal = Written(), [1], [1]
    assert [written.of("a", one, write), written.of("a", one, write)] == [1, 1]
    assert written.of("b", one, write) == 2  # another part
    assert written.of("a", equal, write) == 3  # another object
    assert written.of("a", one, write) == 4  # the first again: only the last is remembered
    assert Written().of("a", one, write) == 5  # another thing's part


CHANGES = {
    "pod": (pod(250), pod(500)),
    "offer": (OFFER, replace(OFFER, min_deposit=101)),
    "prices": (PRICES, replace(PRICES, gpu=1)),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_rental_is_stored_as_it_is_now(what: str) -> None:
    rental = Rental(POD_ID, pod(250), offer=OFFER, prices=PRICES)
    before = rental.to_record()
    assert Rental.from_record(before) == rental
    setattr(rental, what, CHANGES[what][1])
    after = rental.to_record()
    assert Rental.from_record(after) == rental
    assert {name for name in after if after[name] != before[name]} == {what}
    rental.offer = rental.prices = None
    assert Rental.from_record(rental.to_record()) == rental


@pytest.mark.parametrize("what", [*CHANGES, "images"])
def test_a_hosted_pod_is_stored_as_it_is_now(what: str) -> None:
    hosted = HostedPod(
        ChannelKey(ANN, PIA, POD_ID), 1, "tpod-a", OFFER, b"s", PRICES, pod(250), (IMAGE,), 1, Meter.begin(life=1), 0
    )  # fmt: skip
    before = hosted.to_record()
    assert HostedPod.from_record(before) == hosted
    setattr(hosted, what, (replace(IMAGE, packed_bytes=6),) if what == "images" else CHANGES[what][1])
    hosted.changed()
    after = hosted.to_record()
    assert HostedPod.from_record(after) == hosted
    assert {name for name in after["fixed"] if after["fixed"][name] != before["fixed"][name]} == {what}


def test_what_a_pod_reserves_is_the_callers_own() -> None:
    found = manifest.pod_resources(pod(250))
    found[Resource.CPU] += 1
    found[Resource.GPU] = 1
    assert manifest.pod_resources(pod(250)) == {Resource.CPU: 250}
    assert manifest.pod_resources(pod(251)) == {Resource.CPU: 251}


@st.composite
def tables(draw: st.DrawFn) -> PriceTable:
    few = st.integers(0, 3)  # so that tables and amounts come again in other company
    extra = st.one_of(st.none(), few)
    return PriceTable(
        token=draw(st.sampled_from([TOKEN, ANN])), cpu=draw(few), ram=draw(few), storage=draw(few),
        egress=draw(few), ingress=draw(few), gpu=draw(extra), ip=draw(extra),
    )  # fmt: skip


HELD = [Resource.CPU, Resource.MEMORY, Resource.STORAGE, Resource.GPU, Resource.IP]
A_SECOND = {Resource.CPU: Fraction(1, 1000)}
"""What a unit of a resource counts for in a second, where it is not 1."""


@given(
    prices=tables(),
    replica=st.dictionaries(st.sampled_from(HELD), st.integers(0, 2)),
    volumes=st.dictionaries(st.just(Resource.STORAGE), st.integers(0, 2)),
    replicas=st.integers(0, 2),
    for_ms=st.integers(0, 3000),
)
def test_a_running_cost_is_that_of_these_prices_and_amounts(
    prices: PriceTable,
    replica: dict[Resource, int],
    volumes: dict[Resource, int],
    replicas: int,
    for_ms: int,
) -> None:
    by_hand = Fraction(0)
    for held, count in ((replica, replicas), (volumes, 1)):
        for resource, amount in held.items():
            price = {
                Resource.CPU: prices.cpu, Resource.MEMORY: prices.ram, Resource.STORAGE: prices.storage,
                Resource.GPU: prices.gpu, Resource.IP: prices.ip,
            }[resource]  # fmt: skip
            if price is None:
                with pytest.raises(Refusal):
                    running_cost(replica, volumes, prices, replicas=replicas, for_ns=for_ms * 1_000_000)
                return
            by_hand += amount * count * price * A_SECOND.get(resource, Fraction(1)) * Fraction(for_ms, 1000)
    cost = running_cost(replica, volumes, prices, replicas=replicas, for_ns=for_ms * 1_000_000)
    assert cost == -(-by_hand.numerator // by_hand.denominator)
    assert COST_SCALE % by_hand.denominator == 0


@given(tables(), tables())
def test_tables_have_equal_bytes_when_they_are_equal(one: PriceTable, other: PriceTable) -> None:
    assert (one.to_bytes() == other.to_bytes()) == (one == other)
    assert (one.hash() == other.hash()) == (one == other)
