"""The scaling rules as a caller uses them: compiled or not, bounds, wakes, idle time, superfluous calls."""

from __future__ import annotations

import ast
import inspect
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import scaling
from protocol.errors import BadInput
from protocol.units import NEVER_NS, NS_PER_MS, NS_PER_S

START_NS = 1_700_000_000 * NS_PER_S + 987_654_321
REQUEST_M = 1000
INT64_MAX = 2**63 - 1

RULES: dict[str, tuple[Callable[..., int], Callable[..., None]]] = {
    "keda": (scaling.keda, scaling.keda_start),
    "kpa": (scaling.kpa, scaling.kpa_start),
    "per_request": (scaling.per_request, scaling.per_request_start),
    "fixed": (scaling.fixed, scaling.fixed_start),
}


@cache
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    made: Callable[..., Any] = numba.njit(function)
    return made


# ---- drawing ----


def draw_params(draw: st.DrawFn, rule: str) -> list[int]:
    """Any params that the rule allows, the ends of the ranges among them."""

    def whole(low: int, high: int) -> int:
        return draw(st.one_of(st.integers(low, high), st.integers(low, min(high, low + 20)), st.just(high)))

    most = whole(1, scaling.REPLICAS_CEILING)
    least = draw(st.integers(0, min(most, 3)))
    if rule == "fixed":
        return scaling.fixed_params(most)
    if rule == "per_request":
        return scaling.per_request_params(min_replicas=least, max_replicas=most)
    tick_ns = draw(st.sampled_from([NS_PER_MS, 2 * NS_PER_S, 15 * NS_PER_S, 60 * NS_PER_S]))
    if rule == "keda":
        return scaling.keda_params(
            min_replicas=least,
            max_replicas=most,
            target_m=whole(1, scaling.TARGET_CEILING_M),
            tick_ns=tick_ns,
            tolerance_permille=whole(0, 1000),
            up_add=whole(1, scaling.REPLICAS_CEILING),
            up_times=whole(1, 1000),
            stable_ns=whole(0, scaling.RING_LENGTH * tick_ns),
            idle_ns=draw(st.sampled_from([NS_PER_MS, 7 * NS_PER_S, 300 * NS_PER_S, scaling.TIME_CEILING_NS])),
        )
    stable = draw(st.integers(1, scaling.RING_LENGTH))
    return scaling.kpa_params(
        min_replicas=least,
        max_replicas=most,
        target_m=whole(1000, scaling.TARGET_CEILING_M),
        utilisation_permille=whole(1, 1000),
        tick_ns=tick_ns,
        stable_ns=stable * tick_ns,
        panic_ns=draw(st.integers(1, stable)) * tick_ns,
        panic_permille=whole(1000, 1_000_000),
        up_permille=whole(1000, 100_000_000),
        down_permille=whole(1000, 100_000_000),
        grace_ns=draw(st.integers(0, 20)) * tick_ns,
    )


@st.composite
def histories(draw: st.DrawFn) -> tuple[str, list[int], list[tuple[int, int, int, int]]]:
    """A rule, its params and calls (how to choose the instant, a fraction, pending, ready)."""
    rule = draw(st.sampled_from(["keda", "kpa", "keda", "kpa", "per_request", "fixed"]))
    pending = st.one_of(st.just(0), st.integers(0, 300_000), st.integers(0, 2 * scaling.PENDING_CEILING_M))
    call = st.tuples(
        st.integers(0, 3), st.integers(0, 999), pending, st.integers(0, scaling.REPLICAS_CEILING)
    )
    return rule, draw_params(draw, rule), draw(st.lists(call, max_size=60))


def next_instant(now_ns: int, next_ns: int, kind: int, part: int) -> int:
    """The next call: at the wake, between now and the wake, now again, or long after while it sleeps."""
    if next_ns == NEVER_NS:
        return now_ns + part * NS_PER_S
    return (next_ns, now_ns + (next_ns - now_ns) * part // 1000, now_ns, next_ns)[kind]


# ---- the properties ----


@settings(max_examples=150, deadline=None)
@given(histories())
def test_compiled_and_interpreted_agree_and_keep_their_bounds(
    history: tuple[str, list[int], list[tuple[int, int, int, int]]],
) -> None:
    """The same answers and the same state from numba, from a list and from an array; bounds; no wake in the past."""
    rule, params, calls = history
    step, start = RULES[rule]
    fast, plain, packed = np.zeros(scaling.STATE_LENGTH, np.int64), [0] * scaling.STATE_LENGTH, array("q")
    packed.extend(plain)
    fast_params = np.array(params, np.int64)
    compiled(start)(fast, START_NS)
    start(plain, START_NS)
    start(packed, START_NS)
    assert plain[scaling.NEXT_NS] == START_NS, "due at once"
    now_ns = START_NS
    for kind, part, pending_m, ready in calls:
        if rule == "keda" and kind == 3:
            compiled(scaling.keda_touch)(fast, now_ns)
            scaling.keda_touch(plain, now_ns)
            scaling.keda_touch(packed, now_ns)
        answer = step(plain, params, now_ns, pending_m, ready)
        assert step(packed, array("q", params), now_ns, pending_m, ready) == answer
        assert compiled(step)(fast, fast_params, now_ns, pending_m, ready) == answer
        assert fast.tolist() == plain == packed.tolist()
        assert params[scaling.MIN_REPLICAS] <= answer <= params[scaling.MAX_REPLICAS]
        assert answer == plain[scaling.DESIRED]
        assert answer >= 1 or pending_m == 0 or rule == "kpa", "something pending and nothing to serve it"
        assert now_ns < plain[scaling.NEXT_NS] <= NEVER_NS
        now_ns = next_instant(now_ns, plain[scaling.NEXT_NS], kind, part)


@dataclass
class World:
    """A caller that keeps the contract: requests come and go, the rule is called when it must be.

    Args:
        rule, params: what scales.
        arrivals: (instant, duration, how many requests at once) [ns from start].
        extra: instants of superfluous calls [ns from start].
    """

    rule: str
    params: list[int]
    arrivals: list[tuple[int, int, int]]
    extra: list[int] = field(default_factory=list)

    def run(self, until_ns: int) -> list[tuple[int, int]]:
        """The changes of the answer: (instant from start, answer)."""
        step, start = RULES[self.rule]
        state = [0] * scaling.STATE_LENGTH
        start(state, 0)
        moves = sorted(
            [(at, 0, count) for at, _, count in self.arrivals]
            + [(at + lasts, 1, -count) for at, lasts, count in self.arrivals]
            + [(at, 2, 0) for at in self.extra]
        )
        changes: list[tuple[int, int]] = []
        pending, area, since, desired = 0, 0, 0, 0
        now = 0

        def call() -> None:
            nonlocal area, since, desired
            value = pending * REQUEST_M
            if self.rule == "kpa" and desired > 0 and now > since:
                value = -(-area * REQUEST_M // (now - since))
            area, since = 0, now
            answer = step(state, self.params, now, value, desired)
            assert state[scaling.NEXT_NS] > now, "a wake that is not ahead never ends"
            if answer != desired:
                changes.append((now, answer))
            desired = answer

        call()
        while True:
            move_at = moves[0][0] if moves else NEVER_NS
            at = min(move_at, state[scaling.NEXT_NS])
            if at > until_ns:
                return changes
            area += pending * (at - now)
            now = at
            if state[scaling.NEXT_NS] == at:
                call()
                if pending > 0 and desired == 0:
                    call()
                continue
            _, kind, count = moves.pop(0)
            pending += count
            if kind != 2 and self.rule == "keda":
                scaling.keda_touch(state, now)
            if kind == 2:
                call()
            if pending > 0 and desired == 0:
                call()


HALF_NS = NS_PER_S // 2
# Batches of 3 at half seconds: the mean over 1, 2, 3 or 4 half seconds is then a whole number of thousandths,
# so that rounding cannot tell a tick's mean from the means of its parts.
arrivals_on_a_grid = st.lists(
    st.tuples(
        st.integers(0, 400).map(lambda n: n * HALF_NS),
        st.integers(1, 60).map(lambda n: n * HALF_NS),
        st.integers(1, 60).map(lambda n: 3 * n),
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(
    arrivals_on_a_grid,
    st.lists(st.integers(0, 2000).map(lambda n: n * HALF_NS), max_size=40),
    st.integers(0, 2),
)
def test_superfluous_calls_change_no_decision_of_kpa(
    arrivals: list[tuple[int, int, int]], extra: list[int], least: int
) -> None:
    params = scaling.kpa_params(target_m=10 * REQUEST_M, min_replicas=least)
    until_ns = 1000 * NS_PER_S
    assert World("kpa", params, arrivals, extra).run(until_ns) == World("kpa", params, arrivals).run(until_ns)


instant = st.integers(0, 400 * NS_PER_S)
arrivals_anywhere = st.lists(
    st.tuples(instant, st.integers(1, 40 * NS_PER_S), st.integers(1, 200)), min_size=1, max_size=12
)


@settings(max_examples=150, deadline=None)
@given(
    arrivals_anywhere,
    st.lists(st.integers(0, 1200 * NS_PER_S), max_size=40),
    st.integers(0, 2),
    st.sampled_from([NS_PER_MS, 20 * NS_PER_S, 300 * NS_PER_S]),
)
def test_superfluous_calls_change_no_decision_of_keda(
    arrivals: list[tuple[int, int, int]], extra: list[int], least: int, idle_ns: int
) -> None:
    params = scaling.keda_params(target_m=10 * REQUEST_M, min_replicas=least, idle_ns=idle_ns)
    until_ns = 1200 * NS_PER_S
    assert World("keda", params, arrivals, extra).run(until_ns) == World("keda", params, arrivals).run(
        until_ns
    )


@settings(max_examples=150, deadline=None)
@given(
    arrivals_anywhere,
    st.integers(0, 2),
    st.one_of(st.integers(NS_PER_MS, 60 * NS_PER_S), st.just(30 * NS_PER_S)),
)
def test_keda_goes_to_zero_exactly_at_last_activity_plus_idle_time(
    arrivals: list[tuple[int, int, int]], least: int, idle_ns: int
) -> None:
    """Zero after every gap of at least the idle time, at that very nanosecond; above zero at each arrival after."""
    changes = (
        World("keda", scaling.keda_params(min_replicas=least, idle_ns=idle_ns), arrivals).run(1200 * NS_PER_S)
        if least == 0
        else World("keda", scaling.keda_params(min_replicas=least), arrivals).run(1200 * NS_PER_S)
    )
    if least:
        assert changes[0] == (0, least)
        assert all(answer >= least for _, answer in changes)
        return
    expected: list[tuple[int, bool]] = []
    busy_until = None
    for at, lasts, _ in sorted(arrivals):
        if busy_until is not None and at > busy_until + idle_ns:
            expected.append((busy_until + idle_ns, False))
            busy_until = None
        if busy_until is None:
            expected.append((at, True))
            busy_until = at
        busy_until = max(busy_until, at + lasts)
    assert busy_until is not None
    expected.append((busy_until + idle_ns, False))
    steps = [
        (at, answer > 0)
        for (at, answer), before in zip(changes, [0, *(a for _, a in changes)], strict=False)
        if (answer > 0) != (before > 0)
    ]
    # An arrival at the very instant of the idle time's end finds either order; the draw seldom has it.
    assert steps == expected or any(at == b + idle_ns for at, _, _ in arrivals for b, _ in expected)


def test_keda_wakes_at_the_earliest_end_of_idleness_and_arms_itself_again() -> None:
    """A request of 1 s between two ticks moves zero by its end; the wake at the old instant changes nothing."""
    params = scaling.keda_params(idle_ns=20 * NS_PER_S)
    state = [0] * scaling.STATE_LENGTH
    scaling.keda_start(state, START_NS)

    def at(second: int, pending_m: int) -> tuple[int, int]:
        answer = scaling.keda(state, params, START_NS + second * NS_PER_S, pending_m, 1)
        return answer, (state[scaling.NEXT_NS] - START_NS) // NS_PER_S

    assert scaling.keda(state, params, START_NS, 0, 0) == 0
    assert state[scaling.NEXT_NS] == NEVER_NS
    assert at(1, REQUEST_M) == (1, 15)
    scaling.keda_touch(state, START_NS + 2 * NS_PER_S)
    assert at(15, 0) == (1, 22)
    scaling.keda_touch(state, START_NS + 16 * NS_PER_S)
    scaling.keda_touch(state, START_NS + 17 * NS_PER_S)
    assert at(22, 0) == (1, 30)
    assert at(30, 0) == (1, 37)
    assert at(36, 0) == (1, 37)
    assert at(37, 0)[0] == 0
    assert state[scaling.NEXT_NS] == NEVER_NS


def test_keda_from_zero_to_the_fewest_replicas_and_on_at_the_tick() -> None:
    """At zero 1000 requests give 1 replica at once; the ticks after, phased by the start, 5 and 10."""
    changes = World("keda", scaling.keda_params(), [(7 * NS_PER_S, 40 * NS_PER_S, 1000)]).run(60 * NS_PER_S)
    assert changes == [(7 * NS_PER_S, 1), (15 * NS_PER_S, 5), (30 * NS_PER_S, 10)]
    started = World("keda", scaling.keda_params(min_replicas=2), [(7 * NS_PER_S, 40 * NS_PER_S, 1000)])
    assert started.run(60 * NS_PER_S) == [(0, 2), (15 * NS_PER_S, 6), (30 * NS_PER_S, 10)]


def test_keda_proposals_from_before_zero_are_forgotten_by_age_only() -> None:
    """A burst, zero after 20 s, a request again: the old proposal of 10 counts for 300 s, but never raises."""
    params = scaling.keda_params(idle_ns=20 * NS_PER_S)
    world = World("keda", params, [(0, 31 * NS_PER_S, 1000), (100 * NS_PER_S, 400 * NS_PER_S, 200)])
    assert world.run(499 * NS_PER_S) == [
        (0, 1),
        (15 * NS_PER_S, 5),
        (30 * NS_PER_S, 10),
        (51 * NS_PER_S, 0),
        (100 * NS_PER_S, 1),
        (105 * NS_PER_S, 2),
    ]


def test_kpa_goes_to_zero_after_window_and_grace() -> None:
    """A request ends at 3 s: the bucket to 4 s leaves the stable window at 64 s, zero 30 s of asking later."""
    changes = World("kpa", scaling.kpa_params(), [(NS_PER_S, 2 * NS_PER_S, 1)]).run(1200 * NS_PER_S)
    assert changes == [(NS_PER_S, 1), (94 * NS_PER_S, 0)]


def test_kpa_asks_for_zero_during_the_whole_grace_period_anew() -> None:
    """A request of 80 s, in the grace that runs since 64 s: zero is asked for from 142 s, answered at 172 s."""
    arrivals = [(NS_PER_S, 2 * NS_PER_S, 1), (80 * NS_PER_S, HALF_NS, 1)]
    changes = World("kpa", scaling.kpa_params(), arrivals).run(1200 * NS_PER_S)
    assert changes == [(NS_PER_S, 1), (172 * NS_PER_S, 0)]


def test_kpa_panic_window_starts_afresh_after_a_pause_of_its_length() -> None:
    """Zero at 64 s, 700 requests at 74 s: the panic window holds them alone (10 replicas, not 4)."""
    arrivals = [(NS_PER_S, 2 * NS_PER_S, 1), (74 * NS_PER_S, NS_PER_S, 700)]
    changes = World("kpa", scaling.kpa_params(grace_ns=0), arrivals).run(80 * NS_PER_S)
    assert changes == [(NS_PER_S, 1), (64 * NS_PER_S, 0), (74 * NS_PER_S, 10)]


def test_kpa_answers_a_burst_from_zero_at_once() -> None:
    """700 held requests at a target of 100 x 70 %: 10 replicas at the arrival, not at the tick."""
    changes = World("kpa", scaling.kpa_params(), [(NS_PER_S, 2 * NS_PER_S, 700)]).run(50 * NS_PER_S)
    assert changes == [(NS_PER_S, 10)]


def test_kpa_counts_the_least_activity() -> None:
    """A request of 1 ms every 50 s keeps one replica, though it is 0.00002 of a request on average."""
    arrivals = [(n * 50 * NS_PER_S + 7, NS_PER_MS, 1) for n in range(8)]
    assert World("kpa", scaling.kpa_params(grace_ns=0), arrivals).run(400 * NS_PER_S) == [(7, 1)]


def test_per_request_has_a_replica_for_each_request() -> None:
    state = [0] * scaling.STATE_LENGTH
    params = scaling.per_request_params(min_replicas=1, max_replicas=5)
    answers = [
        scaling.per_request(state, params, 0, m, ready)
        for m, ready in ((0, 0), (2001, 1), (1000, 4), (9000, 2))
    ]
    assert answers == [1, 3, 4, 5]
    assert params[scaling.PER_REQUEST_EXPIRY_NS] == 600 * NS_PER_S


def test_rules_call_nothing_of_the_project() -> None:
    """`numba.njit(rule)` compiles a rule as it stands only if it calls built-in functions alone."""
    for function in (*[f for pair in RULES.values() for f in pair], scaling.keda_touch):
        tree = ast.parse(inspect.getsource(function))
        called = {
            node.func.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert called <= {"min", "max", "abs", "range"}


# ---- params ----


@pytest.mark.parametrize(
    ("make", "wrong", "says"),
    [
        (scaling.keda_params, {"min_replicas": -1}, "min_replicas is -1; allowed is 0 to 100"),
        (scaling.keda_params, {"min_replicas": 101}, "min_replicas is 101; allowed is 0 to 100"),
        (scaling.keda_params, {"max_replicas": 0}, "max_replicas is 0; allowed is 1 to 100000"),
        (scaling.keda_params, {"target_m": 0}, "target_m is 0; allowed is 1 to 1000000000"),
        (scaling.keda_params, {"tick_ns": 0}, "tick_ns is 0; allowed is 1000000 to 3600000000000"),
        (
            scaling.keda_params,
            {"tolerance_permille": 1001},
            "tolerance_permille is 1001; allowed is 0 to 1000",
        ),
        (scaling.keda_params, {"up_add": 0}, "up_add is 0; allowed is 1 to 100000"),
        (scaling.keda_params, {"up_times": 0}, "up_times is 0; allowed is 1 to 1000"),
        (scaling.keda_params, {"stable_ns": 451 * NS_PER_S}, "allowed is 0 to 450000000000"),
        (scaling.keda_params, {"idle_ns": 0}, "idle_ns is 0; allowed is 1000000 to"),
        (scaling.kpa_params, {"utilisation_permille": 0}, "utilisation_permille is 0; allowed is 1 to 1000"),
        (scaling.kpa_params, {"target_m": 1}, "target_m × utilisation_permille / 1000 is 0; allowed is 1 to"),
        (scaling.kpa_params, {"tick_ns": 61 * NS_PER_S}, "allowed is 1000000 to 60000000000"),
        (scaling.kpa_params, {"stable_ns": 62 * NS_PER_S}, "allowed is 2000000000 to 60000000000"),
        (scaling.kpa_params, {"panic_ns": 62 * NS_PER_S}, "allowed is 2000000000 to 60000000000"),
        (
            scaling.kpa_params,
            {"panic_ns": 5 * NS_PER_S},
            "panic_ns is 5000000000; allowed are whole multiples",
        ),
        (scaling.kpa_params, {"panic_permille": 999}, "panic_permille is 999; allowed is 1000 to 1000000"),
        (scaling.kpa_params, {"up_permille": 999}, "up_permille is 999; allowed is 1000 to 100000000"),
        (scaling.kpa_params, {"down_permille": 0}, "down_permille is 0; allowed is 1000 to 100000000"),
        (scaling.kpa_params, {"grace_ns": -1}, "grace_ns is -1; allowed is 0 to"),
        (scaling.per_request_params, {"idle_ns": -1}, "idle_ns is -1; allowed is 0 to"),
        (scaling.fixed_params, {"replicas": 0}, "replicas is 0; allowed is 1 to 100000"),
    ],
)
def test_params_name_the_value_and_the_range(
    make: Callable[..., list[int]], wrong: dict[str, int], says: str
) -> None:
    with pytest.raises(BadInput) as caught:
        make(**wrong)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "make", [scaling.keda_params, scaling.kpa_params, scaling.per_request_params, scaling.fixed_params]
)
def test_params_have_one_length(make: Callable[[], list[int]]) -> None:
    assert len(make()) == scaling.PARAMS_LENGTH
    assert all(0 <= value <= INT64_MAX for value in make())
