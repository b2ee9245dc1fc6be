from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from protocol.units import NS_PER_S
from sim.scenario import policies
from sim.scenario.policies import KINDS, BadPolicy, build, settings_of
from sim.scenario.quantities import Denomination
from sim.scenario.supply import PolicySpec

DAI = Denomination("DAI", 18)
HOUR_NS = 3600 * NS_PER_S


def spec(use: str, **settings: Any) -> PolicySpec:
    return PolicySpec.model_validate({"use": use, "with": settings})


def test_settings_are_read_in_their_units() -> None:
    funding = build("funding", spec("runway", first="2h", low="30m", ceiling="0.5 DAI"), DAI)
    assert (funding.first, funding.low, funding.ceiling) == (2 * HOUR_NS, HOUR_NS // 2, 5 * 10**17)
    selection = build("selection", spec("cheapest", price_ceiling="0.02 DAI/h", regions=["bul"]), DAI)
    assert selection.price_ceiling == 2 * 10**16


NEEDED: dict[str, dict[str, Any]] = {
    "schedule": {"factors": [1.0, 2.0]},
    "by_hand": {"providers": ["a-0"]},
    "fiat": {"first": 5.0},
    "tranche": {"amount": "0.5 DAI"},
}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, known in KINDS.items() for name in known])
def test_all_settings_of_every_policy_come_back(kind: str, name: str) -> None:
    policy = build(kind, spec(name, **NEEDED.get(name, {})), DAI)
    written = settings_of(policy, DAI)
    assert written is not None
    again = build(kind, spec(name, **written), DAI)
    assert settings_of(again, DAI) == written


@dataclass(frozen=True)
class Mine:
    wait: int = field(default=5, metadata={"unit": "duration"})
    share: float = 0.5

    def deposit(self, purse: object) -> int:
        return 0

    def look_again_ns(self, purse: object) -> int | None:
        return None


class Plain:
    def __init__(self, size: int) -> None:
        self.size = size

    def table(self, shop: object) -> object:
        return None

    def deposit(self, purse: object) -> int:
        return 0

    def look_again_ns(self, purse: object = None) -> int | None:
        return None


@pytest.fixture
def brought(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("brought_by_a_researcher")
    vars(module).update(Mine=Mine, Plain=Plain, number=3)
    monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.usefixtures("brought")
def test_a_class_of_ones_own() -> None:
    assert build("funding", spec("brought_by_a_researcher:Mine", wait="2s"), DAI) == Mine(wait=2 * NS_PER_S)
    plain = build("price", spec("brought_by_a_researcher:Plain", size=3), DAI)
    assert plain.size == 3 and settings_of(plain, DAI) is None


@pytest.mark.usefixtures("brought")
@pytest.mark.parametrize(
    ("kind", "wrong", "text"),
    [
        ("funding", spec("brought_by_a_researcher:Mine", wiat="2s"), "did you mean 'wait'"),
        ("funding", spec("brought_by_a_researcher:Mine", share="much"), "'much' is not a number"),
        ("funding", spec("brought_by_a_researcher:number"), "is not a class; a funding policy is a class with `deposit` and `look_again_ns`; ours are called once, runway, tranche"),
        ("funding", spec("brought_by_a_researcher:nothing"), "has no class 'nothing'; a funding policy is a class"),
        ("selection", spec("brought_by_a_researcher:Mine"), "has no `order`; a selection policy is a class with `order`"),
        ("funding", spec("brought_by_a_researcher:Plain"), "is missing: 'brought_by_a_researcher:Plain' has no default for it"),
        ("funding", spec("runway", first="2 tons"), "is not a duration"),
        ("funding", spec("runway", ceiling="2 ETH"), "the token here is DAI"),
        ("selection", spec("cheapest", assurance="total"), "total"),
        ("selection", spec("cheapest", regions=3), "3 is not a list"),
        ("funding", spec("runway", first="1h", low="2h"), "2h is not less than first, 1h"),
        ("funding", spec("runway", low=None), "is not a whole number"),
        ("selection", spec("runway"), "there is no selection policy 'runway'"),
        ("on_loss", spec("leave", when="now"), "there is none"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_says_why(kind: str, wrong: PolicySpec, text: str) -> None:
    with pytest.raises(BadPolicy, match=text):
        build(kind, wrong, DAI)


def test_the_source_of_a_policy_is_known() -> None:
    name, digest = policies.origin("selection", "cheapest")
    assert name == "protocol.policies.selection:Cheapest"
    source = Path(sys.modules["protocol.policies.selection"].__file__ or "")
    assert digest == hashlib.sha256(source.read_bytes()).hexdigest()


def test_a_module_that_fails_while_it_is_imported_is_named(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "breaks_on_import.py").write_text("1 / 0\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BadPolicy, match="ZeroDivisionError"):
        policies.find("price", "breaks_on_import:Best")
