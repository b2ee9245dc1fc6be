"""What has to add up, and what three chains have to agree on. Exact."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from tests.sim.chain.test_evm_scenarios import GAS, MARKET, SHAKY, differing, on
from tests.sim.test_conservation import SMALL, balanced
from tests.sim.test_determinism import BUSY
from tests.sim.worlds import Data, merged, play
from tests.theory.known import Case, Exact


def _laws(data: Data) -> list[str]:
    """Whatever does not add up."""
    with tempfile.TemporaryDirectory() as folder:
        run = play(data, Path(folder))
        assert run.rows("conservation")
        return balanced(run)


def _backends() -> str:
    """Columns in which a whole scenario on the model and on the bytecode is not the same."""
    with tempfile.TemporaryDirectory() as folder:
        model, evm = (
            on(backend, merged(MARKET, SHAKY), Path(folder) / backend) for backend in ("model", "evm")
        )
        return _columns(differing(model, evm))


def _columns(tables: dict[str, set[str]]) -> str:
    return (
        ", ".join(f"{table}.{name}" for table in sorted(tables) for name in sorted(tables[table])) or "none"
    )


def _story() -> int:
    """How many actions of everything that can happen had one outcome on py-evm, the model and the bytecode."""
    from tests.live.chains import EvmChain  # what only a developer has
    from tests.live.judges import PEOPLE, EthTesterJudge
    from tests.live.test_evm_backend import play as together
    from tests.suites.actions import story

    judge = EthTesterJudge(EvmChain())
    doings = list(story(PEOPLE, judge.terms))
    return len(together(judge, doings).seen) - len(doings)


LAWS: Final = "tokens, requests and replica-ms, table by table"

CASES: Final[tuple[Case, ...]] = (
    Exact("conservation, requests that fail and channels that run out: what does not add up", LAWS, [],
          lambda: _laws(SMALL)),
    Exact("conservation, a little of everything and two crashes: what does not add up", LAWS, [],
          lambda: _laws(BUSY)),
    Exact(
        "a market with reorganisations, an outage and a crash, on model and bytecode: columns that differ",
        "gas is measured on one and constant on the other", _columns(GAS), _backends, needs_evm=True,
    ),
    Exact(
        "every command, refusal and event on eth-tester, model and bytecode: errors, events, balances, records "
        "that differ", "py-evm", 0, _story, needs_evm=True,
    ),
)  # fmt: skip
