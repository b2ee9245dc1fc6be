"""`Signer`, `Entropy`, `Attestor` and `Verifier` of simulated parties: seeded, and the same in every run.

Evidence of kind `sim` is a hash anybody can make; the live verifier refuses the kind. A dishonest
provider is simulated by evidence that claims more than its machine has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from protocol import ports
from protocol.attestation import Assurance, Evidence, Verdict
from protocol.units import NEVER_NS, Address

if TYPE_CHECKING:
    from protocol.signing import Scheme
    from sim.tasks import Process

EVIDENCE_KIND: Final = "sim"
MEASUREMENT: Final = hashlib.sha256(b"trusted-pods simulated platform").digest()


def private_key(seed: int, path: str) -> bytes:
    """32 bytes, the private key of the party at `path`: the same in every replication, so that addresses are."""
    return hashlib.blake2b(f"{seed}/{path}".encode(), digest_size=32, person=b"tp-key").digest()


class SimSigner:
    """See `ports.Signer`.

    Args:
        key: 32 bytes.
        address: of the key.
        scheme: real or counted.
        process: the party's process.
    """

    __slots__ = ("_address", "_key", "_process", "_scheme")

    def __init__(self, key: bytes, address: Address, scheme: Scheme, process: Process) -> None:
        self._key = key
        self._address = address
        self._scheme = scheme
        self._process = process

    @property
    def address(self) -> Address:
        """See `ports.Signer.address`."""
        return self._address

    def sign(self, digest: bytes) -> bytes:
        """See `ports.Signer.sign`."""
        self._process.check()
        return self._scheme.sign(digest, self._key)


@dataclass(slots=True)
class Noise:
    """What outlives a process of a party's entropy: how much of it was drawn."""

    key: bytes
    drawn: int = 0


class SimEntropy:
    """See `ports.Entropy`: BLAKE2b of the party's own key and a counter."""

    __slots__ = ("_noise", "_process")

    def __init__(self, noise: Noise, process: Process) -> None:
        self._noise = noise
        self._process = process

    def draw(self, count: int) -> bytes:
        """See `ports.Entropy.draw`."""
        self._process.check()
        out = b""
        while len(out) < count:
            counter = self._noise.drawn.to_bytes(8, "big")
            out += hashlib.blake2b(counter, key=self._noise.key, digest_size=64).digest()
            self._noise.drawn += 1
        return out[:count]


class SimAttestor:
    """See `ports.Attestor`.

    Args:
        assurance: what the evidence claims.
        honest: False makes evidence that a verifier finds false.
    """

    __slots__ = ("_assurance", "_honest")

    def __init__(self, assurance: Assurance, *, honest: bool = True) -> None:
        self._assurance = assurance
        self._honest = honest

    async def evidence(
        self, report_data: bytes, kinds: Sequence[str], *, deadline_ns: int
    ) -> Sequence[Evidence] | ports.Unknown:
        """See `ports.Attestor.evidence`."""
        if self._assurance is Assurance.NONE or (kinds and EVIDENCE_KIND not in kinds):
            return ()
        seal = _seal(report_data, self._assurance) if self._honest else bytes(32)
        return (Evidence(EVIDENCE_KIND, 1, report_data + bytes([self._assurance]) + seal),)


class SimVerifier:
    """See `ports.Verifier`; knows the kind `sim` alone."""

    __slots__ = ()

    async def verify(
        self, evidence: Evidence, report_data: bytes, *, deadline_ns: int
    ) -> Verdict | ports.Unknown | None:
        """See `ports.Verifier.verify`."""
        report = evidence.report
        if evidence.kind != EVIDENCE_KIND or len(report) != 97 or report[64] not in list(Assurance):
            return None
        bound, assurance = report[:64], Assurance(report[64])
        if report[65:] != _seal(bound, assurance):
            return None
        return Verdict(
            EVIDENCE_KIND,
            assurance,
            MEASUREMENT,
            (1,),
            debug=False,
            valid_until_ns=NEVER_NS,
            report_data=bound,
        )


def _seal(report_data: bytes, assurance: Assurance) -> bytes:
    return hashlib.sha256(b"sim evidence" + report_data + bytes([assurance])).digest()


if TYPE_CHECKING:
    _is_a_signer: type[ports.Signer] = SimSigner
    _is_entropy: type[ports.Entropy] = SimEntropy
    _is_an_attestor: type[ports.Attestor] = SimAttestor
    _is_a_verifier: type[ports.Verifier] = SimVerifier
