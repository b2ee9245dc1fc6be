from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sim.scenario import quantities as q

DAI = q.Denomination("DAI", 18)
USDC = q.Denomination("USDC", 6)
S, H = 10**9, 3600 * 10**9


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("24h", 24 * H), ("500ms", S // 2), ("1h30m", H * 3 // 2), ("1.5h", H * 3 // 2), ("1h 30m", H * 3 // 2),
        ("100s", 100 * S), ("0s", 0), (0, 0), ("0", 0), ("2d", 48 * H), ("1w", 168 * H), ("3us", 3000), ("7ns", 7),
        ("5min", 300 * S), ("0.3s", 300_000_000), ("-1h", -H),
    ],
)  # fmt: skip
def test_durations(text: object, ns: int) -> None:
    assert q.read_duration_ns(text) == ns


@pytest.mark.parametrize(
    "text", ["", "h", "1", 5, 5.0, "1 hour", "1h30", "0.3ns", None, True, "1e3s", "--1h", []]
)
def test_no_durations(text: object) -> None:
    with pytest.raises(ValueError, match=r"is not|finer"):
        q.read_duration_ns(text)


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (q.read_cpu_millis, "500m", 500), (q.read_cpu_millis, 2, 2000), (q.read_cpu_millis, "0.5", 500),
        (q.read_cpu_millis, 0.1, 100), (q.read_bytes, "2Gi", 2**31), (q.read_bytes, "128MB", 128 * 10**6),
        (q.read_bytes, "1e9", 10**9), (q.read_bytes, 1e9, 10**9), (q.read_bytes, "1.5Ki", 1536),
        (q.read_bytes, "64KiB", 65536), (q.read_bytes_per_s, "1Gbit/s", 125 * 10**6),
        (q.read_bytes_per_s, "100MB/s", 10**8), (q.read_bytes_per_s, "64KiB/s", 65536),
        (q.read_rate_per_s, "6/min", Fraction(1, 10)), (q.read_rate_per_s, "0.9/s", Fraction(9, 10)),
        (q.read_rate_per_s, "10/h", Fraction(1, 360)), (q.read_share, "0.1%", Fraction(1, 1000)),
        (q.read_share, 0.001, Fraction(1, 1000)), (q.read_share, "1/1000", Fraction(1, 1000)),
        (q.read_gas_price_wei, "0.05 gwei", 5 * 10**7), (q.read_gas_price_wei, "7 wei", 7),
        (q.read_instant_ns, "2019-07-15T08:00:00Z", 1563177600 * S),
        (q.read_instant_ns, "2019-07-15T10:00:00+02:00", 1563177600 * S),
    ],
)  # fmt: skip
def test_reading(read: Callable[[object], Any], text: object, value: object) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (q.read_cpu_millis, "0.5m"), (q.read_cpu_millis, "2 cores"), (q.read_cpu_millis, True),
        (q.read_bytes, "1.5"), (q.read_bytes, "1Gbit"), (q.read_bytes, None), (q.read_bytes_per_s, "1Gbit"),
        (q.read_bytes_per_s, "1bit/s"), (q.read_bytes_per_s, "5/s"), (q.read_rate_per_s, 0.9),
        (q.read_rate_per_s, "0.9"), (q.read_rate_per_s, "0.9/fortnight"), (q.read_share, "101%"),
        (q.read_share, -0.1), (q.read_share, "1/0"), (q.read_gas_price_wei, "1"), (q.read_gas_price_wei, "0.1 wei"),
        (q.read_instant_ns, "2019-07-15"), (q.read_instant_ns, 5), (q.read_instant_ns, "noon"),
    ],
)  # fmt: skip
def test_refusing(read: Callable[[object], Any], text: object) -> None:
    with pytest.raises(ValueError, match=r"is not|finer|no time zone"):
        read(text)


def test_money_is_exact() -> None:
    assert q.read_money("5 DAI", DAI) == 5 * 10**18
    assert q.read_money("0.000001 USDC", USDC) == 1
    for wrong in ("5", 5, "5 USDC", "0.0000001 DAI x", "five DAI"):
        with pytest.raises(ValueError, match="DAI"):
            q.read_money(wrong, DAI)
    with pytest.raises(ValueError, match="finer than USDC's 6 decimals"):
        q.read_money("0.0000001 USDC", USDC)


def test_prices_are_the_contracts() -> None:
    assert q.read_price("0.009 DAI/core-h", DAI, "core-s") == 25 * 10**11
    assert q.read_price("0.0012 DAI/GiB-h", DAI, "byte-s") == 310  # 310.44: off by 0.14 %
    assert q.read_price("0.01 DAI/GB", DAI, "byte") == 10**7
    assert q.read_price("2 DAI/gpu-h", DAI, "gpu-s") == 2 * 10**18 // 3600 + 1
    assert q.read_rate_of_money("0.05 DAI/h", DAI, "node-s") == Fraction(5 * 10**16, 3600)


def test_a_price_that_rounding_would_change_is_refused() -> None:
    with pytest.raises(ValueError, match="USDC's 6 decimals are too few"):
        q.read_price("0.009 USDC/core-h", USDC, "core-s")
    assert q.read_price("0.36 USDC/core-h", USDC, "core-s") == 100
    # 1.0100 and 1.0122 base units: rounding to 1 is off by 0.99 % and by 1.2 %
    assert q.read_price("0.003636 USDC/core-h", USDC, "core-s") == 1
    with pytest.raises(ValueError, match="too few"):
        q.read_price("0.003644 USDC/core-h", USDC, "core-s")


@pytest.mark.parametrize(
    "wrong", ["0.1", 0.1, "0.1 DAI", "0.1 DAI/h", "0.1 DAI/core", "0.1 DAI/GiB-h", "0.1 DAI/core-ms"]
)
def test_no_price_of_a_core(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"is not a price such as 0\.01 DAI/core-h"):
        q.read_price(wrong, DAI, "core-s")


nanoseconds = st.one_of(
    st.integers(-(10**6), 10**6), st.integers(-(2**62), 2**62), st.integers(0, 10**5).map(lambda n: n * S)
)
amounts = st.one_of(
    st.integers(0, 10**4), st.integers(0, 2**60), st.integers(0, 2**20).map(lambda n: n * 2**20)
)
decimals = st.decimals(0, 10**9, places=6).map(Fraction)


@given(nanoseconds)
@example(60 * S + 1)
@example(H + 1)
@example(S + 1)
@example(10**6 + 1)
def test_durations_come_back(ns: int) -> None:
    assert q.read_duration_ns(q.write_duration(ns)) == ns


@given(st.integers(0, 4 * 10**18))
def test_instants_come_back_to_the_microsecond(ns: int) -> None:
    assert q.read_instant_ns(q.write_instant(ns)) == ns // 1000 * 1000


@given(amounts)
def test_amounts_come_back(amount: int) -> None:
    assert q.read_bytes(q.write_bytes(amount)) == amount
    assert q.read_cpu_millis(q.write_cpu(amount)) == amount
    assert q.read_bytes_per_s(q.write_bytes_per_s(amount)) == amount
    assert q.read_gas_price_wei(q.write_gas_price(amount)) == amount
    assert q.read_money(q.write_money(amount, DAI), DAI) == amount
    assert q.number(q.write_number(Fraction(amount, 1000)), "a number") == Fraction(amount, 1000)


@given(amounts, st.sampled_from(sorted(q.PRICE_UNITS)), st.sampled_from([DAI, USDC]))
def test_prices_come_back(base: int, of: str, token: q.Denomination) -> None:
    text = q.write_rate_of_money(Fraction(base), token, of)
    assert q.read_price(text, token, of) == base


@given(decimals, st.sampled_from(["s", "min", "h", "d"]))
def test_rates_come_back(number: Fraction, unit: str) -> None:
    rate = q.read_rate_per_s(f"{q.decimal(number)}/{unit}")
    assert q.read_rate_per_s(q.write_rate(rate)) == rate


@given(st.fractions(0, 1))
def test_shares_come_back(share: Fraction) -> None:
    assert q.read_share(q.write_share(share)) == share
