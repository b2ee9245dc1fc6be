"""What is written down as it happens, in compiled code: transition rows, sampled requests, latency sketches.

A pod has two sketches, taken from pools with its first request, so that pods without any take none. That of
its served requests, which every request touches, is one array. That of the cold ones among them, which few
pods need much of, is kept in pages of an octave: a pod's cold starts lie within a few octaves.
"""

from __future__ import annotations

import numpy as np

from sim.kernel.state import (
    ATTEMPT_SHIFT,
    BUCKET_SHIFT,
    BUCKETS,
    FIRST_BUCKET,
    NUMBER,
    OCTAVES,
    PAGE,
    cold_of,
    inline,
    inner,
    page_of,
    replicas_of,
    rows_of,
    samples_of,
    sketch_of,
)


@inline
def write_row(m, p, t, kind, a, b):  # type: ignore[no-untyped-def]
    """Records a transition; the caller made sure of room."""
    row = rows_of(m)[m.rows_used]
    m.rows_used += 1
    row.t_ns = t
    row.pod_index = p.pod_index
    row.kind = kind
    row.a = a
    row.b = b


@inline
def sample(m, p, index, arrival, start, end, outcome, cold, rep):  # type: ignore[no-untyped-def]
    """Records a request that has ended, when it is one of the sampled; `rep` served it (-1: none did)."""
    if p.sample_every > 0 and (index & NUMBER) % p.sample_every == 0:
        _sample(m, p, index, arrival, start, end, outcome, cold, rep)


@inner
def _sample(m, p, index, arrival, start, end, outcome, cold, rep):  # type: ignore[no-untyped-def]
    s = samples_of(m)[m.samples_used]
    m.samples_used += 1
    s.pod_index = p.pod_index
    s.index = index & NUMBER
    s.attempt = index >> ATTEMPT_SHIFT
    s.arrival_ns = arrival
    s.start_ns = start
    s.end_ns = end
    s.outcome = outcome
    s.cold = cold
    s.replica = -1
    s.scheduling_ns = -1
    s.pull_ns = -1
    s.decryption_ns = -1
    s.application_ns = -1
    if rep >= 0:
        r = replicas_of(m)[rep]
        s.replica = r.ordinal
        if cold != 0:
            s.scheduling_ns = r.scheduling_ns
            s.pull_ns = r.pull_ns
            s.decryption_ns = r.decryption_ns
            s.application_ns = r.application_ns


@inline
def bucket_of(span_ns):  # type: ignore[no-untyped-def]
    """The bucket in which a time span counts."""
    bucket = (np.float64(span_ns).view(np.int64) >> BUCKET_SHIFT) - FIRST_BUCKET
    return max(0, min(bucket, BUCKETS - 1))


@inner
def take_sketch(m, p):  # type: ignore[no-untyped-def]
    """Gives a pod its sketch; the caller made sure that there is one."""
    p.sketch = m.sketch_free
    counts = sketch_of(m, p.sketch)
    m.sketch_free = counts[0]  # the first count of a free sketch is the next free one
    counts[0] = 0


@inline
def count_served(m, p, span_ns):  # type: ignore[no-untyped-def]
    """Adds a time span to a pod's sketch; the caller made sure of room for one."""
    if p.sketch < 0:
        take_sketch(m, p)
    sketch_of(m, p.sketch)[bucket_of(span_ns)] += 1


@inner
def drop_sketch(m, p):  # type: ignore[no-untyped-def]
    """A pod's sketch is free again."""
    if p.sketch >= 0:
        counts = sketch_of(m, p.sketch)
        for bucket in range(BUCKETS):
            counts[bucket] = 0
        counts[0] = m.sketch_free
        m.sketch_free = p.sketch
        p.sketch = -1


@inner
def count_cold(m, i, span_ns):  # type: ignore[no-untyped-def]
    """Adds a time span to pod i's sketch of cold requests; the caller made sure of room for a page."""
    bucket = bucket_of(span_ns)
    octaves = cold_of(m, i)
    octave = bucket // PAGE
    page = int(octaves[octave])
    if page < 0:
        page = m.page_free
        m.page_free = page_of(m, page)[0]  # the first count of a free page is the next free page
        page_of(m, page)[0] = 0
        octaves[octave] = page
    page_of(m, page)[bucket - octave * PAGE] += 1


@inner
def drop_cold(m, i):  # type: ignore[no-untyped-def]
    """Empties pod i's sketch of cold requests: its pages are free again."""
    octaves = cold_of(m, i)
    for octave in range(OCTAVES):
        page = int(octaves[octave])
        if page >= 0:
            octaves[octave] = -1
            counts = page_of(m, page)
            for bucket in range(PAGE):
                counts[bucket] = 0
            counts[0] = m.page_free
            m.page_free = page
