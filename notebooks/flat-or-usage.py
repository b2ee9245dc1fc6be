# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # When does paying by use beat a lease?
#
# By use a pod pays for the time that its replica is up, and scales to zero in between. A lease is a replica that is
# always up, at a lower price: the price ratio $\varphi$ is the lease's over that of use. `scenarios/flat-or-usage/about.md` says what
# was run. This notebook reads the kept results of that sweep, or of the one that `TRUSTED_PODS_SWEEP` names.

# %%
import os
from pathlib import Path

import numpy as np

import sim
from sim.experiments.answers import Answer, jackknifed
from sim.report.charts import canvas
from sim.report.style import DASHES, INKS, SERIES, legend_above, log_axis
from sim.statistics import mean_interval

here = Path("scenarios/flat-or-usage/results")
sweep = sim.load_sweep(os.environ.get("TRUSTED_PODS_SWEEP") or (here if here.exists() else ".." / here))
sweep

# %% [markdown]
# ## What each point cost
#
# Publishers' spend, over what one replica costs that is always up at the full price.

# %%
HOURS, FULL = 48, 0.5 * 0.03 + 0.5 * 0.004  # DAI an hour: half a core and half a GiB
RATIOS = {"0.03 ": 1.0, "0.018 ": 0.6, "0.009 ": 0.3}

rows = sweep.results.copy()
rows["rate"] = rows["publishers.0.traffic.poisson.number"]
rows["leased"] = rows["publishers.0.scaling"].str.contains("fixed")
rows["ratio"] = [next(r for word, r in RATIOS.items() if word in text) for text in rows["providers.0.prices"]]
rows["cost"] = rows["spend"] / (rows["publishers"] * HOURS * FULL)
use = rows[~rows["leased"] & (rows["ratio"] == 1.0)]
leases = rows[rows["leased"]]

# %% [markdown]
# ## What theory says
#
# Use costs the billed share of the M/G/1 queue with an idle timer (see `idle-timer`), $b = 1 - (p/\lambda)/\text{cycle}$; a lease
# costs $\varphi$. They are equal where $b(\lambda) = \varphi$.

# %%
IDLE_S, SERVICE_S, START_S = 60.0, 2.0, 10.0


def known(rate):
    """Billed share."""
    p = np.exp(-rate * IDLE_S)
    cycle_s = 1 / rate + (p * START_S + SERVICE_S) / (1 - rate * SERVICE_S)
    return 1 - p / rate / cycle_s


def known_even(ratio):
    """The rate at which use costs as much as a lease, by bisection [1/s]."""
    low, high = 1e-5, 0.4
    for _ in range(60):
        middle = np.sqrt(low * high)
        low, high = (middle, high) if known(middle) < ratio else (low, middle)
    return middle


def even(ratio):
    """The same from simulated costs: straight lines in log rate between the points."""

    def of(part):
        by_use = part[~part["leased"] & (part["ratio"] == 1.0)].groupby("rate")["cost"].mean()
        flat = part[part["leased"] & (part["ratio"] == ratio)]["cost"].mean()
        odds = np.log(by_use / (1 - by_use))  # a nearly straight line, so that little is lost between points
        return np.exp(np.interp(np.log(flat / (1 - flat)), odds, np.log(by_use.index)))

    return of


def over_known(part):
    """Costs of use over the formula's, their mean."""
    by_use = part[~part["leased"] & (part["ratio"] == 1.0)].groupby("rate")["cost"].mean()
    return np.mean(by_use / known(by_use.index.to_numpy()))


def over_ratio(part):
    """Costs of leases over their price, their mean."""
    mine = part[part["leased"]]
    return np.mean(mine["cost"] / mine["ratio"])


answers = {
    "cost of use over the formula's, mean of all loads": Answer(jackknifed(rows, over_known), 1.0),
    "cost of a lease over its price": Answer(jackknifed(rows, over_ratio), 1.0),
}
for ratio in (0.3, 0.6):
    answers[f"requests an hour at which a lease at {ratio:.0%} of the price pays"] = Answer(
        jackknifed(rows, lambda part, ratio=ratio: 3600 * even(ratio)(part)),
        float(3600 * known_even(ratio)),
        "/h",
    )
for name, answer in answers.items():
    print(f"{name}: {answer.estimate.mean:.5g} ± {answer.half:.2g}, expected {answer.known:.5g}")

# %%
shows = (
    "Cost of a pod against its load, over that of a replica that is always up at the full price: by use (dots with 95 % "
    "intervals, the line is theory) and as leases. Left of a crossing use is cheaper, right of it the lease."
)
with canvas(height=3.0, key="flat-or-usage") as picture:
    axes = picture.axes[0]
    grid = np.geomspace(0.0008, 0.08, 200)
    axes.plot(3600 * grid, 100 * known(grid), color=INKS[SERIES[0]], label="by use")
    costs = use.groupby("rate")["cost"].agg(list).map(mean_interval)
    axes.errorbar(
        3600 * costs.index.to_numpy(), [100 * one.mean for one in costs], yerr=[100 * (one.high - one.mean) for one in costs],
        color=INKS[SERIES[0]], linestyle="", marker="o", markersize=3.2,
    )  # fmt: skip
    for place, (ratio, part) in enumerate(leases.groupby("ratio", sort=False), start=1):
        flat = 100 * part["cost"].mean()
        axes.plot(3600 * grid[[0, -1]], [flat, flat], color=INKS[SERIES[place]], linestyle=DASHES[place],
                  label=f"lease at {ratio:.0%}")  # fmt: skip
        if ratio < 1:
            axes.plot(
                [3600 * even(ratio)(rows)],
                [flat],
                marker="o",
                markersize=9,
                fillstyle="none",
                color=INKS[SERIES[place]],
            )
    log_axis(axes, "x")
    axes.set_ylim(0, 105)
    axes.set_xlabel("requests an hour")
    axes.set_ylabel("cost [%]")
    legend_above(axes, 4)
picture
