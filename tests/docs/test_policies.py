"""The guide's policies are run as they stand, and the reference of policies is current."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sim.scenario import load
from sim.scenario.policies import imported
from sim.scenario.policy_reference import page
from tests.sim.worlds import Played, play

DOCS = Path(__file__).parents[2] / "docs"


def blocks(kind: str) -> list[str]:
    text = (DOCS / "guides/write-a-policy.md").read_text(encoding="utf-8")
    return re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder = tmp_path_factory.mktemp("my-question")
    (folder / "my_policies.py").write_text("\n".join(blocks("python")), encoding="utf-8")
    (folder / "scenario.yaml").write_text(blocks("yaml")[0], encoding="utf-8")
    return play(load(folder / "scenario.yaml"), folder / "run")


def test_the_guides_policies_decide(played: Played) -> None:
    assert not played.outcome.violations
    prices = sorted({row["cpu"] for row in played.rows("prices")})
    base = 10**16 / 3600  # of 0.01 DAI a core-hour; the night ends as the scenario begins
    assert prices[0] == pytest.approx(0.8 * base, rel=1e-6) and prices[-1] == pytest.approx(
        2 * base, rel=1e-6
    )
    assert any(row["reason"] == "NotInTheMood" for row in played.rows("deployments"))
    ended = [row for row in played.rows("deployments") if row["arrivals"]]
    assert sum(row["served"] for row in ended) > 100
    assert all(row["replica_starts"] >= 2 for row in ended), "it goes to zero and comes back"


def test_the_reference_of_policies_is_current() -> None:
    assert (DOCS / "reference/policies.md").read_text(encoding="utf-8") == page()


def test_a_module_beside_the_scenario_that_changes_is_another(tmp_path: Path) -> None:
    path = tmp_path / "changing_module.py"
    path.write_text("N = 1\n", encoding="utf-8")
    assert imported(str(path)).N == 1
    path.write_text("N = 2\n", encoding="utf-8")
    assert imported(str(path)).N == 2


def test_a_module_may_not_take_anothers_name(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("class Mine: pass\n", encoding="utf-8")
    with pytest.raises(ImportError, match="another module is called 'json'"):
        imported(str(tmp_path / "json.py"))
