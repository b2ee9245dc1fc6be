"""EIP-712: the digest of a structure that is signed, for the few structures of this project.

A digest is `keccak256(0x19 0x01 ‖ domainSeparator ‖ hashStruct)`, and `hashStruct` is
`keccak256(typeHash ‖ word ‖ word ‖ …)` with one 32-byte word a member. Source: EIP-712, "Definition
of encodeData". Only the member types that occur here exist; `tests/protocol/test_auth.py` compares
each structure with eth-account.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from protocol.keccak import keccak256
from protocol.units import Address

if TYPE_CHECKING:
    from collections.abc import Iterable

NAME: Final = "Trusted Pods"
VERSION: Final = "1"


@dataclass(frozen=True, slots=True)
class Domain:
    """What a signature is good for: one contract on one chain.

    Attributes:
        chain_id: EIP-155 id, in [0, 2**256).
        contract: the verifying contract: Payment for Request, Offer and Usage; Registry for ProviderKeys.
    """

    chain_id: int
    contract: Address

    def __post_init__(self) -> None:
        check_uint("chain_id", self.chain_id, 256)
        check_bytes("contract", self.contract, 20)


def digest(domain: Domain, struct_hash: bytes) -> bytes:
    """The 32 bytes that are signed."""
    return keccak256(_beginning(domain) + struct_hash)


@lru_cache(maxsize=64)
def _beginning(domain: Domain) -> bytes:
    """What every digest of a domain is the hash of, as far as the struct's hash: version byte and separator."""
    return b"\x19\x01" + separator(domain)


def separator(domain: Domain) -> bytes:
    """The domain separator, 32 bytes."""
    return hash_struct(
        _DOMAIN_TYPE,
        string_word(NAME),
        string_word(VERSION),
        uint_word(domain.chain_id),
        address_word(domain.contract),
    )


def hash_struct(type_hash: bytes, *words: bytes) -> bytes:
    """`hashStruct`: the type's hash and one 32-byte word a member, in order."""
    return keccak256(type_hash + b"".join(words))


def type_hash(encoded_type: str) -> bytes:
    """The hash of `encodeType`, such as `Amount(string resource,bool usage,uint256 quantity)`."""
    return keccak256(encoded_type.encode())


def address_word(value: bytes) -> bytes:
    """An `address` member."""
    return b"\0" * 12 + value


def uint_word(value: int) -> bytes:
    """A `uint64` or `uint256` member."""
    return value.to_bytes(32, "big")


def bool_word(value: bool) -> bytes:
    """A `bool` member."""
    return uint_word(int(value))


def string_word(value: str) -> bytes:
    """A `string` member: the hash of its UTF-8 bytes."""
    # The strings signed are few and short (protocols, resources); long ones are a stranger's and not kept.
    return _short_string_word(value) if len(value) <= 64 else keccak256(value.encode())


@lru_cache(maxsize=256)
def _short_string_word(value: str) -> bytes:
    return keccak256(value.encode())


def array_word(struct_hashes: Iterable[bytes]) -> bytes:
    """A member that is an array of structures."""
    return keccak256(b"".join(struct_hashes))


def check_uint(name: str, value: int, bits: int) -> None:
    """Raise ValueError unless `value` is in [0, 2**bits)."""
    if value < 0 or value >> bits:
        raise ValueError(f"{name} is {value}; allowed: 0 to 2**{bits} - 1")


def check_bytes(name: str, value: bytes, count: int) -> None:
    """Raise ValueError unless `value` has exactly `count` bytes."""
    if len(value) != count:
        raise ValueError(f"{name} has {len(value)} bytes; it must have {count}")


_DOMAIN_TYPE: Final = type_hash(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
