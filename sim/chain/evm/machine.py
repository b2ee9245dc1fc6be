"""pyrevm: one transaction at a time, on an EVM of its own. The one module that knows pyrevm.

pyrevm keeps everything in one open transaction. In an EVM that lives on, what was touched once stays warm, and its
value of then stays the original one that refunds and prices are counted from, so gas is wrong from the second call
on. A fresh EVM costs 4 µs. Each slot that a transaction will find is put in inside a checkpoint of its own that is
reverted: its value stays, for the first slot after a checkpoint goes to the database below the journal (what follows
it would go to the journal, and be lost), and nothing of it is warm.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pyrevm

from protocol.codec import Log
from protocol.units import Address

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

SPEC: Final = "CANCUN"
"""As `evmVersion` in contracts/build.mjs."""
FLOOR: Final = (21_000, 10)
"""Gas that a transaction uses at least: as such, and for each token of its data, a token being a zero byte or a
quarter of another. It is of Ethereum's next rules (EIP-7623, Prague), and all of them that these contracts can feel."""

Place = tuple[Address, int]
"""A contract's slot."""

_REVERTED: Final = re.compile(r"Revert \{ gas_used: (\d+), output: 0x([0-9a-f]*) \}")
_HALTED: Final = re.compile(r"Halt \{ reason: (\w+)(?:\(\w+\))?, gas_used: (\d+) \}")
_ACCOUNT: Final = re.compile(r"(0x[0-9a-f]{40}): Account \{ info:")
_STORAGE: Final = re.compile(r"storage: \{(.*?)\}, status", re.DOTALL)
_SLOT: Final = re.compile(r"(\d+): StorageSlot \{")
_DEPLOYER: Final = f"0x{'dd' * 20}"


class Ran(NamedTuple):
    """How a transaction ended.

    Attributes:
        gas_used: units of gas, refunds subtracted.
        logs: what was emitted; none when it failed.
        refusal: what it returned when it was reverted; None when it was not.
        halted: why it was stopped when it was, such as `OutOfGas`; it has used up its limit then.
        evm: the EVM, with what it left in the slots.
    """

    gas_used: int
    logs: tuple[Log, ...]
    refusal: bytes | None
    halted: str | None
    evm: Any

    @property
    def succeeded(self) -> bool:
        """Whether what it wrote stays."""
        return self.refusal is None and self.halted is None


class Machine:
    """Runs transactions on contracts that stand at given addresses.

    Args:
        codes: each contract's runtime code.
    """

    def __init__(self, codes: Mapping[Address, bytes]) -> None:
        self._accounts = [
            (hexed(address), pyrevm.AccountInfo(nonce=1, code=code)) for address, code in codes.items()
        ]
        self._names: dict[Address, str] = {address: hexed(address) for address in codes}
        self._addresses: dict[str, Address] = {}
        self._block: tuple[int, int] | None = None
        self._env = pyrevm.BlockEnv()

    def run(
        self,
        caller: Address,
        to: Address,
        data: bytes,
        held: Iterable[tuple[Place, int]],
        *,
        gas_limit: int,
        number: int = 1,
        time_s: int = 1,
    ) -> Ran:
        """Carry out a transaction.

        Args:
            caller: who sends it.
            to: the contract.
            data: the call's.
            held: what the slots hold that it may touch; the others hold 0.
            gas_limit: units of gas, at least `least_gas` of the data.
            number: the block's.
            time_s: the block's [Unix s].
        """
        evm: Any = pyrevm.EVM(spec_id=SPEC)
        if self._block != (number, time_s):
            self._block, self._env = (number, time_s), pyrevm.BlockEnv(number=number, timestamp=time_s)
        evm.set_block_env(self._env)
        for name, account in self._accounts:
            evm.insert_account_info(name, account)
        names = self._names
        snapshot, insert, revert = evm.snapshot, evm.insert_account_storage, evm.revert
        for (address, slot), value in held:
            checkpoint = snapshot()
            insert(names[address], slot, value)
            revert(checkpoint)
        least = least_gas(data)
        try:
            evm.message_call(self._name(caller), names[to], data, gas=gas_limit)
        except RuntimeError as error:
            gas_used, refusal, halted = _failure(str(error))
            return Ran(max(gas_used, least), (), refusal, halted, evm)
        result = evm.result
        return Ran(max(result.gas_used, least), tuple(map(self._log, result.logs)), None, None, evm)

    def left(self, ran: Ran, places: Iterable[Place]) -> Iterator[tuple[Place, int]]:
        """What slots hold after a transaction that succeeded."""
        names, storage = self._names, ran.evm.storage
        for place in places:
            yield place, storage(names[place[0]], place[1])

    def _name(self, caller: Address) -> str:
        name = self._names.get(caller)
        if name is None:
            name = self._names[caller] = hexed(caller)
        return name

    def _log(self, log: Any) -> Log:
        emitter: str = log.address
        address = self._addresses.get(emitter)
        if address is None:
            address = self._addresses[emitter] = Address(bytes.fromhex(emitter[2:]))
        topics, data = log.data
        return Log(address, tuple(topics), data)


def touched(evm: Any) -> set[Place]:
    """Every slot that pyrevm's EVM has read or written; none of calls that failed, which leave no trace."""
    pieces = _ACCOUNT.split(evm.journal_str)
    return {
        (Address(bytes.fromhex(name[2:])), int(slot))
        for name, body in zip(pieces[1::2], pieces[2::2], strict=True)
        if (storage := _STORAGE.search(body)) is not None
        for slot in _SLOT.findall(storage[1])
    }


def created(code: bytes, runtime_bytes: int) -> tuple[bytes, dict[int, int]]:
    """What a contract's creation leaves: its runtime code, immutables filled in, and its storage.

    Args:
        code: creation code, with the constructor's arguments.
        runtime_bytes: length of the runtime code; revm pads what it has analysed.
    """
    evm: Any = pyrevm.EVM(spec_id=SPEC)
    name: str = evm.deploy(_DEPLOYER, code)
    runtime: bytes = evm.get_code(name)[:runtime_bytes]
    slots = [slot for _, slot in touched(evm)]
    return runtime, {slot: value for slot in slots if (value := evm.storage(name, slot))}


def hexed(address: bytes) -> str:
    """An address as pyrevm takes it."""
    return f"0x{address.hex()}"


def least_gas(data: bytes) -> int:
    """What a call with this data uses at least."""
    base, each = FLOOR
    return base + each * (4 * len(data) - 3 * data.count(0))


def _failure(told: str) -> tuple[int, bytes | None, str | None]:
    """Gas used, what was returned when it was reverted, and why it was stopped when it was."""
    if (reverted := _REVERTED.fullmatch(told)) is not None:
        return int(reverted[1]), bytes.fromhex(reverted[2]), None
    if (halted := _HALTED.fullmatch(told)) is not None:
        return int(halted[2]), None, halted[1]
    raise RuntimeError(told)
