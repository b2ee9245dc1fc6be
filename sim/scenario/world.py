"""The parts of a scenario that are nobody's, but for the chain: tokens, network, faults, output."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from sim.scenario.fields import (
    BytesPerS,
    DurationNs,
    FilePath,
    PaymentMoney,
    PositiveNs,
    SampledShare,
    Share,
)
from sim.scenario.laws import Law, Model, OneOf, key

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=63)]
"""Lower-case letters, digits and dashes: names become parts of paths and of Kubernetes names."""
Count = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]
"""A whole number, 1 or more."""
ChainId = Annotated[int, Field(ge=1, le=2**53, strict=True)]
"""What EIP-155 calls one; public chains have numbers of eight digits and more."""
DECIMALS_MAX: Final = 24
"""YAM v2's, the most of the tokens that people test with; of the tables' 38 digits 14 are left before the point."""
SYMBOL: Final = r"^[A-Za-z][A-Za-z0-9.]{0,15}$"
Whole = Annotated[int, Field(ge=0, le=2**53, strict=True)]
"""A whole number, 0 or more."""


class PaymentToken(Model):
    """The token that pods are paid in."""

    symbol: str = key("DAI", pattern=SYMBOL, description="How amounts of it are written.")
    decimals: int = key(
        18, ge=0, le=DECIMALS_MAX, strict=True, description="Base units in one token are 10 to this power."
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
        description="What one is worth in the payment token, for profits in the summary; null: gas is not counted in them.",
    )


class Tokens(Model):
    """The two tokens."""

    payment: PaymentToken = key({}, description="What pods are paid in.")
    gas: GasToken = key({}, description="What transactions are paid in.")

    @model_validator(mode="after")
    def _different(self) -> Self:
        if self.payment.symbol == self.gas.symbol:
            raise ValueError(f"both tokens are called '{self.gas.symbol}'; they need different symbols")
        return self


class Partition(Model):
    """Messages between two regions are lost for a while."""

    regions: tuple[str, str] = key(description="The two regions.")
    at_ns: DurationNs = key(alias="at", description="When, from the start of the run.")
    for_ns: PositiveNs = key(alias="for", description="For how long.")


class Network(Model):
    """Messages between the parties. Requests to pods travel for the mean of the latency, each way."""

    latency: Law = key({"lognormal": {"mean": "60ms", "cv": 0.5}}, description="One way, between regions.")
    latency_same_region: Law = key(
        {"lognormal": {"mean": "5ms", "cv": 0.5}}, description="One way, within a region."
    )
    loss_prob: Share = key("0%", alias="loss", description="Share of messages that never arrive.")
    duplicate_prob: Share = key(
        "0%", alias="duplicates", description="Share of requests between parties that arrive twice."
    )
    bandwidth_bytes_per_s: BytesPerS = key(
        "100MB/s", alias="bandwidth", description="Of a party's link, for uploads of images and secrets."
    )
    partitions: tuple[Partition, ...] = key((), description="When regions cannot reach each other.")


class _Fault(Model):
    at_ns: DurationNs = key(alias="at", description="When, from the start of the run.")
    for_ns: PositiveNs = key(alias="for", description="For how long.")


class ProviderCrash(_Fault):
    """A provider's client stops and comes back with what its store holds."""

    kind: Literal["provider_crash"] = key(
        description="A provider's client stops, and with `nodes` its nodes."
    )
    provider: str = key(description="Which provider, as `<group>-<index>`, or a whole group.")
    nodes: bool = key(
        False, strict=True, description="Whether its nodes go down with it (what runs there fails)."
    )


class PublisherCrash(_Fault):
    """A publisher's client stops and comes back with what its store holds."""

    kind: Literal["publisher_crash"] = key(description="A publisher's client stops.")
    publisher: str = key(description="Which publisher, as `<group>-<index>`.")


class NodeCrash(_Fault):
    """One node of a provider goes down with what runs on it."""

    kind: Literal["node_crash"] = key(description="One node goes down.")
    provider: str = key(description="Which provider, as `<group>-<index>`.")
    node: Whole = key(description="Which of its nodes, from 0.")


class RpcSilence(_Fault):
    """A party's chain endpoint answers nothing."""

    kind: Literal["rpc_silence"] = key(description="A chain endpoint answers nothing.")
    party: str | None = key(
        None,
        description="Which provider or publisher, as `<group>-<index>`, or a whole group; null: everybody.",
    )


class RpcLie(_Fault):
    """A party's chain endpoint does not tell the truth; of two, the other does."""

    kind: Literal["rpc_lie"] = key(description="A chain endpoint does not tell the truth.")
    party: str | None = key(
        None,
        description="Which provider or publisher, as `<group>-<index>`, or a whole group; null: everybody.",
    )
    lie: Literal["stale", "absent", "inflated"] = key(
        description="`stale`: it answers as of the fault's beginning; `absent`: there are no channels; `inflated`: they hold ten times what was put in."
    )


class PartitionFault(_Fault):
    """Messages between two regions are lost, as in `network.partitions`."""

    kind: Literal["partition"] = key(description="Two regions cannot reach each other.")
    regions: tuple[str, str] = key(description="The two regions.")


Fault = Annotated[
    ProviderCrash | PublisherCrash | NodeCrash | RpcSilence | RpcLie | PartitionFault,
    Field(discriminator="kind"),
]


class Output(Model):
    """What the run writes."""

    sampling_ns: PositiveNs = key(
        "60s", alias="sampling", description="Interval of the time series in `samples`."
    )
    requests_share: SampledShare = key(
        "1/1000", alias="requests", description="Share of requests that get a row in `requests`."
    )
    events: bool = key(
        True, strict=True, description="Whether the protocol's trace is written, the table `events`."
    )


__all__ = [
    "Count",
    "Fault",
    "FilePath",
    "GasToken",
    "Name",
    "Network",
    "NodeCrash",
    "OneOf",
    "Output",
    "Partition",
    "PartitionFault",
    "PaymentToken",
    "ProviderCrash",
    "PublisherCrash",
    "RpcLie",
    "RpcSilence",
    "Tokens",
    "Whole",
]
