"""One run for all that explains runs: pods that run dry, leave, are deleted, are lost and go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import sim
from sim.explain.source import Source
from tests.sim.worlds import text

POD: dict[str, Any] = {
    "manifest": {
        "containers": [
            {"name": "web", "image": "shop:1", "port": 8080, "resources": {"cpu": "250m", "memory": "256Mi"}}
        ]
    },
    "scaling": {"policy": "fixed", "replicas": 1},
    "traffic": {"poisson": "0.1/s"},
    "service": {"exponential": "800ms"},
    "unlock_time": "25m",
}


def pod(name: str, first: str, **more: Any) -> dict[str, Any]:
    funding = {"funding": {"use": "once", "with": {"first": first}}}
    return {"name": name, **POD, "policies": funding, **more}


DATA: dict[str, Any] = {
    "name": "rich",
    "duration": "90m",
    "tokens": {"gas": {"price": "2500 DAI"}},
    "providers": [
        {
            "name": "box",
            "count": 2,
            "nodes": [{"cpu": 8, "memory": "16Gi"}],
            "prices": {"cpu": "0.03 DAI/core-h", "memory": "0.004 DAI/GiB-h"},
            "cost": {"idle": "0.02 DAI/h", "busy": "0.002 DAI/core-h"},
            "terms": {"runway": "10m", "min_unlock_time": "25m"},
        }
    ],
    "publishers": [
        pod("spent", "20m"),
        pod("leaver", "2h", count=2, lifetime={"constant": "30m"}),
        pod("deleter", "2h", lifetime={"constant": "30m"}, leave="delete"),
        pod("keeper", "30m")
        | {
            "policies": {
                "funding": {"use": "runway", "with": {"first": "30m", "low": "15m", "tranche": "30m"}}
            }
        },
    ],
    "faults": [{"kind": "provider_crash", "provider": "box-1", "at": "20m", "for": "5m", "nodes": True}],
}


def run(folder: Path, data: dict[str, Any], name: str = "run", **options: Any) -> Path:
    file = folder / f"{name}.yaml"
    file.write_text(text(data), encoding="utf-8")
    return sim.run(file, out=folder / name, **options).directory


@pytest.fixture(scope="session")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("rich"), DATA, replications=2)


@pytest.fixture(scope="session")
def source(rich: Path) -> Source:
    return Source(sim.load(rich))
