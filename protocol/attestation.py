"""What a publisher checks of a provider before it sends anything: whose keys, and what they run inside.

The provider answers a fresh nonce with its signed `ProviderKeys` and evidence. The evidence binds
`report_data`: the nonce (so it was made now) and the digest of the keys (so what is sealed for these keys
is opened only there). Judging the evidence itself (signatures, roots, revocation) is the `Verifier`
port's; what its verdicts must say is the policy's; that both hold is `check_answer`, which is asked
before the deposit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from protocol.auth import ProviderKeys
from protocol.eip712 import Domain, check_bytes
from protocol.errors import PeerFault
from protocol.signing import Scheme
from protocol.units import NS_PER_S, Address
from protocol.wire import trusted_pods_pb2 as pb

REPORT_LABEL: Final = b"trusted-pods/attest/1\0"
NONCE_BYTES: Final = 32

LIVE_REFUSED_KINDS: Final = frozenset({"sim"})
"""Kinds of evidence that anybody can make up: they never count where money or secrets are real."""


class Assurance(IntEnum):
    """What is inside the boundary that a verdict speaks of; more includes less.

    A quote of the provider's client says nothing about the nodes that run the pods, so it is worth less
    than one of all nodes, and that less than one of the pod itself.
    """

    NONE = 0
    CLIENT = 1
    CLUSTER = 2
    POD = 3

    @classmethod
    def of(cls, name: str) -> Assurance:
        """The level of a lower-case name; ValueError says which there are."""
        try:
            return cls[name.upper()]
        except KeyError as exc:
            raise ValueError(
                f"{name!r} is no assurance; allowed: {', '.join(a.name.lower() for a in cls)}"
            ) from exc


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a piece of hardware says, as bytes; only a `Verifier` of its kind understands them.

    Attributes:
        kind: such as `sev-snp`; `sim` is made by the simulator.
        version: of the kind's format.
        report: the signed report.
        certificates: the chain of the key that signed it, leaf first, DER.
        collateral: what else its verification needs (revocation lists, TCB info).
        event_log: what was measured, in order.
    """

    kind: str
    version: int
    report: bytes
    certificates: tuple[bytes, ...] = ()
    collateral: bytes = b""
    event_log: bytes = b""

    def to_wire(self) -> pb.Evidence:
        """The message."""
        return pb.Evidence(
            kind=self.kind,
            version=self.version,
            report=self.report,
            certificates=self.certificates,
            collateral=self.collateral,
            eventLog=self.event_log,
        )

    @classmethod
    def from_wire(cls, message: pb.Evidence) -> Evidence:
        """The evidence of a message."""
        return cls(
            kind=message.kind,
            version=message.version,
            report=message.report,
            certificates=tuple(message.certificates),
            collateral=message.collateral,
            event_log=message.eventLog,
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a `Verifier` found true evidence to say.

    Attributes:
        kind: of the evidence.
        assurance: what is inside the boundary.
        measurement: digest of what runs inside.
        tcb: security versions of the platform's parts, in the kind's own order; each is compared by itself.
        debug: whether the platform's owner can look inside.
        valid_until_ns: last instant at which it holds (certificates, revocation lists) [Unix ns].
        report_data: the 64 bytes that the evidence binds.
    """

    kind: str
    assurance: Assurance
    measurement: bytes
    tcb: tuple[int, ...]
    debug: bool
    valid_until_ns: int
    report_data: bytes


@dataclass(frozen=True, slots=True)
class AttestationPolicy:
    """What a publisher demands.

    Attributes:
        required: least assurance; at NONE no evidence is demanded, and none that is there is judged.
        kinds: kinds of evidence that count.
        measurements: those that count; None for any, empty for none.
        min_tcb: by kind, the least security version of each part; a kind that is not named has no least.
        allow_debug: whether a platform whose owner can look inside counts.
        live: whether money and secrets are real: then `LIVE_REFUSED_KINDS` are refused whatever else is said.
    """

    required: Assurance = Assurance.NONE
    kinds: frozenset[str] = frozenset()
    measurements: frozenset[bytes] | None = None
    min_tcb: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    allow_debug: bool = False
    live: bool = True


def report_data(nonce: bytes, keys_hash: bytes) -> bytes:
    """The 64 bytes that evidence must bind: SHA-512 of the label, the nonce and the keys' digest, 32 bytes each."""
    check_bytes("nonce", nonce, NONCE_BYTES)
    check_bytes("keys_hash", keys_hash, 32)
    return hashlib.sha512(REPORT_LABEL + nonce + keys_hash).digest()


def check_keys(
    keys: ProviderKeys, signature: bytes, *, provider: Address, domain: Domain, scheme: Scheme, now_ns: int
) -> None:
    """Raise unless `keys` are the provider's, signed by it, and good now.

    Raises:
        PeerFault: `KeysOfAnotherProvider`, `BadSignature`, `KeysNotSignedByProvider`, `KeysNotYetValid`
            or `KeysExpired`.
    """
    if keys.provider != provider:
        raise PeerFault("KeysOfAnotherProvider", f"of 0x{keys.provider.hex()}; asked was 0x{provider.hex()}")
    signer = scheme.recover(keys.digest(domain), signature)
    if signer != provider:
        raise PeerFault(
            "KeysNotSignedByProvider", f"signed by 0x{signer.hex()}; the provider is 0x{provider.hex()}"
        )
    time = f"good from {keys.not_before_s} s to {keys.not_after_s} s; it is {now_ns // NS_PER_S} s"
    if now_ns < keys.not_before_s * NS_PER_S:
        raise PeerFault("KeysNotYetValid", time)
    if now_ns // NS_PER_S > keys.not_after_s:
        raise PeerFault("KeysExpired", time)


def check_answer(
    answer: pb.AttestResponse,
    nonce: bytes,
    *,
    provider: Address,
    domain: Domain,
    scheme: Scheme,
    now_ns: int,
    policy: AttestationPolicy,
    verdicts: Sequence[Verdict | None],
) -> ProviderKeys:
    """The keys to seal for. Nothing is sent to a provider before this returned.

    One piece of evidence that satisfies the policy is enough; when none does, the fault names what the
    first of an accepted kind lacks. False evidence of an accepted kind is a fault even beside good.

    Args:
        answer: the provider's.
        nonce: the 32 bytes that were asked with; never used before.
        provider: whom we asked: the address in the registry.
        domain: the chain and Registry contract.
        scheme: how signatures are read.
        now_ns: our clock.
        policy: what is demanded.
        verdicts: what the `Verifier` says of each piece of evidence, in the answer's order; None where it is
            false. When it does not know, there is nothing to check yet: ask again.

    Raises:
        PeerFault: what `check_keys` raises, `MalformedMessage`, `EvidenceFalse`, `EvidenceMissing` (none of
            an accepted kind), or the first shortcoming: `EvidenceKindRefused` (made-up kinds in live mode),
            `EvidenceNotBound`, `VerdictExpired`, `AssuranceTooLow`, `MeasurementNotAllowed`, `TcbTooLow`,
            `DebugEnabled`.
        ValueError: there is not one verdict for each piece of evidence.
    """
    if len(verdicts) != len(answer.evidence):
        raise ValueError(f"{len(verdicts)} verdicts for {len(answer.evidence)} pieces of evidence")
    keys = ProviderKeys.from_wire(answer.keys)
    check_keys(keys, answer.signature, provider=provider, domain=domain, scheme=scheme, now_ns=now_ns)
    if policy.required is Assurance.NONE:
        return keys
    bound = report_data(nonce, keys.digest(domain))
    faults: list[PeerFault] = []
    good = False
    for evidence, verdict in zip(answer.evidence, verdicts, strict=True):
        if evidence.kind not in policy.kinds:
            continue
        if policy.live and evidence.kind in LIVE_REFUSED_KINDS:
            faults.append(PeerFault("EvidenceKindRefused", f"{evidence.kind!r} never counts in live mode"))
            continue
        if verdict is None:
            raise PeerFault("EvidenceFalse", f"evidence of kind {evidence.kind!r}")
        fault = _shortcoming(evidence.kind, verdict, bound, now_ns, policy)
        if fault is None:
            good = True
        else:
            faults.append(fault)
    if good:
        return keys
    if faults:
        raise faults[0]
    offered = ", ".join(sorted({e.kind for e in answer.evidence})) or "none"
    raise PeerFault(
        "EvidenceMissing", f"evidence of kind {offered}; accepted: {', '.join(sorted(policy.kinds))}"
    )


def _shortcoming(
    kind: str, verdict: Verdict, bound: bytes, now_ns: int, policy: AttestationPolicy
) -> PeerFault | None:
    """The first thing that the policy demands and the verdict does not give; None when it gives all."""
    if verdict.kind != kind or (policy.live and verdict.kind in LIVE_REFUSED_KINDS):
        return PeerFault(
            "EvidenceKindRefused", f"a verdict of kind {verdict.kind!r} for evidence of kind {kind!r}"
        )
    if verdict.report_data != bound:
        return PeerFault("EvidenceNotBound", f"binds {verdict.report_data.hex()}; asked was {bound.hex()}")
    if now_ns > verdict.valid_until_ns:
        return PeerFault("VerdictExpired", f"held until {verdict.valid_until_ns} ns; it is {now_ns} ns")
    if verdict.assurance < policy.required:
        return PeerFault(
            "AssuranceTooLow", f"{verdict.assurance.name.lower()}; required: {policy.required.name.lower()}"
        )
    if policy.measurements is not None and verdict.measurement not in policy.measurements:
        return PeerFault(
            "MeasurementNotAllowed", f"{verdict.measurement.hex()} is none of {len(policy.measurements)}"
        )
    least = policy.min_tcb.get(kind)
    if least is not None and not _at_least(verdict.tcb, least):
        return PeerFault("TcbTooLow", f"{verdict.tcb}; at least {least}")
    if verdict.debug and not policy.allow_debug:
        return PeerFault("DebugEnabled", "the platform's owner can look inside")
    return None


def _at_least(tcb: tuple[int, ...], least: tuple[int, ...]) -> bool:
    """Whether each part is; a platform that reports other parts is not comparable, so it is not."""
    return len(tcb) == len(least) and all(has >= want for has, want in zip(tcb, least, strict=True))
