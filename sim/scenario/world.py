"""The parts of a scenario that are nobody's, but for the chain and the tokens: network, faults, output."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sim.scenario.fields import (
    BytesPerS,
    DurationNs,
    FilePath,
    PositiveNs,
    Precision,
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
Several = Annotated[int, Field(ge=2, le=1_000_000, strict=True)]
"""A whole number, 2 or more: an interval needs two."""
Whole = Annotated[int, Field(ge=0, le=2**53, strict=True)]
"""A whole number, 0 or more."""


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


class Until(Model):
    """Replications until a metric is known well enough; the same number whatever the workers."""

    metric: str = key(description="Which metric, by its name in `summary.json`.")
    half_width: Precision = key(
        description="Half of its 95 % interval, as a share of its mean, that is to be reached."
    )
    min: Several = key(10, description="Replications that are made in any case.")
    max: Several = key(200, description="Replications after which it is given up, and said so.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.max < self.min:
            raise ValueError(f"max ({self.max}) must not be less than min ({self.min})")
        return self

    @property
    def share(self) -> float:
        """The half-width asked for, as a share of the mean."""
        return float(self.half_width)


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
    series: tuple[str, ...] = key(
        (),
        description="Steady-state metrics of which a sweep keeps every sampling instant, in `series.parquet`.",
    )


__all__ = [
    "Count",
    "Fault",
    "FilePath",
    "Name",
    "Network",
    "NodeCrash",
    "OneOf",
    "Output",
    "Partition",
    "PartitionFault",
    "ProviderCrash",
    "PublisherCrash",
    "RpcLie",
    "RpcSilence",
    "Until",
    "Whole",
]
