"""`${NAME}` in the values of a compose file.

Source: the Compose specification, "12-interpolation".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from protocol.manifest.problems import Collector

_VARIABLE: Final = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<plain>[A-Za-z_][A-Za-z0-9_]*)"
    r"|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<how>:?[-?+])(?P<rest>[^{}]*))?\}|(?P<wrong>))"
)


def interpolate(data: Any, environment: Mapping[str, str], out: Collector, at: str = "") -> Any:
    """The same data with variables replaced in every text; keys stay.

    `$NAME` and `${NAME}`; `${NAME:-default}`, `${NAME:?message}`, `${NAME:+instead}`, and without the colon, where an
    empty value counts as set; `$$` is a dollar.

    Args:
        data: what a YAML reader gives.
        environment: the variables; one that is not there is an error.
        out: gets the problems.
        at: the path of `data`.
    """
    match data:
        case str():
            return _VARIABLE.sub(lambda found: _value(found, environment, out, at), data)
        case Mapping():
            inner = f"{at}." if at else ""
            return {key: interpolate(value, environment, out, f"{inner}{key}") for key, value in data.items()}
        case list():
            return [interpolate(item, environment, out, f"{at}[{i}]") for i, item in enumerate(data)]
        case _:
            return data


def _value(found: re.Match[str], environment: Mapping[str, str], out: Collector, at: str) -> str:
    if found["escaped"]:
        return "$"
    name, how, rest = found["plain"] or found["name"], found["how"] or "", found["rest"] or ""
    if name is None:
        out.add(at, f"{found.string!r} has a $ that begins no variable; write $$ for a dollar")
        return ""
    value = environment.get(name)
    there = value is not None and (value != "" or ":" not in how)
    match how[-1:]:
        case "-":
            return value if there and value is not None else rest
        case "+":
            return rest if there else ""
        case "?" if not there:
            out.add(at, f"{name} is needed: {rest or 'it is not set'}")
        case "" if value is None:
            out.add(at, f"{name} is not set; ${{{name}:-}} allows that")
    return value or ""
