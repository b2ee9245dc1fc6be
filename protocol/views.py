"""What the contracts tell when asked, and the core's values of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from protocol.abi import View
from protocol.payment import Channel
from protocol.pricing import PriceTable

if TYPE_CHECKING:
    from collections.abc import Sequence

CHANNELS_OF: Final = View(
    "channelsOf", "((address,address,bytes32)[])", "((uint256,uint256,uint256,uint256,uint256)[])"
)
TOKEN: Final = View("token", told="(address)")

PROVIDER_COUNT: Final = View("providerCount")
PROVIDERS: Final = View("providers", "(uint256,uint256,uint256)", "((address,string,uint256,uint256[])[])")
SUBSCRIPTIONS: Final = View("subscriptions", "(address,uint256,uint256)", "(uint256[])")
TABLE_COUNT: Final = View("tableCount")
TABLES: Final = View("tables", "(uint256,uint256)", "((uint256,address,uint256[5],string,string,uint256)[])")

BALANCE_OF: Final = View("balanceOf", "(address)")
ALLOWANCE: Final = View("allowance", "(address,address)")
DECIMALS: Final = View("decimals", told="(uint8)")
SYMBOL: Final = View("symbol", told="(string)")

PAYMENT: Final = (CHANNELS_OF, TOKEN)
REGISTRY: Final = (PROVIDER_COUNT, PROVIDERS, SUBSCRIPTIONS, TABLE_COUNT, TABLES)
ERC20: Final = (BALANCE_OF, ALLOWANCE, DECIMALS, SYMBOL)


def channel_of(record: Sequence[int]) -> Channel | None:
    """The channel of a record of `CHANNELS_OF`; None where there is none.

    A record whose publisher took everything back stays, with the instant of the unlock.
    """
    invested, withdrawn, unlock_time_s, unlocked_at_s, life = record
    if invested == 0 and unlocked_at_s == 0:
        return None
    return Channel(invested, withdrawn, unlock_time_s, unlocked_at_s, life)


def table_of(entry: Sequence[Any]) -> tuple[int, PriceTable]:
    """The id and the prices of an entry of `TABLES`."""
    table_id, token, (cpu, ram, storage, egress, ingress), cpu_model, tee_type, _ = entry
    table = PriceTable(
        token=token,
        cpu=cpu,
        ram=ram,
        storage=storage,
        egress=egress,
        ingress=ingress,
        cpu_model=cpu_model,
        tee_type=tee_type,
    )
    return table_id, table
