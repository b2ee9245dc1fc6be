"""What a market of many providers costs: the whole simulation, with everything that a default run writes.

`market.yaml` for a number of providers (ten pods each), each size in a process of its own, so that its peak of
memory is its own; the exponent says how wall time grows between the smallest and the largest.

Run: python -m benchmarks.market [--providers 100,300,1000,3000] [--hours 24] [--threads N]
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

SCENARIO: Final = Path(__file__).with_suffix(".yaml")
PODS_A_PROVIDER: Final = 10

PROGRAM: Final = """
import json, resource, sys, time
import sim
file, out, overrides, threads = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), json.loads(sys.argv[4])
began = time.perf_counter()
results = sim.run(file, overrides, out=out, threads=threads)
spent = time.perf_counter() - began
peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
requests = results.summary["metrics"]["requests_arrived"]["mean"]
print(json.dumps({"wall_s": spent, "cpu_s": time.process_time(), "peak_mib": peak_kib / 1024, "requests": requests}))
"""


def measured(providers: int, hours: float, threads: int | None) -> dict[str, Any]:
    """Wall and processor time [s], peak memory [MiB] and requests of one run."""
    overrides = [
        f"providers.0.count={providers}",
        f"publishers.0.count={PODS_A_PROVIDER * providers}",
        f"publishers.0.arrive={{exponential: {3600 / (PODS_A_PROVIDER * providers)}s}}",
        f"duration={hours:g}h",
    ]
    with tempfile.TemporaryDirectory() as folder:
        arguments = [str(SCENARIO), f"{folder}/run", json.dumps(overrides), json.dumps(threads)]
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *arguments],
            cwd=SCENARIO.parents[1],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--providers", default="100,300,1000", help="numbers of providers, ascending")
    parser.add_argument("--hours", type=float, default=1.0, help="virtual hours; the target is a day")
    parser.add_argument("--threads", type=int, help="for the data plane; all processors if it is left out")
    options = parser.parse_args()
    measured(1, 0.1, options.threads)  # compiles, or fills the caches of the disk
    sizes = [int(size) for size in options.providers.split(",")]
    rows = []
    for size in sizes:
        row = measured(size, options.hours, options.threads)
        rows.append(row)
        print(
            f"{size:>6} providers, {size * PODS_A_PROVIDER:>6} pods, {options.hours:g} h: {row['wall_s']:.1f} s wall, "
            f"{row['cpu_s']:.1f} s of processors, {row['peak_mib']:.0f} MiB, {row['requests']:,.0f} requests",
            flush=True,
        )
    if len(rows) > 1:
        exponent = math.log(rows[-1]["wall_s"] / rows[0]["wall_s"]) / math.log(sizes[-1] / sizes[0])
        print(f"wall time grows as providers^{exponent:.2f}")


if __name__ == "__main__":
    main()
