"""The attestation report of AMD SEV-SNP, as bytes and as numbers.

Source: SEV Secure Nested Paging Firmware ABI Specification (AMD publication 56860, revision 1.58), table 23 for
the report, table 3 for TCB versions, table 9 for the guest's policy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

REPORT_BYTES: Final = 0x4A0
SIGNED_BYTES: Final = 0x2A0
"""What the signature is over: everything before it."""
VERSIONS: Final = (2, 3, 4, 5)
ECDSA_P384_SHA384: Final = 1
NUMBER_BYTES: Final = 48
"""Of r and of s, little endian, each in a field of 72."""
POLICY_MIGRATION: Final = 1 << 18
POLICY_DEBUG: Final = 1 << 19
FLAG_MASKED_KEY: Final = 1 << 1
SIGNING_KEYS: Final = {0: "vcek", 1: "vlek"}

_PRODUCTS: Final = {
    0x19: (("milan", range(0x10)), ("genoa", range(0x10, 0x20)), ("genoa", range(0xA0, 0xB0))),
    0x1A: (("turin", range(0x12)),),
}
"""By family, the models of a product."""
TCB_PARTS: Final = {
    "milan": {"bootloader": 0, "tee": 1, "snp": 6, "microcode": 7},
    "genoa": {"bootloader": 0, "tee": 1, "snp": 6, "microcode": 7},
    "turin": {"fmc": 0, "bootloader": 1, "tee": 2, "snp": 3, "microcode": 7},
}
"""By product, the parts of a TCB version in order, and the byte that each is in."""


class FalseEvidence(Exception):
    """What evidence says of itself is not so; the text says what."""


@dataclass(frozen=True, slots=True)
class Report:
    """One report, as the platform signed it.

    Attributes:
        policy: what the guest's owner allowed, as bits.
        vmpl: privilege level of the guest's software that asked, 0 the highest.
        key: which key signed, `vcek` (of the chip) or `vlek` (of the cloud).
        report_data: 64 bytes, chosen by whoever asked.
        measurement: 48 bytes, digest of the guest as it was launched.
        tcb: 8 bytes, the version that the signing key was derived from.
        product: as the processor says; None before version 3, which has no such field.
        chip_id: 64 bytes; zeros when the platform hides it.
        signed: the bytes that are signed.
        r, s: the signature.
    """

    policy: int
    vmpl: int
    key: str
    report_data: bytes
    measurement: bytes
    tcb: bytes
    product: str | None
    chip_id: bytes
    signed: bytes
    r: int
    s: int

    @property
    def open_to_owner(self) -> bool:
        """Whether the platform's owner can look inside: by debugging, or by an agent that migrates the guest."""
        return bool(self.policy & (POLICY_DEBUG | POLICY_MIGRATION))

    def tcb_parts(self, product: str) -> tuple[int, ...]:
        """The security version of each part, in the order of `TCB_PARTS`."""
        return tuple(self.tcb[at] for at in TCB_PARTS[product].values())


def parse(data: bytes) -> Report:
    """Read a report. The signature is not checked, only that nothing can be changed outside of it.

    Raises:
        FalseEvidence: the bytes are no report, or one of a form that is not known.
    """
    if len(data) != REPORT_BYTES:
        raise FalseEvidence(f"{len(data)} bytes; a report has {REPORT_BYTES}")

    def word(at: int, size: int = 4) -> int:
        return int.from_bytes(data[at : at + size], "little")

    version, algorithm, flags = word(0x00), word(0x34), word(0x48)
    if version not in VERSIONS:
        raise FalseEvidence(f"version {version}; known are {', '.join(map(str, VERSIONS))}")
    if algorithm != ECDSA_P384_SHA384:
        raise FalseEvidence(f"signature algorithm {algorithm}; known is {ECDSA_P384_SHA384}")
    if flags & FLAG_MASKED_KEY:
        raise FalseEvidence("the platform hides its chip key, so nothing signs the report")
    key = SIGNING_KEYS.get(flags >> 2 & 0b111)
    if key is None:
        raise FalseEvidence("it is signed by no key of the platform")
    r, s = (_number(data[at : at + 72]) for at in (0x2A0, 0x2E8))
    if any(data[0x330:]):
        raise FalseEvidence("bytes after the signature are not zero")
    return Report(
        policy=word(0x08, 8),
        vmpl=word(0x30),
        key=key,
        report_data=data[0x50:0x90],
        measurement=data[0x90:0xC0],
        tcb=data[0x180:0x188],
        product=_product(data[0x188], data[0x189]) if version >= 3 else None,
        chip_id=data[0x1A0:0x1E0],
        signed=data[:SIGNED_BYTES],
        r=r,
        s=s,
    )


def _number(field: bytes) -> int:
    if any(field[NUMBER_BYTES:]):
        raise FalseEvidence(f"a number of the signature is longer than {NUMBER_BYTES} bytes")
    return int.from_bytes(field[:NUMBER_BYTES], "little")


def _product(family: int, model: int) -> str:
    for product, models in _PRODUCTS.get(family, ()):
        if model in models:
            return product
    raise FalseEvidence(f"a processor of family {family:#x}, model {model:#x}, is not known")
