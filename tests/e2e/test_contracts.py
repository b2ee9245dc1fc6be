"""The committed artifacts are what npm's solc makes of the sources, byte for byte."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]


def run(*command: str, cwd: Path) -> None:
    done = subprocess.run(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which a fresh copy of the sources was compiled, with packages installed from the lock."""
    for tool in ("node", "npm"):
        assert shutil.which(tool), f"{tool} is needed to compile the contracts"
    copy = tmp_path_factory.mktemp("sources")
    for folder in ("contracts", "tests/contracts"):
        shutil.copytree(
            ROOT / folder,
            copy / folder,
            ignore=shutil.ignore_patterns("node_modules", "artifacts", "__pycache__"),
        )
    (copy / "tests" / "contracts" / "compiled.json").unlink()
    run("npm", "ci", "--silent", "--ignore-scripts", cwd=copy / "contracts")
    run("node", "build.mjs", cwd=copy / "contracts")
    return copy


@pytest.mark.parametrize(
    "name",
    [
        *(f"contracts/artifacts/{contract}.json" for contract in ("Payment", "Registry", "TestToken")),
        "tests/contracts/compiled.json",
    ],
)
def test_compiling_again_gives_the_same_bytes(compiled: Path, name: str) -> None:
    assert (compiled / name).read_bytes() == (ROOT / name).read_bytes()


def test_nothing_else_is_committed_as_compiled(compiled: Path) -> None:
    made = {path.name for path in (compiled / "contracts" / "artifacts").iterdir()}
    assert made == {path.name for path in (ROOT / "contracts" / "artifacts").iterdir()}
