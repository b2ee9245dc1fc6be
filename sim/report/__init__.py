"""One HTML page about a run, or about a sweep: offline, printable, light and dark, every plot with its numbers beneath.

Belongs here: reading a run for drawing (`data`), plots (`plots_*`), those that notebooks share (`charts`), the look
(`style`) and the pages (`page`, `sweep_page`).
Does not: metrics and estimates (`sim.metrics`, `sim.statistics`), which the page only shows.
"""

from sim.report.page import write_report

__all__ = ["write_report"]
