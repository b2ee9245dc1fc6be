"""Makes the `params` array of each scaling rule, with every value checked."""

from __future__ import annotations

from protocol.errors import BadInput
from protocol.scaling.layout import (
    KEDA_COOLDOWN_NS,
    KEDA_DOWN_SLOTS,
    KEDA_PERIOD_NS,
    KEDA_TARGET_M,
    KEDA_TOLERANCE_PERMILLE,
    KEDA_UP_ADD,
    KEDA_UP_TIMES,
    KPA_DOWN_PERMILLE,
    KPA_GRACE_NS,
    KPA_PANIC_PERMILLE,
    KPA_PANIC_SLOTS,
    KPA_STABLE_SLOTS,
    KPA_TARGET_M,
    KPA_TICK_NS,
    KPA_UP_PERMILLE,
    MAX_REPLICAS,
    MIN_REPLICAS,
    PARAMS_LENGTH,
    PER_REQUEST_EXPIRY_NS,
    REPLICAS_CEILING,
    RING_LENGTH,
    TARGET_CEILING_M,
    TICK_CEILING_NS,
    TIME_CEILING_NS,
)
from protocol.units import NS_PER_MS, NS_PER_S


def _checked(name: str, value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise BadInput(f"{name} is {value}; allowed is {low} to {high}")
    return value


def _bounds(min_replicas: int, max_replicas: int) -> list[int]:
    params = [0] * PARAMS_LENGTH
    params[MAX_REPLICAS] = _checked("max_replicas", max_replicas, 1, REPLICAS_CEILING)
    params[MIN_REPLICAS] = _checked("min_replicas", min_replicas, 0, max_replicas)
    return params


def keda_params(
    *,
    min_replicas: int = 0,
    max_replicas: int = 100,  # HTTPScaledObject spec.replicas.max
    target_m: int = 100_000,  # HTTPScaledObject scalingMetric.concurrency.targetValue 100
    tick_ns: int = 15 * NS_PER_S,  # kube-controller-manager --horizontal-pod-autoscaler-sync-period
    tolerance_permille: int = 100,  # --horizontal-pod-autoscaler-tolerance 0.1
    up_add: int = 4,  # k8s pkg/apis/autoscaling/v2/defaults.go: scaleUp policy Pods 4 each 15 s
    up_times: int = 2,  # the same: scaleUp policy Percent 100 each 15 s, selectPolicy Max
    stable_ns: int = 300 * NS_PER_S,  # --horizontal-pod-autoscaler-downscale-stabilization 5 m
    idle_ns: int = 300 * NS_PER_S,  # HTTPScaledObject spec.scaledownPeriod 300
) -> list[int]:
    """The `params` of `keda`.

    Args:
        min_replicas: fewest replicas, 0 to max_replicas.
        max_replicas: most replicas, 1 to 100,000.
        target_m: pending requests a replica [thousandths], 1 to 1e9.
        tick_ns: interval of decisions above zero [ns], 1 ms to 1 h; the limits of going up are per interval.
        tolerance_permille: a ratio this near to 1 changes nothing [thousandths], 0 to 1000.
        up_add: an interval may add this many replicas, or multiply by `up_times` if that is more, 1 to 100,000.
        up_times: see `up_add`, 1 to 1000.
        stable_ns: going down, the highest proposal younger than this counts [ns], 0 to 30 intervals.
        idle_ns: time without a request until zero [ns], 1 ms to 100 years.

    Raises:
        BadInput: a value is outside its range.
    """
    params = _bounds(min_replicas, max_replicas)
    params[KEDA_TARGET_M] = _checked("target_m", target_m, 1, TARGET_CEILING_M)
    params[KEDA_PERIOD_NS] = _checked("tick_ns", tick_ns, NS_PER_MS, TICK_CEILING_NS)
    params[KEDA_TOLERANCE_PERMILLE] = _checked("tolerance_permille", tolerance_permille, 0, 1000)
    params[KEDA_UP_ADD] = _checked("up_add", up_add, 1, REPLICAS_CEILING)
    params[KEDA_UP_TIMES] = _checked("up_times", up_times, 1, 1000)
    _checked("stable_ns", stable_ns, 0, RING_LENGTH * tick_ns)
    # A proposal exactly as old as the window no longer counts (`timestamp.After(cutoff)`); the new one does.
    params[KEDA_DOWN_SLOTS] = max(1, -(-stable_ns // tick_ns))
    params[KEDA_COOLDOWN_NS] = _checked("idle_ns", idle_ns, NS_PER_MS, TIME_CEILING_NS)
    return params


# The defaults' source: knative/serving config/core/configmaps/autoscaler.yaml.
def kpa_params(
    *,
    min_replicas: int = 0,
    max_replicas: int = 100,  # ours, as keda's; Knative has no limit
    target_m: int = 100_000,  # container-concurrency-target-default 100
    utilisation_permille: int = 700,  # container-concurrency-target-percentage 70
    tick_ns: int = 2 * NS_PER_S,  # tickInterval of pkg/autoscaler/scaling/multiscaler.go
    stable_ns: int = 60 * NS_PER_S,  # stable-window 60s
    panic_ns: int = 6 * NS_PER_S,  # panic-window-percentage 10
    panic_permille: int = 2000,  # panic-threshold-percentage 200
    up_permille: int = 1_000_000,  # max-scale-up-rate 1000
    down_permille: int = 2000,  # max-scale-down-rate 2
    grace_ns: int = 30 * NS_PER_S,  # scale-to-zero-grace-period 30s
) -> list[int]:
    """The `params` of `kpa`.

    Args:
        min_replicas: fewest replicas, 0 to max_replicas.
        max_replicas: most replicas, 1 to 100,000.
        target_m: pending requests a replica at most [thousandths], 1 to 1e9.
        utilisation_permille: share of the target aimed at [thousandths], 1 to 1000; the product, rounded
            down, is at least a thousandth of a request.
        tick_ns: interval of decisions [ns], 1 ms to 60 s.
        stable_ns: window of the mean that counts in calm [ns], 1 to 30 whole intervals.
        panic_ns: window of the mean that counts in a panic [ns], whole intervals, at most `stable_ns`.
        panic_permille: a panic begins at this share of ready replicas [thousandths], 1000 to 1e6.
        up_permille: most that ready replicas are multiplied by in a step [thousandths], 1000 to 1e8.
        down_permille: most that they are divided by in a step [thousandths], 1000 to 1e8.
        grace_ns: how long zero must be asked for [ns], 0 to 100 years.

    Raises:
        BadInput: a value is outside its range.
    """
    params = _bounds(min_replicas, max_replicas)
    _checked("target_m", target_m, 1, TARGET_CEILING_M)
    _checked("utilisation_permille", utilisation_permille, 1, 1000)
    aimed_m = target_m * utilisation_permille // 1000
    params[KPA_TARGET_M] = _checked("target_m × utilisation_permille / 1000", aimed_m, 1, TARGET_CEILING_M)
    params[KPA_TICK_NS] = _checked("tick_ns", tick_ns, NS_PER_MS, 60 * NS_PER_S)
    _checked("stable_ns", stable_ns, tick_ns, RING_LENGTH * tick_ns)
    _checked("panic_ns", panic_ns, tick_ns, stable_ns)
    for name, window_ns in (("stable_ns", stable_ns), ("panic_ns", panic_ns)):
        if window_ns % tick_ns:
            raise BadInput(f"{name} is {window_ns}; allowed are whole multiples of tick_ns, {tick_ns}")
    params[KPA_STABLE_SLOTS] = stable_ns // tick_ns
    params[KPA_PANIC_SLOTS] = panic_ns // tick_ns
    params[KPA_PANIC_PERMILLE] = _checked("panic_permille", panic_permille, 1000, 1_000_000)
    params[KPA_UP_PERMILLE] = _checked("up_permille", up_permille, 1000, 100_000_000)
    params[KPA_DOWN_PERMILLE] = _checked("down_permille", down_permille, 1000, 100_000_000)
    params[KPA_GRACE_NS] = _checked("grace_ns", grace_ns, 0, TIME_CEILING_NS)
    return params


def per_request_params(
    *,
    min_replicas: int = 0,
    max_replicas: int = 1000,  # AWS Lambda's default quota of concurrent executions of an account
    idle_ns: int = 600 * NS_PER_S,  # SimFaaS's expiration threshold, 10 minutes
) -> list[int]:
    """The `params` of `per_request`.

    Args:
        min_replicas: replicas kept when idle, 0 to max_replicas.
        max_replicas: most replicas, 1 to 100,000.
        idle_ns: idle time after which a replica ends [ns], 0 to 100 years.

    Raises:
        BadInput: a value is outside its range.
    """
    params = _bounds(min_replicas, max_replicas)
    params[PER_REQUEST_EXPIRY_NS] = _checked("idle_ns", idle_ns, 0, TIME_CEILING_NS)
    return params


def fixed_params(replicas: int = 1) -> list[int]:
    """The `params` of `fixed`: `replicas`, 1 to 100,000; for a pod without HTTP port max(1, min replicas).

    Raises:
        BadInput: the number is outside its range.
    """
    return _bounds(_checked("replicas", replicas, 1, REPLICAS_CEILING), replicas)
