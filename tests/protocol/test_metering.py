from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import BadInput, Refusal
from protocol.metering import (
    NEVER_MS,
    Change,
    Meter,
    MeterClosed,
    MeterFell,
    UnknownVersion,
    changes_of,
    crossing,
)
from protocol.ports import Reading
from protocol.pricing import COST_SCALE, PriceTable, burn, cost, scaled_cost
from protocol.units import NS_PER_MS, Address, Resource

PRICES = PriceTable(
    token=Address(bytes(20)), cpu=2 * 10**11, ram=500, storage=500, egress=800, ingress=300, gpu=7, ip=3
)
REPLICA = {Resource.CPU: 110, Resource.MEMORY: 2 * 10**8}
VOLUMES = {Resource.STORAGE: 10**9}
YEAR_MS = 365 * 86_400_000


def meter() -> Meter:
    made = Meter.begin(life=1)
    made.configure(1, replica=REPLICA, volumes=VOLUMES)
    return made


def test_tebibyte_for_a_year_equals_the_fraction() -> None:
    made = Meter.begin(life=1)
    made.configure(1, replica={}, volumes={Resource.STORAGE: 2**40})
    made.read(1, [Reading(1, 0, YEAR_MS, 0, 0)])
    assert made.owed(PRICES) == Fraction(2**40) * YEAR_MS / 1000 * 500


readings = st.lists(
    st.tuples(st.integers(0, 10**13), st.integers(0, 10**13), st.integers(0, 10**15), st.integers(0, 10**15)),
    min_size=1,
    max_size=4,
)


@given(readings)
def test_bill_is_the_price_of_what_is_stated(used: list[tuple[int, int, int, int]]) -> None:
    made = Meter.begin(life=1)
    for version, numbers in enumerate(used, 1):
        made.configure(version, replica={**REPLICA, Resource.GPU: version}, volumes=VOLUMES)
        made.read(version, [Reading(version, *numbers)])
    assert made.scaled_owed(PRICES) == scaled_cost(PRICES, made.cumulative())
    assert made.owed(PRICES) == cost(PRICES, made.cumulative())
    assert Meter.from_record(json.loads(json.dumps(made.to_record()))) == made


@given(st.lists(st.integers(0, 10**9), max_size=6))
def test_ticks_do_not_change_the_bill(steps: list[int]) -> None:
    """Read often or once: the same last reading, the same bill."""
    often, once = meter(), meter()
    total = 0
    for at_ns, step in enumerate(steps):
        total += step
        often.read(at_ns, [Reading(1, total, 2 * total, total, 0)])
        often.read(at_ns, [Reading(1, total, 2 * total, total, 0)])
    once.read(len(steps), [Reading(1, total, 2 * total, total, 0)])
    assert often.owed(PRICES) == once.owed(PRICES)
    assert often.cumulative() == once.cumulative()


def test_new_version_starts_at_zero_and_the_old_one_stays_billed() -> None:
    made = meter()
    made.read(10, [Reading(1, 1000, 0, 0, 0)])
    made.configure(2, replica={Resource.CPU: 220}, volumes={})
    made.read(20, [Reading(1, 1500, 0, 0, 0), Reading(2, 100, 0, 7, 9)])
    assert made.cumulative() == {
        (Resource.CPU, False): 110 * 1500 + 220 * 100,
        (Resource.MEMORY, False): 2 * 10**8 * 1500,
        (Resource.EGRESS, True): 7,
        (Resource.INGRESS, True): 9,
    }


def test_new_life_starts_at_zero() -> None:
    again = Meter.begin(life=2)
    assert (again.life, again.owed(PRICES), again.cumulative()) == (2, 0, {})


def test_storage_is_billed_while_bound_and_the_grace_time_is_reserved() -> None:
    made = meter()
    made.read(1, [Reading(1, 0, 5000, 0, 0)])
    assert made.owed(PRICES) == 5 * 10**9 * 500
    assert made.reserve(PRICES, grace_s=3600) == 3600 * 10**9 * 500
    assert Meter.begin(life=1).reserve(PRICES, grace_s=3600) == 0


def test_final_reading_is_the_last() -> None:
    made = meter()
    made.read(5, [Reading(1, 10, 20, 30, 40)], final=True)
    made.read(9, [Reading(1, 10, 20, 30, 40)])  # the same once more says nothing new
    assert (made.closed, made.at_ns) == (True, 5)
    with pytest.raises(MeterClosed):
        made.read(9, [Reading(1, 11, 20, 30, 40)])
    with pytest.raises(MeterClosed):
        made.configure(2, replica={}, volumes={})


@pytest.mark.parametrize("lower", [(9, 20, 30, 40), (10, 19, 30, 40), (10, 20, 29, 40), (10, 20, 30, 39)])
def test_reading_that_falls_is_refused_whole(lower: tuple[int, int, int, int]) -> None:
    made = meter()
    made.configure(2, replica=REPLICA, volumes={})
    made.read(5, [Reading(1, 10, 20, 30, 40)])
    before = made.to_record()
    with pytest.raises(MeterFell):
        made.read(6, [Reading(2, 99, 0, 0, 0), Reading(1, *lower)])
    with pytest.raises(MeterFell):
        made.read(4, [Reading(1, 10, 20, 30, 40)])
    with pytest.raises(UnknownVersion):
        made.read(6, [Reading(3, 1, 0, 0, 0)])
    assert made.to_record() == before


def test_refused_update_leaves_its_number_to_the_next() -> None:
    made = meter()
    made.configure(2, replica={Resource.CPU: 1}, volumes={})
    made.configure(2, replica={Resource.CPU: 5}, volumes={})
    made.read(1, [Reading(2, 3, 0, 0, 0)])
    made.configure(2, replica={Resource.CPU: 5}, volumes={})
    assert made.cumulative() == {(Resource.CPU, False): 15}
    for version in (1, 2):
        with pytest.raises(BadInput):
            made.configure(version, replica={Resource.CPU: 6}, volumes={})


def test_rates_follow_the_configuration() -> None:
    made = meter()
    made.read(1, [Reading(1, 1000, 0, 0, 0)])
    first = made.owed(PRICES)
    made.configure(2, replica={Resource.CPU: 1000}, volumes={})
    made.read(2, [Reading(2, 1000, 0, 0, 0)])
    assert made.owed(PRICES) == first + 2 * 10**11


def test_what_cannot_be_billed_is_refused() -> None:
    made = Meter.begin(life=1)
    with pytest.raises(BadInput):
        made.configure(1, replica={Resource.EGRESS: 1}, volumes={})
    with pytest.raises(BadInput):
        made.configure(1, replica={Resource.CPU: -1}, volumes={})
    made.configure(1, replica={Resource.GPU: 1}, volumes={})
    with pytest.raises(Refusal, match="NoPrice"):
        made.owed(PriceTable(token=Address(bytes(20)), cpu=1, ram=1, storage=1, egress=1, ingress=1))


# ---------------------------------------------------------------- crossings

counts = st.lists(
    st.tuples(st.integers(0, 3 * NS_PER_MS), st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=7
)


@given(
    counts=counts,
    start_ns=st.integers(0, 5 * NS_PER_MS),
    tail_ns=st.integers(0, 10 * NS_PER_MS),
    available=st.integers(0, 12),
    base=st.integers(0, 3 * COST_SCALE),
    replica_burn=st.integers(0, COST_SCALE),
    volume_burn=st.integers(0, COST_SCALE // 2),
    before_ms=st.integers(0, 3),
)
def test_crossing_is_what_counting_milliseconds_finds(
    counts: list[tuple[int, int, int]],
    start_ns: int,
    tail_ns: int,
    available: int,
    base: int,
    replica_burn: int,
    volume_burn: int,
    before_ms: int,
) -> None:
    """Against brute force: one millisecond after the other, each replica billed by floored absolute times."""
    at_ns, instants = start_ns, []
    for i, (gap_ns, replicas, _) in enumerate(counts):
        at_ns += gap_ns if i else 0
        instants.append((at_ns, replicas))
    bytes_cost, changes = 0, []
    for change, (_, _, sent) in zip(changes_of(instants, replica_ms=before_ms), counts, strict=True):
        bytes_cost += sent * COST_SCALE // 2
        changes.append(change._replace(transfer=bytes_cost))
    end_ns = at_ns + tail_ns

    found = crossing(
        changes,
        available=available,
        base=base,
        replica_burn=replica_burn,
        volume_burn=volume_burn,
        end_ns=end_ns,
    )

    # Every instant at which the bill can change: each whole millisecond, and each change (its bytes).
    start_ms = start_ns // NS_PER_MS
    ticks = {ms * NS_PER_MS for ms in range(start_ms + 1, end_ns // NS_PER_MS + 1)}
    expected = None
    for now_ns in sorted(ticks | {c.at_ns for c in changes}):
        now_ms = now_ns // NS_PER_MS
        ran_ms = before_ms
        for i, (from_ns, replicas) in enumerate(instants):
            until_ns = instants[i + 1][0] if i + 1 < len(instants) else end_ns
            ran_ms += replicas * max(0, min(now_ms, until_ns // NS_PER_MS) - from_ns // NS_PER_MS)
        sent = max((c.transfer for c in changes if c.at_ns <= now_ns), default=0)
        bill = (base + ran_ms * replica_burn + sent + (now_ms - start_ms) * volume_burn) // COST_SCALE
        if bill > available:
            expected = now_ns
            break
    assert found == expected


def test_crossing_of_a_constant_load() -> None:
    """One replica at one base unit a millisecond: 100 are available, the 101st millisecond is too much."""
    start_ns = 1_700_000_000 * 10**9
    found = crossing(
        changes_of([(start_ns, 1)]),
        available=100,
        base=0,
        replica_burn=COST_SCALE,
        volume_burn=0,
        end_ns=start_ns + 10**9,
    )
    assert found == start_ns + 101 * NS_PER_MS


def test_crossing_with_18_decimals_is_exact() -> None:
    """The last base unit of 10**24 decides: no float could say which millisecond."""
    rate = burn(PRICES, REPLICA)
    start_ns, ms = 10**18, 31_536_000_123
    for spare, expected_ms in ((0, ms), (1, ms + 1)):
        available = rate * ms // COST_SCALE - 1 + spare
        found = crossing(
            [Change(start_ns, 1, 0)],
            available=available,
            base=0,
            replica_burn=rate,
            volume_burn=0,
            end_ns=start_ns + 2 * ms * NS_PER_MS,
        )
        assert found == start_ns + expected_ms * NS_PER_MS


def test_nothing_burns_nothing_crosses() -> None:
    arguments = {"available": 0, "base": 0, "replica_burn": 5, "volume_burn": 0}
    assert crossing([Change(0, 0, 0)], end_ns=10**18, **arguments) is None
    assert crossing([Change(7, 0, 0)], end_ns=10**18, **(arguments | {"base": COST_SCALE})) == 7


def test_changes_out_of_order_are_refused() -> None:
    with pytest.raises(BadInput):
        changes_of([(5, 1), (4, 1)])
    with pytest.raises(BadInput):
        changes_of([(5, -1)])
    for changes in ([], [Change(11, 1, 0)]):
        with pytest.raises(BadInput):
            crossing(changes, available=0, base=0, replica_burn=1, volume_burn=0, end_ns=10)


looks_at_it = st.lists(
    st.tuples(
        st.integers(-1, 1),
        st.sampled_from((0, 0, 0, 0, 0, -1, 1)),
        st.lists(st.tuples(*4 * [st.integers(0, 2)]), min_size=3, max_size=3),
    ),
    max_size=20,
)


@given(looks_at_it, st.integers(1, 2), st.booleans())
def test_growing_is_reading_what_is_new(
    looks: list[tuple[int, int, list[tuple[int, int, int, int]]]], versions: int, closed: bool
) -> None:
    """Small numbers, so that readings often fall, stay, are late, or are of too many versions or too few."""
    made, plain = Meter.begin(life=1), Meter.begin(life=1)
    for each in (made, plain):
        for version in range(1, versions + 1):
            each.configure(version, replica=REPLICA, volumes=VOLUMES)
        each.read(1, [Reading(1, 1, 0, 0, 0)], final=closed)
    for instant, (late, more, every) in enumerate(looks, 1):
        at_ns, numbers = instant + late, every[: versions + more]
        readings = [Reading(version, *n) for version, n in enumerate(numbers, 1)]
        shown = [
            (s.version, s.replica_ms, s.bound_ms, s.egress_bytes, s.ingress_bytes) for s in plain.segments
        ]
        same = [(version, *n) for version, n in enumerate(numbers, 1)] == shown
        refused: type[Exception] | None = None
        if at_ns >= plain.at_ns and not (same and not closed):
            try:
                plain.read(at_ns, readings)
            except (MeterFell, MeterClosed, UnknownVersion) as error:
                refused = type(error)
        if refused is not None:
            with pytest.raises(refused):
                made.grow(at_ns, readings)
        elif made.grow(at_ns, readings) and not closed:
            assert not same and made.at_ns == at_ns
        assert made == plain and made.owed(PRICES) == plain.owed(PRICES)


@given(
    st.integers(0, 10**7), st.integers(0, 10**16) | st.integers(0, 9), st.integers(0, 10**9), st.booleans()
)
def test_a_mark_is_the_last_millisecond_within_the_money(
    ran_ms: int, owed: int, bytes_in: int, cheap: bool
) -> None:
    prices = replace(PRICES, egress=0, ingress=0)
    held = {Resource.CPU: 110} if cheap else REPLICA
    if cheap:  # a base unit lasts for many milliseconds
        prices = replace(prices, cpu=1)
    made = Meter.begin(life=1)
    made.configure(3, replica=held, volumes={})
    made.read(1, [Reading(3, ran_ms, 0, 0, bytes_in)])
    mark = made.mark(prices, owed)
    assert mark is not None and mark.version == 3
    for more, within in ((0, True), (1, mark.replica_ms == NEVER_MS)):
        shown = Meter.begin(life=1)
        shown.configure(3, replica=held, volumes={})
        shown.read(1, [Reading(3, max(0, mark.replica_ms + more), 0, 0, bytes_in)])
        assert mark.replica_ms + more < 0 or (shown.owed(prices) <= owed) == within


def test_what_else_costs_has_no_mark() -> None:
    made = Meter.begin(life=1)
    made.configure(1, replica=REPLICA, volumes={})
    free = replace(PRICES, egress=0, ingress=0)
    assert made.mark(free, 10**20) is not None
    assert made.mark(replace(free, egress=1), 10**20) is None
    assert made.mark(replace(free, ingress=1), 10**20) is None
    made.read(1, [Reading(1, 5, 0, 0, 0)])
    made.configure(2, replica=REPLICA, volumes={})
    assert made.mark(free, 10**20) is None  # the first may still run
    bound = Meter.begin(life=1)
    bound.configure(1, replica=REPLICA, volumes=VOLUMES)
    assert bound.mark(free, 10**20) is None
    nothing = Meter.begin(life=1)
    nothing.configure(1, replica={}, volumes={})
    mark = nothing.mark(free, 0)
    assert mark is not None and mark.replica_ms > 10**12
