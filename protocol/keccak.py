"""Keccak-256 as Ethereum uses it (the padding of the competition entry, not of SHA-3).

There are two makers, with the same digests: safe-pysha3, a C type, which takes a fifth of the time and has wheels for
Linux alone; elsewhere pycryptodome.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from Crypto.Hash import keccak

try:
    from sha3 import keccak_256
except ImportError:
    keccak_256 = None

if TYPE_CHECKING:
    from collections.abc import Callable

SHORT_BYTES: Final = 1024
"""What is no longer than this is remembered for a while: who signs and who checks, in one process, hash the same."""


def keccak256(data: bytes) -> bytes:
    """The 32-byte Keccak-256 digest of `data`."""
    return _remembered(data) if len(data) <= SHORT_BYTES else _digest(data)


def _quick(data: bytes) -> bytes:
    digest: bytes = keccak_256(data).digest()
    return digest


def _anywhere(data: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=data).digest()


_digest: Final[Callable[[bytes], bytes]] = _anywhere if keccak_256 is None else _quick
_remembered = lru_cache(maxsize=8192)(_digest)
