"""Questions asked of many runs.

What belongs here: what compares, repeats and judges whole runs, and which runs those are. What does not: what one
run does (`sim.simulation`), what is measured on it (`sim.metrics`), and what a scenario may say of a sweep
(`sim.scenario.sweep`).
"""

from __future__ import annotations

from typing import Final

HEADLINES: Final = ("served_share", "cold_share", "latency_p50_ms", "cost_per_million", "profit")
"""Metrics that are shown of a sweep when none is named."""
