"""The machines find planted bugs: each is one change of text in a contract, listed in mutants.json.

build.mjs compiles them; `tests/e2e/test_contracts.py` sees to it that their code is that of the list.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, Verbosity, settings
from hypothesis.stateful import run_state_machine_as_test

import contracts
from tests.contracts import payment_machine, registry_machine
from tests.contracts.contract import compiled
from tests.contracts.evm import Reverted

BUGS: list[dict[str, str]] = json.loads((Path(__file__).parent / "mutants.json").read_text(encoding="utf-8"))
BOUNDED = settings(
    max_examples=200,
    stateful_step_count=40,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # the first failure will do; nobody reads a small one
    report_multiple_bugs=False,
    verbosity=Verbosity.quiet,
)


def machine_of(bug: dict[str, str], bytecode: bytes | None) -> Any:
    if bug["contract"] == "Registry":
        return registry_machine.machine_for(bytecode)
    return payment_machine.machine_for(bug["token"], bytecode)


@pytest.mark.evm
@pytest.mark.parametrize("bug", BUGS, ids=[bug["name"] for bug in BUGS])
def test_planted_bug_is_found(bug: dict[str, str]) -> None:
    machine = machine_of(bug, bytes.fromhex(compiled()["mutants"][bug["name"]]))
    with pytest.raises((AssertionError, Reverted)):
        run_state_machine_as_test(machine, settings=BOUNDED)


def test_every_bug_is_compiled_and_differs() -> None:
    codes = compiled()["mutants"]
    assert list(codes) == [bug["name"] for bug in BUGS]
    for bug in BUGS:
        assert bytes.fromhex(codes[bug["name"]]) != contracts.artifact(bug["contract"]).bytecode
    assert len(set(codes.values())) == len(BUGS) >= 10
