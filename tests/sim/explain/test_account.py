"""`explain FILE`: a scenario in words, with all that it assumes and all that is off."""

from __future__ import annotations

import copy
from typing import Any

from sim.explain.scenario import Key, account_of
from sim.scenario import loads, resolved
from sim.scenario.sweep import Sweep
from tests.sim.explain.conftest import DATA
from tests.sim.worlds import text


def keys(found: tuple[Key, ...]) -> dict[str, str]:
    return {key.path: key.value for key in found}


def test_a_scenario_is_told_in_words() -> None:
    words = account_of(loads(text(DATA))).words
    whole = "\n".join(words)
    assert words[1] == (
        "For 90m of virtual time from 2019-07-15T08:00:00Z, 5 publishers rent pods from 2 providers (seed 1)."
    )
    for said in (
        "Provider box, 2 of them (box-0 to box-1)", "Asks cpu 0.03 DAI/core-h, memory 0.00400076 DAI/GiB-h",
        "Running costs 0.02 DAI/h a node", "Publisher leaver, 2 of them", "leaves after always 30m, by unlock",
        "0.25 cores, memory 256Mi", "poisson rate 0.1/s", "exponential 800ms", "once (first 20m)",
        "At 20m, for 5m: the client of box-1 stops, and its nodes with it.",
    ):  # fmt: skip
        assert said in whole, said


def test_every_key_is_given_assumed_or_off() -> None:
    """What the file does not say is in one of the lists; what it says is in neither, unless it turns something off."""
    account = account_of(loads(text(DATA)))
    assumed, off = keys(account.assumed), keys(account.off)
    assert assumed["chain.confirmations"] == "3"
    assert assumed["providers.*.terms.tick"] == "100s"
    assert assumed["publishers.{spent,deleter,keeper}.count"] == "1"  # leaver says 2
    assert "publishers.{spent,leaver,keeper}.leave" in assumed
    assert off["network.loss"] == "0%"
    assert off["publishers.*.client.timeout"] == "nothing"
    assert off["chain.reorgs"] == "nothing"
    assert off["sweep"] == "nothing"
    for given in ("providers.*.cost.idle", "chain.gas_price", "duration", "faults"):
        assert given not in off
    assert "providers.*.terms.runway" not in assumed
    assert not set(assumed) & set(off)


def test_what_a_file_says_is_not_assumed() -> None:
    """Written out in full, a scenario assumes nothing, and has as much off as before."""
    scenario = loads(text(DATA))
    whole = account_of(loads(resolved(scenario)))
    assert whole.assumed == ()
    assert whole.off == account_of(scenario).off


def test_turning_a_thing_on_takes_it_off_the_list() -> None:
    data: dict[str, Any] = copy.deepcopy(DATA)
    data["network"] = {"loss": "1%"}
    data["publishers"][0]["client"] = {"timeout": "10s"}
    off = keys(account_of(loads(text(data))).off)
    assert "network.loss" not in off
    assert "publishers.{leaver,deleter,keeper}.client.timeout" in off


def test_a_sweep_is_told() -> None:
    scenario = loads(text(DATA | {"sweep": {"seed": [1, 2]}}))
    assert isinstance(scenario.sweep, Sweep)
    assert any("seed (2 values)" in words for words in account_of(scenario).words)
