"""Planted bugs turn the table red; those that need a compilation do so in the long runs (`make wide`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.theory import table
from tests.theory.mutation import ROOT, Bug, bugs, unseen, verdicts

QUICK = [bug for bug in bugs() if bug.part == "scaling"]
LONG = [bug for bug in bugs() if bug.part != "scaling"]


def test_every_bug_can_be_planted_and_names_cases_that_are_there() -> None:
    for bug in bugs():
        for edit in bug.edits:
            assert (ROOT / edit.file).read_text(encoding="utf-8").count(edit.good) == 1, (bug.name, edit)
            assert edit.good != edit.bad
        names = [case.name for case in table.cases(bug.part)]
        assert [red for red in bug.red if not any(red in name for name in names)] == [], bug.name
    assert len({bug.name for bug in bugs()}) == len(bugs()) >= 25


def test_the_unchanged_copy_is_green(tmp_path: Path) -> None:
    """What the bugs are seen by is not the way they are planted."""
    every = tuple(red for bug in QUICK for red in bug.red)
    found = verdicts(Bug("none", "scaling", every, ()), tmp_path)
    assert set(found.values()) == {"agrees"} and len(found) > 10


@pytest.mark.parametrize("bug", QUICK, ids=[bug.name for bug in QUICK])
def test_a_planted_bug_is_seen(bug: Bug, tmp_path: Path) -> None:
    assert unseen(bug, verdicts(bug, tmp_path)) == []


@pytest.mark.wide
@pytest.mark.parametrize("bug", LONG, ids=[bug.name for bug in LONG])
def test_a_planted_bug_that_needs_a_cluster_is_seen(bug: Bug, tmp_path: Path) -> None:
    assert unseen(bug, verdicts(bug, tmp_path)) == []
