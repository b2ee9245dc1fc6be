"""The attestor of a machine without a TEE, and a verifier that knows several kinds of evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from live.tasks import Process
    from protocol import ports
    from protocol.attestation import Evidence, Verdict
    from protocol.ports import Unknown


class NoAttestor:
    """See `ports.Attestor`: a provider without a TEE has no evidence."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def evidence(
        self, report_data: bytes, kinds: Sequence[str], *, deadline_ns: int
    ) -> Sequence[Evidence] | Unknown:
        """See `ports.Attestor.evidence`."""
        self._process.check()
        return ()


class KindVerifier:
    """See `ports.Verifier`: gives each kind of evidence to whoever knows it.

    Args:
        process: whose it is.
        known: verifiers by the kind that they know; evidence of any other kind is never true.
    """

    def __init__(self, process: Process, known: Mapping[str, ports.Verifier]) -> None:
        self._process = process
        self._known = dict(known)

    async def verify(
        self, evidence: Evidence, report_data: bytes, *, deadline_ns: int
    ) -> Verdict | Unknown | None:
        """See `ports.Verifier.verify`."""
        self._process.check()
        verifier = self._known.get(evidence.kind)
        return (
            None
            if verifier is None
            else await verifier.verify(evidence, report_data, deadline_ns=deadline_ns)
        )


if TYPE_CHECKING:
    _is_an_attestor: type[ports.Attestor] = NoAttestor
    _is_a_verifier: type[ports.Verifier] = KindVerifier
