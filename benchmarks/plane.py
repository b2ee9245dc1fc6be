"""Sections `memory`, `pods` and `unpleasant`: the data plane for long, with many pods, and where it hurts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from benchmarks import workloads
from benchmarks.apart import Spent, apart, memory_mib, spend
from benchmarks.entries import Entry, Peer, Size, rounded
from benchmarks.market import THREADS, run, scenario
from protocol.units import NEVER_NS, NS_PER_S
from sim.kernel.plane import DataPlane

BUSY: Final = 0.63
"""The busiest function's share of the Azure sample."""


def ready(call: Callable[..., Any], *given: Any) -> Spent[Any]:
    """What a call takes, compiled code being loaded before it."""
    workloads.faas(DataPlane, 100.0, 1)
    return spend(call, *given)


def told(name: str, spent: Spent[Any]) -> None:
    print(f"    {name}: {spent.processor_s:.2f} s, {spent.peak_mib:.0f} MiB", flush=True)


# ------------------------------------------------------------ memory


def resident(horizon_s: float) -> tuple[int, float]:
    """The SimFaaS workload for so long: (requests, resident set after it [MiB])."""
    done = workloads.faas(DataPlane, horizon_s, 1)
    return done.requests, memory_mib("VmRSS")


def memory(size: Size) -> Iterator[Entry]:
    """Resident memory as the run gets longer."""
    points = []
    for horizon_s in (1e5, 1e6, 1e7) if size is Size.QUICK else (1e5, 1e6, 1e7, 1e8):
        requests, mib = apart(resident, horizon_s).found
        print(f"    T = {horizon_s:.0e} s: {requests:,} requests, {mib:.0f} MiB", flush=True)
        points.append((horizon_s, rounded(mib)))
    (shortest_s, first), (longest_s, last) = points[0], points[-1]
    name = f"resident memory after {longest_s:,.0f} virtual s of the SimFaaS workload"
    peer = Peer(f"the same after {shortest_s:,.0f} s", first)
    yield Entry("memory", name, last, "MiB", (peer,), note="points in MiB", points=tuple(points))


# ------------------------------------------------------------ many pods


def mixed(count: int, horizon_s: int, window_s: int) -> tuple[int, float]:
    """A cluster of mixed pods: (requests, processor time without setting up [s])."""
    return workloads.in_windows(workloads.mixed(count), horizon_s, window_s)


def pods(size: Size) -> Iterator[Entry]:
    """`keda` at mixed rates, from nothing: in the first minutes every image is pulled and every pod starts at once."""
    few, many, seconds = (100, 1_000, 500) if size is Size.QUICK else (1_000, 10_000, 1_000)
    for id_, count, horizon_s, window_s in (
        ("pods-few", few, 2 * seconds, 100),
        ("pods-many", many, seconds, 100),
        ("pods-many-10s", many, seconds, 10),
        ("pods-many-hour", many, 4 * seconds, 100),
    ):
        spent = apart(ready, mixed, count, horizon_s, window_s).found
        requests, took_s = spent.found
        told(f"{count:,} pods, {horizon_s:,} s, windows of {window_s} s", spent)
        yield Entry(
            id_,
            f"{count:,} pods, keda, mixed rates, the first {horizon_s:,} s, windows of {window_s} s",
            rounded(requests / took_s),
            "requests/s",
            note=f"one core; {requests / 1e6:.2f} M requests; {spent.peak_mib:.0f} MiB at most",
        )


# ------------------------------------------------------------ unpleasant


def unpleasant(size: Size) -> Iterator[Entry]:
    """One busy pod among many, many idle ones, long requests, a burst, a month."""
    quick = size is Size.QUICK
    yield from one_busy(200 if quick else 1_000, 500)
    yield from idle(5_000 if quick else 100_000, 1 if quick else 24)
    if size is Size.LARGEST:
        yield from idle(1_000_000, 24)
    else:
        yield Entry(
            "idle-1000000", "1,000,000 pods without a request", None, "s", left_out="asked for by --largest"
        )
    days = 1 if quick else 30
    spent = apart(ready, workloads.long_service, days, 3.0).found
    requests, serving = spent.found
    told("long service", spent)
    yield timed(
        "long",
        f"requests of 3 h at 0.9/s for {days} days",
        spent,
        f"{requests:,} requests, {serving:,} in service at the end",
    )
    for id_, limit_ns, what in (
        ("burst", 40 * NS_PER_S, "held for 40 s at most"),
        ("burst-held", NEVER_NS, "held without limit"),
    ):
        requests = 100_000 if quick else 1_000_000
        spent = apart(ready, workloads.burst, requests, limit_ns).found
        served, failed = spent.found
        told(what, spent)
        yield timed(
            id_,
            f"{requests:,} requests in one second onto zero replicas, {what}",
            spent,
            f"{served:,} served, {failed:,} failed",
        )
    days = 2 if quick else 30
    month = run(scenario(3, 24 * days, requests=30e6 / 30 * days))
    name = f"a whole scenario of {days} days: 3 providers, 30 pods, {days} M requests"
    yield Entry(
        "month",
        name,
        rounded(month.wall_s),
        "s",
        note=f"wall time; {month.peak_mib:,.0f} MiB at most, threads: {THREADS}",
    )


def idle(count: int, hours: int) -> Iterator[Entry]:
    """Pods that nobody calls."""
    spent = apart(ready, workloads.without_requests, count, 1_000, hours).found
    told(f"{count:,} without requests", spent)
    name = f"{count:,} pods without a request for {hours} h, at providers of 1,000, windows of 100 s"
    yield timed(f"idle-{count}", name, spent, "setting them up included")


def one_busy(pods_: int, seconds: int) -> Iterator[Entry]:
    """One pod with `BUSY` of the requests beside as many spread evenly over all."""
    found = {}
    for name, share in (("busy", BUSY), ("even", 1 / pods_)):
        specs = partial(workloads.skewed, pods_, share)
        spent = apart(ready, skewed, specs, seconds).found
        told(name, spent)
        requests, took_s = spent.found
        found[name] = rounded(requests / took_s), spent.peak_mib
    yield Entry(
        "busy",
        f"{pods_:,} keda pods, one with 63 % of the requests, windows of 100 s",
        found["busy"][0],
        "requests/s",
        (Peer("the same requests, spread evenly", found["even"][0], f"{found['even'][1]:.0f} MiB at most"),),
        note=f"one core; {found['busy'][1]:.0f} MiB at most",
    )


def skewed(specs: Callable[[], Any], seconds: int) -> tuple[int, float]:
    return workloads.in_windows(specs(), seconds, 100)


def timed(id: str, name: str, spent: Spent[Any], note: str) -> Entry:  # noqa: A002
    """An entry of processor time and memory."""
    return Entry(
        id, name, rounded(spent.processor_s), "s", note=f"one core; {spent.peak_mib:,.0f} MiB at most; {note}"
    )
