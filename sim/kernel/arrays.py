"""The arrays that compiled code works on: what there is, how they are enlarged, and where they lie.

`state` says what a record of each holds; here is the memory itself. Compiled code gets one record, `META`,
with addresses and sizes, and stops before an event for which room is lacking: whoever runs it then calls
`make_room`. Numbers whose length differs from pod to pod (rates, instants, points of laws) lie one after the
other in two tables, `ints` and `floats`. What things mean is written in `encoding` and read in `readings`.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from protocol import scaling
from protocol.units import NEVER_NS
from sim.kernel import state

Array = npt.NDArray[Any]
Row = Any  # an element of a structured array; numpy has no static type for it

FEW_PODS: Final = 32
"""Up to so many pods draw in long blocks, more in short ones: the buffers should stay in the processor's cache."""
LONG_BLOCK: Final = 256
SHORT_BLOCK: Final = 32
OF_A_POD: Final = ("pods", "places", "states", "params", "fails", "cold", "gaps", "demands")
"""The arrays that have one element for each pod."""
FREE: Final = {
    "requests": "request_free",
    "replicas": "replica_free",
    "pulls": "pull_free",
    "cached": "cached_free",
    "pages": "page_free",
    "sketches": "sketch_free",
}
"""The pools, and what of `META` is the first of each one's free elements; -1: there is none."""


class Arrays:
    """One plane's arrays, by name.

    Attributes:
        meta: the `META` record, in an array of one.
        node_count: how many nodes there are; `nodes` has at least one element.

    Args:
        node_count: from 0.
        draw_block: draws made at a time, from 1; None: by the number of pods.
    """

    def __init__(self, node_count: int, *, draw_block: int | None) -> None:
        self.meta: Array = np.zeros(1, state.META)
        self.node_count = node_count
        self._fixed_block = draw_block
        self._free_pods: list[int] = []
        self._filled = {"ints": 0, "floats": 0, "laws": 0}
        self._aside: dict[str, list[Array]] = {"rows": [], "samples": []}
        self._used = {name: self.meta[f"{name}_used"] for name in self._aside}
        self._of: dict[str, Array] = {
            "pods": np.zeros(0, state.POD),
            "places": np.zeros(0, np.int64),
            "replicas": np.zeros(64, state.REPLICA),
            "requests": np.zeros(1024, state.REQUEST),
            "lines": np.zeros(1024, state.LINE),
            "nodes": np.zeros(max(node_count, 1), state.NODE),
            "pulls": np.zeros(16, state.PULL),
            "cached": np.zeros(16, state.CACHED),
            "heap": np.zeros(node_count, state.HEAP),  # a node may crash before any pod is here
            "laws": np.zeros(0, state.LAW),
            "rows": np.zeros(1024, state.TRANSITION),
            "samples": np.zeros(1024, state.SAMPLE),
            "states": np.zeros((0, scaling.STATE_LENGTH), np.int64),
            "params": np.zeros((0, scaling.PARAMS_LENGTH), np.int64),
            "gaps": np.zeros((0, 1), np.float64),
            "demands": np.zeros((0, 1), np.int64),
            "fails": np.zeros((0, state.OUTCOME_COUNT), np.int64),
            "sketches": np.zeros((4, state.BUCKETS), np.int64),
            "cold": np.zeros((0, state.OCTAVES), np.int32),
            "pages": np.zeros((16, state.PAGE), np.int64),
            "ints": np.zeros(0, np.int64),
            "floats": np.zeros(0, np.float64),
        }
        nodes = self._of["nodes"]
        for name in ("heap_pos", "cache_head", "pull_head", "replica_head"):
            nodes[name] = -1
        nodes["level"] = np.inf
        nodes["next_ns"] = NEVER_NS
        meta = self.meta[0]
        for name in FREE:
            self._chain(name, 0, -1)
        meta["pend_head"] = meta["pend_tail"] = -1
        meta["replica_free_n"] = len(self._of["replicas"])
        meta["block"] = 1
        self._bind()

    def __getitem__(self, name: str) -> Array:
        """The array as it is now; the next call that makes room may put another in its place."""
        return self._of[name]

    # ---- pods, laws, tables ----

    def take_pod(self) -> int | None:
        """The least handle that is not in use, and now is; None: there is none, so `more_pods`."""
        return heapq.heappop(self._free_pods) if self._free_pods else None

    def give_pod(self, handle: int) -> None:
        """A handle is not in use any more."""
        self._of["pods"][handle]["used"] = 0
        heapq.heappush(self._free_pods, handle)

    def more_pods(self) -> bool:
        """Doubles the room for pods.

        Returns:
            Whether blocks of draws have another length from here on: every pod must draw its anew.
        """
        old = len(self._of["pods"])
        size = max(4, 2 * old)
        self._free_pods.extend(range(old, size))  # in order, which is a heap
        for name in OF_A_POD:
            self._enlarge(name, size)
        self._enlarge("heap", size + self.node_count)
        block = self._fixed_block or (LONG_BLOCK if size <= FEW_PODS else SHORT_BLOCK)
        changed = bool(block != self.meta[0]["block"])
        if changed:
            self._of["gaps"] = np.zeros((size, block), np.float64)
            self._of["demands"] = np.zeros((size, block), np.int64)
            self.meta[0]["block"] = block
            self._bind("gaps", "demands")
        return changed

    def append(self, name: str, numbers: Sequence[float] | Array) -> int:
        """Adds to `ints`, `floats` or `laws`; returns where the new ones begin."""
        first = self._filled[name]
        end = first + len(numbers)
        if end > len(self._of[name]):
            self._enlarge(name, max(end, 2 * len(self._of[name])))
        self._of[name][first:end] = numbers
        self._filled[name] = end
        return first

    # ---- room ----

    def make_room(self) -> None:
        """Whatever may be lacking gets room."""
        meta = self.meta[0]
        for name in ("requests", "pulls", "cached", "pages", "sketches"):
            if meta[FREE[name]] < 0:
                self._enlarge_pool(name, 2 * len(self._of[name]))
        self._enlarge("lines", len(self._of["requests"]))
        lacking = int(meta["wanted"]) - int(meta["replica_free_n"])
        if lacking > 0:
            old = len(self._of["replicas"])
            size = max(2 * old, old + lacking)
            self._enlarge_pool("replicas", size)
            meta["replica_free_n"] += size - old
        self._set_aside("rows")
        if len(self._of["rows"]) < len(self._of["replicas"]) + 2 * state.ROW_MARGIN:
            self._enlarge("rows", 2 * (len(self._of["replicas"]) + 2 * state.ROW_MARGIN))
        if meta["samples_used"] == len(self._of["samples"]):
            self._set_aside("samples")

    def take_request(self) -> int:
        """A record of the pool of requests, for one that stands still."""
        if self.meta[0][FREE["requests"]] < 0:
            self.make_room()
        taken = int(self.meta[0][FREE["requests"]])
        self.meta[0][FREE["requests"]] = self._of["requests"][taken]["next"]
        return taken

    def free_request(self, taken: int) -> None:
        """Gives it back."""
        self._of["requests"][taken]["next"] = self.meta[0][FREE["requests"]]
        self.meta[0][FREE["requests"]] = taken

    def make_control_room(self) -> None:
        """Room for a control event, which may end every replica and every request."""
        self.make_room()
        self._set_aside("samples")
        if len(self._of["samples"]) < len(self._of["requests"]):
            self._enlarge("samples", len(self._of["requests"]))

    def has(self, name: str) -> bool:
        """Whether `take` would give anything."""
        return bool(self._aside[name]) or bool(self._used[name][0])

    def take(self, name: str) -> Array:
        """All of `rows` or `samples` since the last call, in the order in which they were written."""
        self._set_aside(name)
        chunks, self._aside[name] = self._aside[name], []
        if len(chunks) == 1:
            return chunks[0]
        return np.concatenate(chunks) if chunks else self._of[name][:0]

    def _set_aside(self, name: str) -> None:
        """Empties `rows` or `samples`; `take` will give what was there."""
        used = int(self.meta[0][f"{name}_used"])
        if used:
            self._aside[name].append(self._of[name][:used].copy())
            self.meta[0][f"{name}_used"] = 0

    # ---- inside ----

    def _enlarge(self, name: str, size: int) -> None:
        old = self._of[name]
        if len(old) == size:
            return
        new: Array = np.zeros((size, *old.shape[1:]), old.dtype)
        new[: len(old)] = old
        self._of[name] = new
        self._bind(name)

    def _enlarge_pool(self, name: str, size: int) -> None:
        """Enlarges a pool and puts the new elements before its free ones."""
        old = len(self._of[name])
        self._enlarge(name, size)
        self._chain(name, old, self.meta[0][FREE[name]])

    def _chain(self, name: str, first: int, end: int) -> None:
        """Links a pool's elements from `first` on, then `end`, as its free ones.

        The link is a record's `next`, or the first number of a page.
        """
        pool = self._of[name]
        links = pool["next"] if pool.dtype.names else pool[:, 0]
        links[first:] = np.arange(first + 1, len(pool) + 1)
        links[-1] = end
        self.meta[0][FREE[name]] = first

    def _bind(self, *names: str) -> None:
        """Tells the kernel where these arrays are, or all."""
        meta = self.meta[0]
        for name in names or self._of:
            meta[f"{name}_at"] = self._of[name].ctypes.data
            if name in state.COUNTED:
                meta[f"{name}_n"] = len(self._of[name])
        meta["nodes_n"] = self.node_count
