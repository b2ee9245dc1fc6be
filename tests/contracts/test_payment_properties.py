"""Whatever publishers, providers, tokens and the clock do, the bytecode does what the model does, and keeps its word."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.contracts.payment_machine import machine_for
from tests.contracts.world import TWINS

pytestmark = pytest.mark.evm

# A twelfth of the profile's examples for each token: about 2,300 steps in all, and a hundred times that under `wide`.
SHARE = settings(max_examples=(settings.default or settings()).max_examples // 12)
STEPS = 335


@pytest.mark.parametrize("token", TWINS)
def test_payment_on_the_evm(token: str) -> None:
    machine: Any = machine_for(token)
    run_state_machine_as_test(machine, settings=SHARE)
    assert machine.steps >= STEPS
