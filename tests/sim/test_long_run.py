"""A month of a small market: what a run holds in memory does not grow with its length."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GROWTH_BYTES = 8_000_000
"""From day 10 to day 30: 20 B for each of 400,000 requests would be seen, and a row of 100 B for each of 86,000 ticks."""

PROGRAM = """
import json, sys
from pathlib import Path
from sim.tasks import call_at
from tests.sim.worlds import START, S, play, provider, publisher, world

DAYS = int(sys.argv[2])
resident = {}

def look(day):
    resident[day] = int(Path("/proc/self/statm").read_text().split()[1]) * 4096

def before(simulation):
    for day in range(1, DAYS):
        call_at(simulation.world.env, START + day * 86_400 * S, lambda day=day: look(day))

funding = {"use": "runway", "with": {"first": "2d", "low": "1d", "tranche": "2d"}}
data = world(
    duration=f"{DAYS}d",
    providers=[provider(count=2, terms={"tick": "10m"})],
    publishers=[publisher(count=3, traffic={"poisson": "0.08/s"}, policies={"funding": funding})],
    output={"requests": "1/10", "sampling": "10m", "events": False},
)
run = play(data, Path(sys.argv[1]), before=before)
print(json.dumps({"resident": resident, "violations": list(run.outcome.violations),
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
    resident = told["resident"]
    assert isinstance(resident, dict)
    assert told["violations"] == []
    assert isinstance(told["arrivals"], int) and abs(told["arrivals"] - 622_080) < 5_000
    assert resident["29"] - resident["10"] < GROWTH_BYTES, resident
