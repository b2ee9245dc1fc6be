"""Section `scaling`: wall time and peak memory of whole scenarios in requests, pods, providers and days.

One of the four changes, the others stay. Each point is a run in a process of its own, with all its records and the
report. A run of next to nothing is measured beside them: what it takes (imports, compiled code, the report) is taken
off before an exponent is fitted, since it does not grow.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from benchmarks.entries import Entry, Size, rounded
from benchmarks.market import growth, run, scenario

PROVIDERS, PODS, HOURS, REQUESTS = 20, 100, 4.0, 1e5
"""The middle, from which one at a time is changed."""
TIMES: Final = {
    "requests": (1, 3, 10, 30),
    "pods": (1, 3, 10),
    "providers": (1, 3, 10),
    "days": (1, 4, 16),
}
"""How many times the middle each point is; of days, how many times half a day, at a tenth of the providers and pods.

At the most a pod has 2 requests/s, which one replica serves, and a provider 50 pods, which it has room for.
"""


def sizes(of: str, times: int) -> tuple[float, list[str]]:
    """(the size, its scenario) where `of` is so many times the middle."""
    match of:
        case "requests":
            return REQUESTS * times, scenario(PROVIDERS, HOURS, pods=PODS, requests=REQUESTS * times)
        case "pods":
            return PODS * times, scenario(PROVIDERS, HOURS, pods=PODS * times, requests=REQUESTS)
        case "providers":
            return PROVIDERS * times, scenario(PROVIDERS * times, HOURS, pods=PODS, requests=REQUESTS)
        case "days":
            small = scenario(PROVIDERS // 10, 12.0 * times, pods=PODS // 10, requests=REQUESTS / 2 * times)
            return times / 2, small
        case _:
            raise ValueError(f"{of!r}: allowed are {', '.join(TIMES)}")


def measure(size: Size) -> Iterator[Entry]:
    """Exponents of the four, with their points."""
    nothing = run(scenario(1, 0.02, pods=1, requests=10))
    middle = run(scenario(PROVIDERS, HOURS, pods=PODS, requests=REQUESTS))
    for of, every in TIMES.items():
        points = []
        for times in every[:2] if size is Size.QUICK else every:
            amount, overrides = sizes(of, times)
            points.append((amount, middle if times == 1 and of != "days" else run(overrides)))
        walls = tuple((x, rounded(one.wall_s)) for x, one in points)
        peaks = tuple((x, rounded(one.peak_mib)) for x, one in points)
        yield growth(f"{of}-wall", f"wall time, by {of}", walls, "s", base(nothing.wall_s, walls))
        yield growth(f"{of}-memory", f"peak memory, by {of}", peaks, "MiB", base(nothing.peak_mib, peaks))


def base(nothing: float, points: tuple[tuple[float, float], ...]) -> float:
    """What next to nothing takes; on a machine that is not quiet a point may have taken less: then nothing is taken off."""
    return nothing if all(figure > nothing for _, figure in points) else 0.0
