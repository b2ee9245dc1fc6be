from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
from click.testing import CliRunner, Result

import sim
from cli.main import main
from cli.progress import hours
from sim.results import load as load_run
from sim.scenario import load, loads
from tests.sim.example_run import write_example

ROOT = Path(__file__).parents[2]


def command(*args: object) -> Result:
    result = CliRunner().invoke(main, [str(arg) for arg in args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def scenario() -> Path:
    command("new", "first")
    return Path("first/scenario.yaml")


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_example(tmp_path_factory.mktemp("runs"), pods=6, providers=2, hours=1)


class Simulator:
    """Stands for `sim.run`: keeps what it was called with and gives a run that exists."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.calls: list[dict[str, Any]] = []
        self.changes: dict[str, Any] = {}
        self.raises: BaseException | None = None

    def run(self, path: Path, overrides: tuple[str, ...], **options: Any) -> Any:
        self.calls.append({"path": path, "overrides": tuple(overrides), **options})
        if self.raises is not None:
            raise self.raises
        results = load_run(self.directory)
        results.summary.update(self.changes)  # cached, so the change stays
        return results


@pytest.fixture
def simulator(example: Path, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    made = Simulator(example)
    monkeypatch.setattr(sim, "run", made.run, raising=False)
    return made


# --- new, validate, show, schema, report ---


def test_what_new_writes_validates() -> None:
    result = command("new", "first")
    assert result.exit_code == 0 and "trustedpods run first/scenario.yaml" in result.stdout
    checked = command("validate", "first/scenario.yaml")
    assert (checked.exit_code, checked.stderr) == (0, "")
    assert checked.stdout.startswith("first/scenario.yaml: sound (first: 3 providers, 10 publishers)\n")
    assert command("validate", "first/scenario.yaml", "--quiet").stdout == ""
    schema = Path("first/scenario.schema.json").read_text(encoding="utf-8")
    assert (
        schema
        == command("schema").stdout
        == (ROOT / "scenarios/scenario.schema.json").read_text(encoding="utf-8")
    )


def test_new_overwrites_nothing(scenario: Path) -> None:
    before = scenario.read_bytes()
    result = command("new", "first")
    assert (result.exit_code, result.stderr) == (2, "first: exists already; nothing was written\n")
    assert scenario.read_bytes() == before


def test_new_refuses_a_name_that_a_scenario_cannot_have() -> None:
    result = command("new", "My Scenario")
    assert result.exit_code == 2 and "lower-case letters, digits and dashes" in result.stderr
    assert not list(Path().iterdir())


def test_new_in_a_place_that_is_no_folder() -> None:
    Path("taken").write_text("", encoding="utf-8")
    result = command("new", "taken/first")
    assert result.exit_code == 2 and result.stderr == "taken/first: Not a directory\n"


def test_validate_checks_all_files_and_tells_all_problems(scenario: Path) -> None:
    result = command("validate", scenario, "nope.yaml", "neither.yaml")
    assert result.exit_code == 2
    assert result.stdout.startswith("first/scenario.yaml: sound")
    assert result.stderr == "nope.yaml: there is no such file\nneither.yaml: there is no such file\n"


def test_show_prints_a_scenario_that_loads_to_the_same(scenario: Path) -> None:
    result = command("show", scenario, "--set", "providers.budget.count=7")
    assert result.exit_code == 0
    assert loads(result.stdout) == load(scenario, ["providers.budget.count=7"])
    assert "block_time: 2s" in result.stdout and "exposure: 10m" in result.stdout
    as_json = json.loads(command("show", scenario, "--json").stdout)
    assert as_json["providers"][0]["terms"]["tick"] == "100s"


def test_show_says_that_prices_are_rounded(scenario: Path) -> None:
    shown = command("show", scenario).stdout
    assert shown.startswith("# Prices are rounded to whole base units (1e-18 DAI)")
    assert "cpu: 0.0299999999999988 DAI/core-h" in shown  # 0.03 in the file


def test_show_of_a_run_prints_its_summary(example: Path) -> None:
    result = command("show", example)
    assert result.exit_code == 0 and "example" in result.stdout and "Money" in result.stdout
    assert json.loads(command("show", example, "--json").stdout) == load_run(example).summary
    refused = command("show", example, "--set", "seed=3")
    assert refused.exit_code == 2 and "cannot be changed" in refused.stderr


def test_show_of_what_is_neither() -> None:
    assert command("show", "nope").exit_code == 2
    Path("empty").mkdir()
    result = command("show", "empty")
    assert result.exit_code == 2 and "is not a run's directory" in result.stderr


def test_report_writes_the_page_again(example: Path) -> None:
    result = command("report", example)
    assert result.exit_code == 0
    assert Path(result.stdout.strip()).read_text(encoding="utf-8").startswith("<!")
    assert command("report", "nope").exit_code == 2


# --- run ---


def test_run_hands_over_what_was_asked(scenario: Path, simulator: Simulator) -> None:
    result = command(
        "run", scenario, "--set", "seed=3", "--set", "duration=1h", "--seed", 5, "--replications", 4, "--workers", 2,
        "--threads", 3, "--out", "there",
    )  # fmt: skip
    assert result.exit_code == 0
    assert simulator.calls == [
        {
            "path": scenario,
            "overrides": ("seed=3", "duration=1h"),
            "seed": 5,
            "replications": 4,
            "workers": 2,
            "threads": 3,
            "out": Path("there"),
            "progress": None,  # not a terminal
            "notice": ANY,
        }
    ]
    assert "Money" in result.stdout and f"report: {simulator.directory}/report.html" in result.stdout
    command("run", scenario)
    plain = simulator.calls[-1]
    assert plain["threads"] is None
    assert (plain["seed"], plain["replications"], plain["workers"], plain["out"]) == (None, None, 1, None)


def test_json_is_the_summary_and_nothing_else(scenario: Path, simulator: Simulator) -> None:
    result = command("run", scenario, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == load_run(simulator.directory).summary


def test_quiet_says_nothing(scenario: Path, simulator: Simulator) -> None:
    result = command("run", scenario, "--quiet")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    assert simulator.calls


def test_a_broken_invariant_is_9_and_keeps_the_tables(scenario: Path, simulator: Simulator) -> None:
    simulator.raises = sim.InvariantBroken(load_run(simulator.directory), ("tokens: 3 and 4 base units",))
    for options in (("--quiet",), (), ("--json",)):
        result = command("run", scenario, *options)
        assert result.exit_code == 9
        assert "tokens: 3 and 4 base units" in result.stderr and str(simulator.directory) in result.stderr
    as_json = command("run", scenario, "--json")
    assert json.loads(as_json.stdout) == load_run(simulator.directory).summary


def test_an_interrupted_run_is_130_and_says_how_far_it_came(scenario: Path, simulator: Simulator) -> None:
    simulator.changes = {"interrupted": True, "complete_share": 0.25}
    result = command("run", scenario, "--quiet")
    assert result.exit_code == 130
    assert result.stderr.startswith("interrupted: 25.0% of the virtual time was reached")
    simulator.raises = KeyboardInterrupt()
    assert command("run", scenario).exit_code == 130


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (PermissionError(13, "Permission denied", "/out"), "/out: Permission denied\n"),
        (FileNotFoundError(2, "No such file or directory", "x.csv"), "x.csv: No such file or directory\n"),
    ],
)
def test_a_users_mistake_has_no_traceback(
    error: OSError, text: str, scenario: Path, simulator: Simulator
) -> None:
    simulator.raises = error
    result = command("run", scenario)
    assert (result.exit_code, result.stderr) == (2, text)


def test_a_bug_is_not_hidden(scenario: Path, simulator: Simulator) -> None:
    for bug in (ZeroDivisionError("x"), OSError("no path, so not a person's mistake")):
        simulator.raises = bug
        with pytest.raises(type(bug)):
            command("run", scenario)


# --- the command as a whole ---


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["rum"], "there is no command 'rum'; did you mean 'run'?"),
        (["run"], "Missing argument 'FILE'"),
        (["run", "x", "--sed", "1"], "No such option"),
        (["run", "x", "--seed", "-1"], "Invalid value for '--seed'"),
        (["run", "x", "--workers", "0"], "Invalid value for '--workers'"),
    ],
)
def test_wrong_use_is_2(args: list[str], text: str) -> None:
    result = command(*args)
    assert result.exit_code == 2 and text in result.stderr


def test_help_is_quick_because_nothing_slow_is_imported() -> None:
    code = (
        "import sys; from cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "slow = {'numpy', 'numba', 'pydantic', 'rich', 'pandas', 'pyarrow', 'yaml', 'sim'} & set(sys.modules)\n"
        "sys.exit(f'imported: {slow}' if slow else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(
        name in done.stdout
        for name in (
            "new",
            "run",
            "validate",
            "show",
            "schema",
            "report",
            "compare",
            "replay",
            "explain",
            "optimise",
        )
    )


def test_validate_is_quick_because_nothing_slow_is_imported() -> None:
    """A scenario is checked, traces and all, without what simulates, writes and draws."""
    code = (
        "import sys; from cli.main import main\n"
        "main(['validate', 'scenarios/azure-marketplace/scenario.yaml'], standalone_mode=False)\n"
        "slow = {'numpy', 'numba', 'pandas', 'pyarrow', 'matplotlib', 'scipy', 'simpy', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'imported: {slow}' if slow else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "sound" in done.stdout


def test_python_m_cli_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cli", "validate", "nope.yaml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "nope.yaml: there is no such file\n")


def test_virtual_time_reads_as_a_clock() -> None:
    assert [hours(ns) for ns in (0, 61 * 10**9, 30 * 3600 * 10**9 + 5 * 10**9)] == [
        "0:00:00",
        "0:01:01",
        "30:00:05",
    ]
