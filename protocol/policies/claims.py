"""When a provider turns what it is owed into tokens (the seed's step 13)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Final, NamedTuple, Protocol

from protocol.errors import BadInput
from protocol.units import NEVER_NS, NS_PER_S


class Due(NamedTuple):
    """What one pod owes, as the provider knows it at a tick.

    Attributes:
        namespace: the pod.
        claimable: what a claim would pay now: min(owed, invested) − withdrawn [token base units].
        exposure_cap: the most unpaid work the provider accepts for this pod [token base units].
        since_claim_ns: nanoseconds since the last claim or, before one, since the pod began.
    """

    namespace: str
    claimable: int
    exposure_cap: int
    since_claim_ns: int


class Quiet(NamedTuple):
    """Until when `choose` chooses nothing, while gas costs the same.

    Attributes:
        claimable: for each pod, the most that may be claimable [token base units].
        for_ns: for how long from now on at most [ns].
    """

    claimable: Sequence[int]
    for_ns: int


class Claims(Protocol):
    """Chooses whose claims go into the next transaction."""

    def choose(self, dues: Sequence[Due], *, fee_of: Sequence[int]) -> Sequence[Due]:
        """Choose from `dues` (all with something to claim).

        Args:
            dues: in order of namespace.
            fee_of: what a transaction of 1 and of 2 claims costs [token base units]: the second minus
                the first is the price of one more entry.
        """
        ...

    def quiet(self, dues: Sequence[Due], *, fee_of: Sequence[int]) -> Quiet | None:
        """Until when `choose`, which has just chosen nothing, need not be asked again.

        It is asked at each billing tick all the same when gas costs something else, a claim was made, a channel changed
        or another pod has something to claim. May say less than is true, never more.

        Args:
            dues: as `choose` got them; at least one.
            fee_of: as `choose` got it.

        Returns:
            One amount for each of `dues`; None: ask at every tick.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WhenItPays:
    """Claim what is worth `multiple` times its share of the gas, or is near the exposure cap.

    Attributes:
        multiple: 20 by default: gas is then at most 5 % of what is claimed.
        cap_share: claim whatever the gas when the unpaid work reaches this share of the cap.
    """

    multiple: int = 20
    cap_share: float = 0.5

    def __post_init__(self) -> None:
        if self.multiple < 0:
            raise BadInput(f"multiple: {self.multiple}; allowed are whole numbers of 0 and more")
        if not 0 < self.cap_share <= 1:
            raise BadInput(f"cap_share: {self.cap_share}; allowed are numbers above 0, up to 1")

    def choose(self, dues: Sequence[Due], *, fee_of: Sequence[int]) -> Sequence[Due]:
        """See `Claims.choose`."""
        entry = fee_of[1] - fee_of[0]
        base = fee_of[0] - entry
        urgent, paying, worth, chosen = False, 0, 0, []
        for due in dues:
            presses = due.claimable >= self.cap_share * due.exposure_cap
            pays = due.claimable >= self.multiple * entry
            if pays:
                paying, worth = paying + 1, worth + due.claimable
            if pays or presses:
                urgent = urgent or presses
                chosen.append(due)
        if not urgent and worth < self.multiple * (base + entry * paying):
            return ()
        return chosen

    def quiet(self, dues: Sequence[Due], *, fee_of: Sequence[int]) -> Quiet | None:
        """See `Claims.quiet`.

        What claims are worth beyond `multiple` times their own entries has to come to `multiple` times the rest of the
        fee: what is lacking is shared out evenly.
        """
        entry = fee_of[1] - fee_of[0]
        enough = self.multiple * entry
        beyond = sum(due.claimable - enough for due in dues if due.claimable > enough)
        share = (self.multiple * (fee_of[0] - entry) - 1 - beyond) // len(dues)
        limits = [
            min(max(due.claimable, enough) + share, ceil(self.cap_share * due.exposure_cap) - 1)
            for due in dues
        ]
        return Quiet(limits, NEVER_NS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Claim all that is due of a pod whenever so much time has passed since its last claim.

    Attributes:
        every: nanoseconds; looked at once a billing tick, so the tick rounds it up.
        cap_share: claim earlier when the unpaid work reaches this share of the exposure cap.
        most: pods in one transaction at most, those first that have waited longest; None: all that are due.
    """

    every: int = field(metadata={"unit": "duration"}, default=3600 * NS_PER_S)
    cap_share: float = 0.5
    most: int | None = None

    def __post_init__(self) -> None:
        if self.every <= 0:
            raise BadInput(f"every: {self.every}; allowed are durations above 0")
        if not 0 < self.cap_share <= 1:
            raise BadInput(f"cap_share: {self.cap_share}; allowed are numbers above 0, up to 1")
        if self.most is not None and self.most < 1:
            raise BadInput(f"most: {self.most}; allowed are whole numbers of 1 and more, and null")

    def choose(self, dues: Sequence[Due], *, fee_of: Sequence[int]) -> Sequence[Due]:
        """See `Claims.choose`."""
        due = [
            d
            for d in dues
            if d.since_claim_ns >= self.every or d.claimable >= self.cap_share * d.exposure_cap
        ]
        if self.most is None or len(due) <= self.most:
            return due
        return sorted(due, key=lambda d: -d.since_claim_ns)[: self.most]

    def quiet(self, dues: Sequence[Due], *, fee_of: Sequence[int]) -> Quiet | None:
        """See `Claims.quiet`."""
        limits = [ceil(self.cap_share * due.exposure_cap) - 1 for due in dues]
        return Quiet(limits, self.every - 1 - max(due.since_claim_ns for due in dues))


CLAIMS: Final[dict[str, type]] = {"when_it_pays": WhenItPays, "interval": Interval}
"""Short names."""
