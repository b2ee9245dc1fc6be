"""The code blocks of README and tutorial, run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str) -> list[tuple[str, str]]:
    """Language and text of every fenced block of a page, in order."""
    return BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """An environment in which `trustedpods` is the code under test."""
    command = tmp_path / "bin" / "trustedpods"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cli "$@"\n')
    command.chmod(0o755)
    return {**os.environ, "PATH": f"{command.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


def run(language: str, text: str, folder: Path, environment: dict[str, str]) -> str:
    command = {"sh": ["sh", "-e", "-c", text], "python": [sys.executable, "-c", text]}[language]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_tutorial_runs(tmp_path: Path, shell: dict[str, str]) -> None:
    found = blocks("docs/tutorial.md")
    assert len(found) >= 6
    for language, text in found:
        run(language, text, tmp_path, shell)


def test_the_readme_shows_what_its_scenario_gives(tmp_path: Path, shell: dict[str, str]) -> None:
    by_language = dict(blocks("README.md"))
    (tmp_path / "small.yaml").write_text(by_language["yaml"])
    printed = run("sh", "trustedpods run small.yaml", tmp_path, {**shell, "COLUMNS": "80"})
    seen = {" ".join(line.split()) for line in printed.splitlines()}
    shown = [" ".join(line.split()) for line in by_language["text"].splitlines() if line.strip()]
    assert len(shown) > 15
    missing = [line for line in shown if line not in seen]
    assert not missing, f"the README shows lines that the command does not print: {missing}\n{printed}"
    run("python", by_language["python"], tmp_path, shell)
