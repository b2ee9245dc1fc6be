"""Measure everything: `make bench`, or `python -m benchmarks`.

Prints as it goes; after each section the figures are kept in benchmarks/latest.json, and the pages (docs/performance.md,
README.md) and plots are made from that file. Some twenty minutes on two cores of 2026 with nothing else on them, and
an hour more with --largest. What is not installed is listed as left out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from benchmarks import beside, chain, entries, machine, market, plane, plots, scaling, startup, table
from benchmarks.entries import Entry, Kept, Size

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "performance.md"
README: Final = ROOT / "README.md"
BESIDE: Final = ROOT / "docs" / "speed.svg"
GROWTH: Final = ROOT / "docs" / "growth.svg"

SECTIONS: Final[dict[str, tuple[str, Callable[[Size], Iterator[Entry]]]]] = {
    "peers": ("Beside the peers", beside.measure),
    "memory": ("Memory, however long", plane.memory),
    "pods": ("Many pods", plane.pods),
    "unpleasant": ("The unpleasant", plane.unpleasant),
    "startup": ("Before anything is simulated", startup.measure),
    "chain": ("The contracts' bytecode beside their rules", chain.measure),
    "scaling": ("How it grows", scaling.measure),
    "market": ("A whole market for a day", market.measure),
}
TITLES: Final = {name: title for name, (title, _) in SECTIONS.items()}


def draw(kept: list[Kept]) -> None:
    """Pages and plots from what is kept."""
    table.put(PAGE, table.page(kept, TITLES))
    table.put(README, table.short(kept))
    found = {one.entry.id: one.entry for one in kept}
    plots.save(plots.beside(found), BESIDE)
    plots.save(plots.growth(found), GROWTH)


def measure(names: list[str], size: Size) -> None:
    """Measure these sections, and keep and show each when it is done."""
    print("compiling, where it was not done before", flush=True)
    startup.prepare()
    for name in names:
        title, section = SECTIONS[name]
        print(f"== {name}: {title}", flush=True)
        began, when = time.perf_counter(), machine.measured(size)
        new = []
        for entry in section(size):
            print("\n".join(table.rows(entry)), flush=True)
            new.append(Kept(entry, name, when))
        kept = entries.replaced(entries.read(), name, new, list(SECTIONS))
        entries.write(kept)
        draw(kept)
        print(f"   {time.perf_counter() - began:.0f} s", flush=True)


def main() -> None:
    """Measures, keeps and shows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="python -m benchmarks"
    )
    parser.add_argument(
        "--only", action="append", choices=list(SECTIONS), help="a section; may be given several times"
    )
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument(
        "--quick", action="store_true", help="small sizes, for a first look; says so where it is shown"
    )
    sizes.add_argument(
        "--largest",
        action="store_true",
        help="also 1,000 and 3,000 providers for a day, and a million pods (4.4 GB)",
    )
    parser.add_argument(
        "--draw", action="store_true", help="measure nothing: pages and plots from latest.json"
    )
    options = parser.parse_args()
    if options.draw:
        draw(entries.read())
    else:
        size = Size.QUICK if options.quick else Size.LARGEST if options.largest else Size.FULL
        measure(options.only or list(SECTIONS), size)


if __name__ == "__main__":
    main()
