"""What a publisher would pay at most: its budget, and what a replica costs elsewhere."""

from __future__ import annotations

from typing import Any, Final

import pytest

from protocol.renting import BUDGET_SPENT, TOO_DEAR, Stage
from sim.scenario.quantities import Denomination, write_money
from tests.protocol.clients.market import A_SECOND, Market

DAI: Final = 10**18
HOURLY: Final = A_SECOND * 3600 / DAI
"""What the default pod costs an hour [DAI]: 0.009."""


def dai(seconds: int) -> str:
    """What so many seconds of the default pod cost, as a scenario writes it."""
    return write_money(A_SECOND * seconds, Denomination("DAI", 18))


def topping_up(**value: Any) -> dict[str, Any]:
    """A publisher that tops up for as long as it may: 10 minutes at first, 10 more whenever 5 are left."""
    runway = {"first": "10m", "low": "5m", "tranche": "10m", "look_least": "20s"}
    return {"policies": {"funding": {"use": "runway", "with": runway}}, "value": value}


def test_a_budget_ends_the_top_ups() -> None:
    market = Market(publisher=topping_up(budget=dai(1500)))
    market.until(lambda: market.events("PodRemoved"), limit_s=7200)
    assert len(market.deposits) > 1
    assert sum(market.deposits) == A_SECOND * 1500
    assert market.tokens(market.pod) == 10 * DAI - A_SECOND * 1500


def test_without_one_the_wallet_is_the_limit() -> None:
    market = Market(publisher=topping_up() | {"wallet": {"payment": dai(1500)}})
    market.until(lambda: market.events("PodRemoved"), limit_s=7200)
    assert sum(market.deposits) == A_SECOND * 1500
    assert market.tokens(market.pod) == 0


def test_what_the_budget_leaves_is_a_first_deposit_or_none() -> None:
    market = Market(publisher=topping_up(budget=dai(400)))
    market.running()
    assert market.deposits == [A_SECOND * 400]


def test_a_person_cannot_deposit_beyond_it() -> None:
    action = {"at": "3m", "what": "deposit", "amount": dai(500)}
    within = {"at": "4m", "what": "deposit", "amount": dai(400)}
    once = {"value": {"budget": dai(1000)}, "actions": [action, within]}
    market = Market(publisher=once).run(600)
    assert market.deposits == [A_SECOND * 600, A_SECOND * 400]


@pytest.mark.parametrize("crash", [False, True])
def test_what_comes_back_is_there_for_the_next_provider(crash: bool) -> None:
    """600 s are deposited, some 60 used; the provider is gone for good, and what is left pays for another."""
    publisher = {
        "value": {"budget": dai(1000)},
        "policies": {
            "selection": "cheapest",
            "funding": {"use": "once", "with": {"first": "10m"}},
            "on_loss": {"use": "redeploy", "with": {"times": 9, "wait": "25m"}},
        },
    }
    hosts = [{}, {"name": "other", "prices": {"cpu": "0.0361 DAI/core-h"}}]
    market = Market(provider=hosts, publisher=publisher).running()
    market.host.fall()
    market.until(lambda: market.events("PodLost"), limit_s=9000)
    if crash:
        market.until(lambda: market.events("FundsReturned"), limit_s=9000)
        market.run(market.now_s + 5)
        market.crash(market.pod, for_s=5)
    other = market.world.publishers["pod-0"]
    market.until(lambda: len(market.deposits) > 1, limit_s=20_000)
    first, second = market.deposits
    assert first == A_SECOND * 600
    assert second >= A_SECOND * 600  # not the 400 that a budget without the return would leave
    assert market.events("FundsReturned", party=other)
    assert market.rental(other).before == first


def test_what_did_not_come_back_counts_as_spent() -> None:
    publisher = {
        "value": {"budget": dai(1000)},
        "policies": {
            "funding": {"use": "once", "with": {"first": "10m"}},
            "on_loss": {"use": "redeploy", "with": {"times": 2, "wait": "25m"}},
        },
    }
    market = Market(publisher=publisher)
    market.until(lambda: market.events("CandidatePassedOver", rule=BUDGET_SPENT), limit_s=12_000)
    assert market.deposits == [A_SECOND * 600, A_SECOND * 400]


@pytest.mark.parametrize(
    ("outside", "rate", "stays_out"),
    [
        (HOURLY * 1.01, 1, False),
        (HOURLY, 1, False),
        (HOURLY * 0.99, 1, True),
        (HOURLY, 1.01, True),  # a token is worth more of the numéraire than elsewhere's price was made for
        (HOURLY, 0.5, False),
    ],
)
def test_a_publisher_rents_nothing_dearer_than_elsewhere(
    outside: float, rate: float, stays_out: bool
) -> None:
    tokens = {"payment": {"rate": rate}, "gas": {"price": "1 DAI"}}
    market = Market(publisher={"value": {"outside": f"{outside:.6f} USD/h"}}, tokens=tokens).run(300)
    failed = market.events("DeploymentFailed", rule=TOO_DEAR)
    assert bool(failed) == stays_out
    assert len(market.deposits) == (0 if stays_out else 1)
    assert market.rental().stage is (Stage.ENDED if stays_out else Stage.RUNNING)
    market.finish()
    (row,) = market.rows.tables["publishers"]
    assert (row.state == "out") == stays_out


def test_who_is_dear_is_passed_over_for_who_is_not() -> None:
    by_hand = {"use": "by_hand", "with": {"providers": ["dear-0", "host-0"]}}
    publisher = {
        "value": {"outside": f"{HOURLY} USD/h"},
        "policies": {"selection": by_hand, "funding": {"use": "once", "with": {"first": "10m"}}},
    }
    hosts = [{}, {"name": "dear", "prices": {"cpu": "0.0361 DAI/core-h"}}]
    market = Market(provider=hosts, publisher=publisher).running()
    assert market.channel(market.host) is not None


def test_prices_follow_the_rate_that_the_provider_knows(tmp_path: Any) -> None:
    """The token halves after half an hour; the price doubles at the next look, and not before."""
    file = tmp_path / "rates.csv"
    file.write_text("seconds,rate\n0,2\n1800,1\n", encoding="utf-8")
    pegged = {"price": {"use": "pegged", "with": {"reference": 1.0, "every": "40m"}}}
    market = Market(
        provider={"policies": {**pegged, "claim": "when_it_pays"}},
        tokens={"payment": {"rate": {"empirical": str(file)}}, "gas": {"price": "1 DAI"}},
    ).run(3 * 3600 - 1)
    base = market.world.price_table(market.host.member).cpu
    listed = [(row[0], row[3]) for row in market.rows.tables["prices"]]
    assert [cpu for _, cpu in listed] == [base // 2, base]
    looked_s = (listed[1][0] - listed[0][0]) / 10**9
    assert 2400 <= looked_s < 2400 + 30


def test_deposits_in_the_numeraire_follow_the_rate(tmp_path: Any) -> None:
    file = tmp_path / "rates.csv"
    file.write_text("seconds,rate\n0,2\n300,0.5\n", encoding="utf-8")
    funding = {"use": "fiat", "with": {"first": HOURLY / 3, "low": HOURLY / 30, "every": "20s"}}
    market = Market(
        publisher={"policies": {"funding": funding}},
        tokens={"payment": {"rate": {"empirical": str(file)}}, "gas": {"price": "1 DAI"}},
    )
    market.until(lambda: len(market.deposits) > 1, limit_s=3600)
    assert market.deposits == pytest.approx(
        [A_SECOND * 600, A_SECOND * 2400], rel=1e-12
    )  # worth 20 minutes at 2, at a half
