"""The market of `market.yaml` in any size, and section `market`: the whole of it, a day long.

1,000 providers, 10,000 pods, 24 virtual hours, 100 million requests, a billing tick of each provider every 100 s,
claims when they pay, and every record that a default run writes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import sim
from benchmarks.apart import Spent, apart
from benchmarks.entries import Entry, Peer, Size, exponent, rounded

MARKET: Final = Path(__file__).parent / "market.yaml"
PODS: Final = 10
"""Of a provider."""
REQUESTS: Final = 100_000_000 / 10_000 / 24
"""Of a pod and hour."""
THREADS: Final = 2
"""What whole scenarios run with."""
BAR_S, BAR_MIB = 60, 4096
"""What 1,000 providers may take: wall time [s], memory [MiB]."""


def scenario(
    providers: int, hours: float, *, pods: int | None = None, requests: float | None = None
) -> list[str]:
    """The overrides of `MARKET` that give it a size.

    Args:
        providers: from 1.
        hours: of virtual time.
        pods: in all; they come over the first 24th of the time, so that the chain has room for all their channels.
            None: `PODS` a provider.
        requests: in all, the same of each pod; None: `REQUESTS` a pod and hour.
    """
    pods = providers * PODS if pods is None else pods
    rate = REQUESTS / 3600 if requests is None else requests / pods / hours / 3600
    return [
        f"providers.0.count={providers}",
        f"publishers.0.count={pods}",
        f"publishers.0.arrive={{exponential: {hours * 150 / pods:.9f}s}}",
        f"publishers.0.traffic={{poisson: {rate:.9f}/s}}",
        f"duration={round(hours * 3600)}s",
    ]


def play(overrides: list[str], threads: int) -> float:
    """Run it with all its records into a directory that is thrown away; returns how many requests came."""
    with tempfile.TemporaryDirectory() as folder:
        results = sim.run(MARKET, overrides, out=Path(folder) / "run", threads=threads)
        return float(results.summary["metrics"]["requests_arrived"]["mean"])


def run(overrides: list[str], threads: int = THREADS) -> Spent[float]:
    """The same in a process of its own, told as it goes."""
    spent = apart(play, overrides, threads)
    print(
        f"    {', '.join(overrides[:2])}, {overrides[-1]}: {spent.found:,.0f} requests, {spent.wall_s:.1f} s, "
        f"{spent.processor_s:.1f} s of processor time, {spent.peak_mib:.0f} MiB",
        flush=True,
    )
    return spent


def sized(providers: int, hours: float) -> str:
    """The market's size for a reader."""
    requests = providers * PODS * REQUESTS * hours
    return f"{providers:,} providers, {providers * PODS:,} pods, {hours:g} h, {requests / 1e6:.3g} M requests"


def measure(size: Size) -> Iterator[Entry]:
    """Wall time and memory of the market, and how they grow with it; one thread beside two."""
    quick, largest = size is Size.QUICK, size is Size.LARGEST
    hours = 1.0 if quick else 24.0
    sizes = [10, 30] if quick else [100, 300, *([1_000, 3_000] if largest else [])]
    spent = {providers: run(scenario(providers, hours)) for providers in sizes}
    for providers, one in spent.items():
        bar = f"; the bar is {BAR_S} s and {BAR_MIB:,} MiB" if providers == 1_000 else ""
        note = f"{one.peak_mib:,.0f} MiB at most, {one.processor_s:.1f} s of processor time, threads: {THREADS}{bar}"
        yield Entry(
            f"market-{providers}",
            f"the market: {sized(providers, hours)}",
            rounded(one.wall_s),
            "s",
            note=note,
        )
    walls = tuple((float(n), rounded(one.wall_s)) for n, one in spent.items())
    peaks = tuple((float(n), rounded(one.peak_mib)) for n, one in spent.items())
    if not largest and not quick:
        for providers in (1_000, 3_000):
            name = f"the market: {sized(providers, hours)}"
            yield Entry(f"market-{providers}", name, None, "s", left_out="asked for by --largest")
    yield growth("market-wall", "wall time of the market, by providers", walls, "s")
    yield growth("market-memory", "peak memory of the market, by providers", peaks, "MiB")
    middle = sizes[-1] if quick else 300
    single = run(scenario(middle, hours), threads=1)
    yield Entry(
        "threads",
        f"{THREADS} threads beside 1: {sized(middle, hours)}",
        rounded(spent[middle].wall_s),
        "s",
        (Peer("1 thread", rounded(single.wall_s), f"{single.processor_s:.1f} s of processor time"),),
        note=f"{spent[middle].processor_s:.1f} s of processor time",
    )


def growth(
    id: str,  # noqa: A002
    name: str,
    points: tuple[tuple[float, float], ...],
    unit: str,
    base: float = 0.0,
) -> Entry:
    """How something grows: the exponent of what is above `base`, with the points that it was fitted to."""
    above = f", of what is above {base:.3g} {unit} of next to nothing" if base else ""
    return Entry(
        id,
        name,
        rounded(exponent(points, base)),
        "exponent",
        points=points,
        note=f"points in {unit}{above}; threads: {THREADS}",
    )
