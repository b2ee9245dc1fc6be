"""Whatever anybody registers, publishes and subscribes to, the bytecode does what the model does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.contracts.registry_machine import machine_for

pytestmark = pytest.mark.evm


def test_registry_on_the_evm() -> None:
    machine: Any = machine_for()
    examples = (settings.default or settings()).max_examples // 12
    run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=40))
    assert machine.steps >= 280
