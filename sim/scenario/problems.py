"""What is wrong with a scenario, all of it at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import BadInput

KeyPath = tuple[str | int, ...]
"""Where in a file: keys and list indices."""


def dotted(path: KeyPath) -> str:
    """As `--set` writes it: `providers.0.count`."""
    return ".".join(str(part) for part in path)


def shown(path: Path) -> str:
    """A path as a person would name it: from the working folder where it lies below it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        file: the file, as the person named it, or the `--set` it comes from.
        line: line in the file, from 1; None: in no particular one.
        path: keys down to the value; empty: the file as a whole.
        text: the value, what is allowed, and the nearest known key where one was mistyped.
    """

    file: str
    line: int | None
    path: str
    text: str

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.path}: {self.text}" if self.path else f"{where}: {self.text}"


class ScenarioErrors(BadInput):
    """A scenario cannot be run; nothing was done.

    Args:
        problems: everything that is wrong with it, at least one, in the order of the file.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        found = list(dict.fromkeys(problems))
        files = {problem.file: i for i, problem in reversed(list(enumerate(found)))}
        self.problems = tuple(sorted(found, key=lambda problem: (files[problem.file], problem.line or 0)))
        super().__init__("\n".join(str(problem) for problem in self.problems))
