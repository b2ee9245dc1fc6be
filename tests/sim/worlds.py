"""Small worlds for the tests of whole runs: a few providers, a few pods, an hour or so of virtual time."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import yaml
from hypothesis import strategies as st

from protocol.units import NS_PER_S
from sim.records.directory import table_hashes
from sim.records.reader import RunTables
from sim.records.writer import RunWriter
from sim.scenario import Scenario, loads
from sim.simulation import Outcome, Simulation

S: Final = NS_PER_S
DAI: Final = 10**18
START: Final = 1_563_177_600 * S
"""2019-07-15T08:00:00Z, where scenarios start that do not say when."""

Row = dict[str, Any]
Data = dict[str, Any]

PROVIDER: Final[Data] = {
    "name": "host",
    "region": "bul-east-1",
    "nodes": [{"count": 2, "cpu": 4, "memory": "8Gi"}],
    "prices": {"cpu": "0.01 DAI/core-h", "memory": "0.001 DAI/GiB-h"},
    "cold_start": {"schedule": "100ms", "application": "1s"},
}
PUBLISHER: Final[Data] = {
    "name": "pod",
    "region": "bul-east-1",
    "manifest": {
        "containers": [{"image": "web:1", "port": 80, "resources": {"cpu": "250m", "memory": "128Mi"}}]
    },
    "scaling": {"policy": "keda", "target_pending_requests": 2, "max_replicas": 4, "idle": "60s"},
    "slots": 2,
    "traffic": {"poisson": "0.05/s"},
    "service": {"exponential": "2s"},
    "policies": {"funding": {"use": "runway", "with": {"first": "1h", "low": "30m", "tranche": "1h"}}},
}
WORLD: Final[Data] = {
    "name": "small",
    "duration": "1h",
    "providers": [PROVIDER],
    "publishers": [PUBLISHER],
    "output": {"requests": 1},
}


def merged(base: Data, changes: Data) -> Data:
    """A copy of `base` with `changes` put in, mapping by mapping; a list takes the other's place."""
    result = copy.deepcopy(base)
    for name, value in changes.items():
        if isinstance(value, dict) and isinstance(result.get(name), dict):
            result[name] = merged(result[name], value)
        else:
            result[name] = copy.deepcopy(value)
    return result


def provider(**changes: Any) -> Data:
    """A group of providers."""
    return merged(PROVIDER, changes)


def publisher(**changes: Any) -> Data:
    """A group of publishers. What names its own kind (a scaling policy, traffic) replaces the default's whole."""
    whole: Data = {name: changes.pop(name) for name in ("scaling", "traffic", "service") if name in changes}
    policies = {**PUBLISHER["policies"], **changes.pop("policies", {})}
    return {**merged(PUBLISHER, changes), **copy.deepcopy(whole), "policies": copy.deepcopy(policies)}


def world(**changes: Any) -> Data:
    """A scenario's data."""
    return merged(WORLD, changes)


def scenario(data: Data) -> Scenario:
    """The scenario of such data, checked as a file would be."""
    return loads(text(data))


def text(data: Data) -> str:
    """The same as a file would hold it."""
    written: str = yaml.safe_dump(data, sort_keys=False)
    return written


@dataclass(frozen=True)
class Played:
    """A run that is over.

    Attributes:
        directory: where its tables are.
        outcome: how it ended.
        simulation: the world as it was left.
    """

    directory: Path
    outcome: Outcome
    simulation: Simulation

    def rows(self, table: str, **where: Any) -> list[Row]:
        """The rows of a table whose columns hold these values; money as whole numbers."""
        found: list[Row] = [
            {name: int(value) if isinstance(value, Decimal) else value for name, value in row.items()}
            for row in RunTables(self.directory).arrow(table).to_pylist()
        ]
        return [row for row in found if all(row[name] == value for name, value in where.items())]

    def row(self, table: str, **where: Any) -> Row:
        """The only such row."""
        (row,) = self.rows(table, **where)
        return row

    @property
    def hashes(self) -> dict[str, str]:
        """A hash of the bytes of each table."""
        return table_hashes(self.directory)


def play(
    what: Data | Scenario,
    directory: Path,
    *,
    before: Callable[[Simulation], None] = lambda simulation: None,
    progress: Callable[[int, int], None] | None = None,
    threads: int = 1,
) -> Played:
    """Run one replication.

    Args:
        what: the scenario or its data.
        directory: where to; made when it is not there.
        before: may put more events into the world before it runs.
        progress: see `sim.simulation.Progress`.
        threads: that work on the data plane.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if isinstance(what, dict):
        what = scenario(what)
    with RunWriter(directory) as writer:
        simulation = Simulation(what, 0, writer, progress, threads=threads)
        before(simulation)
        outcome = simulation.run()
    return Played(directory, outcome, simulation)


# ---------------------------------------------------------------- random worlds

REGIONS: Final = ("bul-east-1", "fra-west-1")


def _one_of(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


@st.composite
def providers(draw: st.DrawFn, index: int) -> Data:
    """One group of providers."""
    bytes_priced = draw(st.booleans())
    return provider(
        name=f"host{index}",
        count=draw(st.integers(1, 2)),
        region=draw(_one_of(*REGIONS)),
        nodes=[{
            "count": draw(st.integers(1, 3)),
            "cpu": draw(_one_of(1, 2, 4)),
            "memory": "8Gi",
            "pull": draw(_one_of("100Mbit/s", "1Gbit/s")),
            "image_cache": draw(_one_of("100MB", "50Gi")),
        }],
        prices={
            "cpu": f"{draw(st.integers(1, 40))}e-3 DAI/core-h",
            "memory": f"{draw(st.integers(0, 20))}e-4 DAI/GiB-h",
            "storage": draw(_one_of("0 DAI/GiB-h", "0.003 DAI/GiB-h")),
            "egress": "0.02 DAI/GB" if bytes_priced else "0 DAI/GB",
            "ingress": "0.01 DAI/GB" if bytes_priced else "0 DAI/GB",
        },
        cold_start={"schedule": "200ms", "application": draw(_one_of("0s", "2s", {"exponential": "3s"}))},
        terms={
            "tick": draw(_one_of("20s", "77s", "100s")),
            "runway": draw(_one_of("1m", "10m", "1h")),
            "exposure": draw(_one_of("1m", "10m")),
            "grace": draw(_one_of("0s", "5m", "1h")),
            "wake_early": draw(st.booleans()),
        },
        policies={
            "claim": draw(_one_of("when_it_pays", {"use": "interval", "with": {"every": "5m"}})),
            "admission": draw(_one_of("standard", {"use": "standard", "with": {"max_pods": 2}})),
        },
    )  # fmt: skip


@st.composite
def publishers(draw: st.DrawFn, index: int) -> Data:
    """One group of publishers."""
    scaling = draw(
        _one_of(
            {"policy": "keda", "target_pending_requests": 2, "max_replicas": 4, "idle": "60s"},
            {"policy": "keda", "target_pending_requests": 1, "min_replicas": 1, "max_replicas": 3},
            {"policy": "kpa", "target_pending_requests": 1, "max_replicas": 5},
            {"policy": "per_request", "max_replicas": 4, "idle": "30s"},
            {"policy": "fixed", "replicas": 2},
        )
    )
    container: Data = {"image": "web:1", "port": 80, "resources": {"cpu": "250m", "memory": "128Mi"}}
    if draw(st.booleans()):
        container["volumes"] = [{"mountPath": "/data", "storage": "2Gi"}]
    if draw(st.booleans()):
        container["limits"] = {"cpu": 3}
    big = merged({"containers": [container]}, {})
    big["containers"][0]["resources"] = {"cpu": "500m", "memory": "256Mi"}
    big["containers"][0].pop("limits", None)
    actions: list[Data] = draw(
        st.lists(
            _one_of(
                {"what": "update", "manifest": big},
                {"what": "update", "manifest": {"containers": [container]}},
                {"what": "deposit", "amount": "0.004 DAI"},
                {"what": "logs"},
                {"what": "delete"},
                {"what": "unlock"},
            ),
            max_size=2,
        )
    )
    return publisher(
        name=f"pod{index}",
        count=draw(st.integers(1, 3)),
        region=draw(_one_of(*REGIONS)),
        arrive=draw(_one_of("0s", "40s", {"exponential": "2m"})),
        manifest={"containers": [container]},
        scaling=scaling,
        slots=1 if scaling["policy"] == "per_request" else draw(st.integers(1, 3)),
        dispatch=draw(_one_of("least", "central", "random", "round_robin")),
        wait_limit=draw(_one_of("5s", "40s")),
        traffic=draw(
            _one_of(
                {"poisson": "0.02/s"},
                {"poisson": "1/s"},
                {"poisson": {"steps": [{"at": "0s", "rate": "0.5/s"}, {"at": "10m", "rate": "0/s"}]}},
                {"mmpp": {"states": [{"rate": "0/s", "stay": "60s"}, {"rate": "4/s", "stay": "15s"}]}},
                {"renewal": {"pareto": {"scale": "5s", "shape": 1.5}}},
                {"none": True},
            )
        ),
        service=draw(_one_of({"exponential": "2s"}, {"constant": "0.5s"}, {"lognormal": {"mean": "1s", "cv": 1.5}})),
        client=draw(
            _one_of(
                {},
                {"timeout": "3s"},
                {"timeout": "10s", "retries": 2, "backoff": {"exponential": "500ms"}},
                {"retries": 3, "backoff": "5s", "backoff_times": 1, "region": "fra-west-1"},
            )
        ),
        request_bytes=draw(_one_of(0, "1MB")),
        response_bytes=draw(_one_of(0, "5MB")),
        image={"size": draw(_one_of("10MB", "300MB"))},
        policies={
            "selection": draw(_one_of("cheapest", "random", "round_robin", "weighted")),
            "funding": draw(
                _one_of(
                    {"use": "once", "with": {"first": "3m"}},
                    {"use": "runway", "with": {"first": "15m", "low": "10m", "tranche": "10m"}},
                )
            ),
            "on_loss": draw(_one_of("leave", {"use": "redeploy", "with": {"times": 2, "wait": "20s"}})),
        },
        lifetime=draw(_one_of("forever", "forever", {"uniform": {"low": "5m", "high": "30m"}})),
        leave=draw(_one_of("unlock", "delete")),
        actions=[{"at": f"{draw(st.integers(1, 1500))}s", **action} for action in actions],
    )  # fmt: skip


@st.composite
def worlds(draw: st.DrawFn) -> Data:
    """A scenario with a few of everything, and things that break."""
    hosts = [draw(providers(i)) for i in range(draw(st.integers(1, 2)))]
    pods = [draw(publishers(i)) for i in range(draw(st.integers(1, 3)))]
    kinds: list[Data] = [
        {"kind": "provider_crash", "provider": "host0-0"},
        {"kind": "provider_crash", "provider": "host0-0", "nodes": True},
        {"kind": "publisher_crash", "publisher": "pod0-0"},
        {"kind": "node_crash", "provider": "host0-0", "node": 0},
        {"kind": "rpc_silence"},
        {"kind": "rpc_silence", "party": "host0"},
        {"kind": "rpc_lie", "lie": draw(_one_of("stale", "absent", "inflated"))},
    ]
    if len({group["region"] for group in (*hosts, *pods)}) == 2:
        kinds.append({"kind": "partition", "regions": list(REGIONS)})
    faults = draw(st.lists(st.sampled_from(kinds), max_size=3))
    spans = st.tuples(st.integers(0, 1700), st.integers(1, 1500))

    def span() -> Data:
        at_s, for_s = draw(spans)
        return {"at": f"{at_s}s", "for": f"{for_s}s"}

    confirmations = draw(st.integers(1, 4))
    background = {"usual": "1 gwei", "cv": 0.5, "surges": [{**span(), "times": 5}]}
    reorgs = {"prob": "10%", "deeper": "50%", "dropped": "20%"}
    return world(
        seed=draw(st.integers(0, 2**32)),
        duration=draw(_one_of("30m", "45m", "100m")),
        chain={
            "block_time": draw(_one_of("1s", "2s", "12s")),
            "confirmations": confirmations,
            "endpoints": draw(_one_of(1, 2)),
            "gas_price": draw(
                _one_of(
                    "0.01 gwei",
                    "1 gwei",
                    {"eip1559": {"background": background}},
                    {"steps": [{"at": "0s", "price": "1 gwei"}, {"at": "10m", "price": "9 gwei"}]},
                )
            ),
            "ordering": draw(_one_of("fee", "arrival", "adversary")),
            "reorgs": reorgs if confirmations > 1 and draw(st.booleans()) else None,
            "outages": [span()] if draw(st.booleans()) else [],
        },
        tokens={"gas": {"symbol": "ETH", "decimals": 18, "price": draw(_one_of("1 DAI", "2500 DAI"))}},
        network={"loss": draw(_one_of("0%", "5%")), "duplicates": draw(_one_of("0%", "10%"))},
        providers=hosts,
        publishers=pods,
        faults=[{**fault, **span()} for fault in faults],
    )
