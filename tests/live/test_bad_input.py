"""What is wrong before anything is sent, each told by its own words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import trio

from live.chain.nodes import Nodes, NotKnown
from live.chain.pinned import check
from live.chain.rpc import Endpoint, NodeError
from live.settings import ChainSettings
from live.tasks import Process
from protocol.errors import BadInput
from protocol.identity import format_address
from protocol.payment import CreateChannel, WithdrawUpTo
from protocol.ports import Approve, Transaction, TxReverted
from protocol.units import Address, PodId
from tests.live.anvil import Relay
from tests.live.benches import LiveBench
from tests.live.chains import POOR, PROVIDER, PUBLISHER, TOKENS, EvmChain, node_chain, owner
from tests.suites.bench import after

NOBODY = format_address(Address(b"\x77" * 20))
POD = PodId(b"\x11" * 32)


@pytest.fixture(scope="module")
def deployed() -> EvmChain:
    return EvmChain()


def checked(endpoint: Endpoint, settings: ChainSettings) -> None:
    process = Process("party")
    nodes = Nodes(process, [endpoint], confirmations=0)
    trio.run(process.run, check(nodes, settings, until_ns=process.now_ns() + 30 * 10**9))


def test_what_is_as_pinned_passes(deployed: EvmChain) -> None:
    checked(deployed.endpoint(), deployed.settings)


def pinned_wrong(deployed: EvmChain) -> dict[str, tuple[dict[str, Any], str]]:
    settings = deployed.settings
    return {
        "chain": ({"chain_id": 1}, f"is of chain {settings.chain_id}; the settings say 1"),
        "no code": ({"payment": NOBODY}, f"no contract stands at {NOBODY} (Payment)"),
        "no token": ({"token": NOBODY}, f"no contract stands at {NOBODY} (token)"),
        "other code": ({"payment": settings.registry}, f"other code stands at {settings.registry} (Payment)"),
        "other hash": ({"registry_code": f"0x{'00' * 32}"}, "(Registry): keccak256 0x"),
        "other token": ({"token": settings.registry}, f"paid in {settings.token}; the settings say"),
        "decimals": ({"token_decimals": 6}, "has 18 decimals; the settings say 6"),
    }


@pytest.mark.parametrize(
    "case", ["chain", "no code", "no token", "other code", "other hash", "other token", "decimals"]
)
def test_what_is_not_as_pinned_is_told(deployed: EvmChain, case: str) -> None:
    changes, words = pinned_wrong(deployed)[case]
    provider = deployed.provider()
    with pytest.raises(BadInput) as raised:
        checked(deployed.endpoint(provider), deployed.settings.model_copy(update=changes))
    assert words in str(raised.value)
    assert "eth_sendRawTransaction" not in provider.calls


# ---------------------------------------------------------------- endpoints that are none


@pytest.fixture
def relay() -> Iterator[Relay]:
    relay = Relay(None)
    yield relay
    relay.stuck.clear()
    relay.down()


def refusal(deployed: EvmChain, relay: Relay, timeout_s: float = 5) -> str:
    with pytest.raises(NotKnown) as raised:
        checked(Endpoint.http(relay.url, timeout_s=timeout_s), deployed.settings)
    assert not raised.value.sent and raised.value.retry_after_s
    assert raised.value.__cause__ is not None and isinstance(raised.value.__cause__, NodeError)
    assert str(raised.value).startswith(relay.url)
    return str(raised.value)


def test_html_is_no_answer_of_a_node(deployed: EvmChain, relay: Relay) -> None:
    relay.page = "<html><body>Welcome to nginx!</body></html>"
    assert "not as a JSON-RPC node does" in refusal(deployed, relay)
    assert relay.methods == ["eth_chainId"]


def test_json_that_is_none_of_jsonrpc(deployed: EvmChain, relay: Relay) -> None:
    for page in ('{"jsonrpc": "2.0", "id": 1, "result": {"chain": "?"}}', '{"chain": 1}', "[]", '"x"'):
        relay.page = page
        assert "not as a JSON-RPC node does" in refusal(deployed, relay), page


def test_an_error_of_the_node_is_shown_in_its_words(deployed: EvmChain, relay: Relay) -> None:
    relay.page = '{"jsonrpc": "2.0", "id": 1, "error": {"code": -32005, "message": "daily limit reached"}}'
    assert refusal(deployed, relay).endswith("daily limit reached (-32005)")


def test_nobody_listens(deployed: EvmChain, relay: Relay) -> None:
    relay.down()
    assert "cannot be reached: " in (told := refusal(deployed, relay)) and "refused" in told


def test_nothing_is_answered(deployed: EvmChain, relay: Relay) -> None:
    relay.stuck.set()
    assert "did not answer" in refusal(deployed, relay, timeout_s=0.2)


def test_there_is_no_such_host(deployed: EvmChain) -> None:
    with pytest.raises(NotKnown, match="no such host"):
        checked(Endpoint.http("http://nowhere.invalid:8545", timeout_s=5), deployed.settings)


@pytest.mark.parametrize(
    "url",
    [
        "ws://127.0.0.1:8545",
        "127.0.0.1:8545",
        "http://",
        "file:///etc/passwd",
        "http://[::1",
        "http://x:99999",
        "http://x:y",
    ],
)
def test_other_addresses_are_no_endpoints(url: str) -> None:
    with pytest.raises(BadInput, match="is no endpoint"):
        Endpoint.http(url, timeout_s=1)


def test_the_secrets_of_an_address_are_not_shown(relay: Relay) -> None:
    relay.down()
    endpoint = Endpoint.http(f"http://user:secret@127.0.0.1:{relay.port}/v3/apikey", timeout_s=1)
    with pytest.raises(NodeError) as raised:
        endpoint.chain_id()
    assert "secret" not in str(raised.value) and "apikey" not in str(raised.value)


# ---------------------------------------------------------------- purses that are empty


class Purse(LiveBench):
    def __init__(self, deployed: EvmChain, account: Any) -> None:
        super().__init__()
        self.provider = deployed.provider()
        self.chain = node_chain(self.process, [deployed.endpoint(self.provider)], deployed.settings, account)

    def refused(self, command: Any) -> str:
        prepared = self.run(self.chain.prepare(command))
        assert isinstance(prepared, Transaction)
        outcome = self.run(self.chain.send(prepared, deadline_ns=after(self, 3000)))
        assert isinstance(outcome, TxReverted) and outcome.fee_wei == 0, outcome
        assert "eth_sendRawTransaction" not in self.provider.calls
        again = self.run(self.chain.prepare(command))
        assert isinstance(again, Transaction) and again.nonce == prepared.nonce  # it is free
        return outcome.error


def test_no_gas(deployed: EvmChain) -> None:
    assert (
        Purse(deployed, POOR).refused(Approve(deployed.settings.terms.payment, 1)) == "InsufficientGasFunds"
    )


def test_no_funds(deployed: EvmChain) -> None:
    command = CreateChannel(owner(PROVIDER), POD, 3600, TOKENS + 1)
    assert Purse(deployed, PUBLISHER).refused(command) == "TokenRefused"


def test_a_refusal_of_the_contract(deployed: EvmChain) -> None:
    assert Purse(deployed, PROVIDER).refused(WithdrawUpTo(owner(PUBLISHER), POD, 5)) == "InsufficientFunds"


def test_nobody_but_the_payment_contract_may_take_tokens(deployed: EvmChain) -> None:
    purse = Purse(deployed, PUBLISHER)
    with pytest.raises(BadInput, match="only the Payment contract"):
        purse.run(purse.chain.prepare(Approve(owner(PROVIDER), 5)))


def test_a_transaction_of_somebody_else_is_not_sent(deployed: EvmChain) -> None:
    theirs, mine = Purse(deployed, PROVIDER), Purse(deployed, PUBLISHER)
    prepared = theirs.run(theirs.chain.prepare(Approve(deployed.settings.terms.payment, 1)))
    assert isinstance(prepared, Transaction)
    with pytest.raises(BadInput, match=f"of {PROVIDER.address}; the key is {PUBLISHER.address}"):
        mine.run(mine.chain.send(prepared, deadline_ns=after(mine, 100)))
