"""Frames: an unsigned LEB128 varint (the length), then that many bytes of a protobuf `Envelope`.

The prefix is the one of libp2p and of protobuf's delimited streams. Whatever the bytes are, reading
them gives a message or `PeerFault('MalformedMessage')`, never another exception: they come from
strangers. Fields that this version does not know are kept, and written again with the message.
"""

from __future__ import annotations

from typing import Final, TypeVar

from google.protobuf.message import DecodeError, Message

from protocol.errors import PeerFault
from protocol.wire import trusted_pods_pb2 as pb

MAX_FRAME_BYTES: Final = 4 * 1024 * 1024
"""Most bytes of one message (4 MiB, gRPC's default receive limit); layers and secrets travel by content id."""

_MAX_PREFIX_BYTES: Final = (
    4  # a length up to 2**28 - 1; a longer prefix can only be an abuse or a longer form
)

M = TypeVar("M", bound=Message)


def dump(message: Message) -> bytes:
    """The message's bytes, map entries in key order: equal messages give equal bytes."""
    return message.SerializeToString(deterministic=True)


def parse(kind: type[M], data: bytes) -> M:
    """Read one message; unknown fields are kept.

    Args:
        kind: the message's class, such as `pb.CapacityRequest`.
        data: exactly the message's bytes, without a prefix.

    Raises:
        PeerFault: `MalformedMessage`; the bytes are not a message of this kind.
    """
    try:
        return kind.FromString(data)
    except DecodeError as exc:
        raise PeerFault(
            "MalformedMessage", f"{len(data)} bytes are no {kind.DESCRIPTOR.name}: {exc}"
        ) from exc


def encode(envelope: pb.Envelope, *, max_bytes: int = MAX_FRAME_BYTES) -> bytes:
    """One frame.

    Raises:
        ValueError: the envelope is larger than `max_bytes`; the receiver would refuse it.
    """
    data = dump(envelope)
    if len(data) > max_bytes:
        raise ValueError(f"an envelope of {len(data)} bytes; at most {max_bytes} are allowed")
    return _varint(len(data)) + data


def decode(frame: bytes, *, max_bytes: int = MAX_FRAME_BYTES) -> pb.Envelope:
    """The envelope of exactly one frame.

    Raises:
        PeerFault: `MalformedMessage`; the frame is cut, has bytes behind it, is larger than
            `max_bytes`, or holds no Envelope.
    """
    taken = split(frame, max_bytes=max_bytes)
    if taken is None:
        raise PeerFault("MalformedMessage", f"the frame is cut after {len(frame)} bytes")
    message, rest = taken
    if rest:
        raise PeerFault("MalformedMessage", f"{len(rest)} bytes behind the frame")
    return parse(pb.Envelope, message)


def split(buffer: bytes, *, max_bytes: int = MAX_FRAME_BYTES) -> tuple[bytes, bytes] | None:
    """Take the first frame off a stream's buffer.

    Args:
        buffer: what has been received and not yet taken.
        max_bytes: most bytes of a message; more is refused as soon as the prefix is there.

    Returns:
        The message's bytes without the prefix, and what follows; None when more must be received.

    Raises:
        PeerFault: `MalformedMessage`; the prefix is too long, not the shortest form, or above `max_bytes`.
    """
    size = 0
    for index in range(_MAX_PREFIX_BYTES):
        if index == len(buffer):
            return None
        byte = buffer[index]
        size |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            break
    else:
        raise PeerFault("MalformedMessage", f"a length prefix of more than {_MAX_PREFIX_BYTES} bytes")
    start = index + 1
    if index and byte == 0:
        raise PeerFault(
            "MalformedMessage", f"the length {size} is written in {start} bytes, not in its shortest form"
        )
    if size > max_bytes:
        raise PeerFault("MalformedMessage", f"a message of {size} bytes; at most {max_bytes} are allowed")
    if len(buffer) < start + size:
        return None
    return buffer[start : start + size], buffer[start + size :]


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
