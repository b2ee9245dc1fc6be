"""A month of a small market: what a run holds in memory does not grow with its length.

But for what parties have to keep: a provider's store holds each statement that it signed, about 1 KB a claim. So
claims are made once a day here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GROWTH_BYTES = 300_000
"""Of Python and NumPy, from day 10 to day 29: a byte for each of 394,000 requests would be seen, or 55 for each tick."""
ARROW_BYTES = 8_000_000
"""Of Arrow: what it knows of the row groups of parts that are open, one an hour and table, until a part is full."""
AIR_BYTES = 40_000_000
"""Of the process: what allocators keep for themselves; it goes up and down by half of this within days."""

PROGRAM = """
import gc, json, sys, tracemalloc
from pathlib import Path
import pyarrow
from sim.tasks import call_at
from tests.sim.worlds import START, S, play, provider, publisher, world

DAYS = int(sys.argv[2])
held, arrow, resident = {}, {}, {}

def look(day):
    gc.collect()
    held[day] = tracemalloc.get_traced_memory()[0]
    arrow[day] = pyarrow.total_allocated_bytes()
    resident[day] = int(Path("/proc/self/statm").read_text().split()[1]) * 4096

def before(simulation):
    for day in range(1, DAYS):
        call_at(simulation.world.env, START + day * 86_400 * S, lambda day=day: look(day))

funding = {"use": "runway", "with": {"first": "2d", "low": "1d", "tranche": "2d"}}
data = world(
    duration=f"{DAYS}d",
    providers=[provider(count=2, terms={"tick": "10m", "exposure": "4d"},
                        policies={"claim": {"use": "interval", "with": {"every": "1d"}}})],
    publishers=[publisher(count=3, traffic={"poisson": "0.08/s"}, policies={"funding": funding})],
    output={"requests": "1/10", "sampling": "10m", "events": False},
)
tracemalloc.start()
run = play(data, Path(sys.argv[1]), before=before)
print(json.dumps({"held": held, "arrow": arrow, "resident": resident, "violations": list(run.outcome.violations),
                  "arrivals": sum(row["arrivals"] for row in run.rows("publishers")),
                  "claims": len(run.rows("claims"))}))
"""


def month(folder: Path, days: int) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, folder, str(days)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, object] = json.loads(done.stdout)
    return told


@pytest.mark.wide
def test_memory_is_flat_over_a_month(tmp_path: Path) -> None:
    told = month(tmp_path, 30)
    assert told["violations"] == []
    assert isinstance(told["arrivals"], int) and abs(told["arrivals"] - 622_080) < 5_000
    for name, limit in (("held", GROWTH_BYTES), ("arrow", ARROW_BYTES), ("resident", AIR_BYTES)):
        sizes = told[name]
        assert isinstance(sizes, dict)
        assert sizes["29"] - sizes["10"] < limit, (name, sizes)
