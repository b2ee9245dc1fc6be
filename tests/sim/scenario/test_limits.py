"""Estimates of what a run would have to do, against counts made by hand."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from sim.scenario import ScenarioErrors, limits, loads
from sim.scenario.limits import REQUESTS_MAX

WRONG = Path(__file__).parent / "wrong"
RIGHT = (WRONG / "right.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("traffic", "requests"),
    [
        ("{poisson: 0.9/s}", 3 * 3240),
        ("{poisson: {steps: [{at: 10m, rate: 1/s}, {at: 30m, rate: 2/s}, {at: 2h, rate: 9/s}]}}", 3 * (1200 + 3600)),
        ("{poisson: {diurnal: {mean: 2/s, peak: 1.5}}}", 3 * 7200),
        ("{mmpp: {states: [{rate: 4/s, stay: 1m}, {rate: 0/s, stay: 3m}]}}", 3 * 3600),
        ("{trace: {files: files/trace, rows: '0:3'}}", None),
        ("{renewal: {exponential: 8s}}", 3 * 450),
        ("{renewal: {pareto: {scale: 2s, shape: 1.0}}}", 3 * 900),
        ("{none: true}", 0),
    ],
)  # fmt: skip
def test_expected_requests(traffic: str, requests: int | None) -> None:
    scenario = loads(RIGHT.replace("{poisson: 0.9/s}", traffic), base=WRONG)
    if requests is None:
        rows = (WRONG / "files/trace/invocations.csv").read_text(encoding="utf-8").split("\n")[1:4]
        requests = sum(int(cell) for row in rows for cell in row.split(",")[4:])
    assert limits.expected_requests(scenario.publishers[0], scenario) == requests


def test_replications_count() -> None:
    per_run = Fraction(REQUESTS_MAX, 2)
    rate = per_run / 3600 / 3
    text = RIGHT.replace("0.9/s", f"{int(rate)}/s")
    assert not list(limits.requests_can_be_run(loads(text + "replications: 2\n", base=WRONG)))
    with pytest.raises(ScenarioErrors, match="at most 1e\\+12 can be run"):
        loads(text + "replications: 3\n", base=WRONG)
