"""Providers, as a scenario describes them."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import ValidationInfo, field_validator, model_validator

from sim.scenario.fields import (
    BytePrice,
    Bytes,
    BytesPerS,
    CoreCost,
    CpuMillis,
    CpuPrice,
    DurationNs,
    GasMoney,
    GpuPrice,
    IpPrice,
    NodeCost,
    PaymentMoney,
    PositiveBytes,
    PositiveNs,
    TrafficPrice,
    UnlockNs,
    context_of,
)
from sim.scenario.laws import Law, Model, key
from sim.scenario.world import Count, Name, Whole

Assurance = Literal["none", "client", "cluster", "pod"]


USE: Final = "a class of your own: `module:Class` with `module.py` in the folder of the scenario, `path/to/module.py:Class`, or `package.module:Class` of what is installed"


def with_file(use: str, info: ValidationInfo) -> str:
    """A policy's name, with its file, absolute, when that is beside the scenario: a worker elsewhere has to find it too."""
    module, colon, name = use.rpartition(":")
    base = context_of(info).base
    if not colon:
        return use
    if module.endswith(".py"):
        return f"{(base / module).resolve()}:{name}"
    beside = base / f"{module}.py"
    return f"{beside.resolve()}:{name}" if module.isidentifier() and beside.is_file() else use


class PolicySpec(Model):
    """A policy or a behaviour of ours by its short name, or a class of your own. A bare name means `{use: name}`."""

    use: str = key(description=f"Short name, or {USE}.")
    with_: dict[str, Any] = key({}, alias="with", description="Its settings; unknown keys are errors.")

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"use": value} if isinstance(value, str) else value

    _found = field_validator("use")(with_file)


class Nodes(Model):
    """Some equal machines of a provider's cluster."""

    count: Count = key(1, description="How many.")
    cpu_millis: CpuMillis = key(alias="cpu", description="Cores of each.")
    memory_bytes: PositiveBytes = key(alias="memory", description="Memory of each.")
    gpu: Whole = key(0, description="GPUs of each.")
    storage_bytes: Bytes = key("1Ti", alias="storage", description="Disk for volumes, of each.")
    pull_bytes_per_s: BytesPerS = key(
        "1Gbit/s", alias="pull", description="Bandwidth of image pulls, shared by the pulls of a node."
    )
    image_cache_bytes: Bytes = key(
        "50Gi", alias="image_cache", description="Disk for images, of each; least recently used leave first."
    )


class Prices(Model):
    """What a provider charges. A resource that is null has no price, and pods that need it are refused."""

    cpu: CpuPrice = key(description="For cores reserved.")
    memory: BytePrice = key(description="For memory reserved.")
    storage: BytePrice = key("0 {token}/GiB-h", description="For volumes reserved.")
    egress: TrafficPrice = key("0 {token}/GB", description="For bytes sent.")
    ingress: TrafficPrice = key("0 {token}/GB", description="For bytes received.")
    gpu: GpuPrice | None = key(None, description="For GPUs reserved.")
    ip: IpPrice | None = key(None, description="For public addresses reserved.")


class Cost(Model):
    """What running costs the provider: never paid on the chain, only counted in its profit."""

    idle: NodeCost = key("0 {token}/h", description="Of a node that is on.")
    busy: CoreCost = key("0 {token}/core-h", description="Of a core that is reserved, on top.")


class ColdStart(Model):
    """From the decision to start a replica until it is ready, beside the image's pull."""

    schedule: Law = key("300ms", description="Until the node is chosen and the container created.")
    decrypt_bytes_per_s: BytesPerS = key(
        "200MB/s", alias="decrypt", description="Speed at which a pulled image is decrypted."
    )
    application: Law = key("1s", description="The application's own start-up; it is billed.")


class Terms(Model):
    """What a provider asks of every publisher, and how it bills."""

    tick_ns: PositiveNs = key("100s", alias="tick", description="Time between looks at meters and channels.")
    min_unlock_time_ns: UnlockNs = key(
        "1h", alias="min_unlock_time", description="Shortest unlock time of a channel that is accepted."
    )
    runway_ns: PositiveNs = key(
        "1h", alias="runway", description="Running time that a first deposit must pay for."
    )
    exposure_ns: PositiveNs = key(
        "10m", alias="exposure", description="Unpaid work that is risked: this long at the most replicas."
    )
    grace_ns: DurationNs = key("1h", alias="grace", description="Time a suspended pod with volumes is kept.")
    wake_early: bool = key(
        False,
        strict=True,
        description="Also look at a pod when its funds could be gone before the next tick.",
    )
    offer_valid_ns: PositiveNs = key("5m", alias="offer_valid", description="How long a signed offer holds.")
    load_age_ns: DurationNs = key(
        "0s",
        alias="load_age",
        description="How old what it says of its load may be: asked when it is older, it looks anew.",
    )


class Failures(Model):
    """How often a provider breaks down and comes back with what its store holds, again and again."""

    every: Law = key(description="From the run's start, or from coming back, to the next failure.")
    for_: Law = key(alias="for", description="For how long.")
    nodes: bool = key(
        True, strict=True, description="Whether its nodes go down with it (what runs there fails)."
    )


class ProviderPolicies(Model):
    """What a provider decides as it likes."""

    price: PolicySpec = key("fixed", description="What it asks.")
    admission: PolicySpec = key("standard", description="Whom it takes.")
    claim: PolicySpec = key("when_it_pays", description="When it claims.")


class ProviderWallet(Model):
    """What a provider starts with."""

    gas_base: GasMoney = key("1 {token}", alias="gas", description="For transactions.")
    payment_base: PaymentMoney = key("0 {token}", alias="payment", description="Of the payment token.")


class Provider(Model):
    """A group of providers alike; the members are called `<name>-<index>`, from 0."""

    name: Name = key(description="Name of the group.")
    count: Count = key(1, description="How many.")
    region: str = key(
        "local-main-1", pattern=r"^[a-z0-9]+-[a-z0-9]+-[0-9]+$", description="Where, as name-zone-number."
    )
    assurance: Assurance = key(
        "none", description="What an attestation covers: nothing, the client, the cluster, or the pod."
    )
    nodes: tuple[Nodes, ...] = key(min_length=1, description="The machines of each provider.")
    prices: Prices = key(description="What each charges.")
    cost: Cost = key({}, description="What running costs each.")
    cold_start: ColdStart = key({}, description="How long replicas take to start.")
    terms: Terms = key({}, description="What each asks of publishers.")
    failures: Failures | None = key(None, description="When each breaks down, by chance; null: never.")
    policies: ProviderPolicies = key({}, description="What each decides as it likes.")
    behaviour: PolicySpec = key(
        "honest", description="Whether each keeps to the protocol, or how it does not."
    )
    market_age_ns: DurationNs = key(
        "0s",
        alias="market_age",
        description="How old what each knows of the others' prices may be when it thinks about its own: it reads the registry anew when it is older.",
    )
    wallet: ProviderWallet = key({}, description="What each starts with.")
