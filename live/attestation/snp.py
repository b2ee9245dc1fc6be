"""Judges evidence of kind `sev-snp`: the report's signature, its key's certificate, AMD's roots, revocation.

Source: Versioned Chip Endorsement Key (VCEK) Certificate and KDS Interface Specification (AMD publication 57230,
revision 1.0), for the certificates and their extensions; `report` names the source of the report.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.utils import CryptographyDeprecationWarning

from live.attestation.report import TCB_PARTS, FalseEvidence, Report, parse
from protocol.attestation import Assurance, Evidence, Verdict
from protocol.ports import Unknown
from protocol.units import NS_PER_S

if TYPE_CHECKING:
    from live.tasks import Process
    from protocol import ports

KIND: Final = "sev-snp"
VERSION: Final = 1
"""Of our form of evidence: `certificates` is the chain from the signing key's, whose roots may be left out;
`collateral` is empty or AMD's revocation list, DER."""
CERTIFICATES_MOST: Final = 3
CERTIFICATE_BYTES: Final = 16 * 1024
COLLATERAL_BYTES: Final = 256 * 1024
SKEW: Final = dt.timedelta(minutes=5)
"""How far the clocks of whoever issues certificates may be ahead of ours."""

_OID: Final = "1.3.6.1.4.1.3704.1."
_SPL: Final = {"bootloader": "3.1", "tee": "3.2", "snp": "3.3", "microcode": "3.8", "fmc": "3.9"}
_CHIP_ID: Final = "4"
_ROOTS: Final = Path(__file__).parent / "roots"


@dataclass(frozen=True, slots=True)
class Root:
    """AMD's two certificates above the keys of a product.

    Attributes:
        product, key: such as `milan` and `vcek`.
        signer: the intermediate that signs the keys' certificates.
        root: AMD's root key of the product, which is trusted by itself.
    """

    product: str
    key: str
    signer: x509.Certificate
    root: x509.Certificate


@functools.cache
def amd_roots() -> tuple[Root, ...]:
    """The pinned certificates of the products that are known, checked against their own root."""
    found = []
    for path in sorted(_ROOTS.glob("*.pem")):
        product, _, key = path.stem.partition("-")
        signer, root = x509.load_pem_x509_certificates(path.read_bytes())
        root.verify_directly_issued_by(root)
        signer.verify_directly_issued_by(root)
        found.append(Root(product, key, signer, root))
    return tuple(found)


class SnpVerifier:
    """See `ports.Verifier`, for evidence of kind `sev-snp`.

    Args:
        process: whose it is, and its clock.
        measured: what a measurement (48 bytes) is known to cover; any other covers the client alone.
        lists: revocation lists, DER, beside those that come with evidence.
        need_list: whether evidence counts only under a revocation list that is current.
        roots: whose keys count.
    """

    def __init__(
        self,
        process: Process,
        *,
        measured: Mapping[bytes, Assurance] | None = None,
        lists: Sequence[bytes] = (),
        need_list: bool = True,
        roots: Sequence[Root] | None = None,
    ) -> None:
        self._process = process
        self._measured = dict(measured or {})
        self._lists = tuple(lists)
        self._need_list = need_list
        self._roots = amd_roots() if roots is None else tuple(roots)

    async def verify(
        self, evidence: Evidence, report_data: bytes, *, deadline_ns: int
    ) -> Verdict | Unknown | None:
        """See `ports.Verifier.verify`."""
        self._process.check()
        try:
            return self.judge(evidence)
        except FalseEvidence:
            return None

    def judge(self, evidence: Evidence) -> Verdict | Unknown:
        """What evidence says, where it is true.

        Raises:
            FalseEvidence: it is not; the text says what of it.
        """
        if (evidence.kind, evidence.version) != (KIND, VERSION):
            raise FalseEvidence(
                f"kind {evidence.kind!r}, version {evidence.version}; known is {KIND!r}, {VERSION}"
            )
        report = parse(evidence.report)
        if report.vmpl:
            raise FalseEvidence(
                f"asked for at privilege level {report.vmpl}; only 0 speaks for the whole guest"
            )
        now = dt.datetime.fromtimestamp(self._process.now_ns() / NS_PER_S, dt.UTC)
        leaf, root = self._chain(evidence.certificates, report)
        _check_key(leaf, root.product, report)
        _check_signature(leaf, report)
        ends = [_current(certificate, now) for certificate in (leaf, root.signer, root.root)]
        listed = self._revocation(evidence.collateral, root, now)
        if isinstance(listed, Unknown):
            return listed
        return Verdict(
            kind=KIND,
            assurance=self._measured.get(report.measurement, Assurance.CLIENT),
            measurement=report.measurement,
            tcb=report.tcb_parts(root.product),
            debug=report.open_to_owner,
            valid_until_ns=int(min([*ends, *listed]).timestamp()) * NS_PER_S,
            report_data=report.report_data,
        )

    def _chain(self, given: Sequence[bytes], report: Report) -> tuple[x509.Certificate, Root]:
        """The certificate of the key that signed, and the pinned ones that it leads to."""
        if not 1 <= len(given) <= CERTIFICATES_MOST:
            raise FalseEvidence(f"{len(given)} certificates; allowed are 1 to {CERTIFICATES_MOST}")
        if any(len(data) > CERTIFICATE_BYTES for data in given):
            raise FalseEvidence(f"a certificate of more than {CERTIFICATE_BYTES} bytes")
        leaf, *above = (_certificate(data) for data in given)
        for root in self._roots:
            if root.key != report.key or leaf.issuer != root.signer.subject:
                continue
            try:
                leaf.verify_directly_issued_by(root.signer)
            except (ValueError, TypeError, InvalidSignature) as error:
                raise FalseEvidence("the key's certificate is not signed by AMD") from error
            if above != [root.signer, root.root][: len(above)]:
                raise FalseEvidence("the chain holds other certificates than AMD's")
            if report.product not in (None, root.product):
                raise FalseEvidence(f"a report of {report.product} under a key of {root.product}")
            return leaf, root
        raise FalseEvidence(f"the {report.key} certificate leads to no root that is known")

    def _revocation(self, collateral: bytes, root: Root, now: dt.datetime) -> list[dt.datetime] | Unknown:
        """When the lists in force have to be renewed."""
        if len(collateral) > COLLATERAL_BYTES:
            raise FalseEvidence(f"{len(collateral)} bytes of collateral; allowed are {COLLATERAL_BYTES}")
        ends = []
        for data in [*self._lists, *([collateral] if collateral else [])]:
            try:
                known = x509.load_der_x509_crl(data)
            except ValueError as error:
                raise FalseEvidence(f"no revocation list: {error}") from error
            if known.issuer != root.root.subject:
                continue
            key = root.root.public_key()
            assert isinstance(key, rsa.RSAPublicKey)
            if not known.is_signature_valid(key):
                raise FalseEvidence("the revocation list is not signed by AMD")
            until = known.next_update_utc
            if until is None or not known.last_update_utc - SKEW <= now <= until:
                continue
            if known.get_revoked_certificate_by_serial_number(root.signer.serial_number) is not None:
                raise FalseEvidence("AMD has revoked the certificate that signs the platform's keys")
            ends.append(until)
        if not ends and self._need_list:
            return Unknown("there is no revocation list of AMD's that is current")
        return ends


def _certificate(data: bytes) -> x509.Certificate:
    try:
        with _serial_zero():
            return x509.load_der_x509_certificate(data)
    except ValueError as error:
        raise FalseEvidence(f"no certificate: {error}") from error


@contextlib.contextmanager
def _serial_zero() -> Iterator[None]:
    """AMD gives all keys of chips the serial number 0, of which the library warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        yield


def _check_key(leaf: x509.Certificate, product: str, report: Report) -> None:
    """Raise unless the certificate is of the key that this platform has at this TCB."""
    for (part, _), version in zip(TCB_PARTS[product].items(), report.tcb_parts(product), strict=True):
        said = _integer(_extension(leaf, _SPL[part]))
        if said != version:
            raise FalseEvidence(f"the report says {part} {version}, its key is of {part} {said}")
    if report.key == "vcek" and any(report.chip_id):
        chip = _extension(leaf, _CHIP_ID)
        if report.chip_id != chip.ljust(len(report.chip_id), b"\0"):  # Turin's have 8 bytes
            raise FalseEvidence("the key is of another chip")


def _check_signature(leaf: x509.Certificate, report: Report) -> None:
    key = leaf.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise FalseEvidence("the key is none of P-384")
    try:
        key.verify(encode_dss_signature(report.r, report.s), report.signed, ec.ECDSA(SHA384()))
    except InvalidSignature as error:
        raise FalseEvidence("the report is not signed by this key") from error


def _current(certificate: x509.Certificate, now: dt.datetime) -> dt.datetime:
    """Until when a certificate holds."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begin - SKEW <= now <= end:
        name = certificate.subject.rfc4514_string()
        raise FalseEvidence(f"the certificate of {name} holds from {begin} to {end}; it is {now}")
    return end


def _extension(leaf: x509.Certificate, name: str) -> bytes:
    try:
        found = leaf.extensions.get_extension_for_oid(x509.ObjectIdentifier(_OID + name)).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError) as error:
        raise FalseEvidence(f"the key's certificate lacks extension {_OID}{name}") from error
    assert isinstance(found, x509.UnrecognizedExtension)
    return found.value


def _integer(der: bytes) -> int:
    """A DER INTEGER of 0 to 255."""
    match der:
        case bytes() if len(der) == 3 and der[:2] == b"\x02\x01" and der[2] < 0x80:
            return der[2]
        case bytes() if len(der) == 4 and der[:3] == b"\x02\x02\x00" and der[3] >= 0x80:
            return der[3]
        case _:
            raise FalseEvidence(f"an extension of the key's certificate is no number: {der.hex()}")


if TYPE_CHECKING:
    _is_a_verifier: type[ports.Verifier] = SnpVerifier
