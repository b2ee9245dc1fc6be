"""Questions asked of many runs.

What belongs here: what compares, repeats and judges whole runs. What does not: what one run does (`sim.simulation`)
and what is measured on it (`sim.metrics`).
"""
