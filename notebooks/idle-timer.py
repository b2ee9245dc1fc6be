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
# # After how long without a request should a pod go to zero?
#
# A replica that waits for the next request is billed; one that is not there has to start, and the next user waits. The
# idle time $\tau$ trades one for the other. What is best depends on when the next request comes, given that none has come
# for so long: a Poisson process never tells, a heavy tail does.
#
# `scenarios/idle-timer/about.md` says what was run. This notebook reads the kept results of that sweep, or of the one
# that `TRUSTED_PODS_SWEEP` names.

# %%
import os
from pathlib import Path

import numpy as np

import sim
from sim.experiments.answers import Answer, jackknifed
from sim.report.charts import canvas
from sim.report.style import DASHES, INKS, SERIES, legend_above, log_axis, plain_axis
from sim.statistics import mean_interval

here = Path("scenarios/idle-timer/results")
sweep = sim.load_sweep(os.environ.get("TRUSTED_PODS_SWEEP") or (here if here.exists() else ".." / here))
sweep

# %% [markdown]
# ## What each point cost
#
# The replica's share of the time that is billed, and the users who wait for a start. A pod's user who waits is worth
# $K$ seconds of a replica: the cost is the billed share and $K$ times the waits a second.

# %%
PODS, HOURS = 10, 96
LAWS = {"poisson": "Poisson", "lognormal": "log-normal, cv 4", "pareto": "Pareto, 1.5"}


def law_of(text):
    """The name of the law of a traffic."""
    return next(name for word, name in LAWS.items() if word in text)


rows = sweep.results.copy()
rows["law"] = rows["publishers.0.traffic"].map(law_of)
rows["idle_s"] = rows["publishers.0.scaling.idle.number"]
hours = rows["publishers"] * HOURS
rows["billed"] = rows["replica_s_billed"] / (3600 * hours)
rows["waits_an_hour"] = rows["requests_held"] / hours


def cost(part, patience_s):
    """In replicas that run all the time."""
    return part["billed"] + patience_s * part["waits_an_hour"] / 3600


# %% [markdown]
# ## What theory says of Poisson arrivals
#
# With $p = e^{-\lambda\tau}$, start-up $I$ and load $\rho = \lambda E[S]$, a pod's life is cycles of mean length
# $1/\lambda + (pI + E[S])/(1-\rho)$, one of each having a stay at zero with probability $p$, of mean $1/\lambda$. So the
# share that is billed is $1 - (p/\lambda)/\text{cycle}$, there are $p/\text{cycle}$ starts, and $1 + \lambda I$ users wait
# for each: who caused it, and who came meanwhile.

# %%
RATE, SERVICE_S, START_S = 0.01, 2.0, 10.0


def known(idle_s):
    """Billed share, and users who wait for a start an hour."""
    p = np.exp(-RATE * idle_s)
    cycle_s = 1 / RATE + (p * START_S + SERVICE_S) / (1 - RATE * SERVICE_S)
    return 1 - p / RATE / cycle_s, 3600 * p / cycle_s * (1 + RATE * START_S)


for (law, idle_s), part in rows.groupby(["law", "idle_s"], sort=False):
    billed, waits = mean_interval(list(part["billed"])), mean_interval(list(part["waits_an_hour"]))
    theory = "; theory {:.4f}, {:.3f}".format(*known(idle_s)) if law == "Poisson" else ""
    print(
        f"{law}, {idle_s:g} s idle: billed {billed.mean:.4f} ± {billed.high - billed.mean:.4f}, "
        f"waits an hour {waits.mean:.3f} ± {waits.high - waits.mean:.3f}{theory}"
    )

# %% [markdown]
# ## The best idle time
#
# For Poisson arrivals the next request is as far away as ever, so that waiting longer is worth either nothing or
# everything: 0 where $\lambda K < 1$, for ever where it is more. Where a long silence means that it will last, the best is in
# between.


# %%
def over_known(column, place):
    """A simulated column over theory's, Poisson, the mean over idle times at which a pod starts at all."""

    def of(part):
        mine = part[(part["law"] == "Poisson") & (part["idle_s"] < 500)].groupby("idle_s")[column].mean()
        return np.mean([value / known(idle_s)[place] for idle_s, value in mine.items()])

    return of


def ends_over_between(law, patience_s, end):
    """Cost of the best of some idle times at the ends, over the best one in between."""

    def of(part):
        mine = part[part["law"] == law]
        costs = cost(mine.groupby("idle_s")[["billed", "waits_an_hour"]].mean(), patience_s)
        between = costs[(costs.index > 1) & (costs.index < 1e5)].min()
        ends = {"0": costs[costs.index < 1].min(), "∞": costs[costs.index > 1e5].min()}
        return (min(ends.values()) if end == "both" else ends[end]) / between

    return of


answers = {
    "Poisson: billed share over the formula's": Answer(jackknifed(rows, over_known("billed", 0)), 1.0),
    "Poisson: users who wait, over the formula's": Answer(
        jackknifed(rows, over_known("waits_an_hour", 1)), 1.0
    ),
    "Poisson, K = 50 s: cost at 0 over the best between": Answer(
        jackknifed(rows, ends_over_between("Poisson", 50, "0"))
    ),
    "Poisson, K = 200 s: cost at ∞ over the best between": Answer(
        jackknifed(rows, ends_over_between("Poisson", 200, "∞"))
    ),
    "log-normal, K = 200 s: the better of 0 and ∞ over the best between": Answer(
        jackknifed(rows, ends_over_between("log-normal, cv 4", 200, "both"))
    ),
    "Pareto, K = 200 s: the better of 0 and ∞ over the best between": Answer(
        jackknifed(rows, ends_over_between("Pareto, 1.5", 200, "both"))
    ),
}
for name, answer in answers.items():
    print(f"{name}: {answer.estimate.mean:.4g} ± {answer.half:.2g}")

# %%
shows = (
    "Left: the frontier of what is billed and how many users wait for a start, for idle times of 0 to ∞; the line is "
    "theory for Poisson arrivals. Right: what both cost together where a wait is worth 200 s of a replica."
)
with canvas(2, height=3.0, key="idle-timer") as picture:
    left, right = picture.axes
    grid = np.concatenate([[0.001], np.geomspace(1, 2000, 100)])
    left.plot(100 * known(grid)[0], known(grid)[1], color=INKS[SERIES[0]], linewidth=0.9)
    for place, (law, part) in enumerate(rows.groupby("law", sort=False)):
        colour, style = INKS[SERIES[place]], DASHES[place]
        sums = part.groupby("idle_s")
        billed, waits = (sums[name].agg(list).map(mean_interval) for name in ("billed", "waits_an_hour"))
        left.errorbar(
            [100 * one.mean for one in billed], [one.mean for one in waits],
            xerr=[100 * (one.high - one.mean) for one in billed], yerr=[one.high - one.mean for one in waits],
            color=colour, linestyle="" if law == "Poisson" else style, marker="o", markersize=3.2, linewidth=1.0, label=law,
        )  # fmt: skip
        each = cost(part, 200)
        both = [mean_interval(list(each[part["idle_s"] == idle_s])) for idle_s in billed.index]
        places = np.clip(billed.index.to_numpy(), 3, 3000)  # 0 and ∞ at the ends
        right.plot(
            places, [one.mean for one in both], color=colour, linestyle=style, marker="o", markersize=3.2
        )
        right.fill_between(
            places,
            [one.low for one in both],
            [one.high for one in both],
            color=colour,
            alpha=0.18,
            linewidth=0,
        )
    plain_axis(left, "x")
    plain_axis(left, "y")
    left.set_xlabel("billed, of the time [%]")
    left.set_ylabel("users who wait for a start [1/h]")
    legend_above(left, 3, marks=True)
    log_axis(right, "x")
    right.set_xticks([3, 10, 30, 100, 300, 1000, 3000], ["0", "10", "30", "100", "300", "1k", "∞"])
    right.set_xlabel("idle time [s]")
    right.set_ylabel("cost [replicas]")
    right.set_ylim(bottom=0)
picture
