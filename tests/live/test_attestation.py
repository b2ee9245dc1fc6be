"""SEV-SNP evidence: a report of real hardware, a made-up platform under the suite, and what is forged."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from live.attestation import KindVerifier, NoAttestor, SnpVerifier
from live.attestation.report import FalseEvidence, parse
from live.attestation.snp import amd_roots
from live.tasks import Process
from protocol.attestation import Assurance, Evidence, Verdict
from protocol.errors import Killed
from protocol.ports import Attestor, Unknown, Verifier
from protocol.units import NS_PER_S
from tests.live.benches import LiveBench
from tests.live.snp import CHIP, DAY, MEASUREMENT, TCB, Platform, integer, rsa_key
from tests.suites.attestation_suite import DATA, AttestationBench, AttestationSuite
from tests.suites.bench import after

VECTORS = Path(__file__).parent / "vectors"
NOW = dt.datetime(2026, 11, 27, 12, tzinfo=dt.UTC)


def process(at: dt.datetime = NOW) -> Process:
    at_ns = int(at.timestamp()) * NS_PER_S
    return Process("publisher", wall_ns=lambda: at_ns, monotonic_ns=lambda: 0)


@pytest.fixture(scope="module")
def platform() -> Platform:
    return Platform(now=NOW)


def judge(platform: Platform, evidence: Evidence, **settings: Any) -> Verdict | Unknown:
    return SnpVerifier(process(), roots=platform.trusted, **settings).judge(evidence)


# ---------------------------------------------------------------- real hardware


def real(report: bytes | None = None) -> Evidence:
    files = [(VECTORS / f"snp-milan-{name}").read_bytes() for name in ("report.bin", "vcek.der")]
    return Evidence("sev-snp", 1, report or files[0], (files[1],))


def test_a_report_of_real_hardware_is_true_under_the_roots_that_are_pinned() -> None:
    at = dt.datetime(2023, 1, 1, tzinfo=dt.UTC)
    verdict = SnpVerifier(process(at), need_list=False).judge(real())
    assert isinstance(verdict, Verdict)
    assert verdict.report_data == bytes([1, 2, 3, 4, 5]).ljust(64, b"\0")
    assert verdict.measurement.hex().startswith("b07af9620f3b839b47996422")
    assert (verdict.assurance, verdict.tcb, verdict.debug) == (Assurance.CLIENT, (2, 0, 5, 0x44), True)
    assert (
        verdict.valid_until_ns
        == int(dt.datetime(2029, 9, 24, 0, 55, 28, tzinfo=dt.UTC).timestamp()) * NS_PER_S
    )


def test_every_byte_of_it_that_is_changed_is_noticed() -> None:
    at = dt.datetime(2023, 1, 1, tzinfo=dt.UTC)
    verifier = SnpVerifier(process(at), need_list=False)
    report = real().report
    for at_byte in range(len(report)):
        changed = bytearray(report)
        changed[at_byte] ^= 0x10
        with pytest.raises(FalseEvidence):
            verifier.judge(real(bytes(changed)))


def test_without_a_revocation_list_nothing_is_known_unless_one_says_so() -> None:
    verdict = SnpVerifier(process(dt.datetime(2023, 1, 1, tzinfo=dt.UTC))).judge(real())
    assert isinstance(verdict, Unknown) and "revocation list" in verdict.reason


@pytest.mark.parametrize("year", [2021, 2030])
def test_a_certificate_holds_for_its_time_only(year: int) -> None:
    at = dt.datetime(year, 1, 1, tzinfo=dt.UTC)
    with pytest.raises(FalseEvidence, match=r"SEV-VCEK.* holds from 2022-09-24 .* to 2029-09-24 "):
        SnpVerifier(process(at), need_list=False).judge(real())


def test_the_roots_are_those_of_every_product_and_of_both_keys() -> None:
    roots = amd_roots()
    assert {(r.product, r.key) for r in roots} == {
        (p, k) for p in ("milan", "genoa", "turin") for k in ("vcek", "vlek")
    }
    assert all(r.product in r.root.subject.rfc4514_string().lower() for r in roots)


# ---------------------------------------------------------------- the suite


class SnpAttestor:
    """A chip, as a guest asks it."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform

    async def evidence(
        self, report_data: bytes, kinds: Sequence[str], *, deadline_ns: int
    ) -> Sequence[Evidence] | Unknown:
        return [self.platform.evidence(self.platform.report(report_data))] if "sev-snp" in kinds else []


class SnpBench(LiveBench):
    kind = "sev-snp"
    assurance = Assurance.CLUSTER

    def __init__(self) -> None:
        super().__init__()
        self.platform = Platform(now=dt.datetime.now(dt.UTC))
        self.attestor: Attestor = SnpAttestor(self.platform)
        self.verifier: Verifier = KindVerifier(
            self.process,
            {
                "sev-snp": SnpVerifier(
                    self.process, roots=self.platform.trusted, measured={MEASUREMENT: Assurance.CLUSTER}
                )
            },
        )

    def forged(self) -> Attestor:
        """The same names under another root."""
        return SnpAttestor(Platform("forger", now=self.platform.now))


class TestSnp(AttestationSuite):
    @pytest.fixture
    def bench(self) -> AttestationBench:
        return SnpBench()


def test_the_dead_judge_nothing_and_no_tee_is_no_evidence() -> None:
    bench = LiveBench()
    assert (
        bench.run(NoAttestor(bench.process).evidence(DATA, ("sev-snp",), deadline_ns=after(bench, 60))) == ()
    )
    dead = process()
    dead.kill()
    with pytest.raises(Killed):
        bench.run(SnpVerifier(dead).verify(real(), DATA, deadline_ns=after(bench, 60)))
    with pytest.raises(Killed):
        bench.run(KindVerifier(dead, {}).verify(real(), DATA, deadline_ns=after(bench, 60)))
    with pytest.raises(Killed):
        bench.run(NoAttestor(dead).evidence(DATA, (), deadline_ns=after(bench, 60)))


# ---------------------------------------------------------------- what a verdict says


def test_a_verdict_says_what_the_platform_signed(platform: Platform) -> None:
    verdict = judge(platform, platform.evidence(platform.report(DATA)))
    end_ns = int((NOW + 9 * DAY).timestamp()) * NS_PER_S  # the list's, which is the first to end
    assert verdict == Verdict("sev-snp", Assurance.CLIENT, MEASUREMENT, (3, 0, 20, 209), False, end_ns, DATA)


@pytest.mark.parametrize("bit", [18, 19], ids=["migration", "debug"])
def test_a_guest_that_its_host_may_open_is_said_to_be_open(platform: Platform, bit: int) -> None:
    policy = (1 << 17 | 1 << bit).to_bytes(8, "little")
    verdict = judge(platform, platform.evidence(platform.report(DATA, at_08=policy)))
    assert isinstance(verdict, Verdict) and verdict.debug


def test_roots_may_be_left_out_of_the_chain_and_a_hidden_chip_is_no_other_chip(platform: Platform) -> None:
    whole = platform.evidence(platform.report(DATA, at_1A0=bytes(64)))
    assert isinstance(judge(platform, replace(whole, certificates=whole.certificates[:1])), Verdict)


@pytest.mark.parametrize(
    ("family", "model", "good"), [(0x19, 1, True), (0x19, 0x11, False), (0x1A, 2, False)]
)
def test_from_version_3_on_the_processor_must_be_of_its_root_s_product(
    platform: Platform, family: int, model: int, good: bool
) -> None:
    evidence = platform.evidence(platform.report(DATA, at_00=3, at_188=bytes([family, model])))
    if good:
        assert isinstance(judge(platform, evidence), Verdict)
    else:
        with pytest.raises(FalseEvidence, match="under a key of milan"):
            judge(platform, evidence)


# ---------------------------------------------------------------- what is forged, old or malformed

OTHER_KEY = ec.generate_private_key(ec.SECP384R1())
FORGED: dict[str, tuple[Callable[[Platform], Evidence], str]] = {
    "another chip's certificate": (
        lambda p: p.evidence(p.report(DATA), p.chip_certificate(chip=CHIP[::-1])), "of another chip"),
    "an older platform under a newer key": (
        lambda p: p.evidence(p.report(DATA), p.chip_certificate({**TCB, "snp": 21})), "snp 20, its key is of snp 21"),
    "a newer platform than its key": (
        lambda p: p.evidence(p.report(DATA, {**TCB, "microcode": 210})), "microcode 210, its key is of microcode 209"),
    "another key": (
        lambda p: p.evidence(p.report(DATA), p.chip_certificate(public=OTHER_KEY.public_key())), "not signed by this key"),
    "a key of another curve": (
        lambda p: p.evidence(p.report(DATA), p.chip_certificate(public=ec.generate_private_key(ec.SECP256R1()).public_key())),
        "none of P-384"),
    "an RSA key": (
        lambda p: p.evidence(p.report(DATA), p.chip_certificate(public=rsa_key("chip").public_key())), "none of P-384"),
    "a chip's certificate under a name of AMD's and another key": (
        lambda p: p.evidence(p.report(DATA), Platform("forger", now=NOW).chip_certificate()), "not signed by AMD"),
    "a root of one's own in the chain": (
        lambda p: replace(p.evidence(p.report(DATA)),
                          certificates=(p.chip_certificate(), *Platform("forger", now=NOW).evidence(b"").certificates[1:])),
        "other certificates than AMD's"),
    "a certificate that is over": (
        lambda p: p.evidence(p.report(DATA), p.chip_certificate(end=-DAY / 24)), "holds from"),
    "a certificate of tomorrow": (
        lambda p: p.evidence(p.report(DATA), p.chip_certificate(begin=DAY)), "holds from"),
    "a signer that was revoked": (
        lambda p: p.evidence(p.report(DATA), lists=p.revoked(2)), "has revoked"),
    "a list that another signed": (
        lambda p: p.evidence(p.report(DATA), lists=p.revoked(signing=Platform("forger", now=NOW))),
        "list is not signed by AMD"),
    "a list that is none": (lambda p: p.evidence(p.report(DATA), lists=b"nothing"), "no revocation list"),
    "too long a list": (lambda p: p.evidence(p.report(DATA), lists=bytes(300_000)), "300000 bytes of collateral"),
    "asked for by less than the guest": (lambda p: p.evidence(p.report(DATA, at_30=1)), "privilege level 1"),
    "no signature": (lambda p: p.evidence(p.report(DATA, at_48=0b11100)), "signed by no key"),
    "a key that is not known": (lambda p: p.evidence(p.report(DATA, at_48=0b10000)), "signed by no key"),
    "a hidden key": (lambda p: p.evidence(p.report(DATA, at_48=0b10)), "hides its chip key"),
    "the cloud's key under the chips' roots": (lambda p: p.evidence(p.report(DATA, at_48=0b100)), "leads to no root"),
    "another algorithm": (lambda p: p.evidence(p.report(DATA, at_34=2)), "signature algorithm 2"),
    "a version that is not known": (lambda p: p.evidence(p.report(DATA, at_00=77)), "version 77; known are 2"),
    "a processor that is not known": (
        lambda p: p.evidence(p.report(DATA, at_00=3, at_188=b"\x40\x01")), "family 0x40, model 0x1, is not known"),
    "a short report": (lambda p: p.evidence(p.report(DATA)[:-1]), "1183 bytes; a report has 1184"),
    "no certificate": (lambda p: replace(p.evidence(p.report(DATA)), certificates=()), "0 certificates"),
    "too many": (
        lambda p: replace(p.evidence(p.report(DATA)), certificates=(p.chip_certificate(),) * 4), "4 certificates"),
    "a certificate that is none": (lambda p: p.evidence(p.report(DATA), b"\x30\x03nil"), "no certificate"),
    "a long certificate": (lambda p: p.evidence(p.report(DATA), bytes(20_000)), "more than 16384 bytes"),
    "a TCB that is no number": (
        lambda p: p.evidence(p.report(DATA), p.chip_certificate(parts={"3.1": b"\x02\x02\x00\x03"})), "no number: 02020003"),
    "a TCB that is left out": (
        lambda p: p.evidence(p.report(DATA), p.chip_certificate({k: v for k, v in TCB.items() if k != "snp"})),
        r"lacks extension 1\.3\.6\.1\.4\.1\.3704\.1\.3\.3"),
    "another kind": (lambda p: replace(p.evidence(p.report(DATA)), kind="sim"), "kind 'sim'"),
    "another form": (lambda p: replace(p.evidence(p.report(DATA)), version=2), "version 2"),
}  # fmt: skip


@pytest.mark.parametrize("case", FORGED)
def test_what_is_forged_is_false_and_says_why(platform: Platform, case: str) -> None:
    make, told = FORGED[case]
    with pytest.raises(FalseEvidence, match=told):
        judge(platform, make(platform))


def test_a_list_that_is_old_or_of_others_does_not_count_and_one_s_own_does(platform: Platform) -> None:
    report = platform.report(DATA)
    for lists in (b"", platform.revoked(age=11 * DAY), platform.revoked(age=-DAY)):
        found = judge(platform, platform.evidence(report, lists=lists))
        assert isinstance(found, Unknown), lists
    own = judge(platform, platform.evidence(report, lists=b""), lists=[platform.revoked()])
    assert isinstance(own, Verdict)
    with pytest.raises(FalseEvidence, match="has revoked"):
        judge(platform, platform.evidence(report), lists=[platform.revoked(2)])


def test_bytes_of_strangers_are_false_evidence_and_nothing_worse(platform: Platform) -> None:
    """Every certificate and list cut at every tenth byte, and reports of noise."""
    whole = platform.evidence(platform.report(DATA))
    for at in range(0, len(whole.certificates[0]), 10):
        with pytest.raises(FalseEvidence):
            judge(platform, platform.evidence(whole.report, whole.certificates[0][:at] or b"\0"))
    for at in range(10, len(whole.collateral), 10):
        with pytest.raises(FalseEvidence):
            judge(platform, replace(whole, collateral=whole.collateral[:at]))
    with pytest.raises(FalseEvidence):
        parse(bytes(1184))


def test_a_number_of_the_platform_is_read_as_der_writes_it() -> None:
    assert [integer(n).hex() for n in (0, 127, 128, 255)] == ["020100", "02017f", "02020080", "020200ff"]
