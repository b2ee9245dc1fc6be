"""Scenario files, what each is for, and `python -m scenarios`, which makes the library's results anew.

What belongs here: questions (a folder each), traces and manifests that they use, and the one program that carries a
question from its sweep to its page. What does not: what a scenario can say (`sim.scenario`), how sweeps are run
(`sim.experiments`), and how a result is read and drawn (`notebooks/`, one for each question).
"""
