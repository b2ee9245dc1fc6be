"""What clients tell their policies, and what they do about answers that cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.errors import PolicyFault
from protocol.units import NS_PER_S, Resource
from sim import deadline
from tests.protocol.clients import brought
from tests.protocol.clients.market import PROVIDER, Market

HERE = "tests.protocol.clients.brought"
HOUR_NS = 3600 * NS_PER_S
PLAIN = {"containers": [{"image": "web:1", "port": 80, "resources": {"cpu": "250m"}}]}
"""A pod that claims no host name, so that one provider can have several."""


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    brought.SHOPS.clear()
    brought.CHOICES.clear()


def wrong(kind: str, how: str) -> Market:
    policy = {"policies": {kind: {"use": f"{HERE}:Wrong", "with": {"how": how}}}}
    if kind in ("price", "admission", "claim"):
        return Market(provider=policy)
    crash = {"kind": "provider_crash", "provider": "host-0", "at": "10m", "for": "2h"}
    return Market(publisher=policy, faults=[crash] if kind == "on_loss" else [])


@pytest.mark.parametrize(
    ("kind", "how", "said"),
    [
        ("price", "raises", "it raised ZeroDivisionError"),
        ("price", "nothing", "it answered None; allowed: a PriceTable"),
        ("price", "part", "all of whose prices are whole base units"),
        ("price", "token", "in the token of `shop.base`"),
        ("admission", "text", "it answered 'much'; allowed: None, or a Refusal"),
        ("admission", "refusal", "whose rule is a name"),
        ("claim", "text", "some of `dues`"),
        ("selection", "nothing", "some of `choice.candidates`, none twice"),
        ("selection", "stranger", "some of `choice.candidates`, none twice"),
        ("selection", "twice", "some of `choice.candidates`, none twice"),
        ("funding", "negative", "it answered -1; allowed: a whole number"),
        ("funding", "nan", "it answered nan; allowed: a whole number"),
        ("on_loss", "nothing", "it answered None; allowed: Then.LEAVE"),
    ],
)
def test_what_a_policy_cannot_answer_names_it_its_party_and_what_is_allowed(
    kind: str, how: str, said: str
) -> None:
    market = wrong(kind, how)
    with pytest.raises(PolicyFault) as caught:
        market.run(3 * 3600 - 1)
    text = str(caught.value)
    party = "host-0" if kind in ("price", "admission", "claim") else "pod-0"
    assert f"{kind} policy {HERE}:Wrong of {party}, asked for `" in text and "s (Unix time)" in text
    assert said in text


def test_a_policy_that_sleeps_is_named_with_the_line_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "LIMIT_S", 0.2)
    with pytest.raises(
        PolicyFault, match=r"admission policy .*: no answer after 0.2 s .*brought.py, line \d+"
    ):
        wrong("admission", "sleeps").run(600)


def test_what_a_price_policy_is_told() -> None:
    policy = {"price": {"use": f"{HERE}:Watching"}}
    market = Market(
        provider=[
            {"policies": policy, "cost": {"idle": "0.036 DAI/h", "busy": "0.0036 DAI/core-h"}, "market_age": "25m"},
            {"name": "other", "prices": {**PROVIDER["prices"], "cpu": "0.072 DAI/core-h"},
             "policies": {"price": {"use": "schedule", "with": {"factors": [1, 2], "period": "15m"}}}},
        ],
        publisher={"policies": {"funding": {"use": "once", "with": {"first": "3h"}}}},
    )  # fmt: skip
    market.run(3599)
    first, *later = brought.SHOPS
    assert first.table_id == 0 and first.running_ns == 0 and first.listed == first.base
    assert first.costs.standing_s == 10**13 and first.costs.core_s == 10**12
    assert first.whole[Resource.CPU] == 4000 and first.promised() == 0
    assert len(later) == 6 and [shop.table_id for shop in later] == [later[0].table_id] * 6
    assert all(shop.pods == shop.taken == 1 and shop.promised() == 0.25 / 4 for shop in later)
    # One replica of a quarter of a core ran all the time, but for the minute in which it came to be.
    assert later[0].utilisation() < 0.25 / 4 and later[3].utilisation() == pytest.approx(0.25 / 4)
    markets = [shop.market for shop in later if shop.market is not None]
    rivals = [[t.cpu for rival in seen.rivals for t in rival.tables.values()] for seen in markets]
    assert rivals == [[], [], *[[4 * 10**13]] * 4], "read when it opened, and when that was 25 minutes old"
    ages = [seen.age_ns / (60 * NS_PER_S) for seen in markets]
    assert ages[1] - ages[0] == pytest.approx(10, abs=0.2) and ages[2] < 1


def test_a_publisher_sees_a_market_as_old_as_it_may_be() -> None:
    market = Market(
        provider={"policies": {"price": {"use": "schedule", "with": {"factors": [1, 2], "period": "15m"}}}},
        publisher={
            "count": 4, "manifest": PLAIN, "arrive": {"uniform": {"low": "10m", "high": "601s"}}, "market_age": "30m",
            "policies": {"selection": {"use": f"{HERE}:Seeing"}},
        },
    )  # fmt: skip
    market.run(3000)
    costs = [choice.candidates[0].cost_an_hour for choice in brought.CHOICES]
    assert costs == [costs[0], costs[0], costs[0], 2 * costs[0]], "one copy for all, half an hour old at most"
    ages = [choice.age_ns / NS_PER_S for choice in brought.CHOICES]
    assert ages[2] - ages[0] == pytest.approx(1200, abs=15) and ages[3] < 20


@pytest.mark.parametrize(("age", "fresh"), [("0s", True), ("10m", False)])
def test_sampled_by_load_goes_where_providers_say_there_is_room(age: str, fresh: bool) -> None:
    market = Market(
        provider={"count": 4, "terms": {**PROVIDER["terms"], "load_age": age}},
        publisher={
            "count": 24, "manifest": PLAIN, "arrive": {"exponential": "1m"},
            "policies": {
                "selection": {"use": "sampled", "with": {"size": 4, "by": "load"}},
                "funding": {"use": "once", "with": {"first": "4h"}},
            },
        },
    )  # fmt: skip
    market.run(3 * 3600 - 1)
    pods = sorted(len(p.client.pods) for p in market.world.providers.values() if p.client is not None)
    assert sum(pods) == 24
    imbalance = pods[-1] - pods[0]
    assert imbalance <= 1 if fresh else imbalance >= 4, "what is said is old: they all go to the same"


@pytest.mark.parametrize(("patience", "comes_back"), [("3h", True), ("65m", False)])
def test_a_silent_provider_is_waited_for(patience: str, comes_back: bool) -> None:
    crash = {"kind": "provider_crash", "provider": "host-0", "at": "10m", "for": "90m"}
    market = Market(
        provider={"count": 2},
        publisher={
            "policies": {
                "selection": {"use": "by_hand", "with": {"providers": ["host-0", "host-1"]}},
                "funding": {"use": "runway", "with": {"first": "3h", "low": "1h", "look_most": "2m"}},
                "on_loss": {"use": "wait", "with": {"patience": patience}},
            },
        },
        faults=[crash],
        duration="4h",
    )  # fmt: skip
    market.run(4 * 3600 - 1)
    rental = market.rental()
    assert rental.losses == (0 if comes_back else 1)
    assert (rental.provider == market.host.address) is comes_back
    past = rental.pasts.get(market.host.address)
    assert (past is None) if comes_back else (past is not None and past.bad == 1)


def test_one_partys_policy_moves_no_other_partys_draws() -> None:
    def draws(**publisher: Any) -> list[float]:
        market = Market(provider={"count": 2}, publisher=[publisher, {"name": "other"}])
        market.run(1800)
        other = market.world.publishers["other-0"]
        return [other.chance_of(kind)() for kind in ("selection", "funding", "on_loss")] + [
            p.chance_of("price")() for p in market.world.providers.values()
        ]

    random = draws(policies={"selection": "random"})
    assert random == draws(policies={"selection": {"use": "sampled", "with": {"size": 1}}})
    assert len(set(random)) == len(random), "each kind of decision has a stream of its own"
