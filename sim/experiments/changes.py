"""What differs between two runs' inputs, and between the versions that made them, key by key."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ABSENT: Final = object()
"""Stands for a key that one of the two does not have, which is not the same as null."""
DRAWS: Final = ("matplotlib",)
"""Packages that change a report, and no table."""
UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True)
class Change:
    """One value that is not the same.

    Attributes:
        key: its path, as `--set` writes it: `publishers.careful.scaling.idle`.
        a, b: both values; `ABSENT` where the key is not there.
    """

    key: str
    a: Any
    b: Any

    def __str__(self) -> str:
        return f"{self.key}: {_shown(self.a)} against {_shown(self.b)}"

    def to_data(self) -> dict[str, Any]:
        """As JSON holds it: a key that is absent is left out."""
        values = {"a": self.a, "b": self.b}
        return {"key": self.key, **{name: value for name, value in values.items() if value is not ABSENT}}


def changes(a: Any, b: Any, key: str = "") -> Iterator[Change]:
    """Every value in which two scenarios differ, in the order of their keys.

    Members of lists are matched by their names where they have some, else by their place.

    Args:
        a: a scenario as data.
        b: the other.
        key: where both stand.
    """
    if isinstance(a, dict) and isinstance(b, dict):
        for name in dict.fromkeys((*a, *b)):
            below = f"{key}.{name}" if key else str(name)
            yield from changes(a.get(name, ABSENT), b.get(name, ABSENT), below)
    elif isinstance(a, list) and isinstance(b, list):
        names_a, names_b = _names(a), _names(b)
        if names_a is None or names_b is None:
            names_a, names_b = (
                [str(place) for place in range(len(a))],
                [str(place) for place in range(len(b))],
            )
        elif sorted(names_a) == sorted(names_b) and names_a != names_b:
            yield Change(f"{key} (order)", names_a, names_b)
        yield from changes(dict(zip(names_a, a, strict=True)), dict(zip(names_b, b, strict=True)), key)
    elif a is ABSENT or b is ABSENT or type(a) is not type(b) or a != b:
        yield Change(key, a, b)


def version_changes(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Change]:
    """The code, the libraries and the Python in which two runs differ, those that can change a table.

    Args:
        a: a run's provenance, or what `sim.records.directory.versions` tells.
        b: the other's.
    """
    return list(changes(_versions(a), _versions(b)))


def same_is_unknown(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether both had changes that no commit holds, so that equal versions do not show equal code."""
    return bool(a["source"]["changed"] and b["source"]["changed"])


def _versions(origin: Mapping[str, Any]) -> dict[str, str]:
    source, packages = origin["source"], origin["packages"]
    commit = source["commit"] or UNKNOWN
    return {
        "commit": f"{commit} and changes" if source["changed"] else commit,
        "python": origin["python"],
        **{name: version for name, version in packages.items() if name not in DRAWS},
    }


def _names(members: list[Any]) -> list[str] | None:
    names = [member.get("name") for member in members if isinstance(member, dict)]
    unique = len(names) == len(members) == len(set(names))
    return [str(name) for name in names] if names and None not in names and unique else None


def _shown(value: Any) -> str:
    if value is ABSENT:
        return "(not there)"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
