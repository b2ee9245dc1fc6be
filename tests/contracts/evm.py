"""The EVM that the contracts' tests run on: pyrevm, with addresses as bytes and refusals as exceptions.

pyrevm keeps everything in one open transaction: what was touched once stays warm, and gas is too low from the
second call on. `settle` makes it past: it is slow, and only the gas tests need it.
"""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from protocol.units import Address

if sys.version_info < (3, 13):  # no wheels for later ones; tests/conftest.py leaves these tests out
    import pyrevm

    from sim.chain.evm.machine import touched

if TYPE_CHECKING:
    from collections.abc import Iterator

SPEC: Final = "CANCUN"
"""As `evmVersion` in contracts/build.mjs."""
DEPLOYER: Final = Address(b"\xdd" * 20)
GAS: Final = 30_000_000

_OUTPUT = re.compile(r"^Revert \{ gas_used: (\d+), output: 0x([0-9a-f]*) \}$")


class Reverted(Exception):
    """The call was refused; the state is what it was.

    Args:
        data: what it returned, usually an encoded error.
        gas_used: units of gas.
    """

    def __init__(self, data: bytes, gas_used: int) -> None:
        super().__init__(f"0x{data.hex()}")
        self.data = data
        self.gas_used = gas_used


@dataclass(frozen=True, slots=True)
class Log:
    """What a contract emitted."""

    emitter: Address
    topics: tuple[bytes, ...]
    data: bytes


class Evm:
    """An EVM with one block that is always the newest.

    Args:
        now_s: the block's time [Unix s].
    """

    def __init__(self, *, now_s: int = 1) -> None:
        self._evm: Any = pyrevm.EVM(spec_id=SPEC)
        self._code: dict[str, bytes] = {}
        self._slots: dict[tuple[str, int], int] = {}
        self.gas_used = 0
        self.set_time(now_s)

    def set_time(self, now_s: int) -> None:
        """Go on to a block of time `now_s` [Unix s]."""
        self._evm.set_block_env(pyrevm.BlockEnv(number=1, timestamp=now_s))

    def deploy(self, code: bytes) -> Address:
        """Run creation code; the contract's address."""
        made: str = self._evm.deploy(_hex(DEPLOYER), code)
        self._code[made.lower()] = self._evm.get_code(made)
        self.gas_used = self._evm.result.gas_used
        return Address(bytes.fromhex(made[2:]))

    def call(self, caller: Address, to: Address, data: bytes) -> tuple[Log, ...]:
        """A transaction; what was emitted.

        Raises:
            Reverted: it was refused.
        """
        self._message(caller, to, data, static=False)
        return tuple(
            Log(Address(bytes.fromhex(log.address[2:])), tuple(log.data[0]), log.data[1])
            for log in self._evm.result.logs
        )

    def read(self, to: Address, data: bytes, *, caller: Address = DEPLOYER) -> bytes:
        """A call that changes nothing; what it returned.

        Raises:
            Reverted: it was refused, or tried to change something.
        """
        return self._message(caller, to, data, static=True)

    def code(self, at: Address) -> bytes:
        """What stands at an address."""
        code: bytes | None = self._evm.get_code(_hex(at))
        return code or b""

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Whatever happens inside did not happen."""
        checkpoint = self._evm.snapshot()
        try:
            yield
        finally:
            self._evm.revert(checkpoint)

    def settle(self) -> None:
        """Make everything so far the past, so that the next transaction finds it cold and as its original state."""
        old, time_s = self._evm, self._evm.env.block.timestamp
        for contract, slot in touched(old):
            self._slots[_hex(contract), slot] = old.storage(_hex(contract), slot)
        new = pyrevm.EVM(spec_id=SPEC)
        new.set_block_env(pyrevm.BlockEnv(number=1, timestamp=time_s))
        for address, code in self._code.items():
            new.insert_account_info(address, pyrevm.AccountInfo(nonce=1, code=code))
        for (address, slot), value in self._slots.items():
            # What is inserted loads the account, and a loaded account would be warm.
            checkpoint = new.snapshot()
            new.insert_account_storage(address, slot, value)
            new.revert(checkpoint)
        self._evm = new

    def _message(self, caller: Address, to: Address, data: bytes, *, static: bool) -> bytes:
        try:
            output: bytes = self._evm.message_call(_hex(caller), _hex(to), data, gas=GAS, is_static=static)
        except RuntimeError as error:
            refused = _OUTPUT.match(str(error))
            if refused is None:
                raise
            raise Reverted(bytes.fromhex(refused[2]), int(refused[1])) from None
        finally:
            self._evm.reset_transient_storage()
        self.gas_used = self._evm.result.gas_used
        return output


def _hex(address: bytes) -> str:
    return f"0x{address.hex()}"
