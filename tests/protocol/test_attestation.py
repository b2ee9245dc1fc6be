from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocol import wire
from protocol.attestation import (
    LIVE_REFUSED_KINDS,
    Assurance,
    AttestationPolicy,
    Evidence,
    Verdict,
    check_answer,
    check_keys,
    report_data,
)
from protocol.auth import ProviderKeys
from protocol.eip712 import Domain
from protocol.errors import PeerFault
from protocol.signing import SECP256K1, address_of
from protocol.units import NS_PER_S, Address
from protocol.wire import pb

KEY, OTHER_KEY = bytes(31) + b"\x01", bytes(31) + b"\x02"
PROVIDER, STRANGER = address_of(KEY), address_of(OTHER_KEY)
REGISTRY = Domain(31337, Address(b"\xee" * 20))
NONCE = b"\x0f" * 32
NOW_NS = 1_700_000_000 * NS_PER_S
KEYS = ProviderKeys(PROVIDER, b"\x01" * 32, b"\x02" * 32, 1_600_000_000, 1_800_000_000)
MEASUREMENT = b"\x33" * 48
BOUND = report_data(NONCE, KEYS.digest(REGISTRY))
GOOD = Verdict("snp", Assurance.POD, MEASUREMENT, (3, 0, 8, 115), False, NOW_NS + NS_PER_S, BOUND)
STRICT = AttestationPolicy(
    required=Assurance.CLUSTER,
    kinds=frozenset({"snp"}),
    measurements=frozenset({MEASUREMENT}),
    min_tcb={"snp": (3, 0, 8, 115)},
)


def answer_of(
    *kinds: str, keys: ProviderKeys = KEYS, key: bytes = KEY, domain: Domain = REGISTRY
) -> pb.AttestResponse:
    return pb.AttestResponse(
        keys=keys.to_wire(),
        signature=SECP256K1.sign(keys.digest(domain), key),
        evidence=[Evidence(kind, 1, b"report").to_wire() for kind in kinds],
    )


def rule_of(
    answer: pb.AttestResponse,
    *verdicts: Verdict | None,
    policy: AttestationPolicy = STRICT,
    now_ns: int = NOW_NS,
) -> str | None:
    """The rule that refuses the answer; None: accepted."""
    try:
        keys = check_answer(
            answer,
            NONCE,
            provider=PROVIDER,
            domain=REGISTRY,
            scheme=SECP256K1,
            now_ns=now_ns,
            policy=policy,
            verdicts=verdicts,
        )
    except PeerFault as fault:
        return fault.rule
    assert keys == ProviderKeys.from_wire(answer.keys)
    return None


def test_report_data_is_as_written_down() -> None:
    made = report_data(b"N" * 32, b"K" * 32)
    assert made == hashlib.sha512(b"trusted-pods/attest/1\x00" + b"N" * 32 + b"K" * 32).digest()
    for nonce, keys_hash in [(b"", b"K" * 32), (b"N" * 32, b"K" * 31), (b"N" * 33, b"K" * 31)]:
        with pytest.raises(ValueError, match="it must have 32"):
            report_data(nonce, keys_hash)


def test_assurance_is_ordered() -> None:
    assert sorted(Assurance) == [Assurance.of(name) for name in ("none", "client", "cluster", "pod")]
    with pytest.raises(ValueError, match="allowed: none, client, cluster, pod"):
        Assurance.of("tee")


@given(
    owner=st.booleans(),
    signer=st.booleans(),
    here=st.booleans(),
    before_s=st.integers(-2, 2),
    after_s=st.integers(-2, 2),
    past_ns=st.sampled_from([0, NS_PER_S - 1]),
)
def test_keys_are_taken_if_and_only_if_they_are_the_provider_s_and_good_now(
    owner: bool, signer: bool, here: bool, before_s: int, after_s: int, past_ns: int
) -> None:
    now_s = NOW_NS // NS_PER_S
    keys = replace(
        KEYS,
        provider=PROVIDER if owner else STRANGER,
        not_before_s=now_s + before_s,
        not_after_s=now_s + after_s,
    )
    domain = REGISTRY if here else Domain(1, REGISTRY.contract)
    signature = SECP256K1.sign(keys.digest(domain), KEY if signer else OTHER_KEY)
    rules = [
        (not owner, "KeysOfAnotherProvider"),
        (not (signer and here), "KeysNotSignedByProvider"),
        (before_s > 0, "KeysNotYetValid"),
        (after_s < 0, "KeysExpired"),
    ]
    expected = next((rule for broken, rule in rules if broken), None)
    got: str | None = None
    try:
        check_keys(
            keys, signature, provider=PROVIDER, domain=REGISTRY, scheme=SECP256K1, now_ns=NOW_NS + past_ns
        )
    except PeerFault as fault:
        got = fault.rule
    assert got == expected


verdicts = st.builds(
    Verdict,
    kind=st.sampled_from(["snp"] * 6 + ["tdx", "sim"]),
    assurance=st.sampled_from(Assurance),
    measurement=st.sampled_from([MEASUREMENT] * 3 + [b"\x34" * 48]),
    tcb=st.sampled_from([(3, 0, 8, 115)] * 3 + [(4, 1, 9, 200), (4, 0, 8, 114), (3, 0, 8), ()]),
    debug=st.sampled_from([False, False, True]),
    valid_until_ns=st.integers(NOW_NS - 1, NOW_NS + 1),
    report_data=st.sampled_from([BOUND] * 5 + [bytes(64), report_data(bytes(32), KEYS.digest(REGISTRY))]),
)
policies = st.builds(
    AttestationPolicy,
    required=st.sampled_from(Assurance),
    kinds=st.sampled_from([frozenset({"snp"}), frozenset({"snp", "sim"}), frozenset({"tdx"})]),
    measurements=st.sampled_from([None, frozenset({MEASUREMENT}), frozenset()]),
    min_tcb=st.sampled_from([{}, {"snp": (3, 0, 8, 115)}]),
    allow_debug=st.booleans(),
    live=st.booleans(),
)


@given(verdict=st.one_of(verdicts, st.none()), policy=policies, kind=st.sampled_from(["snp", "snp", "sim"]))
@example(verdict=GOOD, policy=STRICT, kind="snp")
def test_evidence_suffices_if_and_only_if_it_gives_all_that_is_demanded(
    verdict: Verdict | None, policy: AttestationPolicy, kind: str
) -> None:
    got = rule_of(answer_of(kind), verdict, policy=policy)
    if policy.required is Assurance.NONE:
        assert got is None
        return
    if verdict is None:
        refused = policy.live and kind == "sim"
        accepted = kind in policy.kinds
        assert got == (
            "EvidenceMissing" if not accepted else "EvidenceKindRefused" if refused else "EvidenceFalse"
        )
        return
    least = policy.min_tcb.get(kind)
    rules = [
        (kind not in policy.kinds, "EvidenceMissing"),
        (policy.live and kind == "sim", "EvidenceKindRefused"),
        (verdict.kind != kind, "EvidenceKindRefused"),
        (verdict.report_data != BOUND, "EvidenceNotBound"),
        (verdict.valid_until_ns < NOW_NS, "VerdictExpired"),
        (verdict.assurance.value < policy.required.value, "AssuranceTooLow"),
        (
            policy.measurements is not None and verdict.measurement not in policy.measurements,
            "MeasurementNotAllowed",
        ),
        (
            least is not None and verdict.tcb not in [(3, 0, 8, 115), (4, 1, 9, 200)],
            "TcbTooLow",
        ),
        (verdict.debug and not policy.allow_debug, "DebugEnabled"),
    ]
    assert got == next((rule for broken, rule in rules if broken), None)


@pytest.mark.parametrize("kind", sorted(LIVE_REFUSED_KINDS))
def test_made_up_evidence_never_counts_in_live_mode(kind: str) -> None:
    policy = replace(STRICT, kinds=frozenset({kind, "snp"}), measurements=None, min_tcb={})
    verdict = replace(GOOD, kind=kind)
    assert AttestationPolicy().live
    assert rule_of(answer_of(kind), verdict, policy=policy) == "EvidenceKindRefused"
    assert rule_of(answer_of(kind), verdict, policy=replace(policy, live=False)) is None
    assert rule_of(answer_of("snp"), verdict, policy=policy) == "EvidenceKindRefused"
    assert rule_of(answer_of(kind), None, policy=policy) == "EvidenceKindRefused"


@pytest.mark.parametrize("tcb", [(), (3, 0, 8), (9, 9, 9), (3, 0, 8, 115, 0), (9, 9, 9, 114), (2, 9, 9, 200)])
def test_each_part_of_a_platform_has_its_least_version(tcb: tuple[int, ...]) -> None:
    assert rule_of(answer_of("snp"), replace(GOOD, tcb=tcb)) == "TcbTooLow"
    assert rule_of(answer_of("snp"), replace(GOOD, tcb=tcb), policy=replace(STRICT, min_tcb={})) is None


def test_another_nonce_is_an_old_answer() -> None:
    old = replace(GOOD, report_data=report_data(bytes(32), KEYS.digest(REGISTRY)))
    assert rule_of(answer_of("snp"), old) == "EvidenceNotBound"


def test_evidence_for_other_keys_is_not_for_these() -> None:
    rotated = replace(KEYS, hpke_key=b"\x05" * 32)
    assert rule_of(answer_of("snp", keys=rotated), GOOD) == "EvidenceNotBound"


def test_one_good_piece_is_enough_and_one_false_piece_too_many() -> None:
    weak = replace(GOOD, assurance=Assurance.CLIENT)
    assert rule_of(answer_of("snp", "snp"), weak, GOOD) is None
    assert rule_of(answer_of("snp", "snp"), GOOD, weak) is None
    assert rule_of(answer_of("snp", "snp"), weak, replace(GOOD, debug=True)) == "AssuranceTooLow"
    assert rule_of(answer_of("snp", "snp"), GOOD, None) == "EvidenceFalse"
    assert rule_of(answer_of("snp", "tdx"), GOOD, None) is None  # of a kind that nobody asked for
    assert rule_of(answer_of()) == "EvidenceMissing"


def test_a_verdict_is_for_one_piece_of_evidence() -> None:
    with pytest.raises(ValueError, match="0 verdicts for 1"):
        rule_of(answer_of("snp"))


def test_keys_come_first_whatever_is_demanded() -> None:
    lax = AttestationPolicy()
    assert rule_of(answer_of(key=OTHER_KEY), policy=lax) == "KeysNotSignedByProvider"
    assert rule_of(pb.AttestResponse(), policy=lax) == "MalformedMessage"
    unsigned = answer_of()
    unsigned.signature = b""
    assert rule_of(unsigned, policy=lax) == "BadSignature"


def test_evidence_round_trips() -> None:
    evidence = Evidence("snp", 2, b"r", (b"leaf", b"root"), b"crl", b"log")
    assert Evidence.from_wire(wire.parse(pb.Evidence, wire.dump(evidence.to_wire()))) == evidence
