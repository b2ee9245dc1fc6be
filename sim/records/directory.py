"""A run's directory: where it lives, what lies beside its tables, and where what is in it came from."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from protocol.errors import BadInput

RUNS: Final = Path("runs")
LATEST: Final = "latest"
SCENARIO: Final = "scenario.yaml"
PROVENANCE: Final = "provenance.json"
SUMMARY: Final = "summary.json"
REPORT: Final = "report.html"
TABLES: Final = "tables"

PACKAGES: Final = (
    "trusted-pods",
    "numpy",
    "numba",
    "llvmlite",
    "simpy",
    "pydantic",
    "protobuf",
    "cryptography",
    "coincurve",
    "pycryptodome",
    "pyarrow",
    "pandas",
    "matplotlib",
)
"""What can change a run's bytes or its report. The tables' bytes also carry the version of pyarrow."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What a run says about itself when it is over.

    Args:
        scenario: the scenario's name.
        seed: the seed it ran with.
        replications: how many were asked for.
        started: when it began, in UTC.
        wall_s: wall time of the simulation [s].
        start_ns, end_ns: the virtual time it was to cover (Unix ns).
        reached_ns: how far each replication came, in order (Unix ns).
        interrupted: someone stopped it; the tables hold what was reached.
        token, gas_token: symbols of the payment and the gas token.
        decimals, gas_decimals: base units in one of them, as a power of ten.
        numeraire: symbol of the money that values are in.
        not_modelled: what this simulator leaves out, a sentence each.
        antithetic: whether replications are pairs.
        warm_up: what is left out of steady-state figures, as `sim.warm_up.WarmUp` writes it.
        precision: how near a half-width that was asked for came, as `sim.estimates.Precision` writes it; None: none was asked.
        notes: anything else worth keeping, such as hashes of policies.
    """

    scenario: str
    seed: int
    replications: int
    started: datetime
    wall_s: float
    start_ns: int
    end_ns: int
    reached_ns: tuple[int, ...]
    interrupted: bool = False
    token: str = "tokens"
    decimals: int = 18
    gas_token: str = "ETH"
    gas_decimals: int = 18
    numeraire: str = "USD"
    not_modelled: tuple[str, ...] = ()
    antithetic: bool = False
    warm_up: dict[str, Any] | None = None
    precision: dict[str, Any] | None = None
    notes: dict[str, Any] = field(default_factory=dict)


def make_directory(
    name: str, scenario: str, *, started: datetime, out: Path | None = None, root: Path = RUNS
) -> Path:
    """Make the directory of a run and put its scenario into it.

    Args:
        name: the scenario's name; a folder of `root`.
        scenario: the scenario as YAML, resolved and complete.
        started: when the run began, in UTC; with a short hash of the scenario it names the directory.
        out: the directory itself, instead of one under `root`.
        root: where runs live.

    Raises:
        BadInput: `out` is there and not empty, or cannot be made.
    """
    if out is not None:
        check_free(out)
        directory = out
    else:
        digest = hashlib.sha256(scenario.encode()).hexdigest()[:8]
        stem = f"{started:%Y%m%dT%H%M%SZ}-{digest}"
        directory, again = root / name / stem, 1
        while directory.exists():
            again += 1
            directory = root / name / f"{stem}-{again}"
    try:
        directory.mkdir(parents=True, exist_ok=out is not None)
    except OSError as wrong:
        raise BadInput(f"{directory}: the run's directory cannot be made: {wrong.strerror}") from wrong
    (directory / SCENARIO).write_text(scenario, encoding="utf-8")
    return directory


def check_free(out: Path) -> None:
    """Refuse a directory that holds something.

    Raises:
        BadInput: `out` is there and not empty.
    """
    if out.is_dir() and any(out.iterdir()):
        raise BadInput(f"--out {out}: is not empty; name a new directory, or empty this one")


def link_latest(directory: Path, *, root: Path = RUNS) -> None:
    """Point `root`/latest to a run under `root`; a run elsewhere (`--out`) leaves it as it is."""
    here, there = root.resolve(), directory.resolve()
    if not there.is_relative_to(here) or there == here:
        return
    new = here / f".{LATEST}-{os.getpid()}"
    new.symlink_to(there.relative_to(here), target_is_directory=True)
    new.replace(here / LATEST)


def write_provenance(directory: Path, ending: Ending) -> dict[str, Any]:
    """Write `provenance.json`: what ran, on what, how far it came, and the tables' hashes. Returns it."""
    provenance = {
        **asdict(ending),
        "started": f"{ending.started:%Y-%m-%dT%H:%M:%SZ}",
        "reached_ns": list(ending.reached_ns),
        "not_modelled": list(ending.not_modelled),
        "complete_share": _complete_share(ending),
        **versions(),
        "machine": machine(),
        "tables": table_hashes(directory),
    }
    write_json(directory / PROVENANCE, provenance)
    return provenance


def table_hashes(directory: Path) -> dict[str, str]:
    """SHA-256 of each table: over the names and bytes of its parts, in their order."""
    hashes = {}
    tables = directory / TABLES
    for folder in sorted(path for path in tables.glob("*") if path.is_dir()):
        digest = hashlib.sha256()
        for part in sorted(folder.glob("*.parquet")):
            digest.update(part.name.encode() + b"\0" + hashlib.sha256(part.read_bytes()).digest())
        hashes[folder.name] = digest.hexdigest()
    return hashes


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON for people and programs alike: indented, keys as they come, complete or not at all."""
    unfinished = path.with_suffix(".partial")
    unfinished.write_text(
        json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )
    unfinished.replace(path)


def versions() -> dict[str, Any]:
    """What runs here: `python`, `packages` and their versions, `source` (its commit, and whether it was changed)."""
    return {"python": sys.version.split()[0], "packages": _packages(), "source": _source()}


def machine() -> dict[str, Any]:
    """What it runs on."""
    return {
        "system": platform.system(),
        "release": platform.release(),
        "kind": platform.machine(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
    }


def _complete_share(ending: Ending) -> float:
    asked_ns = (ending.end_ns - ending.start_ns) * ending.replications
    return sum(reached - ending.start_ns for reached in ending.reached_ns) / asked_ns if asked_ns else 1.0


def _packages() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _source() -> dict[str, Any]:
    """The commit of the source this runs from; nothing where it is installed without its history."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return {"commit": None, "changed": None}
    return {
        "commit": _git(here, "rev-parse", "--verify", "--quiet", "HEAD") or None,
        "changed": bool(_git(here, "status", "--porcelain", "--untracked-files=no")),
    }


def _git(where: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(where), *arguments], capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):  # no git here: the commit stays unknown, and says so
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor())
