"""What `Signer` and `Entropy` promise."""

from __future__ import annotations

from typing import Protocol

from protocol.keccak import keccak256
from protocol.ports import Entropy, Signer
from protocol.signing import SIGNATURE_BYTES, Scheme


class SignerBench(Protocol):
    """A key, and how its signatures are read.

    Attributes:
        signer, other: two keys.
        scheme: reads their signatures.
        entropy, other_entropy: of two parties.
    """

    @property
    def signer(self) -> Signer: ...

    @property
    def other(self) -> Signer: ...

    @property
    def scheme(self) -> Scheme: ...

    @property
    def entropy(self) -> Entropy: ...

    @property
    def other_entropy(self) -> Entropy: ...

    def again(self) -> Entropy:
        """The first party's entropy after a crash."""
        ...


DIGEST = keccak256(b"what is signed")


class SignerSuite:
    """Every adapter of `Signer` and `Entropy`."""

    def test_a_signature_names_its_signer(self, bench: SignerBench) -> None:
        signature = bench.signer.sign(DIGEST)
        assert len(signature) == SIGNATURE_BYTES
        assert bench.scheme.recover(DIGEST, signature) == bench.signer.address
        assert bench.scheme.recover(DIGEST, bench.other.sign(DIGEST)) == bench.other.address
        assert len(bench.signer.address) == 20 and bench.signer.address != bench.other.address

    def test_the_same_digest_has_the_same_signature(self, bench: SignerBench) -> None:
        assert bench.signer.sign(DIGEST) == bench.signer.sign(DIGEST)
        assert bench.signer.sign(DIGEST) != bench.signer.sign(keccak256(b"another"))

    def test_entropy_has_its_length_and_never_repeats(self, bench: SignerBench) -> None:
        assert [len(bench.entropy.draw(n)) for n in (0, 1, 12, 32, 200)] == [0, 1, 12, 32, 200]
        drawn = [bench.entropy.draw(32) for _ in range(200)]
        drawn += [bench.other_entropy.draw(32) for _ in range(200)]
        again = bench.again()
        drawn += [again.draw(32) for _ in range(200)]
        assert len(set(drawn)) == 600
        ones = sum(bin(byte).count("1") for piece in drawn for byte in piece)
        bits = 8 * 32 * len(drawn)
        assert abs(ones - bits / 2) < 5 * (bits / 4) ** 0.5
