"""Exchange rates: paths against their law, what amounts are worth, and what the feed tells."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import pytest
from scipy import stats

from sim.kernel.draws import stream_key
from sim.kernel.streams import Stream
from sim.rates import FIAT_UNITS, Path, Worth, path
from sim.scenario.tokens import Gbm, Rate, Tokens
from tests.sim.worlds import START, play, provider, publisher, scenario, world
from tests.theory.agreement import agrees

S = 10**9
DAY = 24 * 3600 * S
YEAR = 365 * DAY


def gbm(**said: Any) -> Rate:
    return Rate(gbm=Gbm.model_validate({"volatility": 0.8, "step": "73d", **said}))


def ends(rate: Rate, *, replications: int, end_ns: int = YEAR) -> np.ndarray[Any, Any]:
    """The rate at the end of many paths."""
    return np.array([
        float(path(rate, Stream(stream_key(1, i, "rate", "payment")), start_ns=0, end_ns=end_ns).at(end_ns))
        for i in range(replications)
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("said", "years", "rate", "tokens"),
    [
        ({}, 1.0, 1.0, math.exp(0.64)),
        ({"step": "365d"}, 1.0, 1.0, math.exp(0.64)),  # exact on the grid, however coarse
        ({"start": 2, "volatility": 0.4, "step": "5d"}, 0.5, 2.0, math.exp(0.16 * 0.5) / 2),
        ({"drift": 0.5}, 1.0, math.exp(0.5), math.exp(0.64 - 0.5)),
        ({"volatility": 0.01, "per": "hour", "step": "1h"}, 100 / 8760, 1.0, math.exp(1e-4 * 100)),
    ],
)
def test_tokens_per_numeraire_grow_as_the_exponential_of_the_variance(
    said: dict[str, Any], years: float, rate: float, tokens: float
) -> None:
    drawn = ends(gbm(**said), replications=8_000, end_ns=round(years * YEAR))
    agrees(drawn.tolist(), rate, 0.06)
    agrees((1 / drawn).tolist(), tokens, 0.06)


def test_growth_is_log_normal() -> None:
    logs = np.log(ends(gbm(), replications=4_000))
    assert stats.kstest(logs, stats.norm(-0.32, 0.8).cdf).pvalue > 1e-4


def test_the_draws_of_a_token_do_not_depend_on_how_it_moves() -> None:
    """Twice the volatility stretches the same path about its drift; another token has another path."""
    streams = [Stream(stream_key(7, 0, "rate", name)) for name in ("payment", "payment", "gas")]
    calm, wild, other = (
        path(gbm(volatility=v, step="10d"), stream, start_ns=0, end_ns=YEAR)
        for v, stream in zip((0.2, 0.4, 0.2), streams, strict=True)
    )
    t = np.arange(1, 37) * 10 / 365
    noise = [np.log([float(p.at(int(x * YEAR))) for x in t]) for p in (calm, wild, other)]
    centred = [noise[0] + 0.02 * t, noise[1] + 0.08 * t, noise[2] + 0.02 * t]
    assert np.allclose(2 * centred[0], centred[1])
    assert not np.allclose(centred[0], centred[2])


def test_a_file_holds_until_its_next_row(tmp_path: FilePath) -> None:
    file = tmp_path / "rates.csv"
    file.write_text("seconds,rate\n0,2\n60.5,0.1\n", encoding="utf-8")
    made = path(Rate(empirical=file), Stream((1, 2)), start_ns=5 * S, end_ns=YEAR)
    after = [made.at(5 * S + round(s * S)) for s in (-9, 0, 60.4, 60.5, 1e6)]
    assert after == [2, 2, 2, Fraction(1, 10), Fraction(1, 10)]
    assert made.jumps(65 * S) == [(5 * S, 2.0)]
    assert made.jumps(round(65.5 * S)) == [(5 * S, 2.0), (round(65.5 * S), 0.1)]


def tokens(**said: Any) -> Tokens:
    return Tokens.model_validate(said)


def test_amounts_are_worth_their_rate_exactly() -> None:
    moving = Worth(
        tokens(payment={"decimals": 6}), Path([0, 100], [2, Fraction(1, 3)]), Path([0, 50], [3000, 1500])
    )
    assert [moving.fiat(10**6, t) for t in (0, 99, 100)] == [2 * FIAT_UNITS, 2 * FIAT_UNITS, FIAT_UNITS // 3]
    assert [moving.gas_fiat(10**16, t) for t in (0, 50, 100)] == [
        30 * FIAT_UNITS,
        15 * FIAT_UNITS,
        15 * FIAT_UNITS,
    ]
    assert [moving.token_per_gas(t) * 10**12 for t in (0, 50, 100)] == [1500, 750, 4500]
    fixed = Worth(tokens(gas={"price": "3000 DAI"}), Path([0, 100], [2, 4]), None)
    assert [fixed.token_per_gas(t) for t in (0, 100)] == [
        3000,
        3000,
    ]  # of the payment token, whatever that is worth
    assert [fixed.gas_fiat(10**18, t) for t in (0, 100)] == [6000 * FIAT_UNITS, 12000 * FIAT_UNITS]
    free = Worth(tokens(), Path([0], [1]), None)
    assert free.token_per_gas(0) == free.gas_fiat(10**18, 0) == 0
    assert free.fiat(10**18, 0) == FIAT_UNITS


def test_a_quote_is_as_old_as_the_feed_makes_it() -> None:
    feed = {"every": "10s", "delay": "3s"}
    worth = Worth(tokens(feed=feed), Path([0, 10 * S, 15 * S, 20 * S], [1, 2, 3, 4]), None)
    told = {t: worth.quote(round(t * S)) for t in (-50, 0, 12.9, 13, 22.9, 23)}
    assert [told[t].rate for t in (-50, 0, 12.9, 13, 22.9, 23)] == [
        1,
        1,
        1,
        2,
        2,
        4,
    ]  # 3 was over between two updates
    assert [told[t].at_ns for t in (12.9, 13, 23)] == [0, 10 * S, 20 * S]
    assert worth.quote(13 * S).tokens_for(Fraction(3)) == 15 * 10**17


def test_prices_in_a_world_grow_as_the_exponential_of_the_variance(tmp_path: FilePath) -> None:
    """A pegged provider's price in tokens is what it asks over the rate it knows; over many worlds its mean doubles where σ²t = ln 2."""
    pegged = {"price": {"use": "pegged", "with": {"every": "10m"}}, "claim": "when_it_pays"}
    walk = {"volatility": math.sqrt(math.log(2)), "per": "hour", "step": "1m"}
    what = scenario(
        world(
            tokens={"payment": {"rate": {"gbm": walk}}, "feed": {"delay": "30s"}},
            providers=[provider(policies=pegged)],
            publishers=[publisher(traffic={"none": True})],
        )
    )
    times_base, known = [], []
    for number in range(64):
        run = play(what.model_copy(update={"seed": number}), tmp_path / str(number))
        worth, last = run.simulation.world.worth, run.rows("prices")[-1]
        base = run.simulation.world.price_table(run.simulation.world.providers["host-0"].member)
        asked = [base.scaled(1 / worth.payment.at(last["time_ns"] - back_s * S)) for back_s in range(120)]
        assert last["cpu"] in {table.cpu for table in asked}
        times_base.append(last["cpu"] / base.cpu)
        known.append(2 ** ((last["time_ns"] - START) / (3600 * S)))
    agrees(times_base, math.fsum(known) / len(known), 0.7)
    assert min(known) > 1.7
