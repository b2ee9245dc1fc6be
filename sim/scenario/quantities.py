"""Quantities as people write them, read into exact numbers and written back so that they read the same.

Every reader takes the value a YAML file holds (text or a number) and returns an `int` or `Fraction`
in the base unit its name says; every writer is the inverse: `read(write(x)) == x`. Nothing is rounded
except prices, which must be whole base units of a token on the chain; see `read_price`.

All readers raise `ValueError` with what was given and what is allowed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Final

from protocol.quantities import (
    CPU,
    MEMORY,
    byte_unit,
    decimal,
    number,
    read_bytes,
    read_cpu_millis,
    show,
    split,
    write_bytes,
    write_cpu,
)
from protocol.units import NS_PER_MS, NS_PER_S

DURATIONS_NS: Final[dict[str, int]] = {
    "w": 7 * 86_400 * NS_PER_S,
    "d": 86_400 * NS_PER_S,
    "h": 3_600 * NS_PER_S,
    "m": 60 * NS_PER_S,
    "min": 60 * NS_PER_S,
    "s": NS_PER_S,
    "ms": NS_PER_MS,
    "us": 1_000,
    "ns": 1,
}
"""Units of duration [ns]. `m` and `min` are both the minute."""

# --- time ------------------------------------------------------------------------------------------

DURATION: Final = "a duration: a number and a unit (ns, us, ms, s, m, h, d, w), such as 300ms, 24h or 1h30m"


def read_duration_ns(value: object) -> int:
    """`24h`, `500ms`, `1h30m`, `1.5h`, or a bare `0`, in nanoseconds."""
    if type(value) is int and value == 0:
        return 0
    if not isinstance(value, str) or not value.strip():
        hint = " (the unit is missing)" if isinstance(value, int | float) else ""
        raise ValueError(f"{show(value)} is not {DURATION}{hint}")
    total, rest, sign = Fraction(0), value.strip(), 1
    if rest.startswith("-"):
        sign, rest = -1, rest[1:]
    if rest == "0":
        return 0
    while rest:
        match = re.match(r"(\d+(?:\.\d+)?|\.\d+)\s*([a-z]+)\s*", rest, re.ASCII)
        if not match or match[2] not in DURATIONS_NS:
            hint = " (the unit is missing)" if re.fullmatch(r"[\d.]+", rest) else ""
            raise ValueError(f"{show(value)} is not {DURATION}{hint}")
        total += number(match[1], DURATION) * DURATIONS_NS[match[2]]
        rest = rest[match.end() :]
    if total.denominator != 1:
        raise ValueError(f"{show(value)} is finer than a nanosecond, the smallest step of virtual time")
    return sign * int(total)


def write_duration(ns: int) -> str:
    """In the largest unit that leaves a whole number, else in hours, minutes and seconds: `36h`, `100s`, `1h30m0.5s`."""
    if ns == 0:
        return "0s"
    sign, rest = ("-" if ns < 0 else ""), abs(ns)
    for unit in ("d", "h", "m", "s", "ms", "us", "ns"):
        if rest % DURATIONS_NS[unit] == 0:
            return f"{sign}{rest // DURATIONS_NS[unit]}{unit}"
        if rest > 60 * NS_PER_S and unit == "s":
            break
    hours, rest = divmod(rest, DURATIONS_NS["h"])
    minutes, rest = divmod(rest, DURATIONS_NS["m"])
    parts = [
        f"{hours}h" if hours else "",
        f"{minutes}m" if minutes else "",
        f"{decimal(Fraction(rest, NS_PER_S))}s",
    ]
    return sign + "".join(parts)


INSTANT: Final = "an instant: a date and a time with its zone, such as 2019-07-15T08:00:00Z"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def read_instant_ns(value: object) -> int:
    """An ISO 8601 instant, in nanoseconds since the Unix epoch."""
    if not isinstance(value, str):
        raise ValueError(f"{show(value)} is not {INSTANT}")
    try:
        when = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(f"{show(value)} is not {INSTANT}") from None
    if when.tzinfo is None:
        hint = f"write {value}Z for UTC" if ":" in value else f"for UTC write {value}T00:00:00Z"
        raise ValueError(f"{show(value)} has no time zone; {hint}")
    return (when - _EPOCH) // timedelta(microseconds=1) * 1_000


def write_instant(ns: int) -> str:
    """ISO 8601 in UTC, to the microsecond."""
    return (_EPOCH + timedelta(microseconds=ns // 1_000)).isoformat().replace("+00:00", "Z")


RATE: Final = "a rate: a number per s, min, h or d, such as 0.9/s or 6/min"


def read_rate_per_s(value: object) -> Fraction:
    """`6/min`, `0.9/s`, as an exact number per second."""
    parts = split(value) if isinstance(value, str) else None
    if parts and parts[1].startswith("/") and (unit := parts[1][1:].strip()) in DURATIONS_NS:
        return parts[0] * NS_PER_S / DURATIONS_NS[unit]
    raise ValueError(f"{show(value)} is not {RATE}")


def write_rate(per_s: Fraction) -> str:
    """The first of s, min, h, d in which the rate is a decimal number."""
    for unit in ("s", "min", "h", "d", "w"):
        if text := decimal(Fraction(per_s * DURATIONS_NS[unit], NS_PER_S)):
            return f"{text}/{unit}"
    raise ValueError(f"{per_s}/s is not a decimal number of events per s, min, h, d or w")


# --- shares and counts -----------------------------------------------------------------------------

SHARE: Final = "a share between 0 and 1: 0.1%, 0.001 or 1/1000"


def read_share(value: object) -> Fraction:
    """A probability or share in [0, 1]: `0.1%`, `0.001`, `1/1000`."""
    try:
        if isinstance(value, str) and value.strip().endswith("%"):
            share = number(value.strip()[:-1], SHARE) / 100
        elif isinstance(value, str) and "/" in value:
            above, below = value.split("/", 1)
            share = number(above, SHARE) / number(below, SHARE)
        else:
            share = number(value, SHARE)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"{show(value)} is not {SHARE}") from None
    if not 0 <= share <= 1:
        raise ValueError(f"{show(value)} is not {SHARE}")
    return share


def write_share(share: Fraction) -> str:
    """Per cent where that is a decimal number, else a fraction."""
    text = decimal(share * 100)
    return f"{text}%" if text else f"{share.numerator}/{share.denominator}"


def write_number(value: Fraction) -> int | float | str:
    """A plain number; text where a float would lose digits."""
    if value.denominator == 1:
        return int(value)
    text = decimal(value)
    if text is None:
        raise ValueError(f"{value} is not a decimal number")
    return float(text) if Fraction(repr(float(text))) == value else text


# --- computing -------------------------------------------------------------------------------------

BANDWIDTH: Final = "a bandwidth: bytes or bits a second, such as 100MB/s, 1Gbit/s or 64KiB/s"


def read_bytes_per_s(value: object) -> int:
    """`1Gbit/s`, `100MB/s`, in bytes a second."""
    parts = split(value) if isinstance(value, str) else None
    if parts and parts[1].endswith("/s"):
        unit = parts[1][:-2].strip()
        bits = unit.endswith("bit")
        size = byte_unit(unit[:-3] if bits else unit) if bits or unit.endswith("B") else None
        if size is not None:
            amount = parts[0] * size / (8 if bits else 1)
            if amount.denominator != 1:
                raise ValueError(f"{show(value)} is not a whole number of bytes a second")
            return int(amount)
    raise ValueError(f"{show(value)} is not {BANDWIDTH}")


def write_bytes_per_s(amount: int) -> str:
    """In bits where that is rounder, as network links are sold."""
    for unit, size in (("Gbit", 10**9), ("Mbit", 10**6)):
        if amount and amount * 8 % size == 0 and amount % (size // 10) != 0:
            return f"{amount * 8 // size}{unit}/s"
    text = str(write_bytes(amount))
    return f"{text}/s" if text.endswith("B") else f"{text}B/s"


# --- money -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Denomination:
    """What amounts of one token are written in.

    Attributes:
        symbol: as people write it, such as `DAI`.
        decimals: base units in one token are 10 to this power.
    """

    symbol: str
    decimals: int

    @property
    def base_units(self) -> int:
        """Base units in one token."""
        return int(10**self.decimals)


def _amount(value: object, token: Denomination, what: str) -> tuple[Fraction, str]:
    """The number and what follows the token's symbol."""
    parts = split(value) if isinstance(value, str) else None
    if parts is None:
        hint = " (the token is missing)" if _is_number(value) else ""
        raise ValueError(f"{show(value)} is not {what}{hint}")
    match = re.match(r"[A-Za-z][A-Za-z0-9.]*", parts[1])
    if not match:
        raise ValueError(f"{show(value)} is not {what}")
    if match[0] != token.symbol:
        raise ValueError(f"{show(value)} is in {match[0]}; the token here is {token.symbol}")
    return parts[0], parts[1][match.end() :].strip()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def read_money(value: object, token: Denomination) -> int:
    """`5 DAI`, in base units of the token."""
    what = f"an amount of {token.symbol}, such as 5 {token.symbol}"
    amount, rest = _amount(value, token, what)
    if rest:
        raise ValueError(f"{show(value)} is not {what}")
    base = amount * token.base_units
    if base.denominator != 1:
        raise ValueError(f"{show(value)} is finer than {token.symbol}'s {token.decimals} decimals")
    return int(base)


def write_money(base: int, token: Denomination) -> str:
    """Inverse of `read_money`."""
    return f"{decimal(Fraction(base, token.base_units))} {token.symbol}"


GAS: Final[dict[str, int]] = {"wei": 1, "gwei": 10**9}
GAS_PRICE: Final = "a gas price in wei or gwei, such as 0.05 gwei"


def read_gas_price_wei(value: object) -> int:
    """`0.05 gwei`, in base units of the gas token a unit of gas."""
    parts = split(value) if isinstance(value, str) else None
    if not parts or parts[1] not in GAS:
        raise ValueError(f"{show(value)} is not {GAS_PRICE}")
    wei = parts[0] * GAS[parts[1]]
    if wei.denominator != 1:
        raise ValueError(f"{show(value)} is finer than a wei")
    return int(wei)


def write_gas_price(wei: int) -> str:
    """In gwei, as people quote it."""
    return f"{decimal(Fraction(wei, 10**9))} gwei"


def _per(unit: str, of: str) -> int | None:
    """Base units of consumption in `unit`: core-seconds, byte-seconds, bytes, device-seconds."""
    if of == "byte":
        return byte_unit(unit) if unit.endswith(("B", "i")) else None
    amount, _, time = unit.rpartition("-")
    ns = DURATIONS_NS.get(time)
    if ns is None or ns < NS_PER_S:
        return None
    seconds = ns // NS_PER_S
    if of == "byte-s":
        size = byte_unit(amount) if amount else None
        return size * seconds if size else None
    names = {"core-s": ("core",), "gpu-s": ("gpu",), "ip-s": ("ip",), "node-s": ("node", "")}[of]
    return seconds if amount in names else None


PRICE_UNITS: Final[dict[str, tuple[str, ...]]] = {
    "core-s": ("core-h",),
    "byte-s": ("GiB-h", "GB-h"),
    "byte": ("GB", "GiB"),
    "gpu-s": ("gpu-h",),
    "ip-s": ("ip-h",),
    "node-s": ("h",),
}
"""What a price is per, in its base unit, and how people write it (the first is what is written back)."""

WORST_ROUNDING: Final = Fraction(1, 100)
"""A chain charges whole base units; a price that rounding changes by more than this is refused."""


def read_rate_of_money(value: object, token: Denomination, of: str) -> Fraction:
    """`0.012 DAI/core-h`, exactly, in base units of the token per base unit `of` (a key of `PRICE_UNITS`)."""
    examples = " or ".join(f"0.01 {token.symbol}/{unit}" for unit in PRICE_UNITS[of])
    what = f"a price such as {examples}"
    amount, rest = _amount(value, token, what)
    per = _per(rest[1:].strip(), of) if rest.startswith("/") else None
    if per is None:
        raise ValueError(f"{show(value)} is not {what}")
    return amount * token.base_units / per


def write_rate_of_money(base: Fraction, token: Denomination, of: str) -> str:
    """Inverse of `read_rate_of_money`."""
    for unit in (
        *PRICE_UNITS[of],
        *{"core-s": ("core-s",), "byte-s": ("GiB-s", "B-s"), "node-s": ("s", "d", "w")}.get(of, ()),
    ):
        per = _per(unit, of)
        if per and (text := decimal(Fraction(base * per, token.base_units))):
            return f"{text} {token.symbol}/{unit}"
    raise ValueError(f"{base} base units of {token.symbol} per {of} is not a decimal price")


def read_price(value: object, token: Denomination, of: str) -> int:
    """As `read_rate_of_money`, rounded to the whole base units that a contract can hold.

    Raises:
        ValueError: also when rounding changes the price by more than `WORST_ROUNDING`.
    """
    exact = read_rate_of_money(value, token, of)
    price = round(exact)
    if abs(price - exact) > abs(exact) * WORST_ROUNDING:
        raise ValueError(
            f"{show(value)} is {float(exact):.3g} base units per {of}; rounding it to {price} changes it by more "
            f"than 1%: {token.symbol}'s {token.decimals} decimals are too few for this price"
        )
    return price


__all__ = [
    "BANDWIDTH",
    "CPU",
    "DURATION",
    "DURATIONS_NS",
    "GAS",
    "GAS_PRICE",
    "INSTANT",
    "MEMORY",
    "PRICE_UNITS",
    "RATE",
    "SHARE",
    "WORST_ROUNDING",
    "Denomination",
    "byte_unit",
    "decimal",
    "number",
    "read_bytes",
    "read_bytes_per_s",
    "read_cpu_millis",
    "read_duration_ns",
    "read_gas_price_wei",
    "read_instant_ns",
    "read_money",
    "read_price",
    "read_rate_of_money",
    "read_rate_per_s",
    "read_share",
    "show",
    "split",
    "write_bytes",
    "write_bytes_per_s",
    "write_cpu",
    "write_duration",
    "write_gas_price",
    "write_instant",
    "write_money",
    "write_number",
    "write_rate",
    "write_rate_of_money",
    "write_share",
]
