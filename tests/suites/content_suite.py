"""What `ContentStore` and `Images` promise."""

from __future__ import annotations

from typing import Protocol

import pytest

from protocol.identity import cid_of
from protocol.ports import ContentStore, Images, NoAnswer, PublishedImage
from protocol.units import NS_PER_S
from tests.suites.bench import Bench, after


class ContentBench(Bench, Protocol):
    """Two parties of one content network.

    Attributes:
        mine, other: their stores.
        my_images, other_images: their images.
        reference: an image that can be published.
    """

    @property
    def mine(self) -> ContentStore: ...

    @property
    def other(self) -> ContentStore: ...

    @property
    def my_images(self) -> Images: ...

    @property
    def other_images(self) -> Images: ...

    @property
    def reference(self) -> str: ...


class ContentSuite:
    """Every adapter of `ContentStore` and `Images`."""

    @pytest.mark.parametrize(
        "content", [b"", b"hello", bytes(range(256)) * 4096], ids=["empty", "small", "1 MiB"]
    )
    def test_what_one_puts_the_other_gets(self, bench: ContentBench, content: bytes) -> None:
        cid = bench.run(bench.mine.put(content, deadline_ns=after(bench, 60)))
        assert not isinstance(cid, NoAnswer)
        assert cid == cid_of(content)
        got = bench.run(bench.other.get(cid, max_bytes=2**20, deadline_ns=after(bench, 60)))
        assert got == content

    def test_the_same_bytes_have_the_same_id(self, bench: ContentBench) -> None:
        one = bench.run(bench.mine.put(b"same", deadline_ns=after(bench, 60)))
        assert one == bench.run(bench.other.put(b"same", deadline_ns=after(bench, 60)))

    def test_what_nobody_has_is_not_had_after_the_deadline(self, bench: ContentBench) -> None:
        deadline_ns = after(bench, 2)
        got = bench.run(bench.mine.get(cid_of(b"nobody put this"), max_bytes=100, deadline_ns=deadline_ns))
        assert isinstance(got, NoAnswer)

    def test_never_more_than_was_asked_for(self, bench: ContentBench) -> None:
        cid = bench.run(bench.mine.put(b"0123456789", deadline_ns=after(bench, 60)))
        assert not isinstance(cid, NoAnswer)
        got = bench.run(bench.other.get(cid, max_bytes=9, deadline_ns=after(bench, 60)))
        assert isinstance(got, NoAnswer)
        assert bench.run(bench.other.get(cid, max_bytes=10, deadline_ns=after(bench, 60))) == b"0123456789"

    def test_many_are_what_each_of_them_is(self, bench: ContentBench) -> None:
        cids = []
        for content in (b"one", b"longer than the rest", b"three"):
            cid = bench.run(bench.mine.put(content, deadline_ns=after(bench, 60)))
            assert not isinstance(cid, NoAnswer)
            cids.append(cid)
        asked = [cids[0], cid_of(b"nobody put this"), cids[1], cids[2]]
        got = bench.run(bench.other.get_many(asked, max_bytes=10, timeout_ns=2 * NS_PER_S))
        assert (got[0], got[3]) == (b"one", b"three")
        assert isinstance(got[1], NoAnswer) and isinstance(got[2], NoAnswer)
        assert list(bench.run(bench.other.get_many([], max_bytes=10, timeout_ns=NS_PER_S))) == []

    def test_an_image_is_published_under_its_digest_and_fetched(self, bench: ContentBench) -> None:
        digest = bench.run(bench.my_images.digest(bench.reference, deadline_ns=after(bench, 600)))
        image = bench.run(bench.my_images.publish(bench.reference, deadline_ns=after(bench, 600)))
        assert isinstance(image, PublishedImage)
        assert image.digest == digest and image.digest.startswith("sha256:")
        assert image.packed_bytes > 0 and len(image.key) >= 16
        again = bench.run(bench.my_images.publish(bench.reference, deadline_ns=after(bench, 600)))
        assert isinstance(again, PublishedImage) and again.digest == digest
        reference = bench.run(bench.other_images.fetch(image, deadline_ns=after(bench, 600)))
        assert isinstance(reference, str) and reference
        assert PublishedImage.from_record(image.to_record()) == image

    def test_an_image_that_is_not_there(self, bench: ContentBench) -> None:
        assert isinstance(
            bench.run(bench.my_images.digest("no.such/image:1", deadline_ns=after(bench, 5))), NoAnswer
        )
        ghost = PublishedImage(cid_of(b"no layers"), "sha256:" + "0" * 64, 1, bytes(32), b"{}", b"{}")
        assert isinstance(bench.run(bench.other_images.fetch(ghost, deadline_ns=after(bench, 5))), NoAnswer)
