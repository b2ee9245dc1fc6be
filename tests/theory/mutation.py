"""Bugs planted in copies of the tree, and which known answers they turn red: `python -m tests.theory.mutation`.

Each bug of mutants.json is a change of text (`good`, which occurs once in its file, becomes `bad`), the part of the
table that watches the mechanism, and the cases that have to be red. Where a kernel runs it is compiled first.
--only TEXT takes those with TEXT in their name; --log FILE appends a line for each.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
COPIED: Final = ("contracts", "live", "protocol", "sim", "tests")


@dataclass(frozen=True, slots=True)
class Edit:
    """One change of text in one file."""

    file: str
    good: str
    bad: str


@dataclass(frozen=True, slots=True)
class Bug:
    """A planted bug.

    Args:
        name: what is wrong.
        part: the part of the table that watches it.
        red: what is in the names of the cases that have to be red, each at least in one figure.
        edits: how it is planted.
    """

    name: str
    part: str
    red: tuple[str, ...]
    edits: tuple[Edit, ...]


def bugs() -> list[Bug]:
    """The committed list."""
    return [
        Bug(b["name"], b["part"], tuple(b["red"]), tuple(Edit(**edit) for edit in b["edits"]))
        for b in json.loads((Path(__file__).parent / "mutants.json").read_text(encoding="utf-8"))
    ]


def verdicts(bug: Bug, folder: Path) -> dict[str, str]:
    """By name the rows that watch a bug, from a copy of the tree in `folder` in which it is planted."""
    for name in COPIED:
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules")
        )
    for edit in bug.edits:
        file = folder / edit.file
        text = file.read_text(encoding="utf-8")
        assert text.count(edit.good) == 1, (
            f"{edit.good!r} occurs {text.count(edit.good)} times in {edit.file}"
        )
        file.write_text(text.replace(edit.good, edit.bad), encoding="utf-8")
    # What a bug is compiled into is of no use to anybody later.
    cache = {"TRUSTED_PODS_CACHE": str(folder / "cache")}
    only = [option for name in bug.red for option in ("--only", name)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.theory", "--json", "--part", bug.part, *only],
        cwd=folder, env={**os.environ, **cache, "PYTHONPATH": str(folder)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1) and done.stdout, f"{bug.name}: {done.stderr[-2000:]}"
    found: dict[str, str] = json.loads(done.stdout)
    return found


def unseen(bug: Bug, found: dict[str, str]) -> list[str]:
    """Which of the cases that have to be red are not."""
    return [name for name in bug.red if all(v == "agrees" for row, v in found.items() if name in row)]


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.theory.mutation", description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="TEXT")
    parser.add_argument("--log", type=Path)
    asked = parser.parse_args()
    missed = 0
    for bug in bugs():
        if asked.only and not any(text in bug.name for text in asked.only):
            continue
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            found = verdicts(bug, Path(folder))
        left = unseen(bug, found)
        missed += bool(left)
        said = f"{'NOT SEEN' if left else 'red':8} {time.monotonic() - began:6.1f} s  {bug.name}: {found}\n"
        sys.stdout.write(said)
        sys.stdout.flush()
        if asked.log:
            with asked.log.open("a", encoding="utf-8") as file:
                file.write(said)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
