from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import wire
from protocol.errors import BadInput, Refusal
from protocol.keccak import keccak256
from protocol.pricing import (
    COST_SCALE,
    USAGE,
    PriceTable,
    burn,
    burn_per_s,
    cost,
    cost_of_reservation,
    margin,
    runway_ns,
    scaled_cost,
)
from protocol.units import NEVER_NS, NS_PER_MS, Address, Resource

TOKEN = Address(b"T" * 20)
SAMPLE = PriceTable(token=TOKEN, cpu=2 * 10**11, ram=500, storage=500, egress=800, ingress=800)
FULL = replace(SAMPLE, gpu=10**15, ip=10**12)
YEAR_MS = 365 * 86_400_000

# The denominators of the contract's units, written down apart from the code: core-seconds, byte-seconds, bytes.
PER_UNIT = {
    Resource.CPU: Fraction(1, 1000 * 1000),
    Resource.MEMORY: Fraction(1, 1000),
    Resource.STORAGE: Fraction(1, 1000),
    Resource.GPU: Fraction(1, 1000),
    Resource.IP: Fraction(1, 1000),
    Resource.EGRESS: Fraction(1),
    Resource.INGRESS: Fraction(1),
}
amounts = st.fixed_dictionaries({}, optional={(r, r in USAGE): st.integers(0, 10**22) for r in Resource})


def exact(prices: PriceTable, used: dict[tuple[Resource, bool], int]) -> Fraction:
    return sum((n * PER_UNIT[r] * (prices.price(r) or 0) for (r, _), n in used.items()), Fraction(0))


@given(amounts)
def test_cost_is_the_exact_sum_rounded_down_once(used: dict[tuple[Resource, bool], int]) -> None:
    due = exact(FULL, used)
    assert cost(FULL, used) == due.numerator // due.denominator
    assert Fraction(scaled_cost(FULL, used), COST_SCALE) == due


@given(amounts)
def test_cost_of_a_reservation_is_rounded_up(used: dict[tuple[Resource, bool], int]) -> None:
    reserved = {r: n for (r, usage), n in used.items() if not usage}
    due = exact(FULL, {(r, False): n for r, n in reserved.items()})
    assert cost_of_reservation(FULL, reserved) == -(-due.numerator // due.denominator)


def test_three_thirds_make_a_whole() -> None:
    """Rounded for each resource, each of these would be nothing."""
    cheap = replace(SAMPLE, ram=1, storage=1, cpu=1)
    used = {(Resource.MEMORY, False): 400, (Resource.STORAGE, False): 400, (Resource.CPU, False): 200_000}
    assert cost(cheap, used) == 1
    assert all(cost(cheap, {key: n}) == 0 for key, n in used.items())


def test_tebibyte_for_a_year() -> None:
    used = {(Resource.STORAGE, False): 2**40 * YEAR_MS}
    assert cost(SAMPLE, used) == Fraction(2**40 * YEAR_MS * 500, 1000) == 17_337_099_346_771_968_000_000


def test_sample_pod_for_a_second() -> None:
    """110 millicores and 2e8 bytes for one second at the sample prices."""
    used = {(Resource.CPU, False): 110 * 1000, (Resource.MEMORY, False): 2 * 10**8 * 1000}
    assert cost(SAMPLE, used) == 110 * 2 * 10**11 // 1000 + 2 * 10**8 * 500


def test_what_has_no_price_is_refused() -> None:
    assert SAMPLE.covers({Resource.CPU, Resource.STORAGE}) and not SAMPLE.covers({Resource.CPU, Resource.GPU})
    SAMPLE.check_covers({Resource.CPU, Resource.EGRESS})
    for attempt in (
        lambda: SAMPLE.check_covers({Resource.CPU, Resource.GPU}),
        lambda: cost(SAMPLE, {(Resource.IP, False): 1}),
        lambda: cost_of_reservation(SAMPLE, {Resource.GPU: 1}),
        lambda: burn(SAMPLE, {Resource.GPU: 1}),
    ):
        with pytest.raises(Refusal) as caught:
            attempt()
        assert caught.value.rule == "NoPrice"


def test_reservation_and_usage_are_not_mixed_up() -> None:
    with pytest.raises(BadInput, match="cpu is not priced for usage"):
        cost(SAMPLE, {(Resource.CPU, True): 1})
    with pytest.raises(BadInput, match=r"bandwidth\.egress is not priced for reservation"):
        cost(SAMPLE, {(Resource.EGRESS, False): 1})
    with pytest.raises(BadInput, match="cannot be held"):
        burn(SAMPLE, {Resource.EGRESS: 1})


def test_burn_is_the_cost_of_a_second() -> None:
    replica = {Resource.CPU: 110, Resource.MEMORY: 2 * 10**8}
    a_second = {(r, False): n * 1000 for r, n in replica.items()}
    assert burn_per_s(SAMPLE, replica) == exact(SAMPLE, a_second)
    assert burn(SAMPLE, replica, count=7) == 7 * burn(SAMPLE, replica)


@given(
    available=st.integers(0, 50),
    spent=st.integers(0, 60 * COST_SCALE),
    rate=st.integers(0, 3 * COST_SCALE),
    now_ns=st.integers(0, 5 * NS_PER_MS),
)
def test_runway_ends_at_the_first_millisecond_of_overrun(
    available: int, spent: int, rate: int, now_ns: int
) -> None:
    end_ns = runway_ns(available, spent, rate, now_ns=now_ns)
    now_ms = now_ns // NS_PER_MS

    def bill(at_ms: int) -> int:
        return (spent + rate * (at_ms - now_ms)) // COST_SCALE

    if bill(now_ms) > available:
        assert end_ns == now_ns
    elif rate == 0:
        assert end_ns == NEVER_NS
    else:
        assert end_ns % NS_PER_MS == 0
        assert bill(end_ns // NS_PER_MS) > available
        assert bill(end_ns // NS_PER_MS - 1) <= available


def test_runway_past_all_time_is_never() -> None:
    assert runway_ns(10**40, 0, 1, now_ns=0) == NEVER_NS
    assert margin(0, 0) == COST_SCALE


def test_hash_binds_token_and_every_price() -> None:
    read = wire.pb.PriceList.FromString(FULL.to_bytes())
    assert read.token == TOKEN
    assert {Resource(p.resource): int.from_bytes(p.price, "big") for p in read.prices} == {
        r: FULL.price(r) for r in Resource
    }
    assert FULL.hash() == keccak256(FULL.to_bytes())
    others = [
        SAMPLE,
        replace(FULL, cpu=1),
        replace(FULL, ram=1),
        replace(FULL, storage=1),
        replace(FULL, egress=1),
        replace(FULL, ingress=1),
        replace(FULL, gpu=1),
        replace(FULL, ip=None),
        replace(FULL, token=Address(b"U" * 20)),
    ]
    assert len({table.hash() for table in (FULL, *others)}) == 10


def test_extras_come_from_the_record() -> None:
    assert SAMPLE.extras == {}
    assert SAMPLE.with_extras(FULL.extras) == FULL
    assert SAMPLE.with_extras({Resource.CPU: 1}) == SAMPLE
    assert PriceTable.from_record(FULL.to_record()) == FULL
    assert SAMPLE.five == (2 * 10**11, 500, 500, 800, 800)


def test_scaling_takes_the_factor_as_written() -> None:
    assert replace(SAMPLE, cpu=10).scaled(0.7).cpu == 7
    assert SAMPLE.scaled(1.0) == SAMPLE
    assert replace(FULL, gpu=3).scaled(0.5).gpu == 1
    with pytest.raises(BadInput):
        SAMPLE.scaled(-0.1)


@pytest.mark.parametrize("wrong", [{"cpu": -1}, {"gpu": 2**256}, {"token": b"short"}])
def test_prices_that_the_contract_cannot_hold(wrong: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        replace(FULL, **wrong)  # type: ignore[arg-type]
