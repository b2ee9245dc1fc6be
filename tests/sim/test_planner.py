"""The planner's plan: worlds whose answer is known by hand, and any other against a linear program."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from sim.planner import Offered, Wanted, best_plan


@pytest.mark.parametrize(
    ("wanted", "offered", "worth", "cost"),
    [
        ([Wanted(10, 5, 2)], [Offered(100, 1)], [50], [20]),  # room for all
        ([Wanted(10, 5, 2)], [Offered(5, 1)], [12.5], [5]),  # for two and a half
        ([Wanted(10, 5, 2)], [Offered(100, 2.5)], [0], [0]),  # worth no more than it costs
        ([Wanted(10, 5, 2)], [Offered(6, 2), Offered(100, 1)], [50], [0, 20]),  # the cheaper first
        ([Wanted(10, 5, 2)], [Offered(100, 2), Offered(6, 1)], [50], [28, 6]),  # then the other
        ([Wanted(4, 3, 1), Wanted(4, 8, 2)], [Offered(6, 1)], [0, 24], [6]),  # who gains most from a second
        ([Wanted(4, 3, 1), Wanted(4, 8, 2)], [Offered(9, 1)], [3, 32], [9]),
        ([Wanted(7, 2, 0)], [Offered(0, 9)], [14], [0]),  # what needs no time costs none
        ([Wanted(7, -2, 0), Wanted(0, 5, 1)], [Offered(9, 0)], [0, 0], [0]),
        ([], [Offered(9, 0)], [], [0]),
    ],
)  # fmt: skip
def test_known_plans(
    wanted: list[Wanted], offered: list[Offered], worth: list[float], cost: list[float]
) -> None:
    plan = best_plan(wanted, offered)
    assert (list(plan.worth), list(plan.cost)) == (worth, cost)
    assert plan.welfare == sum(worth) - sum(cost)


tenths = st.integers(0, 80).map(lambda n: n / 10)


@given(
    st.lists(st.builds(Wanted, st.integers(0, 20), tenths.map(lambda x: x - 2), tenths), min_size=1, max_size=5),
    st.lists(st.builds(Offered, st.integers(0, 40), tenths), min_size=1, max_size=4),
)  # fmt: skip
def test_no_plan_is_better(wanted: list[Wanted], offered: list[Offered]) -> None:
    """The linear program over how many requests of each publisher each provider serves."""
    gain = [[w.worth - w.core_s * o.cost for o in offered] for w in wanted]
    served = np.kron(np.eye(len(wanted)), np.ones(len(offered)))
    used = np.kron([w.core_s for w in wanted], np.eye(len(offered)))
    found = linprog(
        -np.array(gain).ravel(),
        A_ub=np.vstack([served, used]),
        b_ub=[*(w.requests for w in wanted), *(o.core_s for o in offered)],
    )
    plan = best_plan(wanted, offered)
    assert found.fun is not None
    assert plan.welfare == pytest.approx(-found.fun, abs=1e-6)
