"""Money that lies in channels of pods that no longer run there, over time.

When a pod is gone its channel owes no more, so that what is left of it, less what the provider may still claim, stays
the same until the channel is closed: it is known at every instant from what the channel was at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from sim.records.reader import Floats, Ints, RunTables

NEVER: Final = 2**63 - 1
Span = tuple[int, int]


def stranded(tables: RunTables, replication: int, instants_ns: Ints) -> Floats:
    """Base units stranded at each instant of one replication.

    Args:
        tables: the run's tables.
        replication: which one.
        instants_ns: ascending [Unix ns].
    """
    hosted = _hosted(tables, replication)
    names = ("pod", "provider", "opened_ns", "closed_ns", "invested", "owed")
    channels = tables.rows("channels", replication).table
    change = np.zeros(len(instants_ns) + 1)
    for pod, provider, opened, closed, invested, owed in zip(
        *(channels[name].to_pylist() for name in names), strict=True
    ):
        left = float(max(0, int(invested) - int(owed)))
        if opened is None or not left:
            continue
        for start, end in _gaps(hosted.get((pod, provider), []), opened, NEVER if closed is None else closed):
            first, beyond = np.searchsorted(instants_ns, (start, end), side="left")
            change[first] += left
            change[beyond] -= left
    return np.cumsum(change)[:-1]


def _hosted(tables: RunTables, replication: int) -> dict[tuple[str, str], list[Span]]:
    """When each pod was at each provider, or on its way there."""
    found: dict[tuple[str, str], list[Span]] = {}
    names = ("pod", "provider", "requested_ns", "ended_ns", "outcome")
    rows = tables.rows("deployments", replication).table
    for pod, provider, asked, ended, outcome in zip(*(rows[name].to_pylist() for name in names), strict=True):
        if asked is not None:
            end = NEVER if outcome == "running" else asked if ended is None else ended
            found.setdefault((pod, provider), []).append((asked, end))
    return {pair: sorted(spans) for pair, spans in found.items()}


def _gaps(spans: list[Span], start: int, end: int) -> list[Span]:
    """What of [start, end) no span covers."""
    gaps = []
    for begins, ends in spans:
        if begins > start:
            gaps.append((start, min(begins, end)))
        start = max(start, ends)
        if start >= end:
            break
    if start < end:
        gaps.append((start, end))
    return [gap for gap in gaps if gap[0] < gap[1]]
