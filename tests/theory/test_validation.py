"""Every known answer is met, and the table in docs/validation.md is what comes out."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from scipy import stats

from tests.theory import table
from tests.theory.known import (
    FALSELY_RED,
    FIGURES,
    MULTIPLIER,
    RUNS,
    Case,
    Exact,
    Known,
    Sampled,
    judge,
    rows,
)

CASES = [(part, case) for part in table.PARTS for case in table.cases(part)]


def _params() -> Iterator[Any]:
    for part, case in CASES:
        evm = (pytest.mark.evm,) if isinstance(case, Exact) and case.needs_evm else ()
        yield pytest.param(case, id=f"{part}: {case.name}", marks=evm)


@pytest.mark.parametrize("case", list(_params()))
def test_known_answer(case: Case) -> None:
    found = rows(case)
    assert [row.line for row in found if not row.green] == []
    # After a change of the draws: python -m tests.theory
    assert [row.line for row in found if row.line not in set(table.committed_lines())] == []


def test_the_table_has_these_rows_and_no_others() -> None:
    named = [
        name
        for _, case in CASES
        for name in ([case.name] if isinstance(case, Exact) else [f"{case.name}: {f}" for f in case.known])
    ]
    assert [line.split(" | ")[0].removeprefix("| ") for line in table.committed_lines()] == named
    assert len(set(named)) == len(named)


# ---------------------------------------------------------------- the verdicts themselves


def test_the_whole_table_is_falsely_red_once_in_a_thousand() -> None:
    sampled = sum(len(case.known) for _, case in CASES if isinstance(case, Sampled))
    assert 40 <= sampled <= FIGURES
    assert 2 * FIGURES * stats.t.sf(MULTIPLIER, RUNS - 1) == pytest.approx(FALSELY_RED, rel=1e-6)


def _pairs(chance: random.Random, mean: float) -> list[tuple[float, float]]:
    """Thirty ratios whose denominators vary, as arrivals do."""
    sizes = [chance.gauss(1000, 30) for _ in range(RUNS)]
    return [(size * chance.gauss(mean, 0.05), size) for size in sizes]


def test_a_right_figure_is_green_and_one_that_is_off_by_what_is_said_to_be_seen_is_red() -> None:
    chance = random.Random(5)
    known = Known(1.0, sees=1.0)
    green = [judge(known, _pairs(chance, 1.0)) for _ in range(2000)]
    assert {verdict for *_, verdict in green} == {"agrees"}
    off = 1 + max(sees for _, _, sees, _ in green)
    assert all("differs" in judge(known, _pairs(chance, off))[3] for _ in range(2000))


def test_a_blunt_row_is_red() -> None:
    assert "too blunt" in judge(Known(1.0, sees=0.01), _pairs(random.Random(5), 1.0))[3]
