"""What the two tokens are worth over time: the paths of exchange rates, and the feed that parties see of them.

A rate is how much of the numéraire one token is worth. A path is a step function: it jumps at the instants of its
grid and stays between them. It is drawn whole when the world is built, from a stream of the token's own, so that no policy and no
other draw moves it. Geometric Brownian motion is exact on the grid, whatever the step: over a time Δ the logarithm grows by a
normal draw of mean (μ - σ²/2)Δ and variance σ²Δ, so that E[S_t] = S_0·e^(μt); without drift E[1/S_t] = e^(σ²t)/S_0.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import numpy as np

from protocol.ports import Quote
from sim import laws
from sim.scenario.fields import FIAT_DECIMALS
from sim.trace_files import read_rates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from protocol import ports
    from sim.kernel.streams import Stream
    from sim.scenario.tokens import Gbm, Rate, Tokens
    from sim.tasks import Process

FIAT_UNITS: Final = 10**FIAT_DECIMALS


@dataclass(frozen=True, slots=True)
class Growth:
    """The law of S(t+Δ)/S(t): log-normal, by mean and standard deviation of its logarithm."""

    mean_log: float
    deviation: float

    def quantile(self, u: float) -> float:
        """Value at probability `u` in (0, 1)."""
        return laws.quantile_of(*self.parameters(), u)

    def parameters(self) -> tuple[int, float, float]:
        """What `laws.quantile_of` takes before the probability."""
        return laws.LOGNORMAL, self.mean_log, self.deviation


def growth(law: Gbm) -> Growth:
    """What a step of a geometric Brownian motion multiplies its rate by."""
    span = law.step_ns / law.unit_ns
    drift, volatility = float(law.drift), float(law.volatility)
    return Growth((drift - volatility**2 / 2) * span, volatility * math.sqrt(span))


class Path:
    """A rate over time.

    Args:
        times_ns: when it jumps, ascending [Unix ns]; before the first it is what it is at the first.
        rates: what it is from then on; numéraire a token, above 0, exact as it stands.
    """

    def __init__(self, times_ns: Sequence[int], rates: Sequence[float | Fraction]) -> None:
        self.times_ns = list(times_ns)
        self._rates = list(rates)

    def at(self, now_ns: int) -> Fraction:
        """The rate at an instant, the jump of that very instant included."""
        return Fraction(self._rates[max(0, bisect_right(self.times_ns, now_ns) - 1)])

    def jumps(self, until_ns: int) -> list[tuple[int, float]]:
        """Every jump up to an instant, its own included: time and rate."""
        last = bisect_right(self.times_ns, until_ns)
        return [(at_ns, float(rate)) for at_ns, rate in zip(self.times_ns[:last], self._rates, strict=False)]


def path(rate: Rate, stream: Stream, *, start_ns: int, end_ns: int) -> Path:
    """The path that a scenario asks for.

    Args:
        rate: what it says.
        stream: the token's own; a constant and a file draw nothing.
        start_ns: when the run begins [Unix ns].
        end_ns: when it ends.
    """
    if rate.gbm is not None:
        law = rate.gbm
        steps = -(-(end_ns - start_ns) // law.step_ns)
        values = float(law.start) * np.cumprod(stream.samples(growth(law), steps))
        times_ns = [start_ns + i * law.step_ns for i in range(steps + 1)]
        return Path(times_ns, [law.start, *values.tolist()])
    if rate.empirical is not None:
        seconds, rates = read_rates(rate.empirical)
        return Path([start_ns + round(s * 1e9) for s in seconds], [Fraction(repr(r)) for r in rates])
    assert rate.constant is not None
    return Path([start_ns], [rate.constant])


class Worth:
    """What amounts of both tokens are worth at any time, as it really is.

    Args:
        tokens: the scenario's.
        payment: the payment token's path.
        gas: the gas token's; None: it follows from `tokens.gas.price`, or gas is worth nothing.
    """

    def __init__(self, tokens: Tokens, payment: Path, gas: Path | None) -> None:
        self.payment = payment
        self.gas = gas
        self._token_units: int = 10**tokens.payment.decimals
        self._gas_units: int = 10**tokens.gas.decimals
        # Exact and always the same where the scenario gives it as an amount of the payment token.
        self._price = Fraction(tokens.gas.price_base or 0, self._gas_units)
        self._decimals = tokens.payment.decimals
        self._feed_every_ns, self._feed_delay_ns = tokens.feed.every_ns, tokens.feed.delay_ns
        self._quoted = self._quote(payment.times_ns[0])

    def token_per_gas(self, now_ns: int) -> Fraction:
        """What a base unit of the gas token is worth in base units of the payment token."""
        if self.gas is None:
            return self._price
        return self.gas.at(now_ns) * self._token_units / (self.payment.at(now_ns) * self._gas_units)

    def fiat(self, base: int, now_ns: int) -> int:
        """What an amount of the payment token is worth [numéraire × 10^-12], rounded down.

        Args:
            base: the amount [base units].
            now_ns: when [Unix ns].
        """
        rate = self.payment.at(now_ns)
        return base * rate.numerator * FIAT_UNITS // (rate.denominator * self._token_units)

    def gas_fiat(self, wei: int, now_ns: int) -> int:
        """The same of an amount of the gas token [wei]."""
        rate = self.payment.at(now_ns) if self.gas is None else self.gas.at(now_ns)
        scale = self._price / self._token_units if self.gas is None else Fraction(1, self._gas_units)
        return int(wei * rate * scale * FIAT_UNITS)

    def quote(self, now_ns: int) -> Quote:
        """What the feed has told by an instant."""
        start_ns = self.payment.times_ns[0]
        told = (now_ns - self._feed_delay_ns - start_ns) // self._feed_every_ns
        at_ns = start_ns + told * self._feed_every_ns
        if at_ns != self._quoted.at_ns:
            self._quoted = self._quote(at_ns)
        return self._quoted

    def _quote(self, at_ns: int) -> Quote:
        return Quote(at_ns, self.payment.at(at_ns), self._decimals, self.token_per_gas(at_ns))


class SimRates:
    """See `ports.Rates`: the feed, as one party sees it.

    Args:
        worth: what tokens are worth.
        process: the party's process.
    """

    __slots__ = ("_process", "_worth")

    def __init__(self, worth: Worth, process: Process) -> None:
        self._worth = worth
        self._process = process

    async def quote(self, *, deadline_ns: int) -> Quote:
        """See `ports.Rates.quote`."""
        self._process.check()
        return self._worth.quote(self._process.now)


if TYPE_CHECKING:
    _are_rates: type[ports.Rates] = SimRates
