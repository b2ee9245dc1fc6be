"""Entries as Markdown, between markers in pages that people write the rest of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from benchmarks.entries import Entry, Kept, Size, ratio

BEGIN: Final = "<!-- measured: benchmarks -->\n"
END: Final = "<!-- end -->\n"
SHORT: Final = ("faas", "queue", "pods-many-hour", "memory", "market-300", "demo")
"""The entries of the README's table, by id; there are fewer after a quick run, whose sizes are others."""
QUICK: Final = "; **quick: small sizes, for a first look**"
HEAD: Final = ["| | figure | ours ÷ theirs | |", "| --- | ---: | ---: | --- |"]


def put(page: Path, content: str, begin: str = BEGIN, end: str = END) -> None:
    """Replace what stands between a page's markers.

    Raises:
        ValueError: the page does not have each marker once, the first before the second; it is unchanged.
    """
    text = page.read_text("utf-8")
    if text.count(begin) != 1 or text.partition(begin)[2].count(end) != 1:
        raise ValueError(
            f"{page}: needs {begin.strip()} and after it {end.strip()}, each once, on lines of their own"
        )
    before, _, rest = text.partition(begin)
    page.write_text(f"{before}{begin}{content}{end}{rest.partition(end)[2]}", encoding="utf-8")


def shown(figure: float | None, unit: str) -> str:
    """A figure for a reader, with three digits."""
    if figure is None:
        return "–"
    if unit == "exponent":
        return f"x^{figure:.2f}"
    if abs(figure) >= 1e6:
        return f"{figure / 1e6:.3g} M {unit}"
    digits = f"{float(f'{figure:.3g}'):,.0f}" if abs(figure) >= 100 else f"{figure:.3g}"
    return f"{digits} {unit}"


def compared(value: float | None) -> str:
    """A ratio for a reader."""
    return "" if value is None else f"{value:,.0f} ×" if value >= 100 else f"{value:.3g} ×"


def rows(entry: Entry) -> list[str]:
    """An entry's row, and one for each peer."""
    note = f"left out: {entry.left_out}" if entry.left_out else entry.note
    if entry.points:
        points = ", ".join(f"{x:,.10g}: {y:,.4g}" for x, y in entry.points)
        note = f"{points} ({note})"
    figure = shown(entry.ours, entry.unit)
    first = f"| {entry.name} | {figure if entry.ours is None else f'**{figure}**'} | | {note} |"
    return [
        first,
        *(
            f"| – {p.name} | {shown(p.figure, entry.unit)} | {compared(ratio(entry, p))} | {p.note} |"
            for p in entry.peers
        ),
    ]


def stated(kept: Sequence[Kept]) -> str:
    """When and on what: a line for each machine, versions and size."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for measured in (one.measured for one in kept):
        groups.setdefault((measured["machine"], measured["versions"], measured["size"]), []).append(measured)
    lines = []
    for (machine, versions, size), every in groups.items():
        first, last = min(one["at"] for one in every), max(one["at"] for one in every)
        least, most = min(one["load"] for one in every), max(one["load"] for one in every)
        lines.append(
            f"Measured {first if first == last else f'{first} to {last}'} on {machine}; {versions}; load average as a "
            f"section began {least if least == most else f'{least} to {most}'}{QUICK if size == Size.QUICK else ''}.\n\n"
        )
    return "".join(lines)


def table(entries: Iterable[Entry]) -> str:
    return "\n".join([*HEAD, *(row for entry in entries for row in rows(entry))]) + "\n"


def page(kept: Sequence[Kept], titles: dict[str, str]) -> str:
    """All of it, a table a section."""
    parts = [stated(kept)]
    for section, group in groupby(kept, key=lambda one: one.section):
        ones = list(group)
        measured = ones[0].measured
        quick = QUICK if measured["size"] == Size.QUICK else ""
        when = f"{measured['at']}, load average {measured['load']}{quick}."
        parts.append(f"### {titles[section]}\n\n{when}\n\n{table(one.entry for one in ones)}\n")
    return "".join(parts)


def short(kept: Sequence[Kept]) -> str:
    """The README's table."""
    chosen = [one for one in kept if one.entry.id in SHORT]
    return stated(chosen) + table(one.entry for one in chosen)
