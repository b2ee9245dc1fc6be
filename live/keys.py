"""EVM keys and chance: encrypted key files as wallets write them, `Signer` and `Entropy`."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eth_account import Account
from eth_account.signers.local import LocalAccount

from protocol.errors import BadInput
from protocol.signing import SECP256K1
from protocol.units import Address

if TYPE_CHECKING:
    from live.tasks import Process
    from protocol import ports


def read_key(path: Path, password: Callable[[], str]) -> LocalAccount:
    """The account of a key file.

    Args:
        path: a key file of version 3 (Web3 Secret Storage), or a file that holds 64 hex digits (development chains).
        password: asked for when the file is encrypted.

    Raises:
        BadInput: there is no such file, it holds no key, or the password is wrong. The message holds nothing of it.
    """
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: no key file") from error
    try:
        if text.startswith("{"):
            stored: Any = json.loads(text)
            if not isinstance(stored, dict) or "crypto" not in {key.lower() for key in stored}:
                raise BadInput(f"{path}: no key file: it has no 'crypto'")
            key = bytes(Account.decrypt(stored, password()))
        else:
            key = bytes.fromhex(text.removeprefix("0x"))
        account: LocalAccount = Account.from_key(key)
    except (ValueError, KeyError, TypeError, NotImplementedError, RecursionError) as error:
        told = "the password is wrong" if "MAC" in str(error) else "no key file, and not 64 hex digits"
        raise BadInput(f"{path}: {told}") from None
    return account


def write_key(path: Path, password: str, key: bytes | None = None) -> LocalAccount:
    """Write an encrypted key file (version 3, scrypt), and return its account.

    The file is complete from the moment it has its name, on the disk, and readable by its owner alone.

    Args:
        path: where; nothing may be there.
        password: what it is encrypted with; not empty.
        key: 32 bytes; None: a new one of the system's chance.

    Raises:
        BadInput: something is there already, the password is empty, or the file cannot be written.
    """
    if not password:
        raise BadInput("the password is empty; a key file needs one")
    if path.exists():
        raise BadInput(f"{path}: exists already; a key is never written over")
    account: LocalAccount = Account.from_key(os.urandom(32) if key is None else key)
    text = json.dumps(Account.encrypt(account.key, password))
    unfinished = path.with_name(f".{path.name}.partial")
    try:
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(unfinished, path)  # unlike a rename, refused where another has come first
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink()
    return account


class KeySigner:
    """See `ports.Signer`: a key in this process's memory.

    Args:
        process: whose it is; the dead sign nothing.
        account: of `read_key`.
    """

    __slots__ = ("_key", "_process", "address")

    def __init__(self, process: Process, account: LocalAccount) -> None:
        self.address = Address(bytes.fromhex(account.address.removeprefix("0x")))
        self._key = bytes(account.key)
        self._process = process

    def sign(self, digest: bytes) -> bytes:
        """See `ports.Signer.sign`."""
        self._process.check()
        return SECP256K1.sign(digest, self._key)

    def __repr__(self) -> str:
        return f"KeySigner(0x{self.address.hex()})"


class SystemEntropy:
    """See `ports.Entropy`: the system's own."""

    __slots__ = ("_process",)

    def __init__(self, process: Process) -> None:
        self._process = process

    def draw(self, count: int) -> bytes:
        """See `ports.Entropy.draw`."""
        self._process.check()
        return os.urandom(count)


if TYPE_CHECKING:
    _is_a_signer: type[ports.Signer] = KeySigner
    _is_entropy: type[ports.Entropy] = SystemEntropy
