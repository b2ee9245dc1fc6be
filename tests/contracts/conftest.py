"""Where these tests run: on CPython 3.11 and 3.12, for which pyrevm has wheels."""

from __future__ import annotations

import sys

import pytest

LEFT_OUT = "tests marked evm are left out: pyrevm has no wheel for Python {}.{}".format(*sys.version_info[:2])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs an EVM where there is none; everywhere else a missing pyrevm is a failure."""
    if tuple(sys.version_info) < (3, 13):  # a tuple: the type checker takes the other form for a constant
        return
    dropped = [item for item in items if item.get_closest_marker("evm")]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if item not in set(dropped)]
        terminal = config.pluginmanager.get_plugin("terminalreporter")
        if terminal is not None:
            terminal.write_line(LEFT_OUT)
