"""Draws the state diagrams of the documentation from the tables in the code: `python docs/diagrams.py`.

A page holds a diagram between the lines `<!-- diagram: NAME -->` and `<!-- end -->`; what stands between
them is replaced. `tests/docs/test_diagrams.py` compares the pages with the tables.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "background" / "channel.md"
PLACE: Final = re.compile(r"(<!-- diagram: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def channel() -> str:
    """The payment channel: which command leads from which phase to which."""
    from protocol.payment import TRANSITIONS

    edges: dict[tuple[str, str], list[str]] = {}
    for phase, commands in TRANSITIONS.items():
        for command, targets in commands.items():
            for target in sorted(targets):
                edges.setdefault((phase.value, target.value), []).append(command.__name__)
    lines = [f"    {source} --> {target}: {', '.join(names)}" for (source, target), names in edges.items()]
    return _mermaid(["    [*] --> absent", *lines])


def pod() -> str:
    """A pod's life at its provider: which phase may follow which."""
    from protocol.hosting import TRANSITIONS, Phase

    lines = [
        f"    {phase.value} --> {target.value}"
        for phase, targets in TRANSITIONS.items()
        for target in Phase  # in the order in which they are defined: a set has none
        if target in targets
    ]
    ends = [f"    {phase.value} --> [*]" for phase in Phase if phase.ended]
    return _mermaid([f"    [*] --> {next(iter(Phase)).value}", *lines, *ends])


DIAGRAMS: Final[dict[str, Callable[[], str]]] = {"channel": channel, "pod": pod}


def drawn(text: str) -> str:
    """A page's text with every diagram drawn anew."""
    return PLACE.sub(lambda found: f"{found[1]}{DIAGRAMS[found[2]]()}{found[3]}", text)


def _mermaid(lines: list[str]) -> str:
    return "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```", ""])


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    PAGE.write_text(drawn(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
