"""Keccak-256 as Ethereum uses it (the padding of the competition entry, not of SHA-3)."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from Crypto.Hash import keccak

SHORT_BYTES: Final = 1024
"""What is no longer than this is remembered for a while: who signs and who checks, in one process, hash the same."""


def keccak256(data: bytes) -> bytes:
    """The 32-byte Keccak-256 digest of `data`."""
    return _remembered(data) if len(data) <= SHORT_BYTES else _digest(data)


def _digest(data: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=data).digest()


_remembered = lru_cache(maxsize=8192)(_digest)
