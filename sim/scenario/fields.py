"""The field types of the scenario tree: each reads a quantity, holds an exact number, writes it back.

A type here couples a reader and a writer of `quantities` with bounds and a line of text for the
reference. What a field means is said at the field; what may be written there is said here.

Money needs the scenario's tokens, paths its folder: both come in the validation context, `Context`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from protocol.payment import MAX_UNLOCK_TIME_S
from protocol.scaling.layout import TIME_CEILING_NS
from protocol.units import NS_PER_S
from sim.scenario import quantities as q

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaValue


FIAT_DECIMALS: Final = 12
"""The numéraire is counted in units of 10^-12, of which tables hold 38 digits: 10^26 of it."""


@dataclass(frozen=True, slots=True)
class Context:
    """What reading a value can depend on beside the value itself.

    Attributes:
        base: folder that relative paths in the scenario start from.
        payment: the payment token.
        gas: the chain's own token.
        numeraire: the money that values are in.
    """

    base: Path = Path()
    payment: q.Denomination = q.Denomination("DAI", 18)
    gas: q.Denomination = q.Denomination("ETH", 18)
    numeraire: q.Denomination = q.Denomination("USD", FIAT_DECIMALS)


DEFAULT_CONTEXT: Final = Context()


def context_of(info: Any) -> Context:
    """The validation or serialisation context; the default one where a model is built by hand."""
    context = info.context
    return context if isinstance(context, Context) else DEFAULT_CONTEXT


@dataclass(frozen=True)
class Quantity:
    """Pydantic metadata: how a field's value is read from a person and written for one.

    Attributes:
        kind: what it is, for the reference: `duration`.
        allowed: what may be written, for messages and the schema.
        read: from what the file holds; `ValueError` says what is wrong.
        write: the inverse.
        least: smallest value allowed; None: no bound.
        most: largest value allowed; None: no bound.
        above: value that must be exceeded; None: no bound.
        step: smallest step between values; None: as fine as they can be written, or whole numbers where it reads those.
    """

    kind: str
    allowed: str
    read: Callable[[object, Context], Any]
    write: Callable[[Any, Context], Any]
    least: int | Fraction | None = None
    most: int | Fraction | None = None
    above: int | Fraction | None = None
    step: Fraction | None = None

    def _validate(self, value: object, info: core_schema.ValidationInfo) -> Any:
        context = context_of(info)
        got = self.read(value, context)
        if self.least is not None and got < self.least:
            raise ValueError(
                f"{q.show(value)} is less than {self.write(self.least, context)}, the least allowed"
            )
        if self.most is not None and got > self.most:
            raise ValueError(
                f"{q.show(value)} is more than {self.write(self.most, context)}, the most allowed"
            )
        if self.above is not None and got <= self.above:
            raise ValueError(
                f"{q.show(value)} is not allowed: it must be more than {self.write(self.above, context)}"
            )
        return got

    def _serialize(self, value: Any, info: core_schema.SerializationInfo) -> Any:
        return value if value is None else self.write(value, context_of(info))

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            self._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(self._serialize, info_arg=True),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": ["string", "number"], "description": self.allowed}


def _plain(
    kind: str, allowed: str, read: Callable[[object], Any], write: Callable[[Any], Any], **bounds: Any
) -> Quantity:
    return Quantity(kind, allowed, lambda v, _: read(v), lambda v, _: write(v), **bounds)


# --- bounds ----------------------------------------------------------------------------------------
# The data plane counts in int64, and its times are Unix nanoseconds, which int64 holds until 2262.

DURATION_MAX_NS: Final = TIME_CEILING_NS
"""100 years, the longest that a scaling rule takes."""
START_LEAST_NS: Final = q.read_instant_ns("1971-01-01T00:00:00Z")
"""The world begins a little before the scenario, and no time is before 1970."""
START_MOST_NS: Final = q.read_instant_ns("2100-01-01T00:00:00Z")
"""With the longest run and the longest draw of the data plane (31 years) this is 2231."""
RATE_MAX_PER_S: Final = NS_PER_S
"""One a nanosecond, the smallest step of virtual time."""
CPU_MAX_MILLIS: Final = 10**9
"""A million cores; the largest machines for rent have a thousand or two."""
BYTES_MAX: Final = 2**50
"""1 Pi. The largest machines for rent have 32 Ti of memory; int64 holds 8,191 times this."""
IMAGE_MAX_BYTES: Final = 2**40
BANDWIDTH_LEAST: Final = 10_000
"""A modem's. The largest image takes 1e17 ns then, so that int64 holds 80 pulls at once."""
BANDWIDTH_MOST: Final = 2**50
MONEY_MAX: Final = 10**36
"""Tables hold 38 digits (`sim.records.writer`: decimal128(38, 0)); two are left for sums."""
FIAT_MAX: Final = 10**21
"""10^9 of the numéraire, for a request or a second: for all requests of the longest run tables have digits."""
PRICE_MAX: Final = 10**30
"""10^12 tokens of 18 decimals."""
GAS_PRICE_MAX_WEI: Final = 10**18
"""A whole token of 18 decimals for one unit of gas."""
SAMPLED_LEAST: Final = Fraction(1, 10**12)
"""No more requests can be run (`sim.scenario.limits`)."""
PRECISION_LEAST: Final = Fraction(1, 10**6)
"""A finer half-width needs 10^12 times the replications that 1 needs."""
NUMBER_MAX: Final = 10**9
CV_MAX: Final = 1_000
"""A log-normal's sigma is 3.7 then. Run times in the Azure trace of 2019 stay below 100."""
SHAPE_LEAST: Final = Fraction(1, 10)
"""With less, a Weibull's or Pareto's draws pass what a float can hold (10^308)."""
SHAPE_MOST: Final = 1_000

# --- kinds -----------------------------------------------------------------------------------------

_DURATION = (q.DURATION, q.read_duration_ns, q.write_duration)

DurationNs = Annotated[int, _plain("duration", *_DURATION, least=0, most=DURATION_MAX_NS)]
"""A length of virtual time, 0 or more [ns]."""
PositiveNs = Annotated[int, _plain("duration", *_DURATION, above=0, most=DURATION_MAX_NS)]
"""A length of virtual time above 0 [ns]."""
UnlockNs = Annotated[int, _plain("duration", *_DURATION, above=0, most=MAX_UNLOCK_TIME_S * NS_PER_S)]
"""Unlock time of a channel, above 0 and at most what the contract allows [ns]."""
InstantNs = Annotated[
    int,
    _plain(
        "instant", q.INSTANT, q.read_instant_ns, q.write_instant, least=START_LEAST_NS, most=START_MOST_NS
    ),
]
"""A point of calendar time [ns since the Unix epoch]."""
RatePerS = Annotated[
    Fraction, _plain("rate", q.RATE, q.read_rate_per_s, q.write_rate, least=0, most=RATE_MAX_PER_S)
]
"""Events a second, exact."""
Share = Annotated[Fraction, _plain("share", q.SHARE, q.read_share, q.write_share)]
"""A probability or share in [0, 1], exact."""


def _read_sampled(value: object) -> Fraction:
    share = q.read_share(value)
    if 0 < share < SAMPLED_LEAST:
        raise ValueError(
            f"{q.show(value)} is less than {q.write_share(SAMPLED_LEAST)}, the least allowed above 0"
        )
    return share


SampledShare = Annotated[Fraction, _plain("share", q.SHARE, _read_sampled, q.write_share)]
"""A share of requests: 0, or enough to find one in the longest run."""


THOUSANDTH: Final = Fraction(1, 1000)


def _read_thousandths(read: Callable[[object], Fraction]) -> Callable[[object], Fraction]:
    def exact(value: object) -> Fraction:
        got = read(value)
        if (got / THOUSANDTH).denominator != 1:
            raise ValueError(
                f"{q.show(value)} is finer than a thousandth, the smallest step of a scaling rule"
            )
        return got

    return exact


WARM_UP: Final = "none, auto, or a duration such as 30min or 12h"


def _read_warm_up(value: object) -> int | Literal["auto"]:
    if value is None or value == "none":
        return 0
    if value == "auto":
        return "auto"
    try:
        length_ns = q.read_duration_ns(value)
    except ValueError as error:
        raise ValueError(f"{q.show(value)} is not a warm-up: {WARM_UP} ({error})") from None
    if not 0 <= length_ns <= DURATION_MAX_NS:
        raise ValueError(f"{q.show(value)} is out of range: 0 to {q.write_duration(DURATION_MAX_NS)}")
    return length_ns


def _write_warm_up(value: int | Literal["auto"]) -> str:
    return str(value) if isinstance(value, str) else q.write_duration(value) if value else "none"


WarmUp = Annotated[int | Literal["auto"], _plain("warm-up", WARM_UP, _read_warm_up, _write_warm_up)]
"""What is left out of steady-state figures [ns], 0 for nothing, or `auto`."""


def _read_precision(value: object) -> Fraction:
    share = q.read_share(value)
    if share < PRECISION_LEAST:
        raise ValueError(f"{q.show(value)} is less than {q.write_share(PRECISION_LEAST)}, the least allowed")
    return share


Precision = Annotated[Fraction, _plain("share", q.SHARE, _read_precision, q.write_share)]
"""A half-width as a share of a mean, exact."""

CpuMillis = Annotated[int, _plain("cpu", q.CPU, q.read_cpu_millis, q.write_cpu, above=0, most=CPU_MAX_MILLIS)]
"""Millicores, above 0."""
_BYTES = (q.MEMORY, q.read_bytes, q.write_bytes)
Bytes = Annotated[int, _plain("bytes", *_BYTES, least=0, most=BYTES_MAX)]
"""Bytes, 0 or more."""
PositiveBytes = Annotated[int, _plain("bytes", *_BYTES, above=0, most=BYTES_MAX)]
"""Bytes, above 0."""
ImageBytes = Annotated[int, _plain("bytes", *_BYTES, above=0, most=IMAGE_MAX_BYTES)]
"""Size of an image, above 0."""
BytesPerS = Annotated[
    int,
    _plain(
        "bandwidth",
        q.BANDWIDTH,
        q.read_bytes_per_s,
        q.write_bytes_per_s,
        least=BANDWIDTH_LEAST,
        most=BANDWIDTH_MOST,
    ),
]
"""Bytes a second."""
GasPriceWei = Annotated[
    int,
    _plain(
        "gas price", q.GAS_PRICE, q.read_gas_price_wei, q.write_gas_price, least=0, most=GAS_PRICE_MAX_WEI
    ),
]
"""Base units of the gas token a unit of gas."""

_NUMBER = ("a number, such as 2 or 0.5", lambda v: q.number(v, "a number, such as 2 or 0.5"), q.write_number)
Number = Annotated[Fraction, _plain("number", *_NUMBER, least=0, most=NUMBER_MAX)]
"""A plain number, 0 or more, exact."""
PositiveNumber = Annotated[Fraction, _plain("number", *_NUMBER, above=0, most=NUMBER_MAX)]
"""A plain number above 0, exact."""
SignedNumber = Annotated[Fraction, _plain("number", *_NUMBER, least=-NUMBER_MAX, most=NUMBER_MAX)]
"""A plain number of either sign, exact."""
Times = Annotated[Fraction, _plain("number", *_NUMBER, least=1, most=NUMBER_MAX)]
"""A factor of 1 or more, exact."""
ShareM = Annotated[
    Fraction, _plain("share", q.SHARE, _read_thousandths(q.read_share), q.write_share, step=THOUSANDTH)
]
"""A share in whole thousandths, as the scaling rules count."""
NumberM = Annotated[
    Fraction,
    _plain(
        "number",
        _NUMBER[0],
        _read_thousandths(_NUMBER[1]),
        _NUMBER[2],
        above=0,
        most=NUMBER_MAX,
        step=THOUSANDTH,
    ),
]
"""A number above 0 in whole thousandths, as the scaling rules count."""
Cv = Annotated[Fraction, _plain("number", *_NUMBER, above=0, most=CV_MAX)]
"""A coefficient of variation, above 0, exact."""
Shape = Annotated[Fraction, _plain("number", *_NUMBER, least=SHAPE_LEAST, most=SHAPE_MOST)]
"""The shape of a law, exact."""


def _named(value: object, token: q.Denomination) -> object:
    """Defaults are written once for every token."""
    return value.replace("{token}", token.symbol) if isinstance(value, str) else value


def _money(
    token: Callable[[Context], q.Denomination], name: str, *, least: int | None = 0, above: int | None = None
) -> Quantity:
    return Quantity(
        f"money ({name} token)",
        f"an amount of the {name} token, such as 5 DAI",
        lambda v, c: q.read_money(_named(v, token(c)), token(c)),
        lambda v, c: q.write_money(v, token(c)),
        least=least,
        above=above,
        most=MONEY_MAX,
    )


def _payment(context: Context) -> q.Denomination:
    return context.payment


def _gas(context: Context) -> q.Denomination:
    return context.gas


PaymentMoney = Annotated[int, _money(_payment, "payment")]
"""Base units of the payment token."""
PositiveMoney = Annotated[int, _money(_payment, "payment", least=None, above=0)]
"""Base units of the payment token, above 0: the contract takes no deposit of nothing (`AmountRequired`)."""
GasMoney = Annotated[int, _money(_gas, "gas")]
"""Base units of the gas token."""
Fiat = Annotated[
    int,
    Quantity(
        "money (numéraire)",
        "an amount of the numéraire, such as 0.001 USD",
        lambda v, c: q.read_money(_named(v, c.numeraire), c.numeraire),
        lambda v, c: q.write_money(v, c.numeraire),
        least=0,
        most=FIAT_MAX,
    ),
]
"""Numéraire, in units of 10^-12."""
FiatRate = Annotated[
    Fraction,
    Quantity(
        "numéraire per time",
        "an amount of the numéraire per time, such as 0.05 USD/h",
        lambda v, c: q.read_rate_of_money(_named(v, c.numeraire), c.numeraire, "node-s"),
        lambda v, c: q.write_rate_of_money(v, c.numeraire, "node-s"),
        least=0,
        most=FIAT_MAX,
    ),
]
"""Numéraire a second, in units of 10^-12, exact."""


def _price(of: str) -> Quantity:
    return Quantity(
        f"price per {q.PRICE_UNITS[of][0]}",
        f"a price in the payment token per {' or '.join(q.PRICE_UNITS[of])}, such as 0.01 DAI/{q.PRICE_UNITS[of][0]}",
        lambda v, c: q.read_price(_named(v, c.payment), c.payment, of),
        lambda v, c: q.write_rate_of_money(Fraction(v), c.payment, of),
        least=0,
        most=PRICE_MAX,
    )


CpuPrice = Annotated[int, _price("core-s")]
"""Base units of the payment token per core-second."""
BytePrice = Annotated[int, _price("byte-s")]
"""Base units of the payment token per byte-second."""
TrafficPrice = Annotated[int, _price("byte")]
"""Base units of the payment token per byte."""
GpuPrice = Annotated[int, _price("gpu-s")]
"""Base units of the payment token per device-second."""
IpPrice = Annotated[int, _price("ip-s")]
"""Base units of the payment token per address-second."""


def _cost(of: str) -> Quantity:
    return Quantity(
        f"cost per {q.PRICE_UNITS[of][0]}",
        f"a cost in the payment token per {' or '.join(q.PRICE_UNITS[of])}, such as 0.01 DAI/{q.PRICE_UNITS[of][0]}",
        lambda v, c: q.read_rate_of_money(_named(v, c.payment), c.payment, of),
        lambda v, c: q.write_rate_of_money(v, c.payment, of),
        least=0,
        most=PRICE_MAX,
    )


NodeCost = Annotated[Fraction, _cost("node-s")]
"""Base units of the payment token per node-second, exact (it is never paid on the chain)."""
CoreCost = Annotated[Fraction, _cost("core-s")]
"""Base units of the payment token per core-second, exact."""

PATH: Final = "a path, relative to the folder of the scenario file"


def _read_path(value: object, context: Context) -> Path:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{q.show(value)} is not {PATH}")
    try:
        path = (context.base / value).resolve()
        path.exists()  # raises for what no file can be called, and for folders that may not be looked into
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: links that lead in a circle
        said = error.strerror if isinstance(error, OSError) else str(error)
        raise ValueError(f"{q.show(value)} cannot be looked up: {said}") from None
    return path


FilePath = Annotated[Path, Quantity("path", PATH, _read_path, lambda v, _: str(v))]
"""A file or folder; held absolute."""


def quantity_of(metadata: list[Any] | tuple[Any, ...]) -> Quantity | None:
    """The `Quantity` among a field's annotations."""
    return next((item for item in metadata if isinstance(item, Quantity)), None)
