"""The simulated chain's two backends beside py-evm: the same actions, the same outcomes, to the base unit."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from live.chain import gas
from protocol import payment, registry
from protocol.codec import ERRORS, EVENTS
from protocol.ports import Approve, ChainTerms
from protocol.units import Address
from sim.chain.contracts import Contracts, ModelContracts
from sim.chain.gas import limit_of
from tests.live.chains import EvmChain
from tests.live.judges import PEOPLE, EthTesterJudge
from tests.suites.actions import Action, Make, SideBySide, actions, story

pytestmark = pytest.mark.evm


def model(tokens: Mapping[Address, int], terms: ChainTerms) -> Contracts:
    return ModelContracts(tokens, terms.payment)


def evm(tokens: Mapping[Address, int], terms: ChainTerms) -> Contracts:
    from sim.chain.evm.contracts import EvmContracts  # needs pyrevm

    return EvmContracts(tokens, terms)


BACKENDS: dict[str, Make] = {"model": model, "evm": evm}


@pytest.fixture(scope="module")
def judge() -> EthTesterJudge:
    return EthTesterJudge(EvmChain())


def play(judge: EthTesterJudge, doings: list[Action]) -> SideBySide:
    judge.restart()
    chains = SideBySide(judge, BACKENDS, ["evm"], limit_of)
    chains.play(doings)
    return chains


def test_everything_that_can_happen_happens_alike(judge: EthTesterJudge) -> None:
    doings = list(story(PEOPLE, judge.terms))
    seen = play(judge, doings).seen
    # The story leaves nothing out.
    assert {type(doing.command) for doing in doings} == {*payment.FUNCTIONS, *registry.FUNCTIONS, Approve}
    assert {type(event).__name__ for done in seen for event in done.events} == {form.name for form in EVENTS}
    assert {done.error for done in seen} == {None, "TokenRefused", *ERRORS.values()}


@given(data=st.data())
@settings(max_examples=40)
def test_whatever_people_send_has_one_outcome(judge: EthTesterJudge, data: st.DataObject) -> None:
    play(judge, data.draw(actions(PEOPLE, judge.terms)))


def test_the_gas_limit_is_live_modes(judge: EthTesterJudge) -> None:
    """What a node gets that has no estimate."""
    for action in story(PEOPLE, judge.terms):
        assert limit_of(action.command) == gas.limit(action.command, None), action
