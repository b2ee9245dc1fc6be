"""What is wrong with how a scenario is to be estimated: its warm-up, how many replications, in pairs or not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from protocol.manifest import hint
from sim.scenario import quantities as q

if TYPE_CHECKING:
    from sim.scenario.checks import Found
    from sim.scenario.model import Scenario
    from sim.scenario.problems import KeyPath


def the_warm_up_ends(scenario: Scenario) -> Iterator[Found]:
    """The warm-up is shorter than the run, and an instant of `samples` comes after it."""
    warm_up, duration_ns, every_ns = scenario.warm_up, scenario.duration_ns, scenario.output.sampling_ns
    if isinstance(warm_up, int) and warm_up and warm_up >= duration_ns:
        yield (
            ("warm_up",),
            f"{q.write_duration(warm_up)} is all of the run, which takes {q.write_duration(duration_ns)}; nothing would be left",
        )
    if warm_up == "auto" and duration_ns // every_ns < 49:
        every, length = q.write_duration(every_ns), q.write_duration(duration_ns)
        text = (
            f"auto needs 50 instants or more, and a run of {length} has one every {every} (`output.sampling`)"
        )
        yield ("warm_up",), f"{text}: sample more often, run longer, or say how long the warm-up is"


def series_are_of_metrics_over_time(scenario: Scenario) -> Iterator[Found]:
    """What `output.series` names are metrics of sampling instants, each once."""
    names = scenario.output.series
    if not names:
        return
    from sim.metrics import METRICS  # it brings numpy, which a scenario that asks for none does without

    known = [metric.name for metric in METRICS if metric.series is not None]
    for place, name in enumerate(names):
        if name not in known:
            yield (
                ("output", "series", place),
                f"'{name}': no metric over time of this name; {hint(name, known)}",
            )
        elif name in names[:place]:
            yield ("output", "series", place), f"'{name}': stands there already"


def replications_are_said_once(scenario: Scenario) -> Iterator[Found]:
    """Either `replications` or `until` says how many; `until` names a metric; pairs are whole."""
    until = scenario.until
    if until is not None:
        from sim.metrics import METRICS  # it brings numpy, which a scenario that asks for none does without

        known = [metric.name for metric in METRICS]
        if until.metric not in known:
            yield (
                ("until", "metric"),
                f"'{until.metric}': no metric of this name; {hint(until.metric, known)}",
            )
        if scenario.replications != 1:
            yield (
                ("replications",),
                f"{scenario.replications} are asked for, and `until` asks for as many as it takes: leave one of the two out",
            )
    if scenario.antithetic:
        counts: dict[KeyPath, int] = (
            {("replications",): scenario.replications}
            if until is None
            else {("until", "min"): until.min, ("until", "max"): until.max}
        )
        if scenario.optimise is not None and scenario.optimise.replications is not None:
            counts["optimise", "replications"] = scenario.optimise.replications
        for path, count in counts.items():
            if count % 2:
                yield path, f"{count} is odd; antithetic replications are pairs"
