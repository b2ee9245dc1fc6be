"""On what it was measured, and beside how much other work."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from benchmarks.entries import Size

PACKAGES: Final = ("numba", "numpy", "simpy", "pyarrow", "pyrevm", "simfaas", "ciw")


def measured(size: Size) -> dict[str, Any]:
    """When and where: `at`, `machine`, `versions`, `load` (processes that wanted a core in the last minute), `size`."""
    return {
        "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": f"{_processor()}, {os.cpu_count()} cores, {_memory_gib():.0f} GiB, "
        f"{platform.system()} {platform.release()}",
        "versions": f"Python {platform.python_version()}, " + ", ".join(_versions()),
        "load": round(os.getloadavg()[0], 1),
        "size": size,
    }


def versioned(package: str) -> str | None:
    """The version that is installed; None: it is not."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _versions() -> list[str]:
    return [f"{package} {versioned(package) or 'not installed'}" for package in PACKAGES]


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())
