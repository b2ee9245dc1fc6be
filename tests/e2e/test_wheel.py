"""What somebody installs who has no checkout: the wheel, in an environment of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
PACKAGES = {"contracts", "protocol", "sim", "live", "cli"}


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command to its end, away from this checkout. Returns what it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is, or is about to be, in the history: setuptools builds in the tree, and keeps what it finds there."""
    copy = tmp_path_factory.mktemp("sources")
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    dist = tmp_path_factory.mktemp("dist")
    run(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"),
        *("--wheel-dir", dist, sources),
        cwd=dist,
    )
    [built] = dist.glob("trusted_pods-*-py3-none-any.whl")
    return built


@pytest.fixture(scope="module")
def home(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an environment in `venv/` that holds the locked packages and the wheel."""
    folder = tmp_path_factory.mktemp("home")
    run(sys.executable, "-m", "venv", "venv", cwd=folder)
    pip = (
        folder / "venv" / "bin" / "python",
        "-m",
        "pip",
        "--quiet",
        "--disable-pip-version-check",
        "install",
    )
    lock = ROOT / "requirements" / "base.txt"
    run(*pip, "--require-hashes", "--only-binary", ":all:", "--requirement", lock, cwd=folder)
    run(*pip, "--no-deps", "--no-index", wheel, cwd=folder)
    return folder


def test_the_wheel_holds_every_file_of_the_packages(sources: Path, wheel: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = {
        str(path.relative_to(sources))
        for package in PACKAGES
        for path in (sources / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == expected


def test_the_wheel_brings_its_licence(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    assert any(name.endswith("/licenses/NOTICE") for name in names)


def test_the_lock_satisfies_what_the_wheel_asks_for(home: Path) -> None:
    run(home / "venv" / "bin" / "python", "-m", "pip", "check", cwd=home)


def test_the_command_works_where_there_is_no_checkout(home: Path) -> None:
    python, command = home / "venv" / "bin" / "python", home / "venv" / "bin" / "trustedpods"
    assert run(python, "-c", "import sim; print(sim.__file__)", cwd=home).startswith(str(home / "venv"))
    assert "validate" in run(command, "--help", cwd=home)


def test_a_new_scenario_runs_where_there_is_no_checkout(home: Path) -> None:
    command, work = home / "venv" / "bin" / "trustedpods", home / "work"
    work.mkdir()
    run(command, "new", "hello", cwd=work)
    [scenario] = work.rglob("scenario.yaml")
    run(command, "validate", scenario, cwd=work)
    run(command, "run", scenario, "--out", work / "out", "--quiet", cwd=work)
    assert (work / "out" / "report.html").is_file()
