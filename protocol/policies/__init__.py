"""What a party may decide as it likes: one module a decision, the same classes simulated and live.

A policy is a frozen dataclass: its fields are its settings (the `with:` keys of a scenario), whose
metadata may name a unit (`duration`: ns, `money`, `money_an_hour`: token base units), so that a person
can write `15m` or `0.02 DAI/h` there. Its one method gets an observation (only what the ports revealed
to that party) and returns a decision. It keeps no state and draws chance only from the `chance` it is
handed. The rules a policy must not break live in the modules beside this package and are checked
whatever it answers.

What does not belong here: rules, ports, I/O.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Chance = Callable[[], float]
"""The party's own stream: each call gives the next uniform number in (0, 1)."""


class Policy(Protocol):
    """Anything that can be built from settings."""
