"""One JSON-RPC endpoint, blocking: the only module that knows web3, and the end of every error of its.

Values come out as the core has them: addresses and hashes are bytes, amounts are int. What goes wrong is a
`NodeError`, which says whether anything may have been sent, or `CallReverted`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar, cast
from urllib.parse import urlsplit

from eth_utils.exceptions import ValidationError
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from web3 import HTTPProvider, Web3
from web3.exceptions import (
    BadResponseFormat,
    BlockNotFound,
    ContractLogicError,
    TransactionNotFound,
    Web3Exception,
    Web3RPCError,
)
from web3.middleware import ExtraDataToPOAMiddleware

from protocol.codec import Log
from protocol.errors import BadInput, PortError, TrustedPodsError
from protocol.identity import format_address
from protocol.ports import Block
from protocol.units import Address

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eth_typing import ChecksumAddress, HexStr
    from web3.providers import BaseProvider
    from web3.types import BlockData, BlockIdentifier, FilterParams, LogReceipt

T = TypeVar("T")

SHOWN: Final = 160
"""So much of a foreign message is shown [characters]."""
RETRY_S: Final = 5
"""When another try makes sense after an endpoint failed [s]."""
REVERTED: Final = 3
"""geth's code of a call that was reverted."""
_ENDED_BADLY: Final = (
    "execution reverted",
    "vm exception",
    "vm execution error",
    "out of gas",
    "gas required exceeds",
)
"""What nodes say of a call that was simulated and came to no good end. That they gave it up for want of time
(geth: "execution aborted (timeout = 5s)") says nothing of the call."""
_MALFORMED: Final = (
    KeyError, TypeError, ValueError, AttributeError, IndexError, ValidationError, RecursionError,
)  # fmt: skip
"""What web3 raises when it reads an answer that is not what was asked for."""


class NodeError(PortError):
    """The endpoint failed: it is out of reach, silent, or answers nonsense."""


class NodeRefused(NodeError):
    """The endpoint answered with an error of its own.

    Args:
        where: the endpoint.
        code: JSON-RPC's code.
        message: the node's words.
        data: what else it told.
    """

    def __init__(self, where: str, code: int, message: str, data: Any = None) -> None:
        super().__init__(f"{where}: {message[:SHOWN]} ({code})", sent=True, retry_after_s=RETRY_S)
        self.code = code
        self.message = message
        self.data = data


class CallReverted(TrustedPodsError):
    """A call that was simulated reverted.

    Args:
        data: what it returned, usually an encoded error.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(f"0x{data.hex()}")
        self.data = data


@dataclass(frozen=True, slots=True)
class Head:
    """The newest block, and what a unit of gas costs in it.

    Attributes:
        block: the block.
        base_fee_wei: of EIP-1559 [wei]; 0 on a chain without.
    """

    block: Block
    base_fee_wei: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a transaction, as one endpoint says.

    Attributes:
        hash: the transaction's.
        block_number: where it was mined.
        block_hash: the hash of that block.
        succeeded: False: it was refused and paid for.
        gas_used: units of gas.
        fee_wei: what the sender paid, in base units of the gas token.
        logs: what was emitted.
    """

    hash: bytes
    block_number: int
    block_hash: bytes
    succeeded: bool
    gas_used: int
    fee_wei: int
    logs: tuple[Log, ...]


@dataclass(frozen=True, slots=True)
class Logged:
    """A log and where it stands."""

    block_number: int
    block_hash: bytes
    transaction: bytes
    index: int
    log: Log


class Endpoint:
    """One way to a chain.

    Args:
        provider: web3's.
        name: for messages; a URL without its secrets.
        by_hash: whether state can be asked for by block hash, as every node can; eth-tester cannot.
    """

    def __init__(self, provider: BaseProvider, name: str, *, by_hash: bool = True) -> None:
        self.name = name
        self._by_hash = by_hash
        self._w3 = Web3(provider)
        self._w3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)

    @classmethod
    def http(cls, url: str, *, timeout_s: float) -> Endpoint:
        """An endpoint at an address.

        Args:
            url: `http://…` or `https://…`; may hold a key, which is not shown.
            timeout_s: how long an answer is waited for [s].

        Raises:
            BadInput: it is no such address.
        """
        scheme, _, rest = url.partition("://")
        host = rest.partition("/")[0].rpartition("@")[2]
        try:
            parts = urlsplit(url)
            named = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:  # a port that is none, half an IPv6 address
            named = False
        if scheme not in ("http", "https") or not named:
            raise BadInput(f"{url.partition('@')[0]!r} is no endpoint: http://… or https://… is wanted")
        provider = HTTPProvider(
            url,
            request_kwargs={"timeout": timeout_s},
            exception_retry_configuration=None,  # whoever asks knows until when
        )
        return cls(provider, f"{scheme}://{host}")

    # ------------------------------------------------------------ reads

    def chain_id(self) -> int:
        """EIP-155 id."""
        return self._ask(lambda eth: int(eth.chain_id))

    def head(self) -> Head:
        """The newest block."""
        return self._ask(lambda eth: _head(eth.get_block("latest")))

    def block(self, number: int) -> Block | None:
        """The canonical block of this number; None when there is none (yet)."""

        def read(eth: Any) -> Block | None:
            try:
                return _head(eth.get_block(number)).block
            except BlockNotFound:
                return None

        return self._ask(read)

    def code(self, at: Address) -> bytes:
        """What stands at an address now; empty when nothing does."""
        return self._ask(lambda eth: bytes(eth.get_code(_text(at))))

    def call(self, to: Address, data: bytes, block: Block) -> bytes:
        """What a view returns at a block.

        Raises:
            CallReverted: it refused.
        """
        message: dict[str, Any] = {"to": _text(to), "data": _hex(data)}
        return self._simulate(lambda eth: bytes(eth.call(message, self._at(block))))

    def balance(self, owner: Address, block: Block) -> int:
        """What `owner` holds of the gas token at a block [wei]."""
        return self._ask(lambda eth: int(eth.get_balance(_text(owner), self._at(block))))

    def simulate(self, *, sender: Address, to: Address | None, data: bytes, gas: int, number: int) -> bytes:
        """What a transaction would return after block `number`, whatever gas costs.

        Raises:
            CallReverted: it would be refused.
        """
        message = {**_message(sender, to, data), "gas": gas}
        return self._simulate(lambda eth: bytes(eth.call(message, number)))

    def estimate(self, *, sender: Address, to: Address | None, data: bytes) -> int:
        """Gas that a transaction would take after the newest block.

        Raises:
            CallReverted: it would be refused.
        """
        message = _message(sender, to, data)
        return self._simulate(lambda eth: int(eth.estimate_gas(message, "latest")))

    def tip_wei(self) -> int:
        """What the endpoint advises to pay on top of the base fee [wei a unit of gas]."""
        return self._ask(lambda eth: int(eth.max_priority_fee))

    def nonce(self, sender: Address, number: int | str) -> int:
        """How many transactions of `sender` are mined at block `number`, or also `pending`."""
        return self._ask(lambda eth: int(eth.get_transaction_count(_text(sender), number)))

    def receipt(self, transaction: bytes) -> Receipt | None:
        """What became of a transaction; None when it is not mined."""

        def read(eth: Any) -> Receipt | None:
            try:
                raw = eth.get_transaction_receipt(_hex(transaction))
            except TransactionNotFound:
                return None
            if raw["blockHash"] is None or raw["blockNumber"] is None:
                return None
            return Receipt(
                hash=bytes(raw["transactionHash"]),
                block_number=int(raw["blockNumber"]),
                block_hash=bytes(raw["blockHash"]),
                succeeded=raw["status"] == 1,
                gas_used=int(raw["gasUsed"]),
                fee_wei=int(raw["gasUsed"]) * int(raw["effectiveGasPrice"]),
                logs=tuple(_log(log) for log in raw["logs"]),
            )

        return self._ask(read)

    def mined(self, sender: Address, nonce: int, *, before: int) -> bytes:
        """The hash of the transaction with this nonce, which is mined at block `before`.

        Looks back from that block by doubling steps, since nodes keep the state of old blocks for a time only.

        Raises:
            NodeError: the node no longer has the state of the blocks in question, or contradicts itself.
        """
        above, step = before, 1
        while above > 0 and self.nonce(sender, max(0, before - step)) > nonce:
            above, step = max(0, before - step), 2 * step
        below = max(0, before - step)
        while above - below > 1:
            middle = (above + below) // 2
            if self.nonce(sender, middle) > nonce:
                above = middle
            else:
                below = middle

        def read(eth: Any) -> bytes:
            for raw in eth.get_block(above, full_transactions=True)["transactions"]:
                if _address(raw["from"]) == sender and int(raw["nonce"]) == nonce:
                    return bytes(raw["hash"])
            raise ValueError(f"block {above} used nonce {nonce} and has no transaction with it")

        return self._ask(read)

    def logs(self, addresses: Sequence[Address], first: int, last: int) -> tuple[Logged, ...]:
        """What contracts emitted in blocks `first` to `last`, both included, in order."""
        wanted = cast(
            "FilterParams",
            {"address": [_text(address) for address in addresses], "fromBlock": first, "toBlock": last},
        )

        def read(eth: Any) -> tuple[Logged, ...]:
            return tuple(
                Logged(
                    int(raw["blockNumber"]),
                    bytes(raw["blockHash"]),
                    bytes(raw["transactionHash"]),
                    int(raw["logIndex"]),
                    _log(raw),
                )
                for raw in eth.get_logs(wanted)
            )

        return self._ask(read)

    # ------------------------------------------------------------ the one call that changes something

    def send(self, raw: bytes) -> None:
        """Hand over a signed transaction.

        Raises:
            NodeRefused: the node does not take it; see `signed.verdict`.
        """
        self._ask(lambda eth: eth.send_raw_transaction(_hex(raw)))

    # ------------------------------------------------------------ foreign errors end here

    def _at(self, block: Block) -> BlockIdentifier:
        return cast("BlockIdentifier", _hex(block.hash) if self._by_hash else block.number)

    def _simulate(self, question: Callable[[Any], T]) -> T:
        """Ask for the outcome of a call, which may be that it is refused. Nothing else that is asked can be."""
        try:
            return self._ask(question)
        except NodeRefused as refused:
            words = refused.message.lower()
            bad_end = refused.code == REVERTED or any(word in words for word in _ENDED_BADLY)
            if bad_end and "timeout" not in words:
                raise CallReverted(_revert_data(refused.data)) from refused
            raise

    def _ask(self, question: Callable[[Any], T]) -> T:
        try:
            return question(self._w3.eth)
        except ContractLogicError as error:
            raise NodeRefused(self.name, REVERTED, str(error.message), error.data) from error
        except Web3RPCError as error:
            self._refused(error)
        except BadResponseFormat as error:
            raise self._nonsense(error) from error
        except Web3Exception as error:
            raise self._nonsense(error) from error
        except OSError as error:  # requests' errors are OSErrors
            raise self._unreachable(error) from error
        except _MALFORMED as error:
            raise self._nonsense(error) from error

    def _refused(self, error: Web3RPCError) -> NoReturn:
        answer: Any = (error.rpc_response or {}).get("error") or {}
        if not isinstance(answer, dict):
            answer = {"message": str(answer)}
        message, code = str(answer.get("message", error)), answer.get("code", 0)
        code = code if isinstance(code, int) else 0
        raise NodeRefused(self.name, code, message, answer.get("data")) from error

    def _nonsense(self, error: Exception) -> NodeError:
        what = f"{type(error).__name__}: {error}"[:SHOWN].replace("\n", " ")
        return NodeError(
            f"{self.name} answers, but not as a JSON-RPC node does ({what})", sent=True, retry_after_s=RETRY_S
        )

    def _unreachable(self, error: OSError) -> NodeError:
        response = getattr(error, "response", None)
        if response is not None:
            return NodeError(
                f"{self.name} answers with HTTP status {response.status_code}",
                sent=True,
                retry_after_s=RETRY_S,
            )
        if isinstance(error, ValueError):  # it is JSON that could not be read
            return self._nonsense(error)
        reason = getattr(error.args[0] if error.args else None, "reason", None)
        if isinstance(reason, NameResolutionError):
            return NodeError(f"{self.name}: there is no such host", sent=False, retry_after_s=RETRY_S)
        if isinstance(reason, (NewConnectionError, ConnectTimeoutError)):
            return NodeError(
                f"{self.name} cannot be reached: {_last_words(reason)}", sent=False, retry_after_s=RETRY_S
            )
        return NodeError(
            f"{self.name} did not answer: {_last_words(error)}", sent=True, retry_after_s=RETRY_S
        )


def _last_words(error: BaseException) -> str:
    """The end of a chain of foreign messages: `Connection refused`."""
    return str(error).rpartition(": ")[2].strip("'\")(")[:SHOWN] or type(error).__name__


def _head(raw: BlockData) -> Head:
    block = Block(int(raw["number"]), bytes(raw["hash"]), int(raw["timestamp"]))
    if len(block.hash) != 32:
        raise ValueError(f"a block hash of {len(block.hash)} bytes")
    return Head(block, int(raw.get("baseFeePerGas", 0)))


def _log(raw: LogReceipt) -> Log:
    return Log(_address(raw["address"]), tuple(bytes(topic) for topic in raw["topics"]), bytes(raw["data"]))


def _address(text: str) -> Address:
    return Address(bytes.fromhex(text.removeprefix("0x")))


def _text(address: Address) -> ChecksumAddress:
    return cast("ChecksumAddress", format_address(address))


def _hex(data: bytes) -> HexStr:
    return cast("HexStr", f"0x{data.hex()}")


def _message(sender: Address, to: Address | None, data: bytes) -> dict[str, Any]:
    message: dict[str, Any] = {"from": _text(sender), "data": _hex(data), "value": 0}
    return message if to is None else {**message, "to": _text(to)}


def _revert_data(data: Any) -> bytes:
    """Nodes put it into a text, or into an object around one."""
    if isinstance(data, dict):
        data = next((value for value in data.values() if isinstance(value, str) and value[:2] == "0x"), "")
    if isinstance(data, bytes):
        return data
    try:
        return bytes.fromhex(str(data or "").partition("0x")[2])
    except ValueError:
        return b""
