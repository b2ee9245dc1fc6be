"""Wrong scenarios, each with its message beside it, through the real command.

`wrong/<name>.yaml` is refused with status 2 and exactly `wrong/<name>.txt` on stderr. A first line
`# options: ...` holds more options of the command.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import main

WRONG = Path(__file__).parent / "wrong"
CASES = sorted(path.name for path in WRONG.glob("[0-9]*.yaml"))


def options(path: Path) -> list[str]:
    first = path.read_text(encoding="utf-8").split("\n", 1)[0]
    return first.removeprefix("# options: ").split() if first.startswith("# options: ") else []


def test_there_are_fifty_at_least() -> None:
    assert len(CASES) >= 50


def test_what_they_are_made_of_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(WRONG)
    result = CliRunner().invoke(main, ["validate", "right.yaml"])
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("command", "name"),
    [("validate", name) for name in CASES]
    + [(other, name) for other in ("run", "show") for name in CASES[::10]],
)
def test_message_is_the_expected_one(command: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(WRONG)
    result = CliRunner().invoke(main, [command, name, *options(Path(name))])
    assert result.exit_code == 2
    assert result.stderr == Path(name).with_suffix(".txt").read_text(encoding="utf-8")
    assert result.stdout == ""
    assert not (WRONG / "runs").exists()
