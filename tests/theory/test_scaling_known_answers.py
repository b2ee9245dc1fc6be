"""The scaling rules against answers known from elsewhere: Kubernetes, KEDA's HTTP add-on, Knative."""

from __future__ import annotations

import pytest

from protocol import scaling
from protocol.units import NEVER_NS, NS_PER_S

REQUEST_M = 1000
START_NS = 1_700_000_000 * NS_PER_S + 123_456_789  # ticks are phased by the start, not by the wall clock


# ---- KEDA's rate window: pkg/queue/bucketing_test.go records 1..5 at t = 0..4 in 5 buckets of 1 s ----


@pytest.mark.parametrize(("remaining_only", "after_m"), [(False, [2800, 2400]), (True, [3500, 4000])])
def test_rate_window(remaining_only: bool, after_m: list[int]) -> None:
    """KEDA divides by all buckets during a pause (14/5, 12/5), Knative by the remaining (14/4, 12/3)."""
    state = [0] * scaling.RATE_STATE_LENGTH
    scaling.rate_window_start(state)
    seen = []
    for second in range(5):
        now_ns = START_NS + second * NS_PER_S
        scaling.rate_window_record(state, 5, NS_PER_S, now_ns, second + 1)
        seen.append(scaling.rate_window_average(state, 5, NS_PER_S, now_ns, remaining_only))
    assert seen == [1000, 1500, 2000, 2500, 3000]
    after = [
        scaling.rate_window_average(state, 5, NS_PER_S, START_NS + second * NS_PER_S, remaining_only)
        for second in (5, 6)
    ]
    assert after == after_m
    assert scaling.rate_window_average(state, 5, NS_PER_S, START_NS + 9 * NS_PER_S, remaining_only) == 0
    # After a whole window without a write it begins anew, and divides by one bucket.
    scaling.rate_window_record(state, 5, NS_PER_S, START_NS + 9 * NS_PER_S, 7)
    assert scaling.rate_window_average(state, 5, NS_PER_S, START_NS + 9 * NS_PER_S, remaining_only) == 7000


def test_rate_window_counts_a_gap_as_zeros_once_written_again() -> None:
    """1, 2 at t = 0, 1; 9 at t = 4: (1 + 2 + 0 + 0 + 9) / 5; at t = 5 the 1 is gone."""
    for remaining_only in (False, True):
        state = [0] * scaling.RATE_STATE_LENGTH
        scaling.rate_window_start(state)
        for second, count in ((0, 1), (1, 2), (4, 9)):
            scaling.rate_window_record(state, 5, NS_PER_S, second * NS_PER_S, count)
        assert scaling.rate_window_average(state, 5, NS_PER_S, 4 * NS_PER_S, remaining_only) == 2400
        scaling.rate_window_record(state, 5, NS_PER_S, 5 * NS_PER_S, 0)
        assert scaling.rate_window_average(state, 5, NS_PER_S, 5 * NS_PER_S, remaining_only) == 2200


def test_rate_window_forgets_what_a_gap_passed_over() -> None:
    """1..5 at t = 0..4 and 10 at t = 7: (4 + 5 + 0 + 0 + 10) / 5."""
    state = [0] * scaling.RATE_STATE_LENGTH
    scaling.rate_window_start(state)
    for second, count in ((0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (7, 10)):
        scaling.rate_window_record(state, 5, NS_PER_S, second * NS_PER_S, count)
    assert scaling.rate_window_average(state, 5, NS_PER_S, 7 * NS_PER_S, False) == 3800


# ---- HPA ----


class Hpa:
    """The rule `keda` at its ticks, every replica asked for being ready at once."""

    def __init__(self, params: list[int], replicas: int) -> None:
        self.params = params
        self.state = [0] * scaling.STATE_LENGTH
        scaling.keda_start(self.state, START_NS)
        self.state[scaling.DESIRED] = replicas
        self.tick = 0

    def next(self, pending_m: int) -> int:
        self.tick += 1
        now_ns = START_NS + self.tick * self.params[scaling.KEDA_PERIOD_NS]
        return scaling.keda(self.state, self.params, now_ns, pending_m, self.state[scaling.DESIRED])


@pytest.mark.parametrize("replicas", [1, 2, 4, 6])
def test_hpa_doubles_at_twice_the_target(replicas: int) -> None:
    """200m a replica against a target of 100m doubles the replicas."""
    assert Hpa(scaling.keda_params(target_m=100), replicas).next(200 * replicas) == 2 * replicas


@pytest.mark.parametrize("replicas", [2, 4, 6])
def test_hpa_halves_at_half_the_target(replicas: int) -> None:
    """50m a replica against a target of 100m halves the replicas."""
    assert Hpa(scaling.keda_params(target_m=100, stable_ns=0), replicas).next(50 * replicas) == replicas // 2


def test_hpa_going_up_at_full_demand() -> None:
    """1, 5, 10, 20, 40, 80, 160: the larger of + 4 and × 2 every 15 s."""
    hpa = Hpa(scaling.keda_params(max_replicas=1000), 1)
    assert [hpa.next(10**9) for _ in range(6)] == [5, 10, 20, 40, 80, 160]


@pytest.mark.parametrize(
    ("pending", "expected"),
    [(890, 9), (899, 9), (900, 10), (1000, 10), (1100, 10), (1101, 12), (1200, 12)],
)
def test_hpa_tolerance_includes_its_ends(pending: int, expected: int) -> None:
    """10 replicas at a target of 100: 0.9 <= ratio <= 1.1 changes nothing (`Tolerances.isWithin`)."""
    assert Hpa(scaling.keda_params(stable_ns=0), 10).next(pending * REQUEST_M) == expected


def test_hpa_goes_down_when_the_highest_proposal_is_as_old_as_the_window() -> None:
    """20 ticks of 15 s after the last high proposal, `timestamp.After(cutoff)` fails: 10 until then, then 3."""
    hpa = Hpa(scaling.keda_params(min_replicas=1), 10)
    assert hpa.next(1000 * REQUEST_M) == 10
    assert [hpa.next(300 * REQUEST_M) for _ in range(20)] == [10] * 19 + [3]


def test_hpa_a_missed_tick_does_not_keep_an_old_proposal() -> None:
    """The caller slept through tick 21: the proposal of tick 1, 315 s old at tick 22, is gone all the same."""
    hpa = Hpa(scaling.keda_params(min_replicas=1), 10)
    assert [hpa.next(1000 * REQUEST_M), *(hpa.next(300 * REQUEST_M) for _ in range(19))] == [10] * 20
    hpa.tick += 1
    assert hpa.next(300 * REQUEST_M) == 3


def test_hpa_old_proposals_never_raise_the_answer() -> None:
    """A proposal of 100, cut to 5 by the limit of going up, does not go on raising after demand is gone."""
    hpa = Hpa(scaling.keda_params(min_replicas=1), 1)
    assert hpa.next(10_000 * REQUEST_M) == 5
    assert [hpa.next(100 * REQUEST_M) for _ in range(3)] == [5, 5, 5]


# ---- Knative: pkg/autoscaler/scaling/autoscaler_test.go, whose averages are given; here the ring gives them ----

TICK_S = 2
STABLE = 30
PANIC = 3


class Knative:
    """The rule `kpa` told, before each tick, which averages its windows are to hold."""

    def __init__(self, target: int, **rates: int) -> None:
        self.params = scaling.kpa_params(
            target_m=target * REQUEST_M,
            utilisation_permille=1000,  # the tests' target value is the target after utilisation
            max_replicas=100_000,
            grace_ns=0,
            **({"up_permille": 10_000, "down_permille": 10_000} | rates),
        )
        self.state = [0] * scaling.STATE_LENGTH
        scaling.kpa_start(self.state, START_NS)
        self.state[scaling.DESIRED] = 1
        self.state[scaling.TICK] = STABLE
        self.state[scaling.KPA_LAST] = STABLE - 1

    def scale(self, second: int, ready: int, stable_m: int, panic_m: int) -> int:
        """The answer `second` (even) seconds after the first tick for these averages [thousandths]."""
        bucket = STABLE + second // TICK_S
        rest = stable_m * STABLE - panic_m * PANIC
        assert rest >= 0, "the stable window holds the panic window"
        for age in range(STABLE):
            older = rest // (STABLE - PANIC) + (1 if age - PANIC < rest % (STABLE - PANIC) else 0)
            self.state[scaling.RING + (bucket - age) % STABLE] = panic_m if age < PANIC else older
        self.state[scaling.TICK] = bucket
        self.state[scaling.KPA_LAST] = bucket - 1
        now_ns = START_NS + (bucket + 1) * TICK_S * NS_PER_S
        for index in (scaling.KPA_BUCKET_US, scaling.KPA_LAST_US):
            self.state[index] = now_ns // 1000 - TICK_S * 1_000_000
        return scaling.kpa(self.state, self.params, now_ns, panic_m, ready)


@pytest.mark.parametrize(
    ("target", "ready", "stable_m", "panic_m", "expected"),
    [
        (10, 1, 50_000, 50_000, 5),  # AutoscalerStableModeNoChange
        (10, 5, 50_000, 50_000, 5),  # ...AlreadyScaled
        (10, 1, 50_000, 10_000, 5),  # StableModeIncreaseWithConcurrencyDefault
        (10, 1, 100_000, 10_000, 10),  # ...
        (181, 1, 21_000, 26_000, 1),  # AutoscalerStableModeUnlimitedTBC
        (10, 1, 50_000, 49_000, 5),  # Autoscaler0TBC
        (10, 1, 50_000, 100_000, 10),  # AutoscalerPanicModeDoublePodCount
        (10, 8, 100_000, 100_000, 10),  # StableModeDecrease
        (10, 8, 50_000, 50_000, 5),  # ...
        (10, 1, 1_000, 0, 1),  # StableModeNoTrafficScaleToZero
        (10, 1, 0, 0, 0),  # ...
        (10, 1, 1_000_000, 1_001_000, 10),  # RateLimitScaleUp
        (10, 10, 1_000_000, 1_001_000, 100),  # ...
        (10, 100, 1_000, 1_000, 10),  # RateLimitScaleDown
        (10, 10, 1_000, 1_000, 1),  # ...
        (10, 0, 1_000_000, 888_000, 10),  # UseOnePodAsMinimumIfEndpointsNotFound
    ],
)
def test_kpa_table(target: int, ready: int, stable_m: int, panic_m: int, expected: int) -> None:
    assert Knative(target).scale(0, ready, stable_m, panic_m) == expected


def test_kpa_small_rates_still_move_by_one() -> None:
    """StableModeIncreaseWithSmallScaleUpRate and ...DecreaseWithSmallScaleDownRate."""
    assert Knative(1, up_permille=1100).scale(0, 2, 3_000, 3_100) == 3
    assert Knative(10, down_permille=1100).scale(0, 100, 1_000, 1_000) == 90


def test_kpa_panic_holds_until_the_stable_window_has_passed() -> None:
    """PanicThenUnPanicScaleDown: 10, 100, held at + 30 s, 1 after more than 60 s (here the next tick, 62 s)."""
    kpa = Knative(10)
    assert kpa.scale(0, 1, 100_000, 100_000) == 10
    assert kpa.scale(2, 10, 100_000, 1_000_000) == 100
    assert kpa.scale(32, 10, 1_000, 1_000) == 100
    assert kpa.scale(62, 10, 1_000, 1_000) == 100  # 60 s after: not more than the window
    assert kpa.scale(64, 10, 1_000, 1_000) == 1


def test_kpa_panic_ends_after_a_slow_increase() -> None:
    """UnpanicAfterSlowIncrease: 25, 41, then 50 by the stable window."""
    kpa = Knative(1)
    assert kpa.scale(0, 10, 11_000, 25_000) == 25
    assert kpa.state[scaling.KPA_PANIC_NS] == START_NS + 62 * NS_PER_S
    assert kpa.scale(30, 40, 30_000, 41_000) == 41
    assert kpa.state[scaling.KPA_PANIC_NS] == START_NS + 62 * NS_PER_S
    assert kpa.scale(62, 55, 50_000, 56_000) == 50
    assert kpa.state[scaling.KPA_PANIC_NS] == NEVER_NS


def test_kpa_surge_extends_the_panic() -> None:
    """ExtendPanicWindow: 25, and 80 half a window later moves the panic's instant."""
    kpa = Knative(1)
    assert kpa.scale(0, 10, 11_000, 25_000) == 25
    assert kpa.scale(30, 40, 30_000, 80_000) == 80
    assert kpa.state[scaling.KPA_PANIC_NS] == START_NS + 92 * NS_PER_S


def test_kpa_in_panic_the_larger_window_decides() -> None:
    """PanicStableLargerThanPanic and PanicStableLessThanPanic, in panic at 5 replicas."""
    for stable_m, panic_m, expected in ((50_000, 30_000, 50), (20_000, 30_000, 30)):
        kpa = Knative(1)
        kpa.state[scaling.KPA_PANIC_NS] = START_NS + 57 * NS_PER_S
        kpa.state[scaling.KPA_PANIC_PODS] = 5
        assert kpa.scale(0, 5, stable_m, panic_m) == expected


def test_kpa_exponential_growth() -> None:
    """PanicModeExponentialTrackAndStabilize: 6, 36, 216, 1296, 1296."""
    kpa = Knative(1)
    answers = [kpa.scale(2 * i, 6**i, 1000 * 6 ** (i + 1), 1000 * 6 ** (i + 1)) for i in range(4)]
    assert [*answers, kpa.scale(8, 1296, 1_296_000, 1_296_000)] == [6, 36, 216, 1296, 1296]
