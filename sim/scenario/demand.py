"""Publishers, as a scenario describes them: what they run, who calls it, and what they decide."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, field_validator, model_validator

from protocol import manifest as manifests
from protocol.errors import BadManifest
from sim.kernel.specs import MOST_RETRIES
from sim.scenario import quantities as q
from sim.scenario.fields import (
    Bytes,
    DurationNs,
    Fiat,
    FiatRate,
    FilePath,
    GasMoney,
    ImageBytes,
    Number,
    NumberM,
    PaymentMoney,
    PositiveMoney,
    PositiveNs,
    PositiveNumber,
    RatePerS,
    ShareM,
    Times,
    UnlockNs,
)
from sim.scenario.laws import Law, Model, OneOf, key, law_or
from sim.scenario.supply import USE, PolicySpec, with_file
from sim.scenario.world import Count, Name, Whole

# --- traffic ---------------------------------------------------------------------------------------


class Step(Model):
    """From an instant on, a rate."""

    at_ns: DurationNs = key(alias="at", description="From when, from the pod's start.")
    rate_per_s: RatePerS = key(alias="rate", description="The rate from then on.")


class Diurnal(Model):
    """A rate that swings once a day, as a sine."""

    mean_per_s: RatePerS = key(alias="mean", description="Mean rate.")
    peak: PositiveNumber = key(description="Highest rate divided by the mean, 1 to 2.")
    at_ns: DurationNs = key(
        "14h", alias="at", description="Time of day of the peak (of the scenario's calendar, UTC)."
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not 1 <= self.peak <= 2:
            raise ValueError(
                f"peak {q.write_number(self.peak)} is not allowed: a sine's peak is 1 to 2 times its mean"
            )
        return self


class Poisson(OneOf):
    """Independent arrivals. A bare rate means `rate`."""

    what = "shape"
    rate_per_s: RatePerS | None = key(None, alias="rate", description="Constant.")
    steps: tuple[Step, ...] | None = key(
        None, min_length=1, description="Piecewise constant; 0 before the first step."
    )
    diurnal: Diurnal | None = key(None, description="A daily swing.")

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return (
            {"rate": value} if isinstance(value, str | int | float) and not isinstance(value, bool) else value
        )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        ats = [step.at_ns for step in self.steps or ()]
        if ats != sorted(set(ats)):
            raise ValueError("steps must be in order of `at`, each later than the one before")
        return self


class MmppState(Model):
    """One state of a Markov-modulated Poisson process."""

    rate_per_s: RatePerS = key(alias="rate", description="Rate of arrivals in this state.")
    stay_ns: PositiveNs = key(
        alias="stay", description="Mean time in it (exponential); then the next state in the list."
    )


class Mmpp(Model):
    """Bursts: a Poisson process whose rate jumps between states, round and round."""

    states: tuple[MmppState, ...] = key(
        min_length=2, description="The states, in order; after the last comes the first."
    )


_ROWS = re.compile(r"(\d+):(\d+)")


def _read_rows(value: object) -> tuple[int, int]:
    if isinstance(value, tuple) and len(value) == 2:
        return value
    match = _ROWS.fullmatch(value.strip()) if isinstance(value, str) else None
    if not match or int(match[1]) >= int(match[2]):
        raise ValueError(
            f"{q.show(value)} is not a range of rows: first, a colon, and one past the last, such as '0:400'"
        )
    return int(match[1]), int(match[2])


Rows = Annotated[
    tuple[int, int],
    BeforeValidator(_read_rows),
    PlainSerializer(lambda rows: f"{rows[0]}:{rows[1]}", return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^\d+:\d+$"}),
]
"""Half-open range of data rows of a trace, from 0."""


class Trace(Model):
    """A recorded day: one row a member of the group, in order."""

    files: FilePath = key(description="Folder with `invocations.csv`, `durations.csv` and `memory.csv`.")
    rows: Rows = key(description="Rows of `invocations.csv`, as `first:past`, from 0; as many as `count`.")
    within_minute: Literal["uniform", "even", "bursty"] = key(
        "uniform",
        description="Where in its minute a call falls: at random, evenly spaced, or all at a random instant.",
    )
    delay_ns: DurationNs = key(
        "0s",
        alias="delay",
        description="When, from the start of the run, the first minute of the file begins.",
    )


class Traffic(OneOf):
    """Who calls the pod, and when."""

    what = "traffic"
    poisson: Poisson | None = key(None, description="Independent arrivals.")
    mmpp: Mmpp | None = key(None, description="Bursts.")
    renewal: Law | None = key(
        None, description="Independent times between arrivals, by this law; the first from the run's start."
    )
    trace: Trace | None = key(None, description="A recorded day.")
    replay: FilePath | None = key(
        None, description="Time stamps: a CSV file with a column `seconds`, from the start of the run."
    )
    none: Literal[True] | None = key(None, description="Nobody: `none: true`.")


# --- callers ---------------------------------------------------------------------------------------

REGION = r"^[a-z0-9]+-[a-z0-9]+-[0-9]+$"


class Client(Model):
    """Those who call a pod: where they are, and what they do when no answer comes."""

    region: str | None = key(
        None, pattern=REGION, description="Where, as name-zone-number; null: where the publisher is."
    )
    timeout_ns: PositiveNs | None = key(
        None,
        alias="timeout",
        description="An attempt is given up so long after it was sent, the network's round trip included; null: never.",
    )
    retries: int = key(
        0,
        ge=0,
        le=MOST_RETRIES,
        strict=True,
        description="How often it is tried again after an attempt that failed, whatever failed it.",
    )
    backoff: Law = key("100ms", description="Wait from a failure to the first retry.")
    backoff_times: Times = key(2, description="Each further wait is so many times as long.")


# --- scaling ---------------------------------------------------------------------------------------

Target = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]


class _Bounds(Model):
    min_replicas: Whole | None = key(
        None,
        description="Fewest replicas; null: the manifest's `replicas.min`, else 0 (1 for a pod without an HTTP port).",
    )
    max_replicas: Count | None = key(
        None, description="Most replicas; null: the manifest's `replicas.max`, else 100."
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if (
            self.min_replicas is not None
            and self.max_replicas is not None
            and self.min_replicas > self.max_replicas
        ):
            raise ValueError(
                f"min_replicas ({self.min_replicas}) is more than max_replicas ({self.max_replicas})"
            )
        return self


class Keda(_Bounds):
    """As the Kubernetes autoscaler with KEDA's HTTP add-on does."""

    policy: Literal["keda"] = key(
        description="Replicas follow pending requests, in ticks; from zero at the first one."
    )
    target_pending_requests: Target | None = key(
        None,
        description="Pending requests a replica; null: the manifest's `targetPendingRequests`, else 100.",
    )
    idle_ns: PositiveNs = key("300s", alias="idle", description="Time without a request until zero replicas.")
    tick_ns: PositiveNs = key(
        "15s", alias="tick", description="Interval of decisions while there are replicas."
    )
    tolerance: ShareM = key("10%", description="Changes smaller than this share are not made.")
    stable_ns: DurationNs = key(
        "300s", alias="stable", description="Going down, the highest proposal of this long counts."
    )
    up_add: Whole = key(
        4,
        description="Each tick may add this many replicas, or multiply them by `up_times`, whichever is more.",
    )
    up_times: Count = key(2, description="See `up_add`.")


class Kpa(_Bounds):
    """As Knative's pod autoscaler does."""

    policy: Literal["kpa"] = key(description="Replicas follow the mean of pending requests over a window.")
    target_pending_requests: Target | None = key(
        None,
        description="Pending requests a replica; null: the manifest's `targetPendingRequests`, else 100.",
    )
    utilisation: ShareM = key("70%", description="Share of the target that is aimed at.")
    tick_ns: PositiveNs = key("2s", alias="tick", description="Interval of decisions.")
    stable_ns: PositiveNs = key("60s", alias="stable", description="Window of the mean that counts in calm.")
    panic_ns: PositiveNs = key("6s", alias="panic", description="Window of the mean that counts in a panic.")
    panic_at: NumberM = key(2, description="Panic begins at this many times the capacity.")
    up_times: NumberM = key(1000, description="Most that the replicas are multiplied by in a step.")
    down_times: NumberM = key(2, description="Most that the replicas are divided by in a step.")
    grace_ns: DurationNs = key("30s", alias="grace", description="Time until the last replica goes.")


class PerRequest(_Bounds):
    """One request a replica, the newest idle one first: the model of functions in the literature."""

    policy: Literal["per_request"] = key(description="A request without an idle replica starts one.")
    idle_ns: PositiveNs = key("600s", alias="idle", description="Idle time until a replica ends.")


class Fixed(Model):
    """Always as many."""

    policy: Literal["fixed"] = key(description="The number never changes.")
    replicas: Count = key(1, description="How many.")


class Own(_Bounds):
    """By a class of your own. The whole world then runs in the reference engine, which is plain Python and slow."""

    policy: Literal["own"] = key(description="A class decides, whenever it asked to be asked.")
    use: str = key(description=f"{USE[0].upper()}{USE[1:]}.")
    with_: dict[str, Any] = key({}, alias="with", description="Its settings; unknown keys are errors.")

    _found = field_validator("use")(with_file)


Scaling = Annotated[Keda | Kpa | PerRequest | Fixed | Own, Field(discriminator="policy")]

# --- the publisher ---------------------------------------------------------------------------------


def _read_manifest(value: object) -> manifests.Pod:
    if isinstance(value, manifests.Pod):
        return value
    try:
        return manifests.parse(value)
    except BadManifest as problem:
        raise ValueError(str(problem)) from None


Manifest = Annotated[
    manifests.Pod,
    BeforeValidator(_read_manifest),
    PlainSerializer(manifests.to_data, return_type=dict[str, Any]),
    WithJsonSchema(
        {
            "type": ["string", "object"],
            "description": "A path to a manifest or docker-compose file, or either in place.",
        }
    ),
]
"""A pod; written as the path of a manifest file, or in place."""


class Image(Model):
    """What has to be pulled before the pod's first replica starts on a node."""

    name: str | None = key(
        None,
        min_length=1,
        description="Publishers of the same image name share it in a node's cache; null: an image of its own for each publisher.",
    )
    size_bytes: ImageBytes = key("150MB", alias="size", description="Compressed size of its layers.")


class PublisherWallet(Model):
    """What a publisher starts with."""

    payment_base: PaymentMoney = key("10 {token}", alias="payment", description="For deposits.")
    gas_base: GasMoney = key("1 {token}", alias="gas", description="For transactions.")


class Value(Model):
    """What being served is worth to a publisher, and where it stops paying.

    A request served is worth `request` less `latency` times what its client waited for the answer, the network's round trip included.
    One that is never answered is worth nothing. Nobody is paid this: it is what surpluses and welfare are counted from.
    """

    request: Fiat = key("0 {token}", description="What a request answered at once is worth.")
    latency_per_s: FiatRate = key(
        "0 {token}/s",
        alias="latency",
        description="What waiting takes off that, per time; a request answered late enough is worth less than nothing.",
    )
    budget_base: PositiveMoney | None = key(
        None,
        alias="budget",
        description="The most that a publisher puts into channels, less what it surely got back; null: its wallet.",
    )
    outside_per_s: FiatRate | None = key(
        None,
        alias="outside",
        description="What one replica costs elsewhere, per time. Who finds no offer as cheap stays out, as after a loss; null: takes any price.",
    )


class PublisherPolicies(Model):
    """What a publisher decides as it likes."""

    selection: PolicySpec = key("cheapest", description="Which provider.")
    funding: PolicySpec = key("runway", description="How much it deposits, and when.")
    on_loss: PolicySpec = key("leave", description="What it does when its pod is refused or removed.")


class Action(Model):
    """Something a publisher does while its pod runs."""

    at_ns: DurationNs = key(alias="at", description="When, from the publisher's arrival.")
    what: Literal["update", "logs", "unlock", "delete", "deposit"] = key(description="What it does.")
    manifest: Manifest | None = key(None, description="For `update`: the new manifest.")
    amount_base: PositiveMoney | None = key(None, alias="amount", description="For `deposit`: how much.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.what == "update") != (self.manifest is not None):
            raise ValueError("`update` and `manifest` go together: each needs the other")
        if (self.what == "deposit") != (self.amount_base is not None):
            raise ValueError("`deposit` and `amount` go together: each needs the other")
        return self


if TYPE_CHECKING:
    TraceOrLaw = Literal["trace"] | Law
    ForeverOrLaw = Literal["forever"] | Law
else:
    TraceOrLaw = law_or("trace")
    ForeverOrLaw = law_or("forever")


class Publisher(Model):
    """A group of publishers alike, one pod each; the members are called `<name>-<index>`, from 0."""

    name: Name = key(description="Name of the group.")
    count: Count = key(1, description="How many.")
    region: str | None = key(
        None,
        pattern=REGION,
        description="Where, as name-zone-number; null: in no provider's region.",
    )
    arrive: Law = key("0s", description="A constant: all arrive then. Any other law: times between arrivals.")
    manifest: Manifest = key(
        description="What runs: the path of a manifest or of a docker-compose file, or either in place. A container's `limits: {cpu: 1}` above its `resources: {cpu: 250m}` let it use what its node has to spare; without, it has what it reserves."
    )
    scaling: Scaling = key({"policy": "keda"}, description="How replicas follow requests.")
    slots: Count = key(1, description="Requests that a replica serves at once.")
    discipline: Literal["slots", "processor_sharing"] = key(
        "slots", description="In a replica: first come first served by slots, or all at once sharing it."
    )
    dispatch: Literal["least", "central", "random", "round_robin"] = key(
        "least", description="Which ready replica gets a request."
    )
    wait_limit_ns: PositiveNs = key(
        "40s", alias="wait_limit", description="How long a request is held for a cold start before it fails."
    )
    traffic: Traffic = key(description="Who calls it, and when.")
    client: Client = key({}, description="Where they are, and what they do when no answer comes.")
    service: TraceOrLaw = key(
        description="Time to serve a request, at the processor time that the manifest's `limits` allow: a law, or `trace` (percentiles of the trace, scaled so that their mean is its `Average`)."
    )
    first_service: Law | None = key(
        None, description="Time to serve the first request of a replica; null: as any other."
    )
    memory: Literal["manifest", "trace"] = key(
        "manifest",
        description="Memory request of the pod: the manifest's, or that of its application in the trace's `memory.csv`.",
    )
    request_bytes: Bytes = key(0, description="Size of a request, billed as ingress.")
    response_bytes: Bytes = key(0, description="Size of a response, billed as egress.")
    image: Image = key({}, description="What has to be pulled.")
    wallet: PublisherWallet = key({}, description="What each starts with.")
    unlock_time_ns: UnlockNs = key(
        "1h", alias="unlock_time", description="Unlock time of the channels it creates."
    )
    value: Value | None = key(
        None, description="What being served is worth to each, and what it would pay; null: nobody asks."
    )
    policies: PublisherPolicies = key({}, description="What each decides as it likes.")
    behaviour: PolicySpec = key(
        "honest", description="Whether each keeps to the protocol, or how it does not."
    )
    market_age_ns: DurationNs = key(
        "0s",
        alias="market_age",
        description="How old what the registry lists may be when one chooses a provider: the group shares a copy, which is made anew when somebody asks and it is older.",
    )
    lifetime: ForeverOrLaw = key(
        "forever", description="How long from its arrival until it leaves; a law is drawn per member."
    )
    leave: Literal["unlock", "delete"] = key(
        "unlock", description="How it leaves: by unlocking its channel, or by deleting its pod."
    )
    actions: tuple[Action, ...] = key((), description="What it does meanwhile: updates, logs, deposits.")


__all__ = ["Action", "Number", "Publisher", "Scaling", "Traffic"]
