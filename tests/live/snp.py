"""A made-up platform with AMD's forms: a root, a signer, chip keys, revocation lists, and reports that it signs."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Mapping, Sequence

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding

from live.attestation.report import REPORT_BYTES, SIGNED_BYTES
from live.attestation.snp import Root
from protocol.attestation import Evidence

PSS = padding.PSS(padding.MGF1(SHA384()), salt_length=48)
DAY = dt.timedelta(days=1)
PARTS = {"bootloader": ("3.1", 0), "tee": ("3.2", 1), "snp": ("3.3", 6), "microcode": ("3.8", 7)}
TCB = {"bootloader": 3, "tee": 0, "snp": 20, "microcode": 209}
CHIP = bytes(range(64))
MEASUREMENT = b"\x5a" * 48


@functools.cache
def rsa_key(name: str) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def extension(name: str, value: bytes) -> x509.UnrecognizedExtension:
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(f"1.3.6.1.4.1.3704.1.{name}"), value)


def integer(value: int) -> bytes:
    data = value.to_bytes(1, "big") if value < 0x80 else value.to_bytes(2, "big")
    return bytes([2, len(data)]) + data


class Platform:
    """One chip, and everything above it.

    Args:
        maker: another name is another root of trust.
        now: when it is; certificates hold a year around it, lists ten days.
    """

    def __init__(self, maker: str = "maker", *, now: dt.datetime) -> None:
        self.now = now
        self._root_key, self._signer_key = rsa_key(f"{maker}/root"), rsa_key(f"{maker}/signer")
        self.root = self._certificate(
            "ARK-Milan", "ARK-Milan", self._root_key.public_key(), self._root_key, 1
        )
        self.signer = self._certificate(
            "SEV-Milan", "ARK-Milan", self._signer_key.public_key(), self._root_key, 2
        )
        self.trusted = (Root("milan", "vcek", self.signer, self.root),)
        self.chip_key = ec.generate_private_key(ec.SECP384R1())

    def _certificate(
        self, subject: str, issuer: str, public: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
        signing: rsa.RSAPrivateKey, serial: int, extensions: Sequence[x509.UnrecognizedExtension] = (),
        begin: dt.timedelta = -365 * DAY, end: dt.timedelta = 365 * DAY,
    ) -> x509.Certificate:  # fmt: skip
        builder = (
            x509.CertificateBuilder(name(issuer), name(subject), public, serial)
            .not_valid_before(self.now + begin)
            .not_valid_after(self.now + end)
        )
        for each in extensions:
            builder = builder.add_extension(each, critical=False)
        return builder.sign(signing, SHA384(), rsa_padding=PSS)

    def chip_certificate(
        self, tcb: Mapping[str, int] = TCB, chip: bytes = CHIP, *, begin: dt.timedelta = -DAY,
        end: dt.timedelta = 30 * DAY, public: ec.EllipticCurvePublicKey | rsa.RSAPublicKey | None = None,
        parts: Mapping[str, bytes] | None = None,
    ) -> bytes:  # fmt: skip
        """The certificate of the chip's key, DER."""
        values = (
            {PARTS[part][0]: integer(version) for part, version in tcb.items()}
            | {"4": chip}
            | dict(parts or {})
        )
        made = self._certificate(
            "SEV-VCEK", "SEV-Milan", public or self.chip_key.public_key(), self._signer_key, 7,
            [extension(key, value) for key, value in values.items()], begin, end,
        )  # fmt: skip
        return made.public_bytes(Encoding.DER)

    def report(self, report_data: bytes, tcb: Mapping[str, int] = TCB, **words: bytes | int) -> bytes:
        """A report that the chip signs.

        Args:
            words: `at_<hex offset>=` bytes, or a number of four bytes, to write over the usual ones.
        """
        body = bytearray(REPORT_BYTES)
        body[0x00] = 2
        body[0x08:0x10] = (1 << 17).to_bytes(8, "little")
        body[0x34] = 1
        body[0x50:0x90] = report_data
        body[0x90:0xC0] = MEASUREMENT
        for part, version in tcb.items():
            body[0x180 + PARTS[part][1]] = version
        body[0x1A0:0x1E0] = CHIP
        for place, value in words.items():
            data = value if isinstance(value, bytes) else value.to_bytes(4, "little")
            at = int(place.removeprefix("at_"), 16)
            body[at : at + len(data)] = data
        r, s = decode_dss_signature(self.chip_key.sign(bytes(body[:SIGNED_BYTES]), ec.ECDSA(SHA384())))
        body[0x2A0:0x2E8], body[0x2E8:0x330] = r.to_bytes(72, "little"), s.to_bytes(72, "little")
        return bytes(body)

    def revoked(self, *serials: int, age: dt.timedelta = DAY, signing: Platform | None = None) -> bytes:
        """A revocation list, DER, that holds ten days from its making."""
        builder = x509.CertificateRevocationListBuilder(
            name("ARK-Milan"), self.now - age, self.now - age + 10 * DAY
        )
        for serial in serials:
            entry = x509.RevokedCertificateBuilder(serial, self.now - age).build()
            builder = builder.add_revoked_certificate(entry)
        made = builder.sign((signing or self)._root_key, SHA384(), rsa_padding=PSS)
        return made.public_bytes(Encoding.DER)

    def evidence(self, report: bytes, leaf: bytes | None = None, lists: bytes | None = None) -> Evidence:
        chain = (
            leaf or self.chip_certificate(),
            *(c.public_bytes(Encoding.DER) for c in (self.signer, self.root)),
        )
        return Evidence("sev-snp", 1, report, chain, self.revoked() if lists is None else lists)


def name(common: str) -> x509.Name:
    """As AMD writes its names, nearly."""
    return x509.Name([
        x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Advanced Micro Devices"),
        x509.NameAttribute(x509.NameOID.COMMON_NAME, common),
    ])  # fmt: skip
