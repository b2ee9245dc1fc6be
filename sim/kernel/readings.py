"""What happened, read out of the arrays: a pod's counters, sums over pods, a node's use, rows in order.

Nothing here changes anything. Integrals are kept as `state` says, so they need the instant to which the plane
is advanced.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from protocol.units import NS_PER_MS
from sim.kernel import state
from sim.kernel.arrays import Array, Row
from sim.kernel.specs import OUTCOMES, SERVED, NodeUse, PodCounters

COUNTED: Final = (
    *("arrivals", "served", "cold", "starts", "delayed", "bytes_in", "bytes_out", "n_held", "n_queued"),
    *("n_service", "n_unplaced", "n_starting", "n_ready", "n_busy", "n_drain", "n_billed", "wait_ns"),
    *("latency_ns", "i_system", "i_unplaced", "i_starting", "i_ready", "i_busy", "i_drain", "acc_ms"),
    *(
        "retried",
        "lost",
        "n_waiting",
        "warmed",
        "scheduling_ns",
        "pull_ns",
        "decryption_ns",
        "application_ns",
    ),
)
"""What of a pod's record its counters are made of."""
_PLACES: Final = [(name, list(state.POD.fields or ()).index(name)) for name in COUNTED]


def counters(pod: Row, fails: Array, now_ns: int) -> PodCounters:
    """What a pod has done, and what it has now.

    Args:
        pod: its record.
        fails: its requests by outcome; served ones are not counted there.
        now_ns: the instant to which its plane is advanced [Unix ns].
    """
    record = pod.item()  # all fields at once, as Python's numbers
    p: dict[str, int] = {name: record[place] for name, place in _PLACES}

    def integral(acc: str, count: int) -> int:
        return (p[acc] + count * now_ns) & state.WORD

    busy_ns = integral("i_busy", p["n_busy"])
    return PodCounters(
        arrivals=p["arrivals"],
        served=p["served"],
        failed={name: int(fails[k]) for k, name in enumerate(OUTCOMES) if k != SERVED},
        cold=p["cold"],
        starts=p["starts"],
        delayed=p["delayed"],
        bytes_in=p["bytes_in"],
        bytes_out=p["bytes_out"],
        held=p["n_held"],
        queued=p["n_queued"],
        in_flight=p["n_service"],
        unplaced=p["n_unplaced"],
        starting=p["n_starting"],
        idle=p["n_ready"] - p["n_busy"],
        busy=p["n_busy"],
        draining=p["n_drain"],
        billed=p["n_billed"],
        wait_ns=p["wait_ns"] & state.WORD,
        latency_ns=p["latency_ns"] & state.WORD,
        system_request_ns=integral("i_system", p["n_held"] + p["n_queued"] + p["n_service"]),
        unplaced_replica_ns=integral("i_unplaced", p["n_unplaced"]),
        starting_replica_ns=integral("i_starting", p["n_starting"]),
        idle_replica_ns=(integral("i_ready", p["n_ready"]) - busy_ns) & state.WORD,
        busy_replica_ns=busy_ns,
        draining_replica_ns=integral("i_drain", p["n_drain"]),
        billed_ms=p["acc_ms"] + p["n_billed"] * (now_ns // NS_PER_MS),
        retried=p["retried"],
        lost=p["lost"],
        waiting=p["n_waiting"],
        warmed=p["warmed"],
        scheduling_ns=p["scheduling_ns"],
        pull_ns=p["pull_ns"],
        decryption_ns=p["decryption_ns"],
        application_ns=p["application_ns"],
    )


def node_use(node: Row, replicas: Array) -> NodeUse:
    """What is allocated on a node, from its record, and what the busy ones among `replicas`, which are on it, use."""
    wanted, given = processors(replicas)
    return NodeUse(
        up=bool(node["up"]),
        cpu_millis=int(node["cpu"] - node["cpu_free"]),
        memory_bytes=int(node["memory"] - node["memory_free"]),
        gpus=int(node["gpus"] - node["gpus_free"]),
        cached_bytes=int(node["cache_used"]),
        pulls=int(node["n_pulls"]),
        cpu_wanted_millis=wanted,
        cpu_given_millis=given,
    )


def processors(replicas: Array) -> tuple[int, float]:
    """What those of the replicas that are busy want, and what they get [millicores]; in no order, to the last bit."""
    busy = replicas[replicas["in_service"] > 0]
    return int(busy["cpu_limit"].sum()), math.fsum(busy["cpu_limit"] * busy["speed"])


def in_order(rows: Array, *columns: str) -> Array:
    """Rows sorted by the first column, then the next; equal ones stay as they were."""
    return rows[np.lexsort([rows[name] for name in reversed(columns)])]
