"""What all pods of a world owe, against Python's whole numbers."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from protocol.pricing import COST_SCALE
from sim.dues import BURN_MAX, NO_POD, Dues
from sim.kernel import wide

OWNERS = 3


def numbers(words: Any) -> list[int]:
    """Numbers of 128 bits as Python's."""
    return [int.from_bytes(row.tobytes(), "little", signed=True) for row in words]


@dataclass
class Account:
    """What an account is to hold."""

    owner: int
    handle: int
    fixed: int = 0
    burn: int = 0
    replica_ms: int = 0


edges = st.sampled_from((0, 1, 2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 1, COST_SCALE - 1, COST_SCALE))
burns = st.one_of(
    st.integers(0, BURN_MAX), edges.map(lambda n: min(n * COST_SCALE + n % COST_SCALE, BURN_MAX))
)
fixed_costs = st.one_of(st.integers(-(10**43), 10**43), edges, edges.map(lambda n: -n))
milliseconds = st.one_of(st.integers(0, 10**12), st.sampled_from((0, 1, 2**31, 2**32 - 1, 2**32, 2**50)))


class DuesMachine(RuleBasedStateMachine):
    """Accounts are opened, written and closed in any order; the sums are those of exact arithmetic."""

    def __init__(self) -> None:
        super().__init__()
        self.dues = Dues()
        self.accounts: dict[int, Account] = {}

    @rule(owner=st.integers(0, OWNERS - 1), handle=st.integers(NO_POD, 5))
    def opens(self, owner: int, handle: int) -> None:
        number = self.dues.open(owner, handle)
        assert number not in self.accounts
        self.accounts[number] = Account(owner, handle)

    @rule(owner=st.integers(0, OWNERS - 1))
    def opens_many(self, owner: int) -> None:
        for handle in range(20):
            self.opens(owner, handle)

    @rule(data=st.data(), fixed=fixed_costs, burn=burns, replica_ms=milliseconds)
    def puts(self, data: st.DataObject, fixed: int, burn: int, replica_ms: int) -> None:
        if not self.accounts:
            return
        number = data.draw(st.sampled_from(sorted(self.accounts)))
        account = self.accounts[number]
        if account.handle == NO_POD:
            burn = 0
        account.fixed, account.burn, account.replica_ms = fixed, burn, replica_ms
        self.dues.put(number, fixed, burn)

    @rule(data=st.data())
    def closes(self, data: st.DataObject) -> None:
        if self.accounts:
            number = data.draw(st.sampled_from(sorted(self.accounts)))
            del self.accounts[number]
            self.dues.close(number)

    @invariant()
    def sums_are_exact(self) -> None:
        expected = [0] * OWNERS
        replica_ms = np.zeros(len(self.dues.owners), np.int64)
        for number, account in self.accounts.items():
            assert (self.dues.owners[number], self.dues.handles[number]) == (account.owner, account.handle)
            expected[account.owner] += (account.fixed + account.burn * account.replica_ms) // COST_SCALE
            replica_ms[number] = account.replica_ms
        assert (self.dues.handles >= 0).sum() == sum(a.handle >= 0 for a in self.accounts.values())
        assert numbers(self.dues.owed(replica_ms, OWNERS)) == expected


TestDues = DuesMachine.TestCase


def test_products_of_any_length_are_exact() -> None:
    """Factors of every number of bits, so that every carry is met."""
    chance = random.Random(1)
    dues, counts, expected = Dues(), [], []
    for owner in range(3000):
        burn = min(chance.getrandbits(chance.randrange(85)), BURN_MAX)
        fixed = chance.getrandbits(chance.randrange(140)) * chance.choice((-1, 1))
        replica_ms = chance.getrandbits(chance.randrange(50))
        dues.put(dues.open(owner, 0), fixed, burn)
        counts.append(replica_ms)
        expected.append((fixed + burn * replica_ms) // COST_SCALE)
    replica_ms_of = np.zeros(len(dues.owners), np.int64)
    replica_ms_of[: len(counts)] = counts
    assert numbers(dues.owed(replica_ms_of, len(expected))) == expected


@given(st.integers(-(2**127), 2**127 - 1))
def test_words_hold_a_number(number: int) -> None:
    assert numbers([wide.words(number)]) == [number]


def test_words_hold_no_more() -> None:
    with pytest.raises(OverflowError):
        wide.words(2**127)
