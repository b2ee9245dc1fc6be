"""`--set path=value`: one value of a scenario changed from outside."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import Any, Self

from protocol.errors import BadInput
from protocol.manifest import hint
from sim.scenario.problems import KeyPath, ScenarioErrors, dotted
from sim.scenario.tree import keys_at
from sim.scenario.yaml_file import parse_value


class OverrideError(BadInput):
    """The path of an override leads nowhere, or it is not `path=value`."""


@dataclass(frozen=True, slots=True)
class Override:
    """A value for a path.

    Attributes:
        path: keys, list indices, or names of list members (`providers.budget.count`).
        value: what goes there, as a file would hold it.
    """

    path: tuple[str, ...]
    value: Any

    def __str__(self) -> str:
        """As `--set` writes it."""
        return f"{'.'.join(self.path)}={value_text(self.value)}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """`providers.0.count=3`; the value is read as YAML."""
        path, equals, value = text.partition("=")
        keys = tuple(path.strip().split("."))
        if not equals or not all(keys):
            raise OverrideError("not an override: write path=value, such as providers.0.count=3")
        try:
            return cls(keys, parse_value(value))
        except ScenarioErrors as error:
            raise OverrideError(f"the value is not YAML: {error.problems[0].text}") from None


def value_text(value: Any) -> str:
    """A value on one line, as a file would hold it: what reads as something else in quotes, the rest as it looks."""
    try:
        plain = isinstance(value, str) and "\n" not in value and parse_value(value) == value
    except ScenarioErrors:
        plain = False
    return value if plain else json.dumps(value, ensure_ascii=False)


def put(data: dict[str, Any], override: Override, defaults: dict[str, Any]) -> KeyPath:
    """Puts the value into raw data, making what the file left out.

    Args:
        data: the raw scenario; changed.
        override: what to put where.
        defaults: the whole scenario with its defaults: what a key that the file leaves out stands for.

    Returns:
        The path, with names of list members turned into indices.

    Raises:
        OverrideError: there is no such key or member.
    """
    here: Any = data
    path: KeyPath = ()
    model: Any = defaults
    for i, word in enumerate(override.path):
        last = i + 1 == len(override.path)
        key = _step(here, word, path, override.path[: i + 1])
        if last:
            _set(here, key, copy.deepcopy(override.value))
            return (*path, key)
        model = _child(model, key)
        below = _child(here, key)
        if not isinstance(
            below, dict | list
        ):  # left out, or short for a mapping (`policies.funding: runway`)
            below = copy.deepcopy(model) if isinstance(model, dict | list) else {}
            _set(here, key, below)
        here, path = below, (*path, key)
    raise AssertionError("an override has at least one key")


def _set(here: Any, key: str | int, value: Any) -> None:
    here[key] = value


def _child(model: Any, key: str | int) -> Any:
    if isinstance(model, dict):
        return model.get(key)
    if isinstance(model, list) and isinstance(key, int) and key < len(model):
        return model[key]
    return None


def _step(here: Any, word: str, path: KeyPath, so_far: tuple[str, ...]) -> str | int:
    if isinstance(here, list):
        names = [str(item["name"]) for item in here if isinstance(item, dict) and "name" in item]
        if word.isascii() and word.isdigit() and int(word) < len(here):
            return int(word)
        for index, item in enumerate(here):
            if isinstance(item, dict) and item.get("name") == word:
                return index
        choices = "nothing, it is empty" if not here else "0" if len(here) == 1 else f"0 to {len(here) - 1}"
        known = f" or a name: {', '.join(names)}" if names else ""
        raise OverrideError(f"'{dotted(path)}' has no member '{word}'; allowed: {choices}{known}")
    allowed = keys_at(path, here)
    if allowed is not None and word not in allowed:
        where = f" under '{dotted(path)}'" if path else ""
        raise OverrideError(f"there is no key '{word}'{where}; {hint(word, allowed)}")
    return word
