"""Scenarios: what is simulated, read from one YAML file, checked as a whole, and written back complete.

What belongs here: the tree of models with the units of every key, loading with overrides, the checks,
the resolved text, the JSON Schema and the reference made from the tree (`reference`), and the conversion
into the descriptions that the data plane takes (`convert`).

What does not: running anything, and results.
"""

from __future__ import annotations

from sim.scenario.demand import Publisher
from sim.scenario.load import load, loads, loads_resolved
from sim.scenario.model import ProviderMember, PublisherMember, Scenario
from sim.scenario.problems import Problem, ScenarioErrors
from sim.scenario.resolve import resolved
from sim.scenario.supply import Provider

__all__ = [
    "Problem",
    "Provider",
    "ProviderMember",
    "Publisher",
    "PublisherMember",
    "Scenario",
    "ScenarioErrors",
    "load",
    "loads",
    "loads_resolved",
    "resolved",
]
