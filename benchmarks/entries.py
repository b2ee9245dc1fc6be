"""What was measured, as data: an entry for each figure, kept in `latest.json`.

`latest.json` is a list of objects. Each has

- `name`, `ours` (a number, or null when it was left out), `unit`, and
- `peers`: objects with `name`, `figure` (in the same unit, or null), `ratio` (ours ÷ figure), and `note`;

and besides them `id` and `section` (to find it), `note`, `points` (pairs of a size and a figure, for what grows),
`left_out` (why there is no figure) and `measured` (when, on what, with which versions, beside how much other work).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final


class Size(StrEnum):
    """How much is measured: a first look, what the pages should hold, and what takes long or much memory besides."""

    QUICK = "quick"
    FULL = "full"
    LARGEST = "largest"


LATEST: Final = Path(__file__).parent / "latest.json"
DIGITS: Final = 4
"""Significant digits of a figure: no measurement here is better."""


def rounded(figure: float) -> float:
    """The figure with `DIGITS` significant digits."""
    return float(f"{figure:.{DIGITS}g}")


@dataclass(frozen=True, slots=True)
class Peer:
    """Somebody else's figure for the same work.

    Args:
        name: who, with the version where there is one.
        figure: in the unit of the entry; None: it was left out or does not count, and `note` says why.
        note: what a reader should know of it.
    """

    name: str
    figure: float | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One figure of ours.

    Args:
        id: short and stable; tables and plots find it by this.
        name: what was measured, with its sizes, for a reader.
        ours: the figure; None: it was left out, and `left_out` says why.
        unit: of `ours`, of the peers' figures and of the points' second numbers.
        peers: the same work done otherwise.
        note: what a reader should know of it.
        points: (size, figure), rising sizes, where the question is how it grows.
        left_out: why there is no figure.
    """

    id: str
    name: str
    ours: float | None
    unit: str
    peers: tuple[Peer, ...] = ()
    note: str = ""
    points: tuple[tuple[float, float], ...] = ()
    left_out: str = ""

    def __post_init__(self) -> None:
        if (self.ours is None) != bool(self.left_out):
            raise ValueError(f"{self.id}: a figure, or why there is none; got {self.ours}, {self.left_out!r}")


@dataclass(frozen=True, slots=True)
class Kept:
    """An entry as it is kept: with its section, and when and on what it was measured."""

    entry: Entry
    section: str
    measured: dict[str, Any] = field(default_factory=dict)


def ratio(entry: Entry, peer: Peer) -> float | None:
    """Ours ÷ theirs; None where one of the two is missing."""
    return None if entry.ours is None or not peer.figure else rounded(entry.ours / peer.figure)


def exponent(points: Sequence[tuple[float, float]], base: float = 0.0) -> float:
    """b of the least-squares line log(y − base) = a + b·log(x).

    Args:
        points: (x, y), two or more with different x above 0.
        base: what y is without any x; below every y.

    Raises:
        ValueError: the points do not allow it.
    """
    if len({x for x, _ in points}) < 2 or any(x <= 0 or y <= base for x, y in points):
        raise ValueError(f"an exponent needs two sizes above 0 and figures above {base}; got {list(points)}")
    logs = [(math.log(x), math.log(y - base)) for x, y in points]
    mean_x = math.fsum(x for x, _ in logs) / len(logs)
    mean_y = math.fsum(y for _, y in logs) / len(logs)
    along = math.fsum((x - mean_x) ** 2 for x, _ in logs)
    return math.fsum((x - mean_x) * (y - mean_y) for x, y in logs) / along


def to_json(kept: Kept) -> dict[str, Any]:
    """The object in `latest.json`."""
    entry = kept.entry
    return {
        "name": entry.name,
        "ours": entry.ours,
        "unit": entry.unit,
        "peers": [
            {"name": p.name, "figure": p.figure, "ratio": ratio(entry, p), "note": p.note}
            for p in entry.peers
        ],
        "id": entry.id,
        "section": kept.section,
        "note": entry.note,
        "points": [list(point) for point in entry.points],
        "left_out": entry.left_out,
        "measured": kept.measured,
    }


def from_json(found: dict[str, Any]) -> Kept:
    """What `to_json` wrote."""
    entry = Entry(
        id=found["id"],
        name=found["name"],
        ours=found["ours"],
        unit=found["unit"],
        peers=tuple(Peer(p["name"], p["figure"], p["note"]) for p in found["peers"]),
        note=found["note"],
        points=tuple((x, y) for x, y in found["points"]),
        left_out=found["left_out"],
    )
    return Kept(entry, found["section"], found["measured"])


def read(path: Path = LATEST) -> list[Kept]:
    """What is kept; nothing where there is no file yet."""
    return [from_json(found) for found in json.loads(path.read_text("utf-8"))] if path.exists() else []


def write(kept: Iterable[Kept], path: Path = LATEST) -> None:
    """Keep these entries and no others."""
    text = json.dumps([to_json(one) for one in kept], indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def replaced(kept: Iterable[Kept], section: str, new: Sequence[Kept], order: Sequence[str]) -> list[Kept]:
    """What is kept with a section's entries replaced by `new`; sections in `order`, unknown ones dropped."""
    others = [one for one in kept if one.section in order and one.section != section]
    return sorted([*others, *new], key=lambda one: order.index(one.section))
