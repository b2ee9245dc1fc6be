"""The calibration guide runs as it stands, and finds what was put in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

GUIDE = Path(__file__).parents[2] / "docs/guides/calibrate-to-a-trace.md"
REQUESTS = 700


@pytest.fixture(scope="module")
def blocks() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for language, body in re.findall(
        r"```(python|yaml)\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL
    ):
        found.setdefault(language, []).append(body)
    return found


def test_a_log_is_played_back_and_its_law_behaves_alike(
    blocks: dict[str, list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Log-normal gaps of 4 s and cv 2 for an hour, and log-normal work."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(5)
    width = np.sqrt(np.log(1 + 2.0**2))
    at = 1_700_000_000 + np.cumsum(draw.lognormal(np.log(4.0) - width**2 / 2, width, REQUESTS))
    took = draw.lognormal(np.log(0.4), 0.5, REQUESTS)
    lines = ["time,took", *(f"{time:.6f},{work:.6f}" for time, work in zip(at, took, strict=True))]
    Path("access.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    Path("measured.yaml").write_text(blocks["yaml"][0], encoding="utf-8")
    names: dict[str, Any] = {}
    for code in blocks["python"]:
        exec(compile(code, GUIDE.name, "exec"), names)
    said = capsys.readouterr().out
    assert f"{REQUESTS} requests, gaps " in said
    assert names["mean"] == pytest.approx(4.0, rel=0.3) and names["cv"] == pytest.approx(2.0, rel=0.4)
    played, drawn = (names[run].summary["metrics"]["requests_arrived"] for run in ("played", "drawn"))
    within = int((at - at[0] < 3600).sum())
    assert played["mean"] == within and played["low"] == played["high"] == within, (
        "the same in every replication"
    )
    assert drawn["low"] < drawn["high"]
