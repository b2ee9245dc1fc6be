"""Compiled code is never older than its sources: a changed rule is seen by the next process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from sim.kernel import cache

PROGRAM = """
import sys
from protocol import scaling
from sim.kernel.cache import compiled, directory
import numpy as np, numba
from sim.kernel.cache import kept

rule = numba.njit(scaling.fixed)

def entry(state, params):
    return rule(state, params, 0, 0, 0)

entry = compiled(entry)
state, params = np.zeros(scaling.STATE_LENGTH, np.int64), np.full(scaling.PARAMS_LENGTH, 3)
before = kept()
print(entry(state, params), sum(entry.stats.cache_hits.values()), directory().name)
assert before == bool(sum(entry.stats.cache_hits.values())) and kept()
"""


def answer(root: Path, kept: Path) -> tuple[int, int, str]:
    """Runs the program on the tree at `root`: what the compiled rule says, cache hits, the directory."""
    script = root / "program.py"
    script.write_text(PROGRAM)
    env = {**os.environ, "PYTHONPATH": str(root), cache.VARIABLE: str(kept)}
    done = subprocess.run([sys.executable, str(script)], env=env, capture_output=True, text=True, check=True)
    said, hits, name = done.stdout.split()
    return int(said), int(hits), name


def test_a_changed_rule_is_compiled_anew_and_an_unchanged_one_is_not(tmp_path: Path) -> None:
    root, kept = tmp_path / "tree", tmp_path / "kept"
    for folder in ("protocol", "sim"):
        shutil.copytree(cache.ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    first = answer(root, kept)
    assert first[0] == 3
    again = answer(root, kept)
    assert again == (3, 1, first[2])
    plain = root / "protocol" / "scaling" / "plain.py"
    text = plain.read_text()
    changed = text.replace("    return params[MIN_REPLICAS]", "    return params[MIN_REPLICAS] + 4")
    assert changed != text
    plain.write_text(changed)
    after = answer(root, kept)
    assert after[0] == 7 and after[1] == 0 and after[2] != first[2]


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
