"""The scaling rules against answers known from elsewhere: Kubernetes, KEDA's HTTP add-on, Knative. Exact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from protocol import scaling
from protocol.units import NEVER_NS, NS_PER_S
from tests.theory.known import Case, Exact

REQUEST_M = 1000
START_NS = 1_700_000_000 * NS_PER_S + 123_456_789  # ticks are phased by the start, not by the wall clock


# ---- rate window: pkg/queue/bucketing_test.go records 1..5 at t = 0..4 in 5 buckets of 1 s ----


def window(
    counts: Sequence[tuple[int, int]],
    ask: Sequence[int],
    *,
    remaining_only: bool = False,
    start_ns: int = START_NS,
) -> list[float]:
    """Averages at the seconds `ask` of a window of 5 s, told of counts (second, requests)."""
    state = [0] * scaling.RATE_STATE_LENGTH
    scaling.rate_window_start(state)
    told = list(counts)
    seen = []
    for second in sorted({*ask, *(second for second, _ in counts)}):
        now_ns = start_ns + second * NS_PER_S
        while told and told[0][0] == second:
            scaling.rate_window_record(state, 5, NS_PER_S, now_ns, told.pop(0)[1])
        if second in ask:
            seen.append(scaling.rate_window_average(state, 5, NS_PER_S, now_ns, remaining_only) / 1000)
    return seen


FIVE: Final = [(second, second + 1) for second in range(5)]
KEDA_WINDOW: Final = "KEDA, pkg/queue/bucketing_test.go"

WINDOWS: Final = (
    Exact(
        "rate window of 5 s, 1 to 5 at 0 to 4 s: averages at 0 to 6 s", KEDA_WINDOW,
        [1.0, 1.5, 2.0, 2.5, 3.0, 2.8, 2.4], lambda: window(FIVE, range(7)),
    ),
    Exact(
        "the same, at 9 s, when all of it is past", KEDA_WINDOW, [0.0], lambda: window(FIVE, [9]),
    ),
    Exact(
        "the same, 7 more at 9 s: it begins anew", KEDA_WINDOW, [7.0], lambda: window([*FIVE, (9, 7)], [9]),
    ),
    Exact(
        "the same as Knative divides in a pause, at 5 and 6 s", "Knative, aggregation/bucketing.go: 14/4, 12/3",
        [3.5, 4.0], lambda: window(FIVE, [5, 6], remaining_only=True),
    ),
    Exact(
        "rate window, 1, 2 at 0, 1 s and 9 at 4 s: a pause counts as zeros, at 4 and 5 s", "12/5, 11/5",
        [2.4, 2.2, 2.4, 2.2],
        lambda: [a for knative in (False, True)
                 for a in window([(0, 1), (1, 2), (4, 9), (5, 0)], [4, 5], remaining_only=knative, start_ns=0)],
    ),
    Exact(
        "rate window, 1 to 5 at 0 to 4 s and 10 at 7 s: what is passed over is forgotten", "(4 + 5 + 10)/5",
        [3.8], lambda: window([*FIVE, (7, 10)], [7]),
    ),
)  # fmt: skip


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


def after(pending_m: Sequence[int], replicas: int, **params: int) -> list[int]:
    """What the rule answers tick by tick."""
    hpa = Hpa(scaling.keda_params(**params), replicas)
    return [hpa.next(value) for value in pending_m]


def _missed() -> list[int]:
    hpa = Hpa(scaling.keda_params(min_replicas=1), 10)
    answers = [hpa.next(1000 * REQUEST_M), *(hpa.next(300 * REQUEST_M) for _ in range(19))]
    hpa.tick += 1
    return [min(answers), max(answers), hpa.next(300 * REQUEST_M)]


def _from_zero() -> list[int]:
    """Answers at: nothing pending; 5 pending; 299 s and 300 s after the last of them."""
    params = scaling.keda_params()
    state = [0] * scaling.STATE_LENGTH
    scaling.keda_start(state, START_NS)
    begun = START_NS + 7 * NS_PER_S
    ended = begun + 40 * NS_PER_S
    asleep = scaling.keda(state, params, START_NS + 1, 0, 0)
    awake = scaling.keda(state, params, begun, 5 * REQUEST_M, 0)
    scaling.keda_touch(state, ended)
    pauses_ns = (299 * NS_PER_S, 300 * NS_PER_S - 1, 300 * NS_PER_S)
    return [asleep, awake, *(scaling.keda(state, params, ended + ns, 0, 1) for ns in pauses_ns)]


HPA: Final = "Kubernetes, podautoscaler"
UP: Final = "Kubernetes, autoscaling/v2 defaults"

HPAS: Final = (
    Exact(
        "HPA at twice the target, from 1, 2, 4, 6", f"{HPA}: 200m against 100m doubles", [2, 4, 8, 12],
        lambda: [after([200 * n], n, target_m=100)[0] for n in (1, 2, 4, 6)],
    ),
    Exact(
        "HPA at half the target, from 2, 4, 6", f"{HPA}: 50m against 100m halves", [1, 2, 3],
        lambda: [after([50 * n], n, target_m=100, stable_ns=0)[0] for n in (2, 4, 6)],
    ),
    Exact(
        "HPA from 1 at full demand, every 15 s", f"{UP}: the larger of + 4 and × 2", [5, 10, 20, 40, 80, 160],
        lambda: after([10**9] * 6, 1, max_replicas=1000),
    ),
    Exact(
        "HPA, 10 replicas, target 100: 890, 899, 900, 1000, 1100, 1101, 1200 pending",
        f"{HPA}: a tolerance of 0.1, both ends included", [9, 9, 10, 10, 10, 12, 12],
        lambda: [after([n * REQUEST_M], 10, stable_ns=0)[0] for n in (890, 899, 900, 1000, 1100, 1101, 1200)],
    ),
    Exact(
        "HPA going down: 300 pending after one tick of 1000",
        f"{HPA}: the highest proposal counts until it is 300 s old", [10] * 20 + [3],
        lambda: after([1000 * REQUEST_M] + [300 * REQUEST_M] * 20, 10, min_replicas=1),
    ),
    Exact(
        "the same, a tick missed when it would be 300 s old: least and most until then, and at 315 s",
        f"{HPA}: old proposals are gone all the same", [10, 10, 3], _missed,
    ),
    Exact(
        "HPA from 1: 10,000 pending once, then 100", f"{HPA}: old proposals never raise", [5, 5, 5, 5],
        lambda: after([10_000 * REQUEST_M] + [100 * REQUEST_M] * 3, 1, min_replicas=1),
    ),
    Exact(
        "KEDA at zero: nothing, 5 pending; 299 s, a nanosecond less than 300 s and 300 s after the last request",
        "KEDA's HTTP add-on: scaledownPeriod 300", [0, 1, 1, 1, 0], _from_zero,
    ),
)  # fmt: skip


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

    def scale(self, second: int, ready: int, stable: float, panic: float) -> int:
        """The answer `second` (even) seconds after the first tick for these averages of the two windows."""
        bucket = STABLE + second // TICK_S
        stable_m, panic_m = round(stable * REQUEST_M), round(panic * REQUEST_M)
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

    @property
    def panic_s(self) -> int:
        """Second of the last instant over the threshold; -1: not in panic."""
        since = self.state[scaling.KPA_PANIC_NS]
        return -1 if since == NEVER_NS else (since - START_NS) // NS_PER_S - (STABLE + 1) * TICK_S


TABLE: Final = (  # target, ready, stable, panic; replicas
    ("AutoscalerStableModeNoChange", (10, 1, 50, 50), 5),
    ("AlreadyScaled", (10, 5, 50, 50), 5),
    ("StableModeIncreaseWithConcurrencyDefault", (10, 1, 50, 10), 5),
    ("the same, more", (10, 1, 100, 10), 10),
    ("AutoscalerStableModeUnlimitedTBC", (181, 1, 21, 26), 1),
    ("Autoscaler0TBC", (10, 1, 50, 49), 5),
    ("AutoscalerPanicModeDoublePodCount", (10, 1, 50, 100), 10),
    ("StableModeDecrease", (10, 8, 100, 100), 10),
    ("the same, less", (10, 8, 50, 50), 5),
    ("StableModeNoTrafficScaleToZero", (10, 1, 1, 0), 1),
    ("the same, nothing", (10, 1, 0, 0), 0),
    ("RateLimitScaleUp", (10, 1, 1000, 1001), 10),
    ("the same, from 10", (10, 10, 1000, 1001), 100),
    ("RateLimitScaleDown", (10, 100, 1, 1), 10),
    ("the same, from 10", (10, 10, 1, 1), 1),
    ("UseOnePodAsMinimumIfEndpointsNotFound", (10, 0, 1000, 888), 10),
)
UTILISED: Final = "Knative, autoscaler_test.go"


def _series(target: int, steps: Sequence[tuple[int, int, int, int]], **rates: int) -> list[int]:
    knative = Knative(target, **rates)
    return [knative.scale(*step) for step in steps]


def _panics(steps: Sequence[tuple[int, int, int, int]]) -> list[int]:
    """Answer, and when the panic began, after each step."""
    knative = Knative(1)
    found = []
    for step in steps:
        found += [knative.scale(*step), knative.panic_s]
    return found


def _larger(stable: int, panic: int) -> int:
    knative = Knative(1)
    knative.state[scaling.KPA_PANIC_NS] = START_NS + 57 * NS_PER_S
    knative.state[scaling.KPA_PANIC_PODS] = 5
    return knative.scale(0, 5, stable, panic)


KPAS: Final = (
    Exact(
        f"Knative, {len(TABLE)} cases of its table", f"{UTILISED}, target 10 and 181, rates 10",
        [answer for *_, answer in TABLE],
        lambda: [Knative(target).scale(0, *rest) for _, (target, *rest), _ in TABLE],
    ),
    Exact(
        "Knative, rates of 1.1: up from 2, down from 100", f"{UTILISED}, …WithSmallScaleUpRate", [3, 90],
        lambda: [Knative(1, up_permille=1100).scale(0, 2, 3, 3.1), Knative(10, down_permille=1100).scale(0, 100, 1, 1)],
    ),
    Exact(
        "Knative, into panic, 30, 60 and 62 s later", f"{UTILISED}, PanicThenUnPanicScaleDown",
        [10, 100, 100, 100, 1],
        lambda: _series(10, [(0, 1, 100, 100), (2, 10, 100, 1000), (32, 10, 1, 1), (62, 10, 1, 1), (64, 10, 1, 1)]),
    ),
    Exact(
        "Knative, slow growth: answers and when the panic began", f"{UTILISED}, UnpanicAfterSlowIncrease",
        [25, 0, 41, 0, 50, -1], lambda: _panics([(0, 10, 11, 25), (30, 40, 30, 41), (62, 55, 50, 56)]),
    ),
    Exact(
        "Knative, a surge extends the panic", f"{UTILISED}, ExtendPanicWindow", [25, 0, 80, 30],
        lambda: _panics([(0, 10, 11, 25), (30, 40, 30, 80)]),
    ),
    Exact(
        "Knative in panic: the larger window decides", f"{UTILISED}, PanicStableLargerThanPanic", [50, 30],
        lambda: [_larger(50, 30), _larger(20, 30)],
    ),
    Exact(
        "Knative, growth of 6 every 2 s", f"{UTILISED}, PanicModeExponentialTrackAndStabilize",
        [6, 36, 216, 1296, 1296],
        lambda: _series(1, [(2 * i, 6 ** min(i, 4), 6 ** min(i + 1, 4), 6 ** min(i + 1, 4)) for i in range(5)]),
    ),
)  # fmt: skip

CASES: Final[tuple[Case, ...]] = (*WINDOWS, *HPAS, *KPAS)
