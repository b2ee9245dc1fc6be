"""What a second worker is worth to a sweep: the same points and replications on one process and on two.

By itself (python -m benchmarks.sweep [--points 64] [--replications 10] [--duration 8h]): prints seconds and their ratio,
starting the processes included, and refuses tables whose bytes differ. Each time everything is evaluated anew.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Final

import sim
from cli.template import write_scenario
from sim.experiments.evaluate import evaluate

WORKERS: Final = (1, 2)
RANGES: Final = (
    "{publishers.0.scaling.idle: [10s, 10m, log], publishers.0.policies.funding.with.low: [10m, 30m]}"
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sweep", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--points", type=int, default=64)
    parser.add_argument("--replications", type=int, default=10)
    parser.add_argument("--duration", default="8h", help="virtual time of each evaluation")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        path = write_scenario(Path("measured"))
        overrides = [
            f"duration={asked.duration}",
            f"sweep={{lhs: {{points: {asked.points}, over: {RANGES}}}}}",
        ]
        evaluate(path, ["sweep=null"], cache=None)  # compiled, and in the disk's cache
        seconds, hashes, failed = dict[int, float](), [], False
        for workers in WORKERS:
            begun = time.perf_counter()
            results = sim.sweep(
                path, overrides, workers=workers, replications=asked.replications, cache=f"cache-{workers}"
            )
            seconds[workers] = time.perf_counter() - begun
            hashes.append(results.provenance["tables"])
            failed |= bool(results.failures)
            print(
                f"{asked.points} points x {asked.replications} on {workers}: {seconds[workers]:.1f} s",
                flush=True,
            )
        os.chdir("/")
    if hashes[0] != hashes[1] or failed:
        raise SystemExit("the tables differ, or something failed: nothing is compared")
    print(f"two workers at {seconds[1] / seconds[2]:.2f} times one; the same bytes")


if __name__ == "__main__":
    main()
