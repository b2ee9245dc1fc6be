"""Each law's mean, variance and quantiles against numerical integration and scipy."""

from __future__ import annotations

import math
from itertools import pairwise

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from protocol.errors import BadInput
from sim.kernel import chance
from sim.laws import (
    LOGNORMAL,
    Constant,
    Empirical,
    Exponential,
    Law,
    Lognormal,
    Pareto,
    Uniform,
    Weibull,
    log_of,
    quantile_of,
)

LAWS: list[Law] = [
    Constant(1.5),
    Exponential(2.0),
    Uniform(1.0, 4.0),
    Lognormal(1.9, 1.2),
    Weibull(2.0, 1.5),
    Weibull(1.0, 0.8),
    Pareto(1.0, 6.0),
    Empirical(((0.0, 0.0), (0.25, 0.2), (0.5, 0.2), (0.99, 3.0), (1.0, 50.0))),
]


@pytest.mark.parametrize("law", LAWS)
def test_mean_and_variance_are_those_of_the_quantiles(law: Law) -> None:
    """Integrates over probability by pieces, the tails on a logarithmic scale."""

    def moment(power: int) -> float:
        edges = [0.0, 1e-9, 1e-6, 1e-3, 0.25, 0.5, 0.75, 0.99, 0.999, 1 - 1e-6, 1 - 1e-9, 1 - 1e-12]
        pieces = pairwise(edges)
        return math.fsum(
            integrate.quad(lambda u: law.quantile(u) ** power, a, b, epsrel=1e-9)[0] for a, b in pieces
        )

    assert moment(1) == pytest.approx(law.mean, rel=1e-5)
    assert moment(2) - moment(1) ** 2 == pytest.approx(law.variance, rel=2e-3, abs=1e-9)


def test_the_normal_quantile_is_scipys() -> None:
    for u in [1e-300, 1e-30, 1e-12, 1e-5, 0.01, 0.0749, 0.0751, 0.4, 0.5, 0.6, 0.95, 0.99999]:
        z = math.log(quantile_of(LOGNORMAL, 0.0, 1.0, u))
        assert z == pytest.approx(float(stats.norm.ppf(u)), rel=1e-12, abs=1e-12)


def test_compiled_quantiles_are_the_plain_ones() -> None:
    compiled = numba.njit(quantile_of)
    for law in LAWS:
        if not isinstance(law, Empirical):
            for u in np.linspace(0.0005, 0.9995, 400):
                assert compiled(*law.parameters(), u) == pytest.approx(law.quantile(u), rel=1e-15)


compiled_log = numba.njit(chance.log_of.py_func)
NEAR_THE_MIDDLE = math.sqrt(0.5)


@given(
    st.floats(2.0**-53, 1.0)
    | st.floats(0.99, 1.01)
    | st.floats(NEAR_THE_MIDDLE * (1 - 1e-12), NEAR_THE_MIDDLE * (1 + 1e-12))
    | st.floats(1e-300, 1e300)
)
def test_our_logarithm_is_within_an_ulp_and_compiled_the_same(x: float) -> None:
    known = math.log(x)
    assert abs(log_of(x) - known) <= math.ulp(known)
    assert compiled_log(x) == log_of(x)


@pytest.mark.parametrize("law", LAWS)
def test_quantiles_rise(law: Law) -> None:
    values = [law.quantile(u) for u in np.linspace(1e-9, 1 - 1e-9, 999)]
    assert all(a <= b for a, b in pairwise(values))


def test_infinite_moments_are_said() -> None:
    assert Pareto(1.0, 1.0).mean == math.inf
    assert Pareto(1.0, 2.0).variance == math.inf


def test_scaling_an_empirical_law_keeps_its_shape() -> None:
    law = Empirical(((0.0, 1.0), (0.5, 2.0), (1.0, 8.0)))
    assert law.scaled(10.0).mean == pytest.approx(10.0)
    assert law.scaled(10.0).quantile(0.5) / law.quantile(0.5) == pytest.approx(10.0 / law.mean)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Constant(-1.0),
        lambda: Constant(math.nan),
        lambda: Exponential(0.0),
        lambda: Uniform(2.0, 1.0),
        lambda: Lognormal(1.0, 0.0),
        lambda: Weibull(1.0, -1.0),
        lambda: Pareto(0.0, 1.0),
        lambda: Empirical(((0.0, 1.0), (0.9, 2.0))),
        lambda: Empirical(((0.0, 1.0), (0.5, 0.5), (1.0, 2.0))),
    ],
)
def test_what_is_no_law_is_refused(make: object) -> None:
    with pytest.raises(BadInput):
        make()  # type: ignore[operator]
