"""The maps that packages of many modules have in their docstrings name every module."""

from __future__ import annotations

import pkgutil
import re
from types import ModuleType

import pytest

import protocol
import sim.kernel


@pytest.mark.parametrize("package", [protocol, sim.kernel], ids=lambda package: package.__name__)
def test_the_map_names_every_module_once(package: ModuleType) -> None:
    assert package.__doc__ is not None
    rows = re.findall(r"^    (.*(?:\n {19}.*)*)", package.__doc__, re.M)
    text = re.sub(r"\([^)]*\)", "", " ".join(row[15:] for row in rows))
    named = re.findall(r"\w+", text)
    assert sorted(named) == sorted(module.name for module in pkgutil.iter_modules(package.__path__))
