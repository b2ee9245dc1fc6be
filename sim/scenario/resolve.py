"""A scenario written back: complete, with every default, in units that people read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from sim.scenario.checks import laws_of
from sim.scenario.fields import Context
from sim.scenario.model import Scenario
from sim.trace_files import DURATIONS, INVOCATIONS, MEMORY

"""Editors that know the YAML language server complete from the schema named here."""


def context_for(scenario: Scenario) -> Context:
    """What amounts of money are written in."""
    return Context(payment=scenario.payment_token, gas=scenario.gas_token, numeraire=scenario.numeraire)


def to_data(scenario: Scenario) -> dict[str, Any]:
    """The scenario as a file would hold it; manifests in place, paths absolute."""
    data: dict[str, Any] = scenario.model_dump(mode="json", by_alias=True, context=context_for(scenario))
    return data


def input_files(scenario: Scenario) -> list[Path]:
    """The files beside the scenario that a run reads (their hashes belong into its provenance), sorted."""
    found: set[Path] = set()
    for group in scenario.publishers:
        if group.traffic.trace is not None:
            found |= {group.traffic.trace.files / name for name in (INVOCATIONS, DURATIONS, MEMORY)}
        if group.traffic.replay is not None:
            found.add(group.traffic.replay)
    tokens = scenario.tokens
    for rate in (tokens.payment.rate, tokens.gas.rate):
        if rate is not None and rate.empirical is not None:
            found.add(rate.empirical)
    found |= {law.empirical for _, law in laws_of(scenario) if law.empirical is not None}
    return sorted(found)


class _Dumper(yaml.SafeDumper):
    """Block style; short mappings and lists of plain values on one line."""

    def ignore_aliases(self, data: Any) -> bool:
        """Equal parts are written out, not referred to."""
        return True


def _short(value: Any) -> bool:
    if isinstance(value, dict):
        return (
            len(value) <= 3
            and all(not isinstance(v, list | dict) or not v or _short(v) for v in value.values())
            and len(str(value)) < 80
        )
    if isinstance(value, list):
        return all(not isinstance(v, list | dict) for v in value) and len(str(value)) < 80
    return False


def _represent(dumper: _Dumper, value: Any) -> yaml.Node:
    if isinstance(value, dict):
        return dumper.represent_mapping("tag:yaml.org,2002:map", value.items(), flow_style=_short(value))
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=_short(value))


_Dumper.add_representer(dict, _represent)
_Dumper.add_representer(list, _represent)


def resolved(scenario: Scenario) -> str:
    """The scenario as YAML with every default written in: `loads(resolved(s)) == s`.

    Prices come out as they are held, so a first line says why they may differ from what was written.
    """
    token = scenario.payment_token
    note = (
        f"# Prices are rounded to whole base units (1e-{token.decimals} {token.symbol}) a core-second, byte-second, byte,\n"
        "# device-second or address-second, which is what a contract holds; they are written as rounded.\n"
    )
    return note + yaml.dump(to_data(scenario), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
