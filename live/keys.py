"""EVM keys from files: encrypted key files as wallets write them, or 64 hex digits for development chains."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount

from protocol.errors import BadInput


def read_key(path: Path, password: Callable[[], str]) -> LocalAccount:
    """The account of a key file.

    Args:
        path: a key file of version 3 (Web3 Secret Storage), or a file that holds the key in hex.
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
