"""Which provider a publisher takes (the seed's step 3): an order in which candidates are tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, Protocol

from protocol.attestation import Assurance
from protocol.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from protocol.policies import Chance
    from protocol.ports import Listing, Peer
    from protocol.pricing import PriceTable
    from protocol.units import Address


@dataclass(frozen=True, slots=True)
class Load:
    """What a provider says of its load.

    Attributes:
        age_ns: how old that is [ns]; it says when it looked.
        pods: how many pods it has.
        promised: share of the processors that it has promised to them, 0 to 1.
    """

    age_ns: int
    pods: int
    promised: float


@dataclass(frozen=True, slots=True)
class Past:
    """What this publisher has lived through with a provider.

    Attributes:
        good: deployments that ran until the publisher itself, or its money, ended them.
        bad: those that the provider failed, removed or was silent about, and calls that broke the protocol.
    """

    good: int = 0
    bad: int = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a publisher knows of a provider from the registry, from its record, and from what it lived through itself.

    Attributes:
        provider: its address.
        name: what its record calls it, for `by_hand`.
        peer: how to reach it.
        regions: such as `bul-east-1`.
        assurance: what it says is inside its boundary; attestation proves it later.
        gpus: whether it prices GPUs.
        has_room: whether its largest node has room for one replica of this manifest; whether it is free, the
            provider says when it is asked.
        table_id, prices: the cheapest of its tables for this manifest.
        cost_an_hour: what this manifest costs at one replica for an hour [token base units].
        listing: the registry's entry.
        past: what this publisher lived through with it.
        load: what it says of its load; None when it was not asked or did not answer.
    """

    provider: Address
    name: str
    peer: Peer
    regions: tuple[str, ...]
    assurance: Assurance
    gpus: bool
    has_room: bool
    table_id: int
    prices: PriceTable
    cost_an_hour: int
    listing: Listing
    past: Past = Past()
    load: Load | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """What a publisher chooses from.

    Attributes:
        candidates: all that are listed and price what the manifest needs, in order of registration.
        turn: how many deployments this publisher began before, from its own starting number.
        now_ns: the present by its clock [Unix ns].
        age_ns: how old the registry's entries and prices are: since the block that was read [ns].
        chance: the publisher's stream for selection.
    """

    candidates: Sequence[Candidate]
    turn: int
    now_ns: int
    age_ns: int
    chance: Chance


class Selection(Protocol):
    """Puts candidates in the order in which they are asked for an offer; those left out are not asked.

    A class with `asks_load` true and a method `shortlist`, called as `order` is, is first asked whom to ask for its
    load; `order` then chooses from those alone.
    """

    def order(self, choice: Choice) -> Sequence[Candidate]:
        """Those of `choice.candidates` that are to be asked, the first choice first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Whom to leave out, before any order.

    Attributes:
        regions: take only these (prefixes match: `bul` takes `bul-east-1`); empty takes all.
        price_ceiling: most that one replica may cost an hour [token base units]; None: no ceiling.
        assurance: the least that must be promised.
        gpu: take only providers that price GPUs.
        capacity: leave out providers none of whose nodes could ever hold one replica.
    """

    regions: Sequence[str] = ()
    price_ceiling: int | None = field(default=None, metadata={"unit": "money_an_hour"})
    assurance: str = "none"
    gpu: bool = False
    capacity: bool = True

    def __post_init__(self) -> None:
        if self.price_ceiling is not None and self.price_ceiling < 0:
            raise BadInput(f"price_ceiling: {self.price_ceiling}; allowed are amounts of 0 and more")
        _assurance(self.assurance)

    def keep(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Those that pass, in the order given."""
        kept = list(candidates)
        if self.capacity:
            kept = [c for c in kept if c.has_room]
        if self.gpu:
            kept = [c for c in kept if c.gpus]
        if self.regions:
            wanted = tuple(self.regions)
            kept = [c for c in kept if any(r.startswith(wanted) for r in c.regions)]
        if self.price_ceiling is not None:
            ceiling = self.price_ceiling
            kept = [c for c in kept if c.cost_an_hour <= ceiling]
        least = _assurance(self.assurance)
        if least > min(Assurance):
            kept = [c for c in kept if c.assurance >= least]
        return kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Random(Filters):
    """Any order, each as likely: what the original did."""

    def order(self, choice: Choice) -> Sequence[Candidate]:
        """See `Selection.order`."""
        return shuffled(self.keep(choice.candidates), choice.chance)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cheapest(Filters):
    """The cheapest for this manifest first; equal prices in random order."""

    def order(self, choice: Choice) -> Sequence[Candidate]:
        """See `Selection.order`."""
        return sorted(shuffled(self.keep(choice.candidates), choice.chance), key=lambda c: c.cost_an_hour)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundRobin(Filters):
    """In order of registration, beginning one further at each turn."""

    def order(self, choice: Choice) -> Sequence[Candidate]:
        """See `Selection.order`."""
        kept = self.keep(choice.candidates)
        first = choice.turn % len(kept) if kept else 0
        return [*kept[first:], *kept[:first]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighted(Filters):
    """Drawn without replacement, with weight (cheapest ÷ price)^`price_power` × the region's weight.

    Attributes:
        price_power: 0 ignores the price; the larger, the closer to the cheapest.
        region_weights: weight of regions by prefix, the longest match counts; 1 where none matches, 0 leaves out.
    """

    price_power: float = 1.0
    region_weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Not super(): a slotted dataclass is a new class, which the zero-argument form does not find.
        Filters.__post_init__(self)
        if not self.price_power >= 0:
            raise BadInput(f"price_power: {self.price_power}; allowed are numbers of 0 and more")
        for region, weight in self.region_weights.items():
            if not weight >= 0:
                raise BadInput(f"region_weights.{region}: {weight}; allowed are numbers of 0 and more")

    def order(self, choice: Choice) -> Sequence[Candidate]:
        """See `Selection.order`."""
        kept = self.keep(choice.candidates)
        least = min((c.cost_an_hour for c in kept), default=0)
        weights = [self.weight_of(c, least) for c in kept]
        wanted = [(c, w) for c, w in zip(kept, weights, strict=True) if w > 0]
        return sorted_by_draw([c for c, _ in wanted], [w for _, w in wanted], choice.chance)

    def weight_of(self, candidate: Candidate, least: int) -> float:
        """Its weight among candidates of which the cheapest costs `least` an hour."""
        cheapness = least / candidate.cost_an_hour if candidate.cost_an_hour else 1.0
        return float(cheapness**self.price_power * self.region_weight(candidate.regions))

    def region_weight(self, regions: Sequence[str]) -> float:
        """The weight of a provider in these regions; 0 leaves it out."""
        matches = [p for p in self.region_weights if any(r.startswith(p) for r in regions)]
        return self.region_weights[max(matches, key=len)] if matches else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ByHand(Filters):
    """The named providers, in the order in which a person wrote them.

    Attributes:
        providers: names or addresses (`0x…`).
    """

    providers: Sequence[str]

    def __post_init__(self) -> None:
        Filters.__post_init__(self)
        if not self.providers:
            raise BadInput("providers: []; at least one provider's name or address is needed")

    def order(self, choice: Choice) -> Sequence[Candidate]:
        """See `Selection.order`."""
        kept = self.keep(choice.candidates)
        return [c for wanted in self.providers for c in kept if wanted in (c.name, "0x" + c.provider.hex())]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled(Filters):
    """The best of a few at random (the power of two choices: Mitzenmacher 1996); the others are not asked.

    Attributes:
        size: how many are drawn, each as likely; fewer where there are fewer.
        by: `price`, or `load`: the least of its processors promised, then the fewest pods, as each says itself when it
            is asked; who does not answer comes last.
    """

    size: int = 2
    by: Literal["price", "load"] = "price"

    def __post_init__(self) -> None:
        Filters.__post_init__(self)
        if self.size < 1:
            raise BadInput(f"size: {self.size}; allowed are whole numbers of 1 and more")

    @property
    def asks_load(self) -> bool:
        """Whether those on the shortlist are asked for their load."""
        return self.by == "load"

    def shortlist(self, choice: Choice) -> Sequence[Candidate]:
        """Those that are drawn, in random order."""
        return shuffled(self.keep(choice.candidates), choice.chance)[: self.size]

    def order(self, choice: Choice) -> Sequence[Candidate]:
        """See `Selection.order`."""
        if self.by == "price":
            return sorted(self.shortlist(choice), key=lambda c: c.cost_an_hour)
        return sorted(choice.candidates, key=_said_load)


def _said_load(candidate: Candidate) -> tuple[float, int]:
    load = candidate.load
    return (load.promised, load.pods) if load is not None else (2.0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reputation(Weighted):
    """As `weighted`, with each weight times how far this publisher trusts the provider, to the power of `trust_power`.

    Trust is (good + 1) ÷ (good + bad + 2), the mean of the beta reputation (Jøsang and Ismail 2002), by what the
    publisher itself lived through; 1/2 for who is not known.

    Attributes:
        trust_power: 0 ignores the past.
    """

    trust_power: float = 4.0

    def __post_init__(self) -> None:
        Weighted.__post_init__(self)
        if not self.trust_power >= 0:
            raise BadInput(f"trust_power: {self.trust_power}; allowed are numbers of 0 and more")

    def weight_of(self, candidate: Candidate, least: int) -> float:
        """See `Weighted.weight_of`."""
        past = candidate.past
        trust = (past.good + 1) / (past.good + past.bad + 2)
        return Weighted.weight_of(self, candidate, least) * float(trust**self.trust_power)


def shuffled(candidates: Sequence[Candidate], chance: Chance) -> list[Candidate]:
    """In random order, each as likely."""
    return sorted_by_draw(candidates, [1.0] * len(candidates), chance)


def sorted_by_draw(
    candidates: Sequence[Candidate], weights: Sequence[float], chance: Chance
) -> list[Candidate]:
    """A weighted random order: exponential keys, smallest first (Efraimidis and Spirakis 2006).

    Each candidate takes one draw in the order given, so a longer list does not move the draws of the others.
    """
    keyed = [(chance() ** (1.0 / w), i) for i, w in zip(range(len(candidates)), weights, strict=False)]
    return [candidates[i] for _, i in sorted(keyed, reverse=True)]


SELECTION: Final[dict[str, type]] = {
    "random": Random,
    "cheapest": Cheapest,
    "round_robin": RoundRobin,
    "weighted": Weighted,
    "by_hand": ByHand,
    "sampled": Sampled,
    "reputation": Reputation,
}
"""Short names, as scenarios and `--select` use them."""


def _assurance(name: str) -> Assurance:
    try:
        return Assurance.of(name)
    except ValueError as error:
        raise BadInput(f"assurance: {error}") from None
