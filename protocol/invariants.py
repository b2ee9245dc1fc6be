"""What must always hold, once: every run checks it, Hypothesis checks it over random ones.

Each function takes plain data and returns violations: sentences with the values, none when all is well. A
violation is a bug of the project, never a party's doing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from protocol.payment import BookView, ChannelKey
    from protocol.units import Resource


def tokens_conserved(book: BookView, *, supply: int, sent_directly: int = 0) -> list[str]:
    """No token is made or lost, and the contract holds what its channels say.

    Args:
        book: the contract and its token.
        supply: all tokens there were at the beginning, less what was burnt since [base units].
        sent_directly: tokens that were transferred to the contract past its functions [base units].
    """
    found: list[str] = []
    held = book.token.balance(book.payment)
    due = sum(channel.available for _, channel in book.records())
    if held != due + sent_directly:
        found.append(f"the contract holds {held}; its channels {due}, sent directly were {sent_directly}")
    balances = book.token.balances()
    total = sum(balances.values())
    if total != supply or book.token.supply != supply:
        found.append(f"balances sum to {total}, the token says {book.token.supply}; there were {supply}")
    found.extend(f"0x{owner.hex()} holds {amount}" for owner, amount in balances.items() if amount < 0)
    return found


def channels_sound(book: BookView) -> list[str]:
    """Nobody was paid more than was invested, and every record has numbers that can be."""
    found: list[str] = []
    for key, channel in book.records():
        name = f"channel {_name(key)}"
        if not 0 <= channel.withdrawn_by_provider <= channel.invested_by_publisher:
            found.append(
                f"{name}: withdrawn {channel.withdrawn_by_provider} of {channel.invested_by_publisher}"
            )
        if not 1 <= channel.life == book.life(key):
            found.append(f"{name}: life {channel.life} of {book.life(key)}")
        if channel.unlocked_at_s < 0 or channel.unlock_time_s < 0:
            found.append(f"{name}: unlocked at {channel.unlocked_at_s} s after {channel.unlock_time_s} s")
    return found


def payments_monotone(
    before: Mapping[tuple[ChannelKey, int], int], after: Mapping[tuple[ChannelKey, int], int]
) -> list[str]:
    """What a provider has been paid never falls.

    Args:
        before: paid so far, by channel and life [base units].
        after: the same, later; lives that ended may be left out.
    """
    return [
        f"channel {_name(key)}, life {life}: paid {after[key, life]} after {paid}"
        for (key, life), paid in before.items()
        if after.get((key, life), paid) < paid
    ]


def payments(book: BookView) -> dict[tuple[ChannelKey, int], int]:
    """What every channel's provider has been paid, by channel and life [base units]; for `payments_monotone`."""
    return {(key, channel.life): channel.withdrawn_by_provider for key, channel in book.records()}


def requests_conserved(name: str, *, arrived: int, served: int, failed: int, still_there: int) -> list[str]:
    """Every request that came in was served, failed, or is still there.

    Args:
        name: whose requests, for the message.
        arrived: requests that came in.
        served: those answered.
        failed: those that were refused, gave up or were cut off.
        still_there: those held, queued or in service now.
    """
    if min(arrived, served, failed, still_there) < 0 or arrived != served + failed + still_there:
        return [
            f"{name}: {arrived} requests came in; {served} served, {failed} failed, {still_there} still there"
        ]
    return []


def replica_time_conserved(name: str, *, billed_ms: int, run_ms: int) -> list[str]:
    """Replica-milliseconds billed are replica-milliseconds run.

    Args:
        name: which pod, for the message.
        billed_ms: by the provider's meter.
        run_ms: summed over the replicas' own starts and ends, each floored to a millisecond.
    """
    return [] if 0 <= billed_ms == run_ms else [f"{name}: billed {billed_ms} replica-ms; {run_ms} ran"]


def bill_honest(name: str, *, owed: int, metered: int, paid: int, invested: int) -> list[str]:
    """A bill is at most what metering says, and no more is paid than is owed and invested.

    Args:
        name: which pod, for the message.
        owed: the bill [base units].
        metered: what the metered usage costs at the agreed prices [base units].
        paid: what the provider has claimed in this life [base units].
        invested: what the publisher has invested in this life [base units].
    """
    found: list[str] = []
    if owed > metered:
        found.append(f"{name}: a bill of {owed}; metering says {metered}")
    if paid > min(owed, invested):
        found.append(f"{name}: {paid} paid; owed are {owed}, invested {invested}")
    return found


def capacity_kept(
    name: str, *, allocated: Mapping[Resource, int], capacity: Mapping[Resource, int]
) -> list[str]:
    """Nothing is allocated that is not there.

    Args:
        name: which node or provider, for the message.
        allocated: by resource, in base units.
        capacity: the same; a resource that is not in it is not there.
    """
    return [
        f"{name}: {amount} of {resource.value} allocated; there are {capacity.get(resource, 0)}"
        for resource, amount in allocated.items()
        if not 0 <= amount <= capacity.get(resource, 0)
    ]


def _name(key: ChannelKey) -> str:
    return f"0x{key.publisher.hex()[:8]}/0x{key.provider.hex()[:8]}/{key.pod_id.hex()[:8]}"
