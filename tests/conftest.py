"""What every test shares: the Hypothesis profiles, and which tests run at all."""

from __future__ import annotations

import os
import sys

import pytest
from hypothesis import HealthCheck, Phase, settings

# What checks for several tests says what it found, as a test does.
pytest.register_assert_rewrite("tests.protocol.payment_machine", "tests.suites")

# quick: the same examples every time, so that a change is to blame for a failure and not the day.
# No deadline: compiled code is slow once, and CI shares its two cores.
settings.register_profile("quick", derandomize=True, deadline=None, database=None, print_blob=True)
# wide: new examples every time, many more of them; what it finds is kept in .hypothesis and tried first.
settings.register_profile(
    "wide",
    derandomize=False,
    deadline=None,
    max_examples=5_000,
    stateful_step_count=100,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
    phases=list(Phase),
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

NO_EVM = "tests marked evm are left out: pyrevm has no wheel for Python {}.{}".format(*sys.version_info[:2])


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--e2e", action="store_true", help="also run the end-to-end tests")
    parser.addoption("--wide", action="store_true", help="also run the long tests")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what was not asked for: deselected, not skipped, so that a skip still catches the eye.

    What needs an EVM is left out where there can be none; everywhere else a missing pyrevm is a failure.
    """
    left_out = [marker for marker in ("e2e", "wide") if not config.getoption(f"--{marker}")]
    if tuple(sys.version_info) >= (3, 13):  # a tuple: the type checker takes the other form for a constant
        left_out.append("evm")
        terminal = config.pluginmanager.get_plugin("terminalreporter")
        if terminal is not None and any(item.get_closest_marker("evm") for item in items):
            terminal.write_line(NO_EVM)
    dropped = [item for item in items if any(item.get_closest_marker(marker) for marker in left_out)]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if item not in set(dropped)]
