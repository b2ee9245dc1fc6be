"""Amounts of computing as people and Kubernetes write them: `500m`, `2Gi`, `1e9`; exact, never floats.

Readers take what a parsed file holds (text or a number) and return integers in the base units of
`protocol.units`; writers are their inverses. Readers raise `ValueError` with what was given and what
is allowed.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

_NUMBER_TEXT: Final = r"[+-]?(?:\d+(?:_\d+)*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_NUMBER: Final = re.compile(rf"\s*({_NUMBER_TEXT})\s*", re.ASCII)

_DIGITS_MAX: Final = 100
_EXPONENT_MAX: Final = 400  # a little more than a float's
"""No amount is longer; `1e999999999` would take gigabytes before it could be found too large."""

BYTES: Final[dict[str, int]] = {
    "Pi": 2**50,
    "Ti": 2**40,
    "Gi": 2**30,
    "Mi": 2**20,
    "Ki": 2**10,
    "P": 10**15,
    "T": 10**12,
    "G": 10**9,
    "M": 10**6,
    "k": 10**3,
    "": 1,
}
"""Prefixes of bytes, powers of two (as Kubernetes writes them) and of ten. A `B` may follow."""


def number(value: object, what: str) -> Fraction:
    """Read a plain number exactly: `3`, `0.25`, `1e9`, `'1_000'`.

    Args:
        value: what the file holds.
        what: what it is meant to be, for the message, with an article: `a duration such as 24h`.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str | Fraction):
        raise ValueError(f"{show(value)} is not {what}")
    if isinstance(value, int | Fraction):
        return Fraction(value)
    text = repr(value) if isinstance(value, float) else value
    if not (match := _NUMBER.fullmatch(text)):
        raise ValueError(f"{show(value)} is not {what}")
    return _exact(match[1])


def _exact(text: str) -> Fraction:
    digits, _, exponent = text.replace("_", "").lower().partition("e")
    if len(digits) > _DIGITS_MAX or len(exponent) > _DIGITS_MAX or abs(int(exponent or 0)) > _EXPONENT_MAX:
        raise ValueError(
            f"{show(text)} is too long a number: at most {_DIGITS_MAX} digits and exponents of {_EXPONENT_MAX}"
        )
    return Fraction(digits) * Fraction(10) ** int(exponent or 0)


def show(value: object) -> str:
    """The value as the person wrote it, short enough for one line."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in value[:61])
        return f"'{text}'" if len(value) <= 60 else f"'{text[:57]}...'"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    try:
        text = str(value)
    except ValueError:  # Python writes no integer of more than 4,300 digits
        return "a number of more than 4,300 digits"
    return text if len(text) <= 60 else f"{text[:57]}..."


def decimal(value: Fraction) -> str | None:
    """The exact decimal text of a fraction, or None when it does not end."""
    rest, twos, fives = value.denominator, 0, 0
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    if rest != 1:
        return None
    places = max(twos, fives)
    digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    text = f"{digits[:-places]}.{digits[-places:]}" if places else digits
    return ("-" if value < 0 else "") + text


def split(text: str) -> tuple[Fraction, str] | None:
    """The number that a text begins with, and the rest of it; None when it begins with none.

    Raises:
        ValueError: the number is too long to be an amount.
    """
    match = _NUMBER.match(text)
    return (_exact(match[1]), text[match.end() :].strip()) if match else None


CPU: Final = "an amount of CPU: cores such as 2 or 0.5, or millicores such as 500m"


def read_cpu_millis(value: object) -> int:
    """`2`, `0.5`, `500m`, in millicores."""
    milli = isinstance(value, str) and value.strip().endswith("m")
    text = value.strip()[:-1] if milli and isinstance(value, str) else value
    try:
        amount = number(text, CPU) * (1 if milli else 1_000)
    except ValueError:
        raise ValueError(f"{show(value)} is not {CPU}") from None
    if amount.denominator != 1:
        raise ValueError(f"{show(value)} is finer than a millicore")
    return int(amount)


def write_cpu(millis: int) -> int | str:
    """Whole cores as a number, anything else in millicores."""
    return millis // 1_000 if millis % 1_000 == 0 else f"{millis}m"


MEMORY: Final = (
    "an amount of bytes: a number, with Ki, Mi, Gi, Ti (1024) or kB, MB, GB, TB (1000), such as 2Gi or 128MB"
)


def byte_unit(text: str) -> int | None:
    """Bytes in a unit such as `Gi`, `MB` or nothing; None when it is not one."""
    unit = text[:-1] if text.endswith("B") else text
    return BYTES.get("k" if unit == "K" else unit)


def read_bytes(value: object) -> int:
    """`2Gi`, `128MB`, `1e9`, in bytes."""
    parts = split(value) if isinstance(value, str) else None
    unit = byte_unit(parts[1]) if parts else 1
    if unit is None or (isinstance(value, str) and parts is None):
        raise ValueError(f"{show(value)} is not {MEMORY}")
    amount = parts[0] * unit if parts else number(value, MEMORY)
    if amount.denominator != 1:
        raise ValueError(f"{show(value)} is not a whole number of bytes")
    return int(amount)


def write_bytes(amount: int) -> int | str:
    """With the largest prefix that leaves a whole number."""
    for unit, size in sorted(BYTES.items(), key=lambda item: -item[1]):
        if amount and amount % size == 0 and size > 1:
            return f"{amount // size}{unit if unit.endswith('i') else unit + 'B'}"
    return amount
