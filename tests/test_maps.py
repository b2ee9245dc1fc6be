"""The map of the core, in its docstring, names every module."""

from __future__ import annotations

import pkgutil
import re

import protocol


def test_the_map_names_every_module_once() -> None:
    assert protocol.__doc__ is not None
    rows = re.findall(r"^    (.*(?:\n {19}.*)*)", protocol.__doc__, re.M)
    text = re.sub(r"\([^)]*\)", "", " ".join(row[15:] for row in rows))
    named = re.findall(r"\w+", text)
    assert sorted(named) == sorted(module.name for module in pkgutil.iter_modules(protocol.__path__))
