"""The simulated chain's two backends beside anvil: the same actions, the same outcomes, gas to the unit."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from sim.chain.gas import limit_of
from tests.live.anvil import Anvil
from tests.live.judges import PEOPLE, AnvilJudge
from tests.live.test_evm_backend import BACKENDS
from tests.suites.actions import Action, SideBySide, actions, story

pytestmark = [pytest.mark.e2e, pytest.mark.evm]


@pytest.fixture(scope="module")
def judge() -> Iterator[AnvilJudge]:
    node = Anvil()
    try:
        yield AnvilJudge(node)
    finally:
        node.stop()


def play(judge: AnvilJudge, doings: list[Action]) -> None:
    judge.restart()
    SideBySide(judge, BACKENDS, ["evm"], limit_of).play(doings)


def test_the_story_goes_alike(judge: AnvilJudge) -> None:
    play(judge, list(story(PEOPLE, judge.terms)))


@given(data=st.data())
@settings(max_examples=5, phases=[Phase.generate])
def test_whatever_people_send_has_one_outcome(judge: AnvilJudge, data: st.DataObject) -> None:
    play(judge, data.draw(actions(PEOPLE, judge.terms)))
