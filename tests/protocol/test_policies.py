"""Every policy: what it decides, and what settings it refuses."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import cycle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from protocol.attestation import Assurance
from protocol.errors import BadInput
from protocol.policies.admission import Asked
from protocol.policies.admission import Standard as Admission
from protocol.policies.claims import Due, Interval, WhenItPays
from protocol.policies.funding import HOUR_NS, Once, Purse, Runway, Tranche
from protocol.policies.on_loss import Leave, Loss, Redeploy, Then, Wait
from protocol.policies.price import (
    CostPlus,
    Costs,
    Fixed,
    Rival,
    Schedule,
    Seen,
    Shop,
    Undercut,
    UtilisationTarget,
)
from protocol.policies.selection import (
    ByHand,
    Candidate,
    Cheapest,
    Choice,
    Filters,
    Load,
    Past,
    Random,
    Reputation,
    RoundRobin,
    Sampled,
    Weighted,
)
from protocol.ports import Listing, Peer
from protocol.pricing import PriceTable
from protocol.units import NS_PER_S, Address, Cid, PeerId, Resource
from sim.kernel.draws import stream_key
from sim.kernel.streams import Stream

TOKEN = Address(b"\x09" * 20)
TABLE = PriceTable(token=TOKEN, cpu=100, ram=10, storage=1, egress=0, ingress=0, gpu=None, ip=None)


def candidate(name: str, cost: int, region: str = "bul-east-1", **more: Any) -> Candidate:
    address = Address(name.encode().rjust(20, b"\0"))
    return Candidate(
        provider=address,
        name=name,
        peer=Peer(PeerId(name)),
        regions=(region,),
        assurance=more.get("assurance", Assurance.NONE),
        gpus=more.get("gpus", False),
        has_room=more.get("has_room", True),
        table_id=1,
        prices=TABLE,
        cost_an_hour=cost,
        listing=Listing(address, Cid("c"), (1,)),
    )


A, B, C = candidate("a", 30), candidate("b", 10, "fra-west-1"), candidate("c", 20, "fra-west-2")
ALL = [A, B, C]


def names(policy: Any, *, turn: int = 0, chance: Any = None, of: list[Candidate] = ALL) -> str:
    draws = chance or cycle([0.5]).__next__
    return "".join(c.name for c in policy.order(Choice(of, turn, 0, 0, draws)))


def stream(seed: int) -> Any:
    return Stream(stream_key(seed, 0, "policies", "test")).next


# ---------------------------------------------------------------- selection


def test_cheapest_first() -> None:
    assert names(Cheapest()) == "bca"


def test_cheapest_draws_among_equals() -> None:
    equals = [candidate(n, 10) for n in "abc"]
    firsts = Counter(names(Cheapest(), of=equals, chance=stream(i))[0] for i in range(600))
    assert stats.chisquare([firsts[n] for n in "abc"]).pvalue > 1e-4


def test_random_is_uniform_over_all_orders() -> None:
    chance = stream(1)
    orders = Counter(names(Random(), chance=chance) for _ in range(3000))
    assert len(orders) == 6
    assert stats.chisquare(list(orders.values())).pvalue > 1e-4


def test_round_robin_begins_one_further_each_turn() -> None:
    assert [names(RoundRobin(), turn=t) for t in range(4)] == ["abc", "bca", "cab", "abc"]
    assert names(RoundRobin(), turn=5, of=[]) == ""


@pytest.mark.parametrize(
    ("policy", "weights"),
    [
        (Weighted(price_power=1.0), {"a": 1 / 3, "b": 1.0, "c": 1 / 2}),
        (Weighted(price_power=0.0), {"a": 1.0, "b": 1.0, "c": 1.0}),
        (
            Weighted(price_power=0.0, region_weights={"fra": 1.0, "fra-west-2": 3.0, "bul": 2.0}),
            {"a": 2.0, "b": 1.0, "c": 3.0},
        ),
    ],
)
def test_weighted_takes_first_in_proportion_to_weight(policy: Weighted, weights: dict[str, float]) -> None:
    chance, draws = stream(2), 3000
    firsts = Counter(names(policy, chance=chance)[0] for _ in range(draws))
    total = sum(weights.values())
    expected = [draws * weights[n] / total for n in "abc"]
    assert stats.chisquare([firsts[n] for n in "abc"], expected).pvalue > 1e-4


def test_weight_zero_leaves_out() -> None:
    assert names(Weighted(region_weights={"bul": 0.0})) in ("bc", "cb")


def test_a_free_provider_is_the_cheapest_there_is() -> None:
    assert set(names(Weighted(), of=[candidate("a", 0), candidate("b", 5)])) <= {"a", "b"}
    assert names(Cheapest(), of=[B, candidate("z", 0)]) == "zb"


def test_by_hand_keeps_the_persons_order_and_takes_addresses() -> None:
    assert names(ByHand(providers=["c", "0x" + A.provider.hex(), "nobody"])) == "ca"


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({}, "abc"),
        ({"regions": ["fra"]}, "bc"),
        ({"regions": ["fra-west-2", "bul"]}, "ac"),
        ({"price_ceiling": 20}, "bc"),
        ({"price_ceiling": 9}, ""),
        ({"assurance": "client"}, "x"),
        ({"gpu": True}, "x"),
    ],
)
def test_filters_leave_out(settings: dict[str, Any], kept: str) -> None:
    special = candidate("x", 99, "mars-base-1", assurance=Assurance.CLUSTER, gpus=True)
    found = "".join(c.name for c in Filters(**settings).keep([*ALL, special]))
    assert found == (kept + "x" if not settings else kept)


def test_who_can_never_hold_a_replica_is_not_asked() -> None:
    small = candidate("s", 1, has_room=False)
    assert names(Cheapest(), of=[*ALL, small]) == "bca"
    assert names(Cheapest(capacity=False), of=[*ALL, small]) == "sbca"


@pytest.mark.parametrize("policy", [Random, Cheapest, RoundRobin, Weighted])
def test_every_selection_filters(policy: Any) -> None:
    assert names(policy(regions=["bul"])) == "a"
    assert names(ByHand(providers=["a", "b"], regions=["fra"])) == "b"


@pytest.mark.parametrize(
    "make",
    [
        lambda: ByHand(providers=[]),
        lambda: Weighted(price_power=-1),
        lambda: Weighted(price_power=float("nan")),
        lambda: Weighted(region_weights={"a": -1}),
        lambda: Cheapest(price_ceiling=-1),
        lambda: Cheapest(assurance="much"),
        lambda: Once(first=0),
        lambda: Runway(low=-1),
        lambda: Runway(ceiling=-1),
        lambda: Runway(look_least=10, look_most=5),
        lambda: WhenItPays(multiple=-1),
        lambda: WhenItPays(cap_share=0),
        lambda: Interval(every=0),
        lambda: Interval(cap_share=1.5),
        lambda: Interval(most=0),
        lambda: Admission(max_pods=0),
        lambda: Admission(replicas=-1),
        lambda: Redeploy(times=0),
        lambda: Redeploy(wait=-1),
        lambda: Schedule(factors=[]),
        lambda: Schedule(factors=[1.0, 0.0]),
        lambda: Schedule(factors=[1.0], period=0),
    ],
)
def test_settings_that_cannot_be_are_refused(make: Any) -> None:
    with pytest.raises(BadInput):
        make()


@pytest.mark.parametrize("by", ["price", "load"])
def test_sampled_draws_a_few_and_takes_the_best_of_them(by: Any) -> None:
    loads = {"a": 0.9, "b": 0.2, "c": 0.5, "d": 0.1}
    everybody = [
        replace(candidate(name, cost), load=Load(0, 1, loads[name]))
        for name, cost in zip("abcd", (4, 3, 2, 1), strict=True)
    ]
    policy, stream = Sampled(size=2, by=by), Stream(stream_key(3, 0, "sampled", by))
    firsts: Counter[str] = Counter()
    for turn in range(600):
        choice = Choice(everybody, turn, 0, 0, stream.next)
        if policy.asks_load:
            choice = replace(choice, candidates=policy.shortlist(choice))
        order = policy.order(choice)
        assert len(order) == 2
        firsts[order[0].name] += 1
    # Of the six pairs the best is in three, the second best in two, the third in one; the worst is never first.
    ranked = "dcba" if by == "price" else "dbca"
    expected = [300, 200, 100]
    assert firsts[ranked[3]] == 0
    assert stats.chisquare([firsts[name] for name in ranked[:3]], expected).pvalue > 1e-4
    assert len(Sampled(size=9).shortlist(Choice(everybody, 0, 0, 0, stream.next))) == 4


def test_who_does_not_say_its_load_comes_last() -> None:
    quiet, busy = candidate("a", 1), replace(candidate("b", 1), load=Load(0, 90, 1.0))
    assert [c.name for c in Sampled(by="load").order(Choice([quiet, busy], 0, 0, 0, lambda: 0.5))] == [
        "b",
        "a",
    ]


def test_reputation_weighs_what_was_lived_through() -> None:
    known = [
        replace(candidate("a", 1), past=Past(good=2)),  # trust 3/4
        candidate("b", 1),  # 1/2
        replace(candidate("c", 1), past=Past(bad=2)),  # 1/4
    ]
    stream = Stream(stream_key(4, 0, "reputation", ""))
    policy = Reputation(trust_power=1, price_power=0)
    firsts = Counter(policy.order(Choice(known, 0, 0, 0, stream.next))[0].name for _ in range(1200))
    assert stats.chisquare([firsts[name] for name in "abc"], [600, 400, 200]).pvalue > 1e-4


# ---------------------------------------------------------------- funding


def purse(**changes: Any) -> Purse:
    base = Purse(
        cost_of=lambda ns: 100 * ns // HOUR_NS,
        min_deposit=50,
        wallet=10_000,
        left=None,
        put_in=0,
        spent_an_hour=0,
        now_ns=0,
        chance=lambda: 0.5,
        rates=None,
    )
    return replace(base, **changes)


def test_once_deposits_once() -> None:
    policy = Once(first=3 * HOUR_NS)
    assert policy.deposit(purse()) == 300
    assert policy.deposit(purse(min_deposit=400)) == 400
    assert policy.deposit(purse(left=0, put_in=300)) == 0
    assert policy.look_again_ns(purse(left=0)) is None


RUNWAY = Runway(
    first=2 * HOUR_NS, low=HOUR_NS, tranche=2 * HOUR_NS, look_least=60 * NS_PER_S, look_most=HOUR_NS
)


@pytest.mark.parametrize(
    ("changes", "amount"),
    [
        ({}, 200),  # first
        ({"min_deposit": 500}, 500),
        ({"left": 100}, 0),  # an hour is left
        ({"left": 99}, 200),  # less than an hour: a tranche
        ({"left": 150, "spent_an_hour": 200}, 400),  # it spends more than one replica costs
        ({"left": 0, "wallet": 30}, 30),
        ({"left": -50}, 200),
    ],
)
def test_runway_keeps_the_channel_funded(changes: dict[str, Any], amount: int) -> None:
    assert RUNWAY.deposit(purse(**changes)) == amount


def test_runway_stops_at_its_ceiling() -> None:
    policy = replace(RUNWAY, ceiling=450)
    assert policy.deposit(purse(left=0, put_in=300)) == 150
    assert policy.deposit(purse(left=0, put_in=450)) == 0
    assert policy.deposit(purse(left=0, put_in=500)) == 0


def test_runway_looks_sooner_the_closer_it_is() -> None:
    assert RUNWAY.look_again_ns(None) == 60 * NS_PER_S
    assert RUNWAY.look_again_ns(purse(left=10_000)) == HOUR_NS
    assert RUNWAY.look_again_ns(purse(left=200)) == HOUR_NS // 2  # halfway to the low mark, an hour off
    assert RUNWAY.look_again_ns(purse(left=0)) == 60 * NS_PER_S


@pytest.mark.parametrize(
    ("known", "amount"),
    [
        ({}, 300),
        ({"min_deposit": 400}, 400),
        ({"left": 150, "put_in": 300}, 0),
        ({"left": 149, "put_in": 300}, 300),
        ({"left": 149, "put_in": 300, "wallet": 20}, 20),
        ({"left": 149, "put_in": 900}, 100),  # up to the ceiling
        ({"left": 149, "put_in": 1200}, 0),
    ],
)
def test_a_tranche_is_the_same_amount_again(known: dict[str, Any], amount: int) -> None:
    assert Tranche(amount=300, ceiling=1000).deposit(purse(**known)) == amount


# ---------------------------------------------------------------- claims


def due(name: str, claimable: int, cap: int = 10**9, since_s: int = 0) -> Due:
    return Due(name, claimable, cap, since_s * NS_PER_S)


def chosen(policy: Any, *dues: Due, fees: tuple[int, int] = (10, 12)) -> str:
    return "".join(d.namespace for d in policy.choose(dues, fee_of=fees))


def test_when_it_pays_claims_at_the_multiple_of_the_gas() -> None:
    policy = WhenItPays(multiple=20)  # a transaction costs 8, an entry 2 more
    assert chosen(policy, due("a", 199)) == ""
    assert chosen(policy, due("a", 200)) == "a"
    assert chosen(policy, due("a", 120), due("b", 119)) == ""  # 20 × 12 are needed for two
    assert chosen(policy, due("a", 120), due("b", 120)) == "ab"
    assert chosen(policy, due("a", 300), due("b", 39)) == "a"  # b does not pay for its own entry


def test_when_it_pays_claims_near_the_exposure_cap_whatever_the_gas() -> None:
    policy = WhenItPays(multiple=20, cap_share=0.5)
    assert chosen(policy, due("a", 10, cap=21)) == ""
    assert chosen(policy, due("a", 10, cap=20)) == "a"


def test_interval_claims_by_time_or_near_the_cap() -> None:
    policy = Interval(every=100 * NS_PER_S, cap_share=0.5)
    assert chosen(policy, due("a", 1, since_s=99), due("b", 1, since_s=100), due("c", 5, cap=10)) == "bc"


def test_interval_claims_a_few_at_once_and_the_longest_waiting_first() -> None:
    policy = Interval(every=100 * NS_PER_S, most=2)
    three = due("a", 1, since_s=100), due("b", 1, since_s=300), due("c", 1, since_s=200)
    assert chosen(policy, *three) == "bc"
    assert chosen(policy, *three[:2]) == "ab"
    assert chosen(Interval(every=100 * NS_PER_S), *three) == "abc"


amounts = st.integers(1, 400)
owing = st.lists(st.tuples(amounts, st.integers(1, 900), st.integers(0, 150)), min_size=1, max_size=5)


@given(
    st.one_of(
        st.builds(WhenItPays, multiple=st.integers(0, 30), cap_share=st.floats(0.05, 1)),
        st.builds(
            Interval,
            every=st.integers(1, 200),
            cap_share=st.floats(0.05, 1),
            most=st.none() | st.integers(1, 3),
        ),
    ),
    owing,
    st.tuples(st.integers(0, 20), st.integers(0, 20)),
    st.data(),
)
def test_nobody_claims_before_the_policy_said_so(
    policy: Any, pods: list[tuple[int, int, int]], gas: tuple[int, int], data: st.DataObject
) -> None:
    """However what is claimable grows within the limits, nothing is chosen; at one more somewhere it may be."""
    fees = (gas[0] + gas[1], gas[0] + 2 * gas[1])
    dues = [Due(str(n), claimable, cap, since) for n, (claimable, cap, since) in enumerate(pods)]
    if policy.choose(dues, fee_of=fees):
        return
    quiet = policy.quiet(dues, fee_of=fees)
    assert len(quiet.claimable) == len(dues) and quiet.for_ns >= 0
    assert all(limit >= due.claimable for limit, due in zip(quiet.claimable, dues, strict=True))
    later = data.draw(st.sampled_from([0, quiet.for_ns]) | st.integers(0, quiet.for_ns))
    grown = [
        due._replace(
            claimable=data.draw(st.just(limit) | st.integers(due.claimable, limit)),
            since_claim_ns=due.since_claim_ns + later,
        )
        for due, limit in zip(dues, quiet.claimable, strict=True)
    ]
    assert not policy.choose(grown, fee_of=fees)


def test_equal_pods_are_quiet_up_to_the_very_claim() -> None:
    dues = [due(name, 10, cap=10**6) for name in "abcd"]
    for policy, most in ((WhenItPays(multiple=20), 79), (Interval(every=10**12), 499_999)):
        quiet = policy.quiet(dues, fee_of=(10, 12))
        assert quiet is not None and set(quiet.claimable) == {most}
        more = [d._replace(claimable=most + 1) for d in dues]
        assert policy.choose(more, fee_of=(10, 12)) == more


# ---------------------------------------------------------------- admission


def asked(**changes: Any) -> Asked:
    base = Asked(
        publisher=Address(bytes(20)),
        a_replica={Resource.CPU: 500},
        min_replicas=0,
        max_replicas=5,
        free={Resource.CPU: 1000},
        pods=3,
        now_ns=0,
        chance=lambda: 0.5,
        pods_of_publisher=2,
    )
    return replace(base, **changes)


@pytest.mark.parametrize(
    ("policy", "changes", "rule"),
    [
        (Admission(), {}, None),
        (Admission(max_pods=3), {}, "TooManyPods"),
        (Admission(max_pods=4), {}, None),
        (Admission(max_pods_of_publisher=2), {}, "TooManyPodsOfPublisher"),
        (Admission(max_pods_of_publisher=3), {}, None),
        (Admission(), {"free": {Resource.CPU: 499}}, "NoCapacity"),
        (Admission(), {"free": {}}, "NoCapacity"),
        (Admission(replicas=0), {"free": {}}, None),
        (Admission(replicas=2), {}, None),
        (Admission(replicas=3), {}, "NoCapacity"),
        (Admission(), {"min_replicas": 3}, "NoCapacity"),
    ],
)
def test_admission(policy: Admission, changes: dict[str, Any], rule: str | None) -> None:
    refusal = policy.admit(asked(**changes))
    assert (refusal.rule if refusal else None) == rule
    assert refusal is None or any(ch.isdigit() for ch in refusal.detail)


# ---------------------------------------------------------------- price, loss


FINE = replace(TABLE, cpu=10**15, ram=10**6, storage=0)
"""Prices that no rounding moves."""


def shop(running_h: float = 1, **changes: Any) -> Shop:
    """100 cores, 1 GiB; half of it promised; the whole costs what 20 cores and a fifth of the memory earn."""
    known: dict[str, Any] = {
        "listed": FINE,
        "base": FINE,
        "table_id": 9,
        "taken": 0,
        "now_ns": int(running_h * HOUR_NS),
        "running_ns": int(running_h * HOUR_NS),
        "pods": 0,
        "whole": {Resource.CPU: 100_000, Resource.MEMORY: 2**30},
        "free": {Resource.CPU: 50_000, Resource.MEMORY: 2**29},
        "used": {},
        "costs": Costs(Fraction(FINE.cpu * 100 + FINE.ram * 2**30, 5)),
        "rates": None,
        "market": None,
        "chance": lambda: 0.5,
    }
    return Shop(**{**known, **changes})


def test_fixed_prices_stay() -> None:
    assert Fixed().table(shop(100)) == FINE
    assert Fixed().look_again_ns() is None


@pytest.mark.parametrize(("hour", "factor"), [(0, 1.0), (0.99, 1.0), (1, 2.0), (2, 0.5), (99, 0.5)])
def test_scheduled_prices_follow_their_factors(hour: float, factor: float) -> None:
    policy = Schedule(factors=[1.0, 2.0, 0.5])
    assert policy.table(shop(hour)) == FINE.scaled(factor)
    assert policy.look_again_ns() == HOUR_NS


def test_cost_plus_is_the_cost_over_what_is_sold_and_the_mark_up() -> None:
    policy = CostPlus(utilisation=0.5, mark_up=1.5)
    assert policy.table(shop(0)) == FINE.scaled(0.6)  # a fifth ÷ a half × 1.5
    by_core = shop(0, costs=Costs(core_s=Fraction(FINE.cpu)), whole={Resource.CPU: 100_000})
    assert policy.table(by_core) == FINE.scaled(1.5)  # costs that come with use are not spread
    assert policy.look_again_ns() is None


@pytest.mark.parametrize(
    ("promised_m", "factor"),
    [(800, 1.0), (600, 0.9), (0, 0.7), (1000, 1.1)],  # change = 1 + 0.5 × (promised − 0.8), at least 0.7
)
def test_a_utilisation_target_moves_the_price_towards_it(promised_m: int, factor: float) -> None:
    policy = UtilisationTarget(target=0.8, gain=0.5, floor=0.7)
    table = policy.table(shop(free={Resource.CPU: 100 * (1000 - promised_m)}))
    assert table.cpu / FINE.cpu == pytest.approx(factor, abs=1e-9)
    assert policy.table(shop(free=None)) == FINE


def rivals(*factors: float, first_id: int = 1) -> Seen:
    return Seen(
        0,
        tuple(Rival(Address(bytes([i] * 20)), {first_id + i: FINE.scaled(f)}) for i, f in enumerate(factors)),
    )


@pytest.mark.parametrize(
    ("changes", "factor"),
    [
        ({"market": rivals(0.8, 0.5, 2.0)}, 0.45),  # a tenth below the cheapest
        ({"market": rivals(0.8, 0.2)}, 0.2),  # never below what running costs
        ({"market": rivals(3.0)}, 1.0),  # never above the settings
        ({"market": rivals()}, 1.0),  # alone
        ({"market": rivals(0.5), "free": {Resource.CPU: 5_000}}, 1.0),  # full: nothing to win
        (
            {"market": rivals(0.5), "listed": FINE.scaled(0.9), "taken": 1},
            1.0,
        ),  # came past one that was cheaper
        (
            {"market": rivals(0.5, first_id=10), "listed": FINE.scaled(0.9), "taken": 1},
            0.45,
        ),  # it may not have been
        ({"market": rivals(0.5), "listed": FINE.scaled(0.9), "chance": lambda: 0.04}, 1.0),  # a try
        ({"market": None, "listed": FINE.scaled(0.9)}, 0.9),  # nothing is known: no change
        (
            {"market": rivals(0.5), "costs": Costs(Fraction(FINE.cpu * 200 + FINE.ram * 2**31))},
            2.0,
        ),  # at cost
    ],
)
def test_undercut_answers_the_cheapest(changes: dict[str, Any], factor: float) -> None:
    assert Undercut(step=0.1).table(shop(**changes)) == FINE.scaled(factor)


@pytest.mark.parametrize("demand", ["slack", "tight", "careless"])
def test_sellers_that_undercut_each_other(demand: str) -> None:
    """Three take turns. With slack all go to the cheapest; else all but the dearest are full, or nobody looks at prices."""
    chance = Stream(stream_key(1, 0, "war", demand)).next
    listed, ids, path = [FINE, FINE.scaled(0.9), FINE.scaled(0.8)], [1, 2, 3], []
    for turn in range(600):
        me = turn % 3
        others = [k for k in range(3) if k != me]
        wanted = Undercut(step=0.05).table(
            shop(
                listed=listed[me],
                table_id=ids[me],
                taken=demand != "slack" or all(listed[me].cpu < listed[k].cpu for k in others),
                market=Seen(0, tuple(Rival(Address(bytes([k] * 20)), {ids[k]: listed[k]}) for k in others)),
                free={
                    Resource.CPU: 0
                    if demand == "tight" and any(listed[me].cpu < listed[k].cpu for k in others)
                    else 50_000
                },
                chance=chance,
            )
        )
        if wanted != listed[me]:
            listed[me], ids[me] = wanted, turn + 4
        path.append(sum(table.cpu for table in listed) / 3 / FINE.cpu)
    mean = sum(path[60:]) / len(path[60:])
    assert {"slack": mean < 0.35, "tight": 0.4 < mean < 0.9, "careless": 0.4 < mean < 0.9}[demand], mean
    assert demand == "slack" or (min(path[60:]) < 0.3 and max(path[60:]) > 0.8), "prices fall and jump back"


def loss(reason: str, times: int, *, silent_ns: int = 0) -> Loss:
    return Loss(reason, times, now_ns=0, silent_ns=silent_ns, can_wait=silent_ns > 0, chance=lambda: 0.5)


@pytest.mark.parametrize(
    ("known", "then"),
    [
        (loss("ProviderSilent", 1, silent_ns=HOUR_NS - 1), Then.WAIT),
        (loss("ProviderSilent", 1, silent_ns=HOUR_NS), Then.REDEPLOY),
        (loss("ProviderSilent", 3, silent_ns=HOUR_NS), Then.LEAVE),
        (loss("ChannelGone", 2), Then.REDEPLOY),  # there is nothing to wait for
    ],
)
def test_wait_waits_out_a_silence_and_begins_again(known: Loss, then: Then) -> None:
    assert Wait(patience=HOUR_NS, times=2).decide(known) is then


def test_leave_leaves() -> None:
    assert Leave().decide(loss("FundsExhausted", 1)) is Then.LEAVE
    assert Leave().wait_ns() == 0


def test_redeploy_gives_up_after_its_times() -> None:
    policy = Redeploy(times=2, wait=7)
    decided = [policy.decide(loss("ProviderSilent", n)) for n in (1, 2, 3)]
    assert decided == [Then.REDEPLOY, Then.REDEPLOY, Then.LEAVE]
    assert policy.wait_ns() == 7
