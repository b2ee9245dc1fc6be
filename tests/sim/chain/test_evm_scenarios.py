"""Whole scenarios on both backends: the same tables to the base unit, but for gas and what is made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from sim.chain.evm import installed
from sim.records.reader import RunTables
from sim.scenario.problems import ScenarioErrors
from tests.sim.worlds import Data, Played, merged, play, provider, publisher, scenario, world

GAS: Final = {
    "events": {"amount"},  # of an outcome: the fee
    "providers": {"gas_wei", "gas_cost", "profit", "gas_fiat", "surplus"},
    "publishers": {"gas_wei", "gas_fiat"},
    "transactions": {"gas_used", "fee_wei"},
}
"""Columns that gas is in."""

MARKET: Final = world(
    duration="3h",
    tokens={
        "payment": {"symbol": "DAI", "decimals": 18},
        "gas": {"symbol": "ETH", "decimals": 18, "price": "2500 DAI"},
    },
    providers=[provider(count=2, terms={"tick": "50s", "min_unlock_time": "1h"})],
    publishers=[
        publisher(count=3),
        publisher(name="once", count=2, policies={"funding": {"use": "once", "with": {"first": "1h"}}}),
        publisher(name="leaves", lifetime={"constant": "1h"}, leave="unlock", unlock_time="1h"),
        publisher(name="deletes", lifetime={"constant": "40m"}),
    ],
)
SHAKY: Final[Data] = {
    "chain": {
        "block_time": "12s",
        "reorgs": {"prob": "20%", "dropped": "20%"},
        "ordering": "adversary",
        "outages": [{"at": "30m", "for": "3m"}],
        "gas_price": {"steps": [{"at": "0s", "price": "1 gwei"}, {"at": "1h", "price": "3 gwei"}]},
    },
    "faults": [{"kind": "provider_crash", "provider": "host-0", "at": "70m", "for": "10m"}],
}


def on(backend: str, data: Data, directory: Path) -> Played:
    directory.mkdir()
    return play(merged(data, {"chain": {"backend": backend}}), directory)


@pytest.mark.evm
@pytest.mark.parametrize("data", [MARKET, merged(MARKET, SHAKY)], ids=["calm", "shaky"])
def test_a_scenario_has_the_same_ledger_on_both_backends(data: Data, tmp_path: Path) -> None:
    model, evm = (on(backend, data, tmp_path / backend) for backend in ("model", "evm"))
    assert differing(model, evm) == GAS
    others, ours = (
        [row for row in played.rows("conservation") if row["unit"] != "wei"] for played in (model, evm)
    )
    assert others == ours
    residuals = [row for row in evm.rows("conservation") if row["left"] != row["right"]]
    assert residuals == [] and any(row["left"] > 0 for row in evm.rows("conservation"))
    kinds = {row["function"] for row in evm.rows("transactions", status="confirmed")}
    assert {"createChannel", "deposit", "withdrawMany", "withdrawUpTo", "unlock", "registerProvider"} <= kinds


def differing(model: Played, evm: Played) -> dict[str, set[str]]:
    """Table by table the columns that are not the same; the sums of `conservation` apart."""
    assert model.outcome.violations == evm.outcome.violations == ()
    names = list(model.hashes)
    assert names == list(evm.hashes) and {"channels", "claims", "transactions", "conservation"} <= set(names)
    differ: dict[str, set[str]] = {}
    for name in names:
        mine, theirs = (_columns(played, name) for played in (model, evm))
        assert mine.keys() == theirs.keys()
        differ |= {name: found} if (found := {c for c in mine if mine[c] != theirs[c]}) else {}
    differ.pop("conservation", None)
    return differ


def _columns(played: Played, table: str) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = RunTables(played.directory).arrow(table).to_pydict()
    return columns


def test_without_pyrevm_a_scenario_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "installed", lambda: False)
    with pytest.raises(ScenarioErrors) as raised:
        scenario(world(chain={"backend": "evm"}))
    told = str(raised.value)
    assert "chain.backend" in told and "trusted-pods[evm]" in told and "no wheels for Python 3.13" in told
    scenario(world(chain={"backend": "model"}))
