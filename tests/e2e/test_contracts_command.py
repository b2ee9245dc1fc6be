"""`trustedpods contracts` as a person types it, against anvil."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from live.chain.deploying import created_address
from live.chain.rpc import Endpoint
from live.settings import GWEI, load
from protocol.identity import format_address
from protocol.payment import CreateChannel, WithdrawUpTo
from protocol.ports import Approve, Transaction, TxConfirmed
from protocol.pricing import PriceTable
from protocol.registry import RegisterPricingTable, RegisterProvider
from protocol.units import Cid, PodId
from tests.live.anvil import Anvil, Mining, Relay
from tests.live.benches import LiveBench
from tests.live.chains import DEPLOYER, PROVIDER, PUBLISHER, node_chain, owner
from tests.suites.bench import after

pytestmark = pytest.mark.e2e


def command(*args: object) -> Result:
    result = CliRunner().invoke(main, ["contracts", *map(str, args)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def node() -> Iterator[Anvil]:
    node = Anvil()
    for account in (DEPLOYER, PUBLISHER, PROVIDER):
        node.give_gas(account)
    yield node
    node.stop()


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("key").write_text(DEPLOYER.key.hex())


def test_what_was_deployed_can_be_used_and_shown(node: Anvil) -> None:
    with Mining(node, 0.1):
        done = command("deploy", "--rpc", node.url, "--key", "key", "--confirmations", 1)
    assert done.exit_code == 0, done.output
    settings = load(Path("chain.yaml"))
    assert settings.payment in done.output and settings.registry in done.output
    node.mint(settings)

    bench = LiveBench()
    endpoint = Endpoint.http(node.url, timeout_s=5)
    publisher, provider = (node_chain(bench.process, [endpoint], settings, a) for a in (PUBLISHER, PROVIDER))
    table = PriceTable(
        token=settings.terms.token,
        cpu=5,
        ram=4,
        storage=3,
        egress=2,
        ingress=1,
        gpu=None,
        ip=None,
        tee_type="\x1b[2J",
    )
    with Mining(node, 0.1):
        for chain, ordered in (
            (publisher, Approve(settings.terms.payment, 1000)),
            (publisher, CreateChannel(owner(PROVIDER), PodId(b"\x11" * 32), 3600, 1000)),
            (provider, WithdrawUpTo(owner(PUBLISHER), PodId(b"\x11" * 32), 250)),
            (provider, RegisterProvider(Cid("bafkreitest"))),
            (provider, RegisterPricingTable.of(table)),
        ):
            prepared = bench.run(chain.prepare(ordered))
            assert isinstance(prepared, Transaction)
            assert isinstance(bench.run(chain.send(prepared, deadline_ns=after(bench, 1000))), TxConfirmed)

    state = json.loads(command("show", "chain.yaml", "--json").stdout)
    assert (state["held"], state["owed"], state["token_decimals"]) == ("750", "750", 18)
    assert state["code_of_this_release"] == {"Payment": True, "Registry": True}
    (channel,) = state["channels"]
    assert (channel["publisher"], channel["withdrawn_by_provider"]) == (PUBLISHER.address, "250")
    assert state["providers"] == [{"provider": PROVIDER.address, "record": "bafkreitest", "tables": [1]}]
    assert state["tables"]["1"]["prices"] == ["5", "4", "3", "2", "1"]
    shown = command("show", "chain.yaml").stdout
    assert PUBLISHER.address in shown and "bafkreitest" in shown and "\x1b" not in shown

    again = command("deploy", "--rpc", node.url, "--key", "key")
    assert again.exit_code == 2 and "chain.yaml exists" in again.stderr
    with Path("chain.yaml").open("a") as file:
        file.write("confirmation: 3\n")
    assert command("show", "chain.yaml").exit_code == 2


def test_who_cannot_pay_is_told_before_anything_is_sent(node: Anvil) -> None:
    node.rpc("anvil_setBalance", DEPLOYER.address, hex(10**9))
    refused = command("deploy", "--rpc", node.url, "--key", "key")
    assert refused.exit_code == 2 and f"{DEPLOYER.address} holds {10**9} wei" in refused.stderr
    assert node.rpc("eth_getTransactionCount", DEPLOYER.address, "pending") == "0x0"
    assert not Path("chain.yaml").exists()


def test_a_purse_for_one_contract_alone_is_told_before_anything_is_sent(node: Anvil) -> None:
    held = 900_000 * price_wei(node)
    node.rpc("anvil_setBalance", DEPLOYER.address, hex(held))
    with Mining(node, 0.1):
        refused = command("deploy", "--rpc", node.url, "--key", "key", "--confirmations", 1)
    assert refused.exit_code == 2 and f"{DEPLOYER.address} holds {held} wei" in refused.stderr
    assert "creating the three contracts may cost up to" in refused.stderr
    assert "nothing was sent" in refused.stderr
    assert node.rpc("eth_getTransactionCount", DEPLOYER.address, "pending") == "0x0"
    assert not Path("chain.yaml").exists()


def price_wei(node: Anvil) -> int:
    """What a deployment offers for a unit of gas."""
    base = int(node.rpc("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)
    return 2 * base + int(node.rpc("eth_maxPriorityFeePerGas"), 16)


def test_gas_above_the_cap_is_told_before_anything_is_sent(node: Anvil) -> None:
    node.rpc("anvil_setNextBlockBaseFeePerGas", hex(3 * GWEI))
    node.mine()
    refused = command("deploy", "--rpc", node.url, "--key", "key", "--max-gas-price", 3)
    assert refused.exit_code == 2 and f"the most that is paid is {3 * GWEI} wei; nothing" in refused.stderr
    assert node.rpc("eth_getTransactionCount", DEPLOYER.address, "pending") == "0x0"


@pytest.mark.parametrize("out", ["chain.yaml", "missing/chain.yaml", "."])
def test_settings_that_cannot_be_written_are_told_before_anything_is_sent(node: Anvil, out: str) -> None:
    Path("chain.yaml").symlink_to("nowhere")
    with Mining(node, 0.1):
        refused = command("deploy", "--rpc", node.url, "--key", "key", "--confirmations", 1, "--out", out)
    assert refused.exit_code == 2 and out in refused.stderr, refused.output
    assert node.rpc("eth_getTransactionCount", DEPLOYER.address, "pending") == "0x0"


def test_a_deployment_that_ends_early_tells_what_stands_and_what_may(node: Anvil) -> None:
    relay, sent = Relay(node.url), 0

    def one_alone(method: str, params: Any, answer: Any) -> Any:
        nonlocal sent
        if method == "eth_sendRawTransaction":
            sent += 1
            if sent == 1:
                node.mine(2)
        return answer

    relay.twist = one_alone
    early = command("deploy", "--rpc", relay.url, "--key", "key", "--confirmations", 1, "--deadline", 4)
    relay.down()
    token, payment = (format_address(created_address(owner(DEPLOYER), nonce)) for nonce in (0, 1))
    assert early.exit_code == 5 and early.stdout == f"token    {token}\n"
    pending = node.rpc("eth_getBlockByNumber", "pending", False)["transactions"]
    assert f"creating Payment: transaction {pending[0]}, nonce 1: not mined" in early.stderr
    assert "may still be mined" in early.stderr and payment in early.stderr
    assert f"these stand already: TestToken at {token}" in early.stderr and "TxUnknown" not in early.stderr
    noted = Path("chain.yaml").read_text().splitlines()
    assert f"# TestToken stands at {token}" in noted[1] and pending[0] in noted[2]
    assert command("show", "chain.yaml").exit_code == 2


def test_a_node_with_short_ranges_can_be_shown(node: Anvil) -> None:
    with Mining(node, 0.1):
        done = command("deploy", "--rpc", node.url, "--key", "key", "--confirmations", 1, "--json")
    assert json.loads(done.stdout)["payment"] == load(Path("chain.yaml")).payment
    node.rpc("anvil_mine", hex(2500))
    relay, limit = Relay(node.url), 1000

    def short(method: str, params: Any, answer: Any) -> Any:
        if method != "eth_getLogs":
            return answer
        if int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) < limit:
            return answer
        error = {"code": -32005, "message": f"block range limit exceeded: {limit}"}
        return {"jsonrpc": "2.0", "id": answer["id"], "error": error}

    relay.twist = short
    path = Path("chain.yaml")
    path.write_text(path.read_text().replace(node.url, relay.url))
    shown = command("show", "chain.yaml")
    relay.down()
    assert shown.exit_code == 0 and "0 channels" in shown.stdout, shown.output
    assert relay.methods.count("eth_getLogs") == 4  # 2,000 are refused; then 1,000, 1,000 and the rest


def test_a_token_that_is_none_is_told_before_anything_is_sent(node: Anvil) -> None:
    refused = command("deploy", "--rpc", node.url, "--key", "key", "--token", f"0x{'77' * 20}")
    assert refused.exit_code == 2 and "no token that tells its decimals" in refused.stderr
    assert node.rpc("eth_getTransactionCount", DEPLOYER.address, "pending") == "0x0"
