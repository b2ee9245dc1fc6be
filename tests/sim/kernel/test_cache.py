"""Compiled code is never older than its sources: a changed rule is seen by the next process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from sim.kernel import cache

PROGRAM = """
import sys
from protocol import scaling
from sim.kernel.cache import compiled, directory
import numpy as np, numba
from sim.kernel.cache import kept, waiting_for

rule = numba.njit(scaling.fixed)

def entry(state, params):
    return rule(state, params, 0, 0, 0)

entry = compiled(entry)
state, params = np.zeros(scaling.STATE_LENGTH, np.int64), np.full(scaling.PARAMS_LENGTH, 3)
before, words = kept(entry), waiting_for(entry)
answer, hits = entry(state, params), sum(entry.stats.cache_hits.values())
assert before == bool(hits) == (words is None)
print(answer, hits, directory().name, int(kept(entry)))
print(words, file=sys.stderr)
"""


@dataclass(frozen=True)
class Answer:
    """What the compiled rule says, whether it came from the cache, where that is, and what a person is told before."""

    rule: int
    hits: int
    name: str
    words: str


def answer(root: Path, kept: Path | str, *, keeps: bool = True) -> Answer:
    """Runs the program on the tree at `root`."""
    script = root / "program.py"
    script.write_text(PROGRAM)
    env = {**os.environ, "PYTHONPATH": str(root), cache.VARIABLE: str(kept)}
    done = subprocess.run([sys.executable, str(script)], env=env, capture_output=True, text=True, check=True)
    said, hits, name, there = done.stdout.split()
    assert bool(int(there)) == keeps
    return Answer(int(said), int(hits), name, done.stderr.strip())


def copied(root: Path) -> Path:
    for folder in ("protocol", "sim"):
        shutil.copytree(cache.ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return root


def changed(root: Path) -> None:
    """Puts another rule into the tree."""
    plain = root / "protocol" / "scaling" / "plain.py"
    text = plain.read_text()
    other = text.replace("    return params[MIN_REPLICAS]", "    return params[MIN_REPLICAS] + 4")
    assert other != text
    plain.write_text(other)


def test_a_changed_rule_is_compiled_anew_and_an_unchanged_one_is_not(tmp_path: Path) -> None:
    root, kept = copied(tmp_path / "tree"), tmp_path / "kept"
    first = answer(root, kept)
    assert first.rule == 3 and "once, half a minute" in first.words
    assert answer(root, kept) == Answer(3, 1, first.name, "None")
    assert answer(copied(tmp_path / "copy"), kept) == Answer(3, 1, first.name, "None")  # wherever it stands
    changed(root)
    after = answer(root, kept)
    assert after.rule == 7 and after.hits == 0 and after.name != first.name


def test_where_nothing_can_be_kept_nothing_old_runs_and_each_run_says_so(tmp_path: Path) -> None:
    root, nowhere = copied(tmp_path / "tree"), "/dev/null/nowhere"
    for rule in (3, 7):
        if rule == 7:
            changed(root)
        found = answer(root, nowhere, keeps=False)
        assert (found.rule, found.hits) == (rule, 0)
        assert "at every run, for /dev/null/nowhere" in found.words and cache.VARIABLE in found.words
    assert not list(tmp_path.rglob("*.nbc"))


def test_every_source_of_the_kernel_counts(tmp_path: Path) -> None:
    names = {str(path.relative_to(cache.ROOT)) for path in cache.sources()}
    assert {"protocol/units.py", "protocol/scaling/hpa.py", "sim/laws.py", "sim/kernel/engine.py"} <= names
    loaded = {
        str(Path(module.__file__).resolve().relative_to(cache.ROOT))
        for name, module in list(sys.modules.items())
        if name.startswith(("sim.kernel.", "protocol.scaling")) and module.__file__
    }
    assert loaded <= names
    files = [tmp_path / "a.py", tmp_path / "b.py"]
    files[0].write_text("x")
    files[1].write_text("y")
    before = cache.digest(files)
    files[1].write_text("z")
    assert cache.digest(files) != before
    files[0].write_text("xy")
    files[1].write_text("")
    assert cache.digest(files) != before


def test_the_cache_is_where_the_variable_says(monkeypatch: object, tmp_path: Path) -> None:
    import pytest

    assert isinstance(monkeypatch, pytest.MonkeyPatch)
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path))
    assert cache.directory().parent == tmp_path
    monkeypatch.delenv(cache.VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    assert cache.directory().parent == tmp_path / "home" / "trusted-pods"
