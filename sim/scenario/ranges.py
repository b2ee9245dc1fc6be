"""Ranges that a sweep samples: two ends as a scenario writes them, and every value between in the same words.

What a key holds decides how: an amount that is counted in whole steps (nanoseconds, base units of a token,
bytes, replicas) gives every step the same share of the range; any other is exact at the ends and has
twelve digits between them. Settings of a policy are not in the tree of models; there the two ends say what they
are: durations, whole numbers, or numbers with one unit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from protocol.quantities import decimal, show, split
from sim.scenario import quantities as q
from sim.scenario.tree import fields_by_key, model_at, quantity

if TYPE_CHECKING:
    from sim.scenario.fields import Context as Tokens
    from sim.scenario.fields import Quantity
    from sim.scenario.problems import KeyPath

DIGITS: Final = Context(prec=12)
"""Digits of a value between the ends, where it is not a whole number of steps."""
FORM: Final = "[low, high], or [low, high, log] for equal ratios"


@dataclass(frozen=True, slots=True)
class Range:
    """Values from one end to the other.

    Args:
        low, high: the ends, as exact numbers.
        step: what values are a whole number of above `low`; None: as fine as they are written.
        log: whether equal parts of the range are equal ratios.
        write: a number as a scenario holds it.
    """

    low: Fraction
    high: Fraction
    step: Fraction | None
    log: bool
    write: Callable[[Fraction], Any]

    def at(self, place: float) -> Any:
        """The value at a place, in [0, 1]: as the scenario's own reader takes it."""
        return self.write(self.number(place))

    def number(self, place: float) -> Fraction:
        """The same as an exact number, in [low, high]."""
        if place in (0, 1):
            return self.high if place else self.low
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            exact = Fraction(math.exp(low + place * (high - low)))
        elif self.step is not None:
            steps = (self.high - self.low) // self.step
            return self.low + self.step * min(steps, math.floor(Fraction(place) * (steps + 1)))
        else:
            exact = self.low + Fraction(place) * (self.high - self.low)
        if self.step is not None:
            value = self.low + self.step * round((exact - self.low) / self.step)
        else:
            value = Fraction(DIGITS.divide(Decimal(exact.numerator), Decimal(exact.denominator)))
        return min(max(value, self.low), self.high)


def read_range(said: Sequence[Any], path: KeyPath, data: Any, tokens: Tokens) -> Range:
    """The range that two ends mean at a key.

    Args:
        said: `[low, high]` or `[low, high, log]`.
        path: of the key, with indices.
        data: the raw scenario, with its defaults.
        tokens: what amounts of money are in.

    Raises:
        ValueError: it is no range, its ends are of different kinds, or it runs backwards.
    """
    if len(said) not in (2, 3) or (len(said) == 3 and said[2] != "log"):
        raise ValueError(f"{_shown(said)} is not a range: {FORM}")
    low, high, step, write = _ends(said[0], said[1], path, data, tokens)
    if low >= high:
        raise ValueError(f"{_shown(said)} runs backwards: low must be less than high")
    if len(said) == 3 and low <= 0:
        raise ValueError(f"{_shown(said)}: equal ratios need a low above 0")
    return Range(low, high, step, len(said) == 3, write)


Ends = tuple[Fraction, Fraction, Fraction | None, Callable[[Fraction], Any]]


def _ends(low: Any, high: Any, path: KeyPath, data: Any, tokens: Tokens) -> Ends:
    kind = kind_at(path, data)
    if kind is None:
        return _plain_ends(low, high)
    one, other = kind.read(low, tokens), kind.read(high, tokens)
    if isinstance(one, int):
        return Fraction(one), Fraction(other), Fraction(1), lambda value: kind.write(int(value), tokens)
    if isinstance(one, Fraction):
        return one, other, kind.step, lambda value: kind.write(value, tokens)
    raise ValueError(f"a {kind.kind} has no values between two others")


def kind_at(path: KeyPath, data: Any) -> Quantity | None:
    """What kind of amount stands at a path of the raw data; None where no model says."""
    model = model_at(path[:-1], data)
    field = fields_by_key(model).get(str(path[-1])) if model else None
    return quantity(field) if field else None


def numbers(values: Sequence[Any], kind: Quantity | None) -> list[float] | None:
    """Amounts that are written as text, as numbers to draw and to fit: durations in seconds, others in the unit all have.

    Args:
        values: as a scenario holds them.
        kind: of amount; None: not known.

    Returns:
        None where they are not amounts of one unit.
    """
    if kind is None or kind.kind == "duration":
        try:
            return [q.read_duration_ns(value) / 1e9 for value in values]
        except ValueError:
            if kind is not None:
                return None
    if kind is not None and kind.kind in ("instant", "path"):  # which may begin with a number
        return None
    parts = [split(value) if isinstance(value, str) else None for value in values]
    units = {part[1] for part in parts if part is not None}
    return [float(part[0]) for part in parts if part is not None] if len(units) == 1 and all(parts) else None


def _plain_ends(low: Any, high: Any) -> Ends:
    """Ends that no model explains: plain numbers, durations, or numbers with the same words behind them."""
    numbers = [type(end) in (int, float) and math.isfinite(end) for end in (low, high)]
    if all(numbers):
        one, other = (Fraction(repr(end)) for end in (low, high))
        if type(low) is int and type(high) is int:
            return one, other, Fraction(1), int
        return one, other, None, q.write_number
    try:
        one, other = Fraction(q.read_duration_ns(low)), Fraction(q.read_duration_ns(high))
        return one, other, Fraction(1), lambda value: q.write_duration(int(value))
    except ValueError:
        pass
    parts = [split(end) if isinstance(end, str) else None for end in (low, high)]
    if parts[0] is None or parts[1] is None:
        end = low if parts[0] is None and not numbers[0] else high
        raise ValueError(f"{show(end)} is not a number or an amount: a range goes from one number to another")
    if parts[0][1] != parts[1][1]:
        raise ValueError(f"{show(low)} and {show(high)} are not in one unit: write both in the same")
    unit = parts[0][1]
    gap = " " if unit[:1].isalpha() else ""
    return parts[0][0], parts[1][0], None, lambda value: f"{decimal(value)}{gap}{unit}"


def _shown(said: Sequence[Any]) -> str:
    return f"[{', '.join(str(end) for end in said)}]"
