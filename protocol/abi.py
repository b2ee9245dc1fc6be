"""The contracts' call format (the Solidity ABI), as far as our contracts use it.

A type is compiled once into a function that encodes and one that decodes: `address` and `bytes32` are bytes,
`uint…` is int, `bool`, `string`, `T[n]`, `T[]` and `(T,…)` are sequences. Words have 32 bytes; what has no fixed
size lies behind the heads and is pointed to. A `WithdrawMany` entry takes about 2 µs.

What is decoded comes from a node that may lie: offsets and lengths are held to the data, and no byte is read more
often than once, as in an honest encoding, so that a short answer cannot become a long computation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NoReturn

from protocol.errors import BadInput, PeerFault
from protocol.keccak import keccak256
from protocol.units import Address

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WORD: Final = 32
_ADDRESS_PAD: Final = bytes(12)
_ARRAY: Final = re.compile(r"(.*)\[(\d*)\]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Type:
    """A compiled ABI type.

    Attributes:
        name: canonical, such as `(address,uint256)[]`.
        head_bytes: what it takes among the heads; 32, an offset, when it has no fixed size.
        dynamic: whether it has no fixed size.
        encode: a value's bytes; raises what Python raises for a value that does not fit.
        decode: the value at a byte position of a reader.
    """

    name: str
    head_bytes: int
    dynamic: bool
    encode: Callable[[Any], bytes]
    decode: Callable[[Reader, int], Any]


class Reader:
    """What is decoded.

    Args:
        data: all of it.
    """

    __slots__ = ("_left", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._left = len(data)

    def word(self, at: int) -> bytes:
        """The 32 bytes at a position."""
        return self.take(at, WORD)

    def take(self, at: int, size: int) -> bytes:
        """So many bytes at a position."""
        taken = self.data[at : at + size]
        if len(taken) != size:
            malformed(f"{size} bytes at byte {at} of {len(self.data)}")
        self._left -= size
        if self._left < 0:
            malformed(f"{len(self.data)} bytes that are read again and again")
        return taken

    def number(self, at: int) -> int:
        """The 32 bytes at a position, as a number."""
        return int.from_bytes(self.word(at), "big")

    def offset(self, base: int, at: int) -> int:
        """Where the offset at a position points to, counted from `base`."""
        to = base + self.number(at)
        if to > len(self.data):
            malformed(f"an offset to byte {to} of {len(self.data)}")
        return to


def malformed(detail: str) -> NoReturn:
    """Say what is wrong with data that a node sent."""
    raise PeerFault("MalformedAbi", detail)


@cache
def compiled(name: str) -> Type:
    """The type of a canonical name.

    Raises:
        ValueError: it is none that this module knows.
    """
    if (array := _ARRAY.fullmatch(name)) is not None:
        return _array(name, compiled(array[1]), int(array[2]) if array[2] else None)
    if name.startswith("(") and name.endswith(")"):
        return _tuple(name, [compiled(part) for part in _split(name[1:-1])])
    match name:
        case "address":
            return Type(name, WORD, False, _encode_address, _decode_address)
        case "bytes32":
            return Type(name, WORD, False, _encode_bytes32, Reader.word)
        case "bool":
            return _bounded(name, 1, bool)
        case "string":
            return Type(name, WORD, True, _encode_string, _decode_string)
        case _:
            pass
    if name.startswith("uint") and name[4:].isdecimal() and int(name[4:]) in range(8, 257, 8):
        return _bounded(name, int(name[4:]), lambda value: value)
    raise ValueError(f"{name!r} is no ABI type that is known here")


def _encode_address(value: bytes) -> bytes:
    if len(value) != 20:
        raise ValueError(f"an address of {len(value)} bytes")
    return _ADDRESS_PAD + value


def _decode_address(reader: Reader, at: int) -> Address:
    word = reader.word(at)
    if word[:12] != _ADDRESS_PAD:
        malformed(f"an address of more than 20 bytes at byte {at}")
    return Address(word[12:])


def _encode_bytes32(value: bytes) -> bytes:
    if len(value) != WORD:
        raise ValueError(f"32 bytes are wanted, not {len(value)}")
    return value


def _bounded(name: str, bits: int, made: Callable[[int], Any]) -> Type:
    def encode(value: int) -> bytes:
        if value >> bits:
            raise OverflowError(f"{value} does not fit {name}")
        return value.to_bytes(WORD, "big")

    def decode(reader: Reader, at: int) -> Any:
        value = reader.number(at)
        if value >> bits:
            malformed(f"{value} at byte {at} does not fit {name}")
        return made(value)

    return Type(name, WORD, False, encode, decode)


def _encode_string(value: str) -> bytes:
    raw = value.encode()
    return len(raw).to_bytes(WORD, "big") + raw + bytes(-len(raw) % WORD)


def _decode_string(reader: Reader, at: int) -> str:
    # Anybody can store anything: what is no text must not hide what stands beside it.
    return reader.take(at + WORD, reader.number(at)).decode(errors="replace")


def _tuple(name: str, parts: Sequence[Type]) -> Type:
    encoders = tuple(part.encode for part in parts)
    heads_bytes = sum(part.head_bytes for part in parts)
    dynamic = any(part.dynamic for part in parts)

    def encode_static(values: Sequence[Any]) -> bytes:
        return b"".join([encode(value) for encode, value in zip(encoders, values, strict=True)])

    def encode_dynamic(values: Sequence[Any]) -> bytes:
        heads, tails, at = [], [], heads_bytes
        for part, value in zip(parts, values, strict=True):
            body = part.encode(value)
            if part.dynamic:
                heads.append(at.to_bytes(WORD, "big"))
                tails.append(body)
                at += len(body)
            else:
                heads.append(body)
        return b"".join([*heads, *tails])

    def decode(reader: Reader, at: int) -> tuple[Any, ...]:
        base, values = at, []
        for part in parts:
            values.append(part.decode(reader, reader.offset(base, at) if part.dynamic else at))
            at += part.head_bytes
        return tuple(values)

    return Type(
        name,
        WORD if dynamic else heads_bytes,
        dynamic,
        encode_dynamic if dynamic else encode_static,
        decode,
    )


def _array(name: str, item: Type, length: int | None) -> Type:
    def encode_items(values: Sequence[Any]) -> bytes:
        if not item.dynamic:
            return b"".join(map(item.encode, values))
        return _tuple(name, [item] * len(values)).encode(values)

    def decode_items(reader: Reader, at: int, count: int) -> tuple[Any, ...]:
        if at + count * item.head_bytes > len(reader.data):
            malformed(f"{count} entries of {item.name} at byte {at} of {len(reader.data)}")
        places = range(at, at + count * item.head_bytes, item.head_bytes)
        if item.dynamic:
            return tuple(item.decode(reader, reader.offset(at, place)) for place in places)
        return tuple(item.decode(reader, place) for place in places)

    if length is None:
        return Type(
            name,
            WORD,
            True,
            lambda values: len(values).to_bytes(WORD, "big") + encode_items(values),
            lambda reader, at: decode_items(reader, at + WORD, reader.number(at)),
        )

    def encode_fixed(values: Sequence[Any]) -> bytes:
        if len(values) != length:
            raise ValueError(f"{length} entries are wanted, not {len(values)}")
        return encode_items(values)

    return Type(
        name,
        WORD if item.dynamic else length * item.head_bytes,
        item.dynamic,
        encode_fixed,
        lambda reader, at: decode_items(reader, at, length),
    )


def _split(parts: str) -> list[str]:
    """The parts of a tuple: commas inside of inner tuples do not count."""
    found, depth, begin = [], 0, 0
    for at, letter in enumerate(parts):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            found.append(parts[begin:at])
            begin = at + 1
    return [*found, parts[begin:]] if parts else []


# ---------------------------------------------------------------- calls


def selector(signature: str) -> bytes:
    """The four bytes that name a function or an error."""
    return keccak256(signature.encode())[:4]


@dataclass(frozen=True, slots=True)
class Function:
    """How a command is called in the contract.

    Attributes:
        name: the function's name.
        arguments: (name in the command, name in the contract, ABI type), in the contract's order.
    """

    name: str
    arguments: tuple[tuple[str, str, str], ...]

    @property
    def kinds(self) -> str:
        """The arguments' types as one tuple, such as `(address,bytes32)`."""
        return f"({','.join(kind for _, _, kind in self.arguments)})"

    @property
    def signature(self) -> str:
        """The canonical signature, such as `unlock(address,bytes32)`, whose keccak starts the call's data."""
        return self.name + self.kinds


@dataclass(frozen=True, slots=True)
class View:
    """A question that a contract answers.

    Attributes:
        name: the function's name.
        asked: its arguments' types as one tuple.
        told: its results' types as one tuple.
    """

    name: str
    asked: str = "()"
    told: str = "(uint256)"
    _selector: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_selector", selector(self.name + self.asked))

    def call(self, *values: Any) -> bytes:
        """The call's data.

        Raises:
            BadInput: a value does not fit its type.
        """
        return self._selector + encode(self.asked, values)

    def answer(self, output: bytes) -> tuple[Any, ...]:
        """What the contract returned.

        Raises:
            PeerFault: `MalformedAbi`; it is no answer to this question.
        """
        return decode(self.told, output)


def encode(kinds: str, values: Sequence[Any]) -> bytes:
    """The bytes of several values.

    Args:
        kinds: their types as one tuple, such as `(address,uint256)`.
        values: one for each.

    Raises:
        BadInput: a value does not fit its type.
    """
    try:
        return compiled(kinds).encode(values)
    except (OverflowError, ValueError) as error:
        raise BadInput(f"{kinds}: {error}") from error


def decode(kinds: str, data: bytes) -> tuple[Any, ...]:
    """Several values from their bytes; what follows them is ignored.

    Raises:
        PeerFault: `MalformedAbi`; the bytes are not of such values.
    """
    values: tuple[Any, ...] = compiled(kinds).decode(Reader(data), 0)
    return values
