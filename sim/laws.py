"""Probability laws that know their mean and variance and are sampled by inversion alone.

A law gives a duration in seconds (or any other SI quantity). One uniform number in (0, 1) gives one
value, so a draw that belongs to a thing stays with that thing whatever else is drawn. `quantile_of`
is plain numeric code: the control plane calls it as it stands and the compiled kernel compiles the
same lines, so both give the same bits on one machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final

from protocol.errors import BadInput

CONSTANT: Final = 0
EXPONENTIAL: Final = 1
UNIFORM: Final = 2
LOGNORMAL: Final = 3
WEIBULL: Final = 4
PARETO: Final = 5
EMPIRICAL: Final = 6


_SQRT_HALF: Final = float.fromhex("0x1.6a09e667f3bcdp-1")
_LN2_HIGH: Final = float.fromhex("0x1.62e42feep-1")  # 32 bits: its product with an exponent is exact
_LN2_LOW: Final = float.fromhex("0x1.a39ef35793c76p-33")


def log_of(x: float) -> float:
    """Natural logarithm, from the four basic operations alone: the same bits on every machine, within 1 ulp.

    Draws use it instead of the C library's, whose bits differ from one to another and which takes one number
    at a time; the kernel's blocks of draws compute several at once.

    Args:
        x: above 0, normal and finite.
    """
    mantissa, exponent = math.frexp(x)
    if mantissa < _SQRT_HALF:
        mantissa *= 2.0
        exponent -= 1
    return log_near_one(mantissa, float(exponent))


def log_near_one(m: float, k: float) -> float:
    """log(m 2^k) for m from sqrt(1/2) to sqrt(2) and a whole k.

    With f = m - 1 and s = f / (2 + f), log(1 + f) = 2 artanh(s) = f - s (f - R(s^2)), rearranged so that what
    is small is added first; R's polynomial is the minimax one of fdlibm's `e_log.c` (Sun Microsystems, 1993).
    """
    f = m - 1.0
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    even = w * (0.3999999999940941908 + w * (0.2222219843214978396 + w * 0.1531383769920937332))
    odd = z * (
        0.6666666666666735130
        + w * (0.2857142874366239149 + w * (0.1818357216161805012 + w * 0.1479819860511658591))
    )
    half = 0.5 * f * f
    return k * _LN2_HIGH - ((half - (s * (half + (even + odd)) + k * _LN2_LOW)) - f)


def quantile_of(code: int, a: float, b: float, u: float) -> float:
    """Value of a law with two parameters at probability `u`.

    Args:
        code: which law, one of this module's numbers except `EMPIRICAL`.
        a: constant: value; exponential: mean; uniform: low; lognormal: mu; Weibull and Pareto: scale.
        b: uniform: high; lognormal: sigma; Weibull and Pareto: shape; otherwise unused.
        u: probability, strictly between 0 and 1.
    """
    if code == EXPONENTIAL:
        return -a * log_of(1.0 - u)
    if code == CONSTANT:
        return a
    if code == UNIFORM:
        return a + (b - a) * u
    if code == WEIBULL:
        return float(a * (-math.log(1.0 - u)) ** (1.0 / b))
    if code == PARETO:
        return float(a * (1.0 - u) ** (-1.0 / b))
    # Lognormal. Standard normal quantile: Wichura (1988), algorithm AS 241 (PPND16), about 16 digits.
    q = u - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        num = (
            (
                (
                    (
                        (
                            (
                                (2.5090809287301226727e3 * r + 3.3430575583588128105e4) * r
                                + 6.7265770927008700853e4
                            )
                            * r
                            + 4.5921953931549871457e4
                        )
                        * r
                        + 1.3731693765509461125e4
                    )
                    * r
                    + 1.9715909503065514427e3
                )
                * r
                + 1.3314166789178437745e2
            )
            * r
            + 3.3871328727963666080e0
        ) * q
        den = (
            (
                (
                    (
                        (
                            (5.2264952788528545610e3 * r + 2.8729085735721942674e4) * r
                            + 3.9307895800092710610e4
                        )
                        * r
                        + 2.1213794301586595867e4
                    )
                    * r
                    + 5.3941960214247511077e3
                )
                * r
                + 6.8718700749205790830e2
            )
            * r
            + 4.2313330701600911252e1
        ) * r + 1.0
        return math.exp(a + b * (num / den))
    tail = u if q < 0.0 else 1.0 - u
    r = math.sqrt(-math.log(tail))
    if r <= 5.0:
        r = r - 1.6
        num = (
            (
                (
                    (
                        (
                            (7.74545014278341407640e-4 * r + 2.27238449892691845833e-2) * r
                            + 2.41780725177450611770e-1
                        )
                        * r
                        + 1.27045825245236838258e0
                    )
                    * r
                    + 3.64784832476320460504e0
                )
                * r
                + 5.76949722146069140550e0
            )
            * r
            + 4.63033784615654529590e0
        ) * r + 1.42343711074968357734e0
        den = (
            (
                (
                    (
                        (
                            (1.05075007164441684324e-9 * r + 5.47593808499534494600e-4) * r
                            + 1.51986665636164571966e-2
                        )
                        * r
                        + 1.48103976427480074590e-1
                    )
                    * r
                    + 6.89767334985100004550e-1
                )
                * r
                + 1.67638483018380384940e0
            )
            * r
            + 2.05319162663775882187e0
        ) * r + 1.0
    else:
        r = r - 5.0
        num = (
            (
                (
                    (
                        (
                            (2.01033439929228813265e-7 * r + 2.71155556874348757815e-5) * r
                            + 1.24266094738807843860e-3
                        )
                        * r
                        + 2.65321895265761230930e-2
                    )
                    * r
                    + 2.96560571828504891230e-1
                )
                * r
                + 1.78482653991729133580e0
            )
            * r
            + 5.46378491116411436990e0
        ) * r + 6.65790464350110377720e0
        den = (
            (
                (
                    (
                        (
                            (2.04426310338993978564e-15 * r + 1.42151175831644588870e-7) * r
                            + 1.84631831751005468180e-5
                        )
                        * r
                        + 7.86869131145613259100e-4
                    )
                    * r
                    + 1.48753612908506148525e-2
                )
                * r
                + 1.36929880922735805310e-1
            )
            * r
            + 5.99832206555887937690e-1
        ) * r + 1.0
    z = num / den
    if q < 0.0:
        z = -z
    return math.exp(a + b * z)


def _require(ok: bool, law: object, allowed: str) -> None:
    if not ok:
        raise BadInput(f"{law!r}: {allowed}")


@dataclass(frozen=True, slots=True)
class Constant:
    """Always `value` (>= 0)."""

    value: float

    def __post_init__(self) -> None:
        _require(0.0 <= self.value < math.inf, self, "value must be finite and at least 0")

    @property
    def mean(self) -> float:
        """The value."""
        return self.value

    @property
    def variance(self) -> float:
        """Zero."""
        return 0.0

    def quantile(self, u: float) -> float:
        """The value, whatever `u`."""
        return self.value

    def parameters(self) -> tuple[int, float, float]:
        """What `quantile_of` takes before the probability."""
        return CONSTANT, self.value, 0.0


@dataclass(frozen=True, slots=True)
class Exponential:
    """Exponential with the given mean (> 0)."""

    mean: float

    def __post_init__(self) -> None:
        _require(0.0 < self.mean < math.inf, self, "mean must be finite and above 0")

    @property
    def variance(self) -> float:
        """Mean squared."""
        return self.mean**2

    def quantile(self, u: float) -> float:
        """Value at probability `u` in (0, 1)."""
        return quantile_of(*self.parameters(), u)

    def parameters(self) -> tuple[int, float, float]:
        """What `quantile_of` takes before the probability."""
        return EXPONENTIAL, self.mean, 0.0


@dataclass(frozen=True, slots=True)
class Uniform:
    """Uniform on [low, high], 0 <= low <= high."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _require(0.0 <= self.low <= self.high < math.inf, self, "0 <= low <= high, finite")

    @property
    def mean(self) -> float:
        """Middle of the interval."""
        return (self.low + self.high) / 2

    @property
    def variance(self) -> float:
        """Width squared over twelve."""
        return (self.high - self.low) ** 2 / 12

    def quantile(self, u: float) -> float:
        """Value at probability `u` in (0, 1)."""
        return quantile_of(*self.parameters(), u)

    def parameters(self) -> tuple[int, float, float]:
        """What `quantile_of` takes before the probability."""
        return UNIFORM, self.low, self.high


@dataclass(frozen=True, slots=True)
class Lognormal:
    """Lognormal by its mean (> 0) and coefficient of variation `cv` (> 0: standard deviation over mean)."""

    mean: float
    cv: float

    def __post_init__(self) -> None:
        _require(0.0 < self.mean < math.inf and 0.0 < self.cv < math.inf, self, "mean and cv must be above 0")

    @property
    def variance(self) -> float:
        """(mean times cv) squared."""
        return (self.mean * self.cv) ** 2

    def quantile(self, u: float) -> float:
        """Value at probability `u` in (0, 1)."""
        return quantile_of(*self.parameters(), u)

    def parameters(self) -> tuple[int, float, float]:
        """What `quantile_of` takes before the probability."""
        return _lognormal(self.mean, self.cv)


@lru_cache(maxsize=1024)
def _lognormal(mean: float, cv: float) -> tuple[int, float, float]:
    sigma2 = math.log1p(cv**2)
    return LOGNORMAL, math.log(mean) - sigma2 / 2, math.sqrt(sigma2)


@dataclass(frozen=True, slots=True)
class Weibull:
    """Weibull with `scale` (> 0) and `shape` (> 0); shape 1 is exponential."""

    scale: float
    shape: float

    def __post_init__(self) -> None:
        _require(
            0.0 < self.scale < math.inf and 0.0 < self.shape < math.inf, self, "scale, shape must be above 0"
        )

    @property
    def mean(self) -> float:
        """Scale times gamma(1 + 1/shape)."""
        return self.scale * math.gamma(1 + 1 / self.shape)

    @property
    def variance(self) -> float:
        """Scale squared times (gamma(1 + 2/shape) - gamma(1 + 1/shape)^2)."""
        return self.scale**2 * (math.gamma(1 + 2 / self.shape) - math.gamma(1 + 1 / self.shape) ** 2)

    def quantile(self, u: float) -> float:
        """Value at probability `u` in (0, 1)."""
        return quantile_of(*self.parameters(), u)

    def parameters(self) -> tuple[int, float, float]:
        """What `quantile_of` takes before the probability."""
        return WEIBULL, self.scale, self.shape


@dataclass(frozen=True, slots=True)
class Pareto:
    """Pareto from `scale` (> 0, the smallest value) upwards with tail exponent `shape` (> 0).

    The mean is infinite for shape <= 1, the variance for shape <= 2.
    """

    scale: float
    shape: float

    def __post_init__(self) -> None:
        _require(
            0.0 < self.scale < math.inf and 0.0 < self.shape < math.inf, self, "scale, shape must be above 0"
        )

    @property
    def mean(self) -> float:
        """Scale times shape over (shape - 1), or infinity."""
        return self.scale * self.shape / (self.shape - 1) if self.shape > 1 else math.inf

    @property
    def variance(self) -> float:
        """Finite for shape > 2, otherwise infinity."""
        if self.shape <= 2:
            return math.inf
        return self.scale**2 * self.shape / ((self.shape - 1) ** 2 * (self.shape - 2))

    def quantile(self, u: float) -> float:
        """Value at probability `u` in (0, 1)."""
        return quantile_of(*self.parameters(), u)

    def parameters(self) -> tuple[int, float, float]:
        """What `quantile_of` takes before the probability."""
        return PARETO, self.scale, self.shape


@dataclass(frozen=True, slots=True)
class Empirical:
    """A law given by points of its quantile function, straight lines between them.

    Args:
        points: pairs (probability, value), probabilities strictly rising from 0 to 1, values
            non-negative and not falling.
    """

    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        probs = [p for p, _ in self.points]
        values = [v for _, v in self.points]
        _require(len(self.points) >= 2 and probs[0] == 0.0 and probs[-1] == 1.0, self, "from 0 to 1")
        _require(all(p < q for p, q in pairwise(probs)), self, "probabilities must rise")
        _require(all(0.0 <= v < math.inf for v in values), self, "values must be finite and at least 0")
        _require(all(v <= w for v, w in pairwise(values)), self, "values must not fall")

    @property
    def mean(self) -> float:
        """Integral of the quantile function (trapezoids)."""
        return sum((q - p) * (v + w) / 2 for p, v, q, w in self._pieces())

    @property
    def variance(self) -> float:
        """Second moment less the mean squared, exact for straight pieces."""
        second = sum((q - p) * (v * v + v * w + w * w) / 3 for p, v, q, w in self._pieces())
        return max(0.0, second - self.mean**2)

    def quantile(self, u: float) -> float:
        """Value at probability `u` in (0, 1)."""
        for p, v, q, w in self._pieces():
            if u < q:
                return v + (w - v) * ((u - p) / (q - p))
        return self.points[-1][1]

    def scaled(self, mean: float) -> Empirical:
        """The same shape with another mean (> 0); raises `BadInput` when this one's mean is 0."""
        _require(self.mean > 0.0, self, "a law whose mean is 0 cannot be scaled")
        factor = mean / self.mean
        return Empirical(tuple((p, v * factor) for p, v in self.points))

    def _pieces(self) -> list[tuple[float, float, float, float]]:
        return [(p, v, q, w) for (p, v), (q, w) in pairwise(self.points)]


Law = Constant | Exponential | Uniform | Lognormal | Weibull | Pareto | Empirical
"""Every law a scenario can name."""
