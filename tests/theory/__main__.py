"""Run every known answer: `python -m tests.theory` writes the table into docs/validation.md.

--check says instead whether the table there is what comes out; --only TEXT runs what has TEXT in its name and
prints it; --json prints names and verdicts, for programs. The exit status is 1 when a row is red or the table another.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from importlib.util import find_spec

from tests.theory import table
from tests.theory.known import Row, rows


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.theory", description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--only", action="append", default=[], metavar="TEXT")
    parser.add_argument("--part", action="append", default=[], choices=table.PARTS)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    evm = find_spec("pyrevm") is not None
    found: dict[str, list[Row]] = {}
    for part in asked.part or table.PARTS:
        found[part] = []
        for case in table.cases(part):
            if asked.only and not any(name in case.name for name in asked.only):
                continue
            if getattr(case, "needs_evm", False) and not evm:
                sys.stderr.write(f"{case.name}: left out, pyrevm is not installed\n")
                continue
            began = time.monotonic()
            found[part] += rows(case)
            sys.stderr.write(f"{time.monotonic() - began:6.1f} s  {case.name}\n")
    every = [row for part in found.values() for row in part]
    red = [row for row in every if not row.green]
    if asked.json:
        sys.stdout.write(json.dumps({row.name: row.verdict for row in every}, indent=1) + "\n")
    elif asked.only or asked.part:
        sys.stdout.writelines(f"{row.line}\n" for row in every)
    elif asked.check:
        if table.text(found) != table.committed():
            sys.stdout.write(f"{table.PAGE.name} has another table\n")
            return 1
    elif evm:
        table.commit(table.text(found))
    sys.stdout.writelines(f"red: {row.line}\n" for row in red if not asked.json)
    return 1 if red else 0


if __name__ == "__main__":
    sys.exit(main())
