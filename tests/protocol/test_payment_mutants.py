"""The machine finds planted bugs: each is one change of text in `protocol/payment`, run as a package of its own."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, Verbosity, settings
from hypothesis.stateful import run_state_machine_as_test

from protocol import payment
from tests.protocol.payment_machine import machine_for

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = "mutant_of_payment"
SOURCES = {path.name: path.read_text() for path in Path(payment.__file__).parent.glob("*.py")}
BOUNDED = settings(
    max_examples=400,
    stateful_step_count=40,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # the first failure will do; nobody reads a small one
    report_multiple_bugs=False,
    verbosity=Verbosity.quiet,
)


@dataclass(frozen=True)
class Bug:
    """A planted bug: `good` occurs once in the sources and becomes `bad`."""

    name: str
    good: str
    bad: str
    fee: int = 0


BUGS = [
    Bug(
        "a channel created again is unlocked from birth",
        "Channel(credit, 0, unlock_time_s, 0, life + 1)",
        "Channel(credit, 0, unlock_time_s, channel.unlocked_at_s if channel else 0, life + 1)",
    ),
    Bug(
        "a deposit leaves the unlock running",
        "channel.invested_by_publisher + credit, unlocked_at_s=0",
        "channel.invested_by_publisher + credit",
    ),
    Bug("a second unlock starts the timer again", "if channel.unlocked_at_s != 0:", "if False:"),
    Bug("an unlock passes a second late", "now_s >= channel.unlocked_at_s", "now_s > channel.unlocked_at_s"),
    Bug(
        "an unlock passes a second early",
        "now_s >= channel.unlocked_at_s",
        "now_s + 1 >= channel.unlocked_at_s",
    ),
    Bug(
        "the final settlement does not end the unlock",
        "min(channel.unlocked_at_s, now_s)",
        "channel.unlocked_at_s",
    ),
    Bug("a settlement starts an unlock", "min(channel.unlocked_at_s, now_s)", "now_s"),
    Bug(
        "a routine claim ends the unlock",
        "withdrawn_by_provider=channel.withdrawn_by_provider + due)",
        "withdrawn_by_provider=channel.withdrawn_by_provider + due, unlocked_at_s=0)",
    ),
    Bug("a late claim hits a channel created again", "claimed_life != channel.life", "False"),
    Bug(
        "a claim is not limited by what is invested",
        "min(total, channel.invested_by_publisher) -",
        "total -",
    ),
    Bug(
        "a settlement pays the total again",
        "(Pay(to, total - withdrawn),)",
        "(Pay(to, total),)",
    ),
    Bug(
        "what was paid is forgotten when the rest is taken back",
        "invested_by_publisher=channel.withdrawn_by_provider)",
        "invested_by_publisher=0, withdrawn_by_provider=0)",
    ),
    Bug(
        "a provider releases to itself",
        "(Pay(key.publisher, rest),))\n\n\ndef _locked",
        "(Pay(key.provider, rest),))\n\n\ndef _locked",
    ),
    Bug("365 days are too long", "unlock_time_s > MAX_UNLOCK_TIME_S", "unlock_time_s >= MAX_UNLOCK_TIME_S"),
    Bug(
        "a channel named twice is paid twice",
        "before.channel if before is not None else self._records.get(key)",
        "self._records.get(key)",
    ),
    Bug(
        "what was asked is credited, not what was received",
        "if received != amount:",
        "if False:",
        fee=1,
    ),
    Bug("a refused command keeps the tokens", "self.token.rollback()", "pass", fee=1),
    Bug(
        "anyone can claim",
        "ChannelKey(command.publisher, caller, command.pod_id)",
        "ChannelKey(command.publisher, Address(b'P' * 20), command.pod_id)",
    ),
]


UNCHANGED = Bug("none", "", "")


@pytest.fixture
def mutant(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ModuleType]:
    """The payment package with the bug that the test names, imported from files of its own."""
    bug: Bug = request.param
    if bug is not UNCHANGED:
        found = sum(source.count(bug.good) for source in SOURCES.values())
        assert found == 1, f"{bug.good!r} occurs {found} times in protocol/payment"
    (tmp_path / PACKAGE).mkdir()
    for name, source in SOURCES.items():
        changed = source if bug is UNCHANGED else source.replace(bug.good, bug.bad)
        (tmp_path / PACKAGE / name).write_text(changed.replace("protocol.payment", PACKAGE))
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module(PACKAGE)
    for name in [name for name in sys.modules if name.split(".")[0] == PACKAGE]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("mutant", "fee"), [(bug, bug.fee) for bug in BUGS], indirect=["mutant"], ids=[b.name for b in BUGS]
)
def test_planted_bug_is_found(mutant: ModuleType, fee: int) -> None:
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine_for(mutant, fee=fee), settings=BOUNDED)


@pytest.mark.parametrize("mutant", [UNCHANGED], indirect=True, ids=["unchanged"])
def test_unchanged_source_is_clean(mutant: ModuleType) -> None:
    """What the mutants are caught by is not the way they are loaded."""
    run_state_machine_as_test(machine_for(mutant), settings=settings(BOUNDED, max_examples=60))
