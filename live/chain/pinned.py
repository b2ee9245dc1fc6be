"""What is checked before anything is sent: each endpoint is of the pinned chain, contracts and token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from live.chain.rpc import CallReverted
from protocol import views
from protocol.errors import BadInput, PeerFault
from protocol.identity import format_address
from protocol.keccak import keccak256
from protocol.units import Address

if TYPE_CHECKING:
    from live.chain.nodes import Nodes
    from live.chain.rpc import Endpoint
    from live.settings import ChainSettings
    from protocol.abi import View


async def check(nodes: Nodes, settings: ChainSettings, *, until_ns: int) -> None:
    """Hold every endpoint to the settings.

    Raises:
        BadInput: one is of another chain, or other code or another token stands there; each problem in a line.
        NotKnown: one cannot be asked.
    """
    found = await nodes.all(lambda node: problems(node, settings), until_ns=until_ns)
    told = [problem for each in found for problem in each]
    if told:
        raise BadInput("\n".join(told))


def problems(node: Endpoint, settings: ChainSettings) -> list[str]:
    """What is not as the settings say, blocking; nothing when all is."""
    chain_id = node.chain_id()
    if chain_id != settings.chain_id:
        return [f"{node.name} is of chain {chain_id}; the settings say {settings.chain_id}"]
    terms = settings.terms
    told = []
    for name, at, pinned in (
        ("Payment", terms.payment, settings.payment_code),
        ("Registry", terms.registry, settings.registry_code),
    ):
        told += _code_problems(node, name, at, pinned)
    told += _code_problems(node, "token", terms.token, None)
    if told:
        return told
    paid_in = _ask(node, views.TOKEN, terms.payment)
    if paid_in != terms.token:
        shown = format_address(Address(paid_in)) if isinstance(paid_in, bytes) else "no token"
        return [f"the Payment contract is paid in {shown}; the settings say {settings.token}"]
    decimals = _ask(node, views.DECIMALS, terms.token)
    if decimals != settings.token_decimals:
        shown = "no" if decimals is None else str(decimals)
        return [
            f"the token {settings.token} has {shown} decimals; the settings say {settings.token_decimals}"
        ]
    return []


def _code_problems(node: Endpoint, name: str, at: Address, pinned: str | None) -> list[str]:
    code = node.code(at)
    if not code:
        return [f"{node.name}: no contract stands at {format_address(at)} ({name})"]
    found = f"0x{keccak256(code).hex()}"
    if pinned is not None and found != pinned:
        return [
            f"{node.name}: other code stands at {format_address(at)} ({name}): keccak256 {found}; the settings say {pinned}"
        ]
    return []


def _ask(node: Endpoint, view: View, to: Address) -> object:
    """What a view without arguments tells now; None when there is no such view."""
    try:
        (told,) = view.answer(node.call(to, view.call(), node.head().block))
    except (CallReverted, PeerFault):
        return None
    return told
