"""What happened and what is assumed, in words.

What belongs here: what turns a run's tables, or a scenario, into sentences and sums that a person can check. What
does not: what a metric is (`sim.metrics`), what a key means (its description in `sim.scenario`), and how a terminal
shows it (`cli`).
"""
