"""What `Attestor` and `Verifier` promise: evidence binds, and false evidence never passes."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from protocol.attestation import Assurance, Evidence, Verdict, report_data
from protocol.ports import Attestor, Unknown, Verifier
from tests.suites.bench import Bench, after


class AttestationBench(Bench, Protocol):
    """An honest attestor and a verifier that knows its kind.

    Attributes:
        attestor, kind, assurance: what is proved, and with which kind of evidence.
        verifier: the publisher's.
    """

    @property
    def attestor(self) -> Attestor: ...

    @property
    def verifier(self) -> Verifier: ...

    @property
    def kind(self) -> str: ...

    @property
    def assurance(self) -> Assurance: ...

    def forged(self) -> Attestor:
        """One whose evidence is false."""
        ...


DATA = report_data(b"\x01" * 32, b"\x02" * 32)
OTHER = report_data(b"\x03" * 32, b"\x02" * 32)


class AttestationSuite:
    """Every pair of `Attestor` and `Verifier`."""

    def evidence(
        self, bench: AttestationBench, data: bytes = DATA, attestor: Attestor | None = None
    ) -> Evidence:
        source = attestor or bench.attestor
        found = bench.run(source.evidence(data, (bench.kind,), deadline_ns=after(bench, 60)))
        assert not isinstance(found, Unknown)
        (piece,) = found
        return piece

    def verdict(self, bench: AttestationBench, piece: Evidence, data: bytes = DATA) -> Verdict | None:
        found = bench.run(bench.verifier.verify(piece, data, deadline_ns=after(bench, 60)))
        assert not isinstance(found, Unknown)
        return found

    def test_honest_evidence_verifies_and_says_what_it_binds(self, bench: AttestationBench) -> None:
        found = self.verdict(bench, self.evidence(bench))
        assert found is not None
        assert (found.kind, found.assurance, found.report_data) == (bench.kind, bench.assurance, DATA)
        assert not found.debug and found.valid_until_ns > bench.clock.now_ns()

    def test_evidence_for_another_nonce_does_not_bind_ours(self, bench: AttestationBench) -> None:
        found = self.verdict(bench, self.evidence(bench, OTHER))
        assert found is None or found.report_data != DATA

    def test_forged_evidence_is_false(self, bench: AttestationBench) -> None:
        assert self.verdict(bench, self.evidence(bench, attestor=bench.forged())) is None

    def test_no_changed_byte_passes(self, bench: AttestationBench) -> None:
        piece = self.evidence(bench)
        step = max(1, len(piece.report) // 97)
        for at in range(0, len(piece.report), step):
            changed = bytearray(piece.report)
            changed[at] ^= 1
            found = self.verdict(bench, replace(piece, report=bytes(changed)))
            assert found is None, f"byte {at}"
        assert self.verdict(bench, replace(piece, report=piece.report[:-1])) is None
        assert self.verdict(bench, replace(piece, report=b"")) is None

    def test_a_kind_that_is_not_known_is_not_guessed(self, bench: AttestationBench) -> None:
        assert self.verdict(bench, replace(self.evidence(bench), kind="unheard-of")) is None

    def test_only_what_was_asked_for_is_given(self, bench: AttestationBench) -> None:
        found = bench.run(bench.attestor.evidence(DATA, ("unheard-of",), deadline_ns=after(bench, 60)))
        assert list(found) == [] if not isinstance(found, Unknown) else True
