"""Names that follow from what they name: namespaces, content ids, addresses as people write them."""

from __future__ import annotations

import hashlib
from base64 import b32decode, b32encode
from functools import lru_cache
from typing import Final

from protocol.errors import BadInput
from protocol.keccak import keccak256
from protocol.units import Address, Cid, PodId

NAMESPACE_PREFIX: Final = "tpod-"

_RAW_SHA256: Final = bytes([0x01, 0x55, 0x12, 0x20])
"""CIDv1, codec raw, multihash sha2-256 of 32 bytes (multiformats/multicodec table.csv)."""
REMEMBERED: Final = 16384
"""How many namespaces are remembered, and how many short texts in base32: both follow from what they name."""
SHORT_BYTES: Final = 64
"""What is longer and to be written in base32 is a stranger's, and not kept."""


@lru_cache(maxsize=REMEMBERED)
def namespace(publisher: Address, pod_id: PodId) -> str:
    """The Kubernetes namespace of a pod: 57 characters, `tpod-` and base32 of a keccak256.

    The channel's keys name it, so that no other channel can back the same pod.
    """
    if len(publisher) != 20 or len(pod_id) != 32:
        raise ValueError(
            f"an address of {len(publisher)} bytes and a pod id of {len(pod_id)}; they have 20 and 32"
        )
    return NAMESPACE_PREFIX + _base32(keccak256(publisher + pod_id))


def cid_of(content: bytes) -> Cid:
    """The content id of one block of raw bytes: CIDv1, sha2-256, base32 (`bafkrei…`)."""
    return Cid("b" + _base32(_RAW_SHA256 + hashlib.sha256(content).digest()))


def cid_bytes(cid: Cid) -> bytes:
    """The binary form of a base32 CIDv1, as messages carry it.

    Raises:
        BadInput: it is not a base32 CIDv1.
    """
    text = cid[1:]
    try:
        raw = b32decode(text.upper() + "=" * (-len(text) % 8))
    except ValueError as exc:
        raise BadInput(f"{cid!r} is no content id: {exc}") from exc
    if cid != cid_text(raw) or raw[:1] != b"\x01":
        raise BadInput(f"{cid!r} is no content id: a CIDv1 in lower-case base32 begins with 'ba'")
    return raw


def cid_text(raw: bytes) -> Cid:
    """The base32 text of a binary CIDv1."""
    return Cid("b" + _base32(raw))


def format_address(address: Address) -> str:
    """`0x` and 40 hex digits, upper and lower case as EIP-55 says."""
    digits = address.hex()
    if len(digits) != 40:
        raise ValueError(f"an address of {len(address)} bytes; it has 20")
    check = keccak256(digits.encode()).hex()
    return "0x" + "".join(d.upper() if int(c, 16) >= 8 else d for d, c in zip(digits, check, strict=False))


def parse_address(text: str) -> Address:
    """The address of `0x` and 40 hex digits; mixed case is held to its EIP-55 check.

    Raises:
        BadInput: it is no address, or a digit or its case was mistyped.
    """
    digits = text[2:]
    if text[:2] != "0x" or len(digits) != 40 or any(d not in "0123456789abcdefABCDEF" for d in digits):
        raise BadInput(f"{text!r} is no address: `0x` and 40 hex digits")
    address = Address(bytes.fromhex(digits))
    if digits not in (digits.lower(), digits.upper()) and text != format_address(address):
        raise BadInput(f"{text!r} is mistyped: its EIP-55 form would be {format_address(address)}")
    return address


def _base32(data: bytes) -> str:
    return _short_base32(data) if len(data) <= SHORT_BYTES else _made_base32(data)


def _made_base32(data: bytes) -> str:
    return b32encode(data).decode().rstrip("=").lower()


_short_base32 = lru_cache(maxsize=REMEMBERED)(_made_base32)
