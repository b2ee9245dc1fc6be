"""The two tokens in a scenario, and what they are worth over time."""

from __future__ import annotations

from typing import Final, Literal, Self

from pydantic import model_validator

from protocol.units import NS_PER_S
from sim.scenario.fields import (
    DurationNs,
    FilePath,
    Number,
    PaymentMoney,
    PositiveNs,
    PositiveNumber,
    SignedNumber,
)
from sim.scenario.laws import Model, OneOf, key

DECIMALS_MAX: Final = 24
"""YAM v2's, the most of the tokens that people test with; of the tables' 38 digits 14 are left before the point."""
SYMBOL: Final = r"^[A-Za-z][A-Za-z0-9.]{0,15}$"
UNIT_NS: Final = {"hour": 3600 * NS_PER_S, "year": 365 * 24 * 3600 * NS_PER_S}
"""What drift and volatility are per; a year has 365 days."""


class Gbm(Model):
    """Geometric Brownian motion, exact at the ends of its steps and constant between them."""

    start: PositiveNumber = key(1, description="The rate as the run begins.")
    drift: SignedNumber = key(
        0,
        description="Growth of the expected rate, compounded continuously: -0.1 a year makes it 9.5 % less.",
    )
    volatility: Number = key(
        description="Standard deviation of the logarithm over one `per`, such as 0.8; over a time t it is √t times that."
    )
    per: Literal["hour", "year"] = key("year", description="What both are per; a year has 365 days.")
    step_ns: PositiveNs = key("10m", alias="step", description="How often the rate moves.")

    @property
    def unit_ns(self) -> int:
        """What `per` is [ns]."""
        return UNIT_NS[self.per]


class Rate(OneOf):
    """What one token is worth in the numéraire, over time. A bare number means `constant`."""

    what = "path"
    bare = "constant"
    constant: PositiveNumber | None = key(None, description="Always as much.")
    gbm: Gbm | None = key(None, description="Geometric Brownian motion.")
    empirical: FilePath | None = key(
        None,
        description="A CSV file with columns `seconds` (from the start of the run, ascending, the first 0) and `rate`; each rate holds until the next.",
    )


class PaymentToken(Model):
    """The token that pods are paid in."""

    symbol: str = key("DAI", pattern=SYMBOL, description="How amounts of it are written.")
    decimals: int = key(
        18, ge=0, le=DECIMALS_MAX, strict=True, description="Base units in one token are 10 to this power."
    )
    rate: Rate | None = key(
        None, description="What one is worth in the numéraire, over time; null: 1, always."
    )


class GasToken(Model):
    """The chain's own token, which transactions are paid in."""

    symbol: str = key("ETH", pattern=SYMBOL, description="How amounts of it are written.")
    decimals: int = key(
        18, ge=0, le=DECIMALS_MAX, strict=True, description="Base units in one token are 10 to this power."
    )
    price_base: PaymentMoney | None = key(
        None,
        alias="price",
        description="What one is always worth in the payment token; null, and no `rate` either: gas costs nobody anything in profits and surpluses.",
    )
    rate: Rate | None = key(
        None, description="Instead of `price`: what one is worth in the numéraire, over time."
    )

    @model_validator(mode="after")
    def _one_price(self) -> Self:
        if self.price_base is not None and self.rate is not None:
            raise ValueError("`price` and `rate` both say what gas is worth; give one of them")
        return self


class Feed(Model):
    """Where parties learn exchange rates."""

    every_ns: PositiveNs = key(
        "1m", alias="every", description="Time between its updates, from the start of the run."
    )
    delay_ns: DurationNs = key("0s", alias="delay", description="How old an update is when it comes.")


class Tokens(Model):
    """The two tokens, and the money that values are counted in."""

    payment: PaymentToken = key({}, description="What pods are paid in.")
    gas: GasToken = key({}, description="What transactions are paid in.")
    numeraire: str = key(
        "USD",
        pattern=SYMBOL,
        description="The money that values, surpluses and rates are in; the payment token's symbol, where that is the money.",
    )
    feed: Feed = key({}, description="Where parties learn exchange rates.")

    @model_validator(mode="after")
    def _different(self) -> Self:
        if self.payment.symbol == self.gas.symbol:
            raise ValueError(f"both tokens are called '{self.gas.symbol}'; they need different symbols")
        for token in (self.payment, self.gas):
            if token.symbol == self.numeraire and token.rate is not None:
                raise ValueError(
                    f"'{token.symbol}' is the numéraire, so one is always worth 1; leave its `rate` out, or name another `numeraire`"
                )
        if self.gas.symbol == self.numeraire:
            raise ValueError(f"'{self.gas.symbol}' is the gas token; name another `numeraire`")
        return self


__all__ = ["DECIMALS_MAX", "SYMBOL", "UNIT_NS", "Gbm", "Rate", "Tokens"]
