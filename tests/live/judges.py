"""Real chains as judges of the simulated ones: see `tests.suites.actions`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_tester.exceptions import TransactionFailed

from live.settings import GWEI
from protocol import views
from protocol.abi import View
from protocol.codec import Log, call_data, error_name, events_of, target
from protocol.payment import Channel, ChannelKey
from protocol.ports import Block, ChainTerms
from protocol.registry import Registry
from protocol.units import Address, Cid
from sim.chain.contracts import Executed
from tests.live.anvil import Anvil
from tests.live.chains import DEPLOYER, EvmChain, mint_data, owner, returned
from tests.suites.actions import PURSE, Action, Judge, People

ACCOUNTS: Final[tuple[LocalAccount, ...]] = tuple(Account.from_key(bytes([n]) * 32) for n in (11, 12, 13, 14))
PEOPLE: Final = People((owner(ACCOUNTS[0]), owner(ACCOUNTS[1])), (owner(ACCOUNTS[2]), owner(ACCOUNTS[3])))
_TABLE: Final = View("table", "(uint256)", views.TABLES.told.replace("[])", ")"))
_MANY: Final = 1000


class RealJudge(ABC):
    """A chain with nodes and blocks of its own."""

    people = PEOPLE

    def __init__(self, terms: ChainTerms) -> None:
        self.terms = terms

    @abstractmethod
    def send(self, action: Action, gas_limit: int) -> tuple[Block, Executed]: ...

    @abstractmethod
    def call(self, to: Address, data: bytes) -> bytes:
        """What a view answers after the newest block."""

    def _ask(self, to: Address, view: View, *values: Any) -> Any:
        (answer,) = view.answer(self.call(to, view.call(*values)))
        return answer

    def channels(self, keys: Sequence[ChannelKey]) -> dict[ChannelKey, Channel | None]:
        records = self._ask(self.terms.payment, views.CHANNELS_OF, keys)
        found = {key: views.channel_of(record) for key, record in zip(keys, records, strict=True)}
        return {key: c if c is not None and c.exists else None for key, c in found.items()}

    def balance(self, owner: Address) -> int:
        held: int = self._ask(self.terms.token, views.BALANCE_OF, owner)
        return held

    def allowance(self, owner: Address, spender: Address) -> int:
        allowed: int = self._ask(self.terms.token, views.ALLOWANCE, owner, spender)
        return allowed

    def registry(self) -> Registry:
        at = self.terms.registry
        listings = self._ask(at, views.PROVIDERS, 0, _MANY, 0)
        count = self._ask(at, views.TABLE_COUNT)
        tables = [self._ask(at, _TABLE, table_id) for table_id in range(1, count + 1)]
        held = {who: self._ask(at, views.SUBSCRIPTIONS, who, 0, _MANY) for who in PEOPLE.all}
        return Registry(
            providers={provider: Cid(cid) for provider, cid, _, _ in listings},
            published=dict(map(views.table_of, tables)),
            subscriptions={who: tuple(sorted(ids)) for who, ids in held.items() if ids},
            subscribers={table[0]: table[-1] for table in tables if table[-1]},
        )


class EthTesterJudge(RealJudge):
    """py-evm in process; a block a transaction."""

    def __init__(self, chain: EvmChain) -> None:
        super().__init__(chain.settings.terms)
        self._tester = chain.tester
        self._tester.enable_auto_mine_transactions()
        rich = self._tester.get_accounts()[0]
        for account in ACCOUNTS:
            self._tester.add_account(f"0x{bytes(account.key).hex()}")
            self._transact({"from": rich, "to": account.address, "value": 10**20, "gas": 21_000})
        for publisher in PEOPLE.publishers:
            data = f"0x{mint_data(publisher, PURSE).hex()}"
            self._transact({"from": rich, "to": chain.settings.token, "data": data, "gas": 200_000})
        self._begin = self._tester.take_snapshot()

    def restart(self) -> None:
        """Be as after the first minting."""
        self._tester.revert_to_snapshot(self._begin)

    def send(self, action: Action, gas_limit: int) -> tuple[Block, Executed]:
        if action.wait_s > 1:
            newest = self._tester.get_block_by_number("latest")["timestamp"]
            self._tester.time_travel(newest + action.wait_s - 1)
        call = {
            "from": _hex(action.sender),
            "to": _hex(target(action.command, self.terms)),
            "data": _hex(call_data(action.command)),
        }
        receipt = self._transact({**call, "gas": gas_limit})
        number = receipt["block_number"]
        block = Block(number, bytes(32), self._tester.get_block_by_number(number)["timestamp"])
        if receipt["status"] == 1:
            logs = [_log(log["address"], log["topics"], log["data"]) for log in receipt["logs"]]
            return block, Executed(receipt["gas_used"], events_of(logs, self.terms))
        try:  # in the same block, after it
            self._tester.call({**call, "gas": gas_limit, "gas_price": 10 * GWEI}, block_number=number)
        except TransactionFailed as failed:
            return block, Executed(receipt["gas_used"], error=error_name(returned(failed)))
        raise AssertionError(f"{action} failed, and then did not")

    def call(self, to: Address, data: bytes) -> bytes:
        told: str = self._tester.call({"from": _hex(PEOPLE.all[0]), "to": _hex(to), "data": _hex(data)})
        return bytes.fromhex(told[2:])

    def _transact(self, transaction: dict[str, Any]) -> Any:
        sent = self._tester.send_transaction({**transaction, "gas_price": 10 * GWEI})
        return self._tester.get_transaction_receipt(sent)


class AnvilJudge(RealJudge):
    """anvil over JSON-RPC; a block a transaction."""

    def __init__(self, node: Anvil) -> None:
        super().__init__(node.deploy().terms)
        self._node = node
        for account in ACCOUNTS:
            node.give_gas(account)
        node.rpc("anvil_impersonateAccount", DEPLOYER.address)
        for publisher in PEOPLE.publishers:
            data = _hex(mint_data(publisher, PURSE))
            call = {"from": DEPLOYER.address, "to": _hex(self.terms.token), "data": data}
            node.rpc("eth_sendTransaction", call)
            node.mine()
        self._accounts = {owner(account): account for account in ACCOUNTS}
        self._begin = node.rpc("evm_snapshot")

    def restart(self) -> None:
        """Be as after the first minting."""
        self._node.rpc("evm_revert", self._begin)
        self._begin = self._node.rpc("evm_snapshot")

    def send(self, action: Action, gas_limit: int) -> tuple[Block, Executed]:
        rpc = self._node.rpc
        newest = rpc("eth_getBlockByNumber", "latest", False)
        rpc("evm_setNextBlockTimestamp", hex(int(newest["timestamp"], 16) + action.wait_s))
        account = self._accounts[action.sender]
        transaction: dict[str, Any] = {
            "chainId": self.terms.chain_id,
            "nonce": int(rpc("eth_getTransactionCount", account.address, "latest"), 16),
            "to": bytes(target(action.command, self.terms)),
            "data": call_data(action.command),
            "gas": gas_limit,
            "maxFeePerGas": 10 * GWEI,
            "maxPriorityFeePerGas": 1,
            "value": 0,
        }
        signed = account.sign_transaction(transaction)
        sent = rpc("eth_sendRawTransaction", _hex(signed.raw_transaction))
        rpc("evm_mine")
        receipt = rpc("eth_getTransactionReceipt", sent)
        number, gas_used = int(receipt["blockNumber"], 16), int(receipt["gasUsed"], 16)
        block = Block(
            number, bytes(32), int(rpc("eth_getBlockByNumber", hex(number), False)["timestamp"], 16)
        )
        if receipt["status"] == "0x1":
            logs = [_log(log["address"], log["topics"], log["data"]) for log in receipt["logs"]]
            return block, Executed(gas_used, events_of(logs, self.terms))
        trace = rpc("debug_traceTransaction", sent, {"tracer": "callTracer"})
        return block, Executed(gas_used, error=error_name(bytes.fromhex(trace.get("output", "0x")[2:])))

    def call(self, to: Address, data: bytes) -> bytes:
        told: str = self._node.rpc("eth_call", {"to": _hex(to), "data": _hex(data)}, "latest")
        return bytes.fromhex(told[2:])


def _hex(raw: bytes) -> str:
    return f"0x{bytes(raw).hex()}"


def _log(address: str, topics: Sequence[str], data: str) -> Log:
    return Log(
        Address(bytes.fromhex(address[2:])),
        tuple(bytes.fromhex(topic[2:]) for topic in topics),
        bytes.fromhex(data[2:]),
    )


_JUDGES: tuple[type[Judge], ...] = (EthTesterJudge, AnvilJudge)
