"""`ContentStore` and `Images` in memory: what is put is there for all, after the time its bytes take.

An image is a size and a digest; its "layers" are not carried, only the time that moving them takes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from protocol import ports
from protocol.identity import cid_of
from protocol.units import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from protocol.units import Cid
    from sim.kernel.streams import Stream
    from sim.laws import Law
    from sim.tasks import Process


LATE: Final = ports.NoAnswer(sent=True, reason="deadline passed")


@dataclass(slots=True)
class Contents:
    """What the content network holds: bytes by id, and the sizes of image directories by id."""

    blobs: dict[Cid, bytes] = field(default_factory=dict)
    directories: dict[Cid, int] = field(default_factory=dict)


class SimContent:
    """See `ports.ContentStore`.

    Args:
        contents: the shared contents.
        process: the calling process.
        bytes_per_s: this party's line [B/s].
        latency: finding a provider of the content [s].
        stream: this party's draws for look-ups.
    """

    def __init__(
        self, contents: Contents, process: Process, *, bytes_per_s: int, latency: Law, stream: Stream
    ) -> None:
        self._contents = contents
        self._process = process
        self._bytes_per_s = bytes_per_s
        self._latency = latency
        self._stream = stream

    async def transfer(self, size_bytes: int, deadline_ns: int) -> bool:
        """Wait for `size_bytes` to pass over this party's line; False when the deadline came first."""
        process = self._process
        took = (
            int(self._latency.quantile(self._stream.next()) * NS_PER_S)
            + size_bytes * NS_PER_S // self._bytes_per_s
        )
        done_ns = process.now + took
        await process.sleep_until(min(done_ns, process.true_ns(deadline_ns)))
        return done_ns <= process.true_ns(deadline_ns)

    async def put(self, content: bytes, *, deadline_ns: int) -> Cid | ports.NoAnswer:
        """See `ports.ContentStore.put`."""
        if not await self.transfer(len(content), deadline_ns):
            return LATE
        cid = cid_of(content)
        self._contents.blobs[cid] = content
        return cid

    async def get(self, cid: Cid, *, max_bytes: int, deadline_ns: int) -> bytes | ports.NoAnswer:
        """See `ports.ContentStore.get`."""
        content = self._contents.blobs.get(cid)
        if content is None:
            await self._process.sleep_until(self._process.true_ns(deadline_ns))
            content = self._contents.blobs.get(cid)
            if content is None:
                return ports.NoAnswer(sent=True, reason="nobody has it")
        if len(content) > max_bytes:
            return ports.NoAnswer(sent=True, reason=f"larger than {max_bytes} bytes")
        if not await self.transfer(len(content), deadline_ns):
            return LATE
        return content

    async def get_many(
        self, cids: Sequence[Cid], *, max_bytes: int, timeout_ns: int
    ) -> list[bytes | ports.NoAnswer]:
        """See `ports.ContentStore.get_many`: what is there is waited for at once, until the last of it has come."""
        process = self._process
        found: list[bytes | ports.NoAnswer] = []
        while len(found) < len(cids):
            run = self._there(cids[len(found) :], max_bytes)
            latencies_ns = (self._stream.samples(self._latency, len(run)) * NS_PER_S).astype(np.int64)
            sizes = np.fromiter(map(len, run), np.int64, len(run))
            took = latencies_ns + sizes * NS_PER_S // self._bytes_per_s
            in_time = took <= timeout_ns
            if in_time.all():
                found += run
            else:
                found += [c if there else LATE for c, there in zip(run, in_time.tolist(), strict=True)]
            await process.sleep_until(process.now + int(np.minimum(took, timeout_ns).sum()))
            if len(found) < len(cids):  # the next one is missing, or too large
                deadline_ns = process.now_ns() + timeout_ns
                found.append(await self.get(cids[len(found)], max_bytes=max_bytes, deadline_ns=deadline_ns))
        return found

    def _there(self, cids: Sequence[Cid], max_bytes: int) -> list[bytes]:
        """The contents of the first of these ids, up to one that nobody has or that is larger than `max_bytes`."""
        found: list[bytes] = []
        for content in map(self._contents.blobs.get, cids):
            if content is None or len(content) > max_bytes:
                break
            found.append(content)
        return found


@dataclass(frozen=True, slots=True)
class SimImage:
    """An image that can be named: how large it is packed, and which stable number the kernel knows it by."""

    packed_bytes: int
    image_id: int


class SimImages:
    """See `ports.Images`.

    Args:
        known: images by reference; one dictionary for the whole world.
        content: the party's content store, whose line the layers travel over.
        contents: the shared contents.
        process: the calling process.
    """

    def __init__(
        self, known: Mapping[str, SimImage], content: SimContent, contents: Contents, process: Process
    ) -> None:
        self._known = known
        self._content = content
        self._contents = contents
        self._process = process

    async def digest(self, reference: str, *, deadline_ns: int) -> str | ports.NoAnswer:
        """See `ports.Images.digest`."""
        self._process.check()
        if reference not in self._known:
            return ports.NoAnswer(sent=True, reason=f"no image {reference}")
        return "sha256:" + hashlib.sha256(reference.encode()).hexdigest()

    async def publish(self, reference: str, *, deadline_ns: int) -> ports.PublishedImage | ports.NoAnswer:
        """See `ports.Images.publish`."""
        digest = await self.digest(reference, deadline_ns=deadline_ns)
        if isinstance(digest, ports.NoAnswer):
            return digest
        size = self._known[reference].packed_bytes
        if not await self._content.transfer(size, deadline_ns):
            return LATE
        cid = cid_of(b"layers of " + reference.encode())
        self._contents.directories[cid] = size
        config = b'{"image":"' + reference.encode() + b'"}'
        return ports.PublishedImage(
            cid, digest, size, hashlib.sha256(digest.encode()).digest(), b"{}", config
        )

    async def fetch(self, image: ports.PublishedImage, *, deadline_ns: int) -> str | ports.NoAnswer:
        """See `ports.Images.fetch`."""
        size = self._contents.directories.get(image.cid)
        if size is None:
            return ports.NoAnswer(sent=True, reason="nobody has it")
        if not await self._content.transfer(size, deadline_ns):
            return LATE
        reference: str = image.config.decode().removeprefix('{"image":"').removesuffix('"}')
        return reference


if TYPE_CHECKING:
    _is_content: type[ports.ContentStore] = SimContent
    _are_images: type[ports.Images] = SimImages
