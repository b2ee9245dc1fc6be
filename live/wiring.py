"""Builds real things from settings; the only place that does."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from live.chain.deploying import Creation, Deployer, Plan, State, state
from live.chain.nodes import Nodes
from live.chain.pinned import check
from live.chain.port import Fees, NodeChain
from live.chain.rpc import Endpoint
from live.chain.sending import Pace
from live.tasks import Process
from protocol.units import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from eth_account.signers.local import LocalAccount

    from live.settings import ChainSettings

CHECK_S: Final = 60
"""The checks at the start take no longer than this [s]."""
SHOW_S: Final = 300
"""Reading all of a deployment takes no longer than this [s]."""


def endpoints(settings: ChainSettings) -> list[Endpoint]:
    """The endpoints that the settings name.

    Raises:
        BadInput: one is no address.
    """
    return [Endpoint.http(url, timeout_s=settings.request_timeout_s) for url in settings.endpoints]


async def chain(process: Process, settings: ChainSettings, account: LocalAccount) -> NodeChain:
    """The chain of a party, held to its settings.

    Raises:
        BadInput: an endpoint is not of the chain, the contracts and the token that are pinned.
        PortError: an endpoint cannot be asked; with `sent=False`.
    """
    ways, terms = endpoints(settings), settings.terms
    nodes = Nodes(process, ways, confirmations=terms.confirmations)
    await check(nodes, settings, until_ns=process.now_ns() + CHECK_S * NS_PER_S)
    pace = Pace(poll_s=settings.poll_s, resend_s=settings.resend_s, bump_s=settings.bump_s)
    return NodeChain(process, ways, terms, account, Fees(cap_wei=settings.max_gas_price_wei), pace)


def deploy(url: str, account: LocalAccount, plan: Plan, heard: Callable[[Creation], None]) -> ChainSettings:
    """Deploy the contracts, and come back when they count; see `Deployer.deploy`."""
    process = Process("deployer")
    endpoint = Endpoint.http(url, timeout_s=30)
    return trio.run(process.run, Deployer(process, endpoint, account, plan).deploy(url, heard))


def deployment(settings: ChainSettings) -> State:
    """The state of a deployment, held to its settings first; see `deploying.state`.

    Raises:
        BadInput: an endpoint is not of the chain, the contracts and the token that are pinned.
    """
    process = Process("reader")
    ways = endpoints(settings)

    async def read() -> State:
        nodes = Nodes(process, ways, confirmations=settings.confirmations)
        await check(nodes, settings, until_ns=process.now_ns() + CHECK_S * NS_PER_S)
        return await state(process, ways, settings, until_ns=process.now_ns() + SHOW_S * NS_PER_S)

    return trio.run(partial(process.run, read()))
