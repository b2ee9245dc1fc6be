from __future__ import annotations

import math
from pathlib import Path

import pytest

from protocol.scaling.parameters import fixed_params, keda_params, kpa_params, per_request_params
from protocol.units import Resource
from sim import laws, traffic
from sim.kernel.specs import Scaling
from sim.scenario import PublisherMember, Scenario, convert, loads
from sim.scenario.laws import Law

WRONG = Path(__file__).parent / "wrong"
RIGHT = (WRONG / "right.yaml").read_text(encoding="utf-8")


def scenario(*changes: tuple[str, str]) -> Scenario:
    text = RIGHT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return loads(text, base=WRONG)


def member(*changes: tuple[str, str]) -> PublisherMember:
    return scenario(*changes).publisher_members()[0]


@pytest.mark.parametrize(
    ("said", "mean", "variance"),
    [
        ("2s", 2.0, 0.0),
        ({"constant": "300ms"}, 0.3, 0.0),
        ({"exponential": "2s"}, 2.0, 4.0),
        ({"lognormal": {"mean": "1.9s", "cv": 1.2}}, 1.9, (1.9 * 1.2) ** 2),
        ({"uniform": {"low": "1s", "high": "4s"}}, 2.5, 0.75),
        ({"weibull": {"scale": "2s", "shape": 1}}, 2.0, 4.0),
        ({"pareto": {"scale": "1s", "shape": 3}}, 1.5, 0.75),
    ],
)
def test_a_law_has_the_mean_and_variance_it_says(said: object, mean: float, variance: float) -> None:
    law = convert.to_law(Law.model_validate(said))
    assert law.mean == pytest.approx(mean, rel=1e-12)
    assert law.variance == pytest.approx(variance, rel=1e-12, abs=1e-15)


def test_a_measured_law_runs_through_its_values(tmp_path: Path) -> None:
    file = tmp_path / "measured.csv"
    file.write_text("seconds,node\n3,a\n1,b\n2,c\n", encoding="utf-8")
    law = convert.to_law(Law.model_validate({"empirical": str(file)}))
    assert [law.quantile(u) for u in (0.0, 0.5, 0.75)] == [1.0, 2.0, 2.5]


def test_poisson_traffic() -> None:
    one = scenario()
    assert convert.to_traffic(one.publisher_members()[0], one) == traffic.Poisson.constant(0.9)
    steps = scenario(("poisson: 0.9/s", "poisson: {steps: [{at: 0s, rate: 6/min}, {at: 10m, rate: 1/s}]}"))
    expected = traffic.Poisson(((0.0, 0.1), (600.0, 1.0)))
    assert convert.to_traffic(steps.publisher_members()[0], steps) == expected


def test_a_day_swings_round_its_mean_and_peaks_when_it_says() -> None:
    day = scenario(("poisson: 0.9/s", "poisson: {diurnal: {mean: 2/s, peak: 1.5, at: 14h}}"))
    swing = convert.to_traffic(day.publisher_members()[0], day)
    assert isinstance(swing, traffic.Poisson)
    assert swing.mean_rate_per_s == pytest.approx(2.0, rel=1e-12)
    at_s, highest = max(swing.rates_per_s, key=lambda step: step[1])
    assert highest == pytest.approx(3.0, rel=1e-3)
    # the run starts at 08:00; the highest step of five minutes touches 14:00
    assert at_s in (6 * 3600, 6 * 3600 - 300)
    lowest = min(rate for _, rate in swing.rates_per_s)
    assert lowest == pytest.approx(1.0, rel=1e-3)


def test_bursts() -> None:
    bursty = scenario(
        ("poisson: 0.9/s", "mmpp: {states: [{rate: 1/s, stay: 1m}, {rate: 60/min, stay: 30s}]}")
    )
    assert convert.to_traffic(bursty.publisher_members()[0], bursty) == traffic.Mmpp((1.0, 1.0), (60.0, 30.0))


def test_replays_are_in_order(tmp_path: Path) -> None:
    file = tmp_path / "calls.csv"
    file.write_text("seconds\n2.5\n0.000000001\n", encoding="utf-8")
    replayed = scenario(("poisson: 0.9/s", f"replay: {file}"))
    assert convert.to_traffic(replayed.publisher_members()[0], replayed) == traffic.Replay((1, 2_500_000_000))


TRACED = (
    ("{poisson: 0.9/s}", "{trace: {files: files/trace, rows: '0:3', within_minute: even, delay: 1m}}"),
    ("service: {exponential: 2s}", "service: trace\n    memory: trace"),
)


def test_each_member_has_its_row_of_the_trace() -> None:
    traced = scenario(*TRACED)
    members = traced.publisher_members()
    assert convert.to_traffic(members[2], traced) == traffic.Trace((3, 3, 3), "even", 60.0)
    services = [convert.to_service(one) for one in members]
    assert [law.mean for law in services] == pytest.approx([0.010, 0.100, 1.0])
    assert isinstance(services[0], laws.Empirical)
    assert services[0].points[0][1] / services[0].points[-1][1] == pytest.approx(1 / 30)
    memory = [dict(convert.to_pod(one).containers[0].resources)[Resource.MEMORY] for one in members]
    assert memory == [120 * 10**6, 120 * 10**6, 30 * 10**6]


def test_replicas_are_the_scenarios_then_the_manifests() -> None:
    assert convert.bounds(member().group) == (0, 100, 2)
    assert convert.bounds(member(("files/web.yaml", "files/ten.yaml")).group) == (10, 20, 2)
    said = member(("target_pending_requests: 2", "min_replicas: 3, max_replicas: 4"))
    assert convert.bounds(said.group) == (3, 4, 100)
    assert convert.to_pod(said).replicas.max == 4


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("{policy: keda, target_pending_requests: 2, tolerance: 20%, idle: 60s}", Scaling("keda", tuple(keda_params(target_m=2000, tolerance_permille=200, idle_ns=60 * 10**9)))),
        ("{policy: keda}", Scaling("keda", tuple(keda_params()))),
        ("{policy: kpa}", Scaling("kpa", tuple(kpa_params()))),
        ("{policy: kpa, panic_at: 1.5, utilisation: 50%}", Scaling("kpa", tuple(kpa_params(panic_permille=1500, utilisation_permille=500)))),
        ("{policy: per_request, max_replicas: 1000}", Scaling("per_request", tuple(per_request_params()))),
        ("{policy: fixed, replicas: 3}", Scaling("fixed", tuple(fixed_params(3)))),
    ],
)  # fmt: skip
def test_scaling_rules_get_their_parameters(said: str, expected: Scaling) -> None:
    assert convert.to_scaling(member(("{policy: keda, target_pending_requests: 2}", said)).group) == expected


def test_a_pod_nobody_can_call_runs_a_fixed_number() -> None:
    worker = member(("files/web.yaml", "files/worker.yaml"), ("{poisson: 0.9/s}", "{none: true}"))
    assert convert.to_scaling(worker.group) == Scaling("fixed", tuple(fixed_params(1)))
    assert convert.to_traffic(worker, scenario()) is None


def test_the_sine_is_exact_over_each_step() -> None:
    day = scenario(("poisson: 0.9/s", "poisson: {diurnal: {mean: 1/s, peak: 2, at: 8h}}"))
    swing = convert.to_traffic(day.publisher_members()[0], day)
    assert isinstance(swing, traffic.Poisson)
    width = 2 * math.pi / 288
    assert swing.rates_per_s[0][1] == pytest.approx(1 + math.sin(width) / width, rel=1e-12)
