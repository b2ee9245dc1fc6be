"""Parties that do not keep to the protocol: whole clients in the place of the honest ones, on the same ports.

A behaviour is a class that inherits `protocol.provider:ProviderClient` or `protocol.publisher:PublisherClient` and lies
in one place. It knows and can do what its ports allow, no more: nothing here imports anything of `sim`. What a
scenario can set of it are the fields of its class `Conduct`, a dataclass of which it is given one as `conduct`.
What honest parties do about it belongs to the core, never here.
"""

from __future__ import annotations

from typing import Final

from protocol.provider import ProviderClient
from protocol.publisher import PublisherClient
from sim.behaviours.providers import OverClaimer, OverMeterer, PriceSwitcher
from sim.behaviours.publishers import ExitRacer
from sim.behaviours.sybil import Sybil

PROVIDER: Final[dict[str, type]] = {
    "honest": ProviderClient,
    "over_claimer": OverClaimer,
    "over_meterer": OverMeterer,
    "price_switcher": PriceSwitcher,
    "sybil": Sybil,
}
"""Short names of how a provider can behave."""

PUBLISHER: Final[dict[str, type]] = {"honest": PublisherClient, "exit_racer": ExitRacer}
"""Short names of how a publisher can behave."""
