"""What is wrong with a manifest, all of it at once."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from protocol.errors import BadManifest


class BadManifests(BadManifest):
    """A manifest is wrong in one or more places; a `BadManifest` whose `problems` lists them all.

    Args:
        problems: at least one, in the order of the manifest.
    """

    def __init__(self, problems: Iterable[BadManifest]) -> None:
        self.problems = tuple(problems)
        first = self.problems[0]
        super().__init__(first.path, first.problem)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like `word`, or None when none is like it."""
    words = list(known)
    by_lower = {name.lower(): name for name in words}
    found = get_close_matches(word.lower(), list(by_lower), n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def hint(word: str, known: Iterable[str]) -> str:
    """` did you mean 'x'?` or the list of what is known, to end a message with."""
    words = list(known)
    near = nearest(word, words)
    if near:
        return f"did you mean '{near}'?"
    return f"known: {', '.join(sorted(words))}" if words else "there is none"


class Collector:
    """Collects problems while a manifest is read, so that all are reported together."""

    def __init__(self) -> None:
        self.problems: list[BadManifest] = []

    def add(self, path: str, problem: str) -> None:
        """Notes a problem."""
        self.problems.append(BadManifest(path, problem))

    def end(self) -> None:
        """Raises `BadManifests` when there was any problem."""
        if self.problems:
            raise BadManifests(self.problems)
