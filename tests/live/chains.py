"""Real chains for tests, with the contracts on them and two parties that hold gas."""

from __future__ import annotations

import ast
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import trio
from eth_account import Account
from eth_tester import EthereumTester, PyEVMBackend
from eth_tester.exceptions import TransactionFailed, ValidationError
from eth_utils.exceptions import ValidationError as EvmValidationError
from web3 import EthereumTesterProvider

from live.chain.deploying import Deployer, Plan
from live.chain.port import Fees, NodeChain
from live.chain.rpc import Endpoint
from live.chain.sending import Pace
from live.settings import GWEI, ChainSettings
from live.tasks import Process
from protocol.abi import encode, selector
from protocol.identity import parse_address
from protocol.units import Address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from eth_account.signers.local import LocalAccount

DEPLOYER, PUBLISHER, PROVIDER, POOR = (Account.from_key(bytes([n]) * 32) for n in (1, 2, 3, 4))
ETHER = 10**18
TOKENS = 10**6
QUICK = Pace(poll_s=0.02, resend_s=0.2, bump_s=600)


def owner(account: LocalAccount) -> Address:
    return parse_address(account.address)


def mint_data(to: Address, amount: int) -> bytes:
    return selector("mint(address,uint256)") + encode("(address,uint256)", (to, amount))


def deploy(endpoint: Endpoint, url: str = "http://127.0.0.1:1", *, confirmations: int = 0) -> ChainSettings:
    process = Process("deployer")
    plan = Plan(None, 18, confirmations, 100 * GWEI, 60, QUICK)
    return trio.run(process.run, Deployer(process, endpoint, DEPLOYER, plan).deploy(url))


def node_chain(
    process: Process,
    endpoints: list[Endpoint],
    settings: ChainSettings,
    account: LocalAccount,
    *,
    pace: Pace = QUICK,
    cap_wei: int = 100 * GWEI,
) -> NodeChain:
    return NodeChain(process, endpoints, settings.terms, account, Fees(cap_wei=cap_wei, prepare_s=10), pace)


def no_channels(method: str, params: Any, answer: Any) -> Any:
    """The answer of an endpoint that says, of every channel that is read, that there is none."""
    if method == "eth_call":
        zeros = "0" * (len(answer["result"]) - 2 - 128)
        return {**answer, "result": answer["result"][:130] + zeros}
    return answer


class EvmProvider(EthereumTesterProvider):
    """eth-tester, behind one lock, with refusals in the form that nodes give them.

    Attributes:
        silent: nobody answers.
        twist: makes another answer of (method, parameters, answer).
    """

    def __init__(self, tester: EthereumTester, lock: threading.RLock) -> None:
        super().__init__(tester)
        self.lock = lock
        self.silent = False
        self.twist: Callable[[str, Any, Any], Any] = lambda method, params, answer: answer
        self.calls: list[str] = []

    def make_request(self, method: Any, params: Any) -> Any:
        self.calls.append(str(method))
        if self.silent:
            raise ConnectionRefusedError("nobody listens")
        with self.lock:
            try:
                answer = super().make_request(method, params)
            except TransactionFailed as error:
                return _refused(3, "execution reverted", returned(error))
            except (ValidationError, EvmValidationError) as error:
                return _refused(-32000, str(error))
        return self.twist(method, params, answer)


class EvmChain:
    """py-evm in process. Blocks are made when asked for, or by a thread of `mining`."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.tester = EthereumTester(PyEVMBackend())
        rich = self.tester.get_accounts()[0]
        for account in (DEPLOYER, PUBLISHER, PROVIDER):
            self.tester.send_transaction(
                {
                    "from": rich,
                    "to": account.address,
                    "value": 100 * ETHER,
                    "gas": 21_000,
                    "gas_price": 10 * GWEI,
                }
            )
        self.settings = deploy(self.endpoint())
        mint = mint_data(owner(PUBLISHER), TOKENS)
        self.tester.send_transaction(
            {
                "from": rich,
                "to": self.settings.token,
                "data": f"0x{mint.hex()}",
                "gas": 200_000,
                "gas_price": 10 * GWEI,
            }
        )
        self.tester.disable_auto_mine_transactions()

    def provider(self) -> EvmProvider:
        return EvmProvider(self.tester, self.lock)

    def endpoint(self, provider: EvmProvider | None = None) -> Endpoint:
        return Endpoint(provider or self.provider(), "py-evm", by_hash=False)

    def mine(self, blocks: int = 1) -> None:
        with self.lock:
            self.tester.mine_blocks(blocks)

    @contextmanager
    def mining(self, every_s: float) -> Iterator[None]:
        stop = threading.Event()

        def work() -> None:
            while not stop.wait(every_s):
                self.mine()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def _refused(code: int, message: str, data: bytes = b"") -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": message, "data": f"0x{data.hex()}"}}


def returned(failed: TransactionFailed) -> bytes:
    """What a call returned; eth-tester writes bytes as Python does."""
    (message,) = failed.args
    data = ast.literal_eval(str(message).removeprefix("execution reverted: "))
    assert isinstance(data, bytes)
    return data
